#!/usr/bin/env bash
# run.sh - what `make bench` runs: every benchmark of this folder, slowest claims first; exit 1 when a bar is missed.
#   make bench                                     the kernels alone, then the training step against PyTorch
#   make bench ARGS="--configs a --rounds 7"       arguments are compare.py's
# TORCH_PYTHON names the Python that has PyTorch (README.md here says how to get one).
set -uo pipefail
cd "$(dirname "$0")/../.."
export GPT_BUILD_DIR=${GPT_BUILD_DIR:-build/cpu}

# Benchmarks without bars: those that measure one kernel family each.
if [ $# = 0 ]; then
    for program in "$GPT_BUILD_DIR"/bench/*; do
        [ "$program" != "$GPT_BUILD_DIR/bench/train_step" ] && [ -f "$program" ] && [ -x "$program" ] || continue
        case $program in *.o | *.d | *.so) continue ;; esac
        echo "== $(basename "$program")"
        "$program"
    done
    set -- --write docs/numbers/bench.md
fi
if ! command -v python3 >/dev/null; then
    echo "the comparison needs python3, which this machine does not have; our column alone:"
    for config in a b c e; do
        echo "($config)"
        printf 'run 2\nrun 10\n' | "$GPT_BUILD_DIR/bench/train_step" $config --threads 2 --profile
    done
    exit 0
fi
exec python3 tests/bench/compare.py "$@"
