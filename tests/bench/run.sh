#!/usr/bin/env bash
# run.sh - what `make bench` runs: every benchmark of this folder; exit status 1 when any of them misses a bar.
#   make bench                                     the kernels alone, then the training step against PyTorch
#   make bench ARGS="--configs a --rounds 7"       only the latter: arguments are compare.py's, and nothing is written
# TORCH_PYTHON names the Python that has PyTorch (README.md here says how to get one).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
export GPT_BUILD_DIR=${GPT_BUILD_DIR:-build/cpu}
status=0

if [ $# = 0 ]; then
    for source in tests/bench/*.cpp; do
        name=$(basename "$source" .cpp)
        # compare.py's; generate.py's; tokenizer.py's (make bench-01); gpu-check's
        case $name in train_step | generate | bpe | bpe_training | gpu_step) continue ;; esac
        [ -x "$GPT_BUILD_DIR/bench/$name" ] || continue                  # ladder, in builds without CUDA kernels
        echo "== $name"
        "$GPT_BUILD_DIR/bench/$name" || status=1
    done
    set -- --write docs/numbers/bench.md
fi

if command -v python3 >/dev/null; then
    python3 tests/bench/compare.py "$@" || status=1
else
    echo "comparing needs python3, which this machine lacks. Our column alone:"
    for config in a b c e; do
        printf 'run 2\nrun 10\n' | "$GPT_BUILD_DIR/bench/train_step" $config --threads 2 --profile >/dev/null || status=1
    done
fi
exit $status
