#!/usr/bin/env bash
# shellcheck disable=SC2016  # backticks are what notes are made of
# Builds a small tree with true notes, which tools/notes-check must pass; then makes one statement false at a time, and
# each must be named. The real tree is checked by `make notes-check`.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/tools" "$copy/common/kernels/cpu" "$copy/chapters/00_gpt" "$copy/docs" "$copy/tests"
cp Makefile "$copy"
cp tools/notes-check "$copy/tools"
cd "$copy" || exit 2

cat >common/kernels/cpu/layernorm.cpp <<'END'
// layernorm.cpp - what the note quotes. The gradient is derived in chapters/00_gpt/README.md,
// "LayerNorm, backwards".
struct Layernorm {
    void backward();
};
void forward(float* out, const float* inp) {
    const float mean = inp[0];
    out[0] = inp[0] - mean;
}
END
cat >chapters/00_gpt/README.md <<'END'
# The note
See `common/kernels/cpu/layernorm.cpp#forward`, `kernels/cpu/layernorm.cpp#Layernorm::backward`.
`chapters/00_gpt` holds it; `make chapter00` and `make exercise-00-1` make it; `build/chapter00` and `config.json` come later.
A [link](../../docs/debugging.md), one [to a heading](#layernorm-backwards), [one outside](https://example.org/x).

## LayerNorm, backwards
```cpp file=common/kernels/cpu/layernorm.cpp symbol=forward
    const float mean = inp[0];
    out[0] = inp[0] - mean;
```
```
a block without file= may say `no/such.h` and [anything](at/all.md)
```
END
echo 'Back to `chapters/00_gpt/README.md`.' >docs/debugging.md

failures=0
tools/notes-check || { echo "FAILED: true notes are refused"; failures=1; }

# falsify FILE SED-EXPRESSION EXPECTED: after the edit, the check must fail and print EXPECTED.
falsify() {
    local output
    cp "$1" saved
    sed -i "$2" "$1"
    cmp -s saved "$1" && { echo "FAILED: '$2' changed nothing in $1"; failures=1; }
    if output=$(tools/notes-check) || [[ $output != *"$3"* ]]; then
        echo "FAILED: $1 after '$2' should be refused with '$3', got: $output"
        failures=1
    fi
    mv saved "$1"
}
note=chapters/00_gpt/README.md
source=common/kernels/cpu/layernorm.cpp
falsify $note 's/layernorm.cpp#forward/layernorm.cpp#forwards/' 'no forwards'
falsify $note 's/layernorm.cpp#forward/layer_norm.cpp#forward/' 'no file common/kernels/cpu/layer_norm.cpp'
falsify $note 's/Layernorm::backward/Gelu::backward/' 'has no Gelu::backward'
falsify $note 's/`chapters\/00_gpt`/`chapters\/00_gone`/' 'no file chapters/00_gone'
falsify $note 's/make chapter00/make capter00/' 'make has no target capter00'
falsify $note 's/debugging.md)/debuging.md)/' 'dead link'
falsify $note 's/#layernorm-backwards/#layernorm-forwards/' 'no such heading'
falsify $note 's/inp\[0\] - mean;/inp[0] -  mean;/' 'quoted lines'
falsify $note 's/symbol=forward/symbol=forwrad/' 'has no symbol forwrad'
falsify $note 's/file=common/file=comon/' 'no file comon'
falsify $note 's/^## LayerNorm, backwards/## Layernorm, backwards/' 'no source cites the heading'
falsify $note 's/^## LayerNorm, backwards/## LayerNorm/' 'which is no heading'
falsify $source 's/out\[0\] = inp/out[0]  = inp/' 'quoted lines'
falsify $source 's/LayerNorm, backwards/LayerNorm, derived/' 'no source cites the heading "LayerNorm, backwards"'
falsify $source 's/void backward/void reverse/' 'has no Layernorm::backward'
falsify docs/debugging.md 's/README.md/NOTE.md/' 'no file chapters/00_gpt/NOTE.md'
exit $failures
