#!/usr/bin/env bash
# Plants one violation of each kind in a copy of the tree: tools/lint must name each, and pass the untouched copy.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r Makefile common chapters tests tools "$copy"
mkdir -p "$copy/chapters/00_char_gpt" "$copy/chapters/01_bpe" "$copy/common/kernels/cuda" "$copy/common/ops" "$copy/common/nn" "$copy/common/io"
mkdir -p "$copy/data" "$copy/.ci"
touch "$copy/chapters/01_bpe/bpe.h" "$copy/common/ops/planted.h"
cd "$copy" || exit 2

failures=0
tools/lint || { echo "FAILED: the clean tree does not pass"; failures=1; }

# plant FILE LINE EXPECTED: with LINE in FILE, lint must fail and print EXPECTED; afterwards the file is gone again.
plant() {
    local output
    if [ -e "$1" ]; then echo "the test would overwrite $1"; exit 2; fi
    printf '%b\n' "$2" >"$1"
    if output=$(tools/lint) || [[ $output != *"$1:1"*"$3"* ]]; then
        echo "FAILED: $1 with '$2' should be refused with '$3', got: $output"
        failures=1
    fi
    rm "$1"
}
plant common/ops/bad.h '#include "chapters/01_bpe/bpe.h"' layers
plant common/ops/bad.cpp '#include "../../chapters/01_bpe/bpe.h"' layers
plant common/core/bad.h '#include "ops/planted.h"' layers
plant common/core/bad.cpp '  #  include "../ops/planted.h"' layers
plant common/kernels/cpu/bad.cpp '#include "ops/planted.h"' layers
plant common/io/bad.h '#include "core/parallel.h"' layers
plant common/ops/bad.h '#include "io/safetensors.h"' layers
plant chapters/00_char_gpt/bad.h '#include "chapters/01_bpe/bpe.h"' later
plant chapters/01_bpe/bad.h '#include "tests/support/catch.h"' layers
plant common/ops/bad.cpp '#include <cuda_runtime.h>' cuda
plant common/nn/bad.h '#include <nlohmann/json.hpp>' heavy
plant common/core/bad.h '// caf\xc3\xa9' ASCII
plant common/core/bad.h 'int x;  ' blanks
plant tests/core/bad.cpp '\tint x;' tab
# Written so that this file does not hold such a path itself.
plant common/core/bad.h "// see /ho""me/somebody/file" 'one machine'

# What is allowed stays allowed.
for allowed in \
    'common/io/safetensors_extra.h|// nothing' \
    'common/kernels/cuda/fine.cu|#include <cuda_runtime.h>' \
    'chapters/01_bpe/fine.h|#include "chapters/00_char_gpt/gpt.h"' \
    'common/nn/fine.cpp|#include <nlohmann/json.hpp>'; do
    echo "${allowed#*|}" >"${allowed%%|*}"
    tools/lint || { echo "FAILED: $allowed should be allowed"; failures=1; }
    rm "${allowed%%|*}"
done
exit $failures
