#!/usr/bin/env bash
# run.sh - what `make bench` runs: the benchmarks of this folder; exit status 1 when any of them misses a bar.
#   make bench                                     all but `laptop` and `bf16-loss`; tables go to docs/numbers
#   make bench ARGS="steps --configs a --rounds 7" one part, with arguments of its own; nothing is written without --write
# Parts: kernels (each family alone), steps (training steps, float32), bf16 (the same with bf16 products), bf16-loss (what they do
# to learning), writing (token by token), prepare (jsonl to shards against the tokenizer alone), laptop (chapter 02's default run
# against its twins; most of an hour). TORCH_PYTHON names the Python that has PyTorch, LLMC a checkout of llm.c (README.md here
# says more).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
export GPT_BUILD_DIR=${GPT_BUILD_DIR:-build/cpu}
status=0

kernels() {
    local source name
    for source in tests/bench/*.cpp; do
        name=$(basename "$source" .cpp)
        # compare.py's; generate.py's; tokenizer.py's (make bench-01); gpu-check's
        case $name in train_step | generate | bpe | bpe_training | gpu_step) continue ;; esac
        [ -x "$GPT_BUILD_DIR/bench/$name" ] || continue                  # ladder, in builds without CUDA kernels
        echo "== $name"
        "$GPT_BUILD_DIR/bench/$name" || status=1
    done
}

without_python() {
    echo "comparing needs python3, which this machine lacks. Our column alone:"
    local config
    for config in a b c d e f; do
        printf 'run 2\nrun 10\n' | "$GPT_BUILD_DIR/bench/train_step" $config --threads 2 --profile >/dev/null || status=1
    done
}

part() {  # part NAME [ARGUMENT...]
    local name=$1
    shift
    if [ "$name" = kernels ]; then
        kernels
    elif ! command -v python3 >/dev/null; then
        [ "$name" != steps ] || without_python
    else
        case $name in
            steps) python3 tests/bench/compare.py "$@" ;;
            bf16)
                if ! grep -qsE '^flags.* (avx512_bf16|amx_bf16)' /proc/cpuinfo; then
                    echo 'bf16 is left out: this processor has no instructions for it'
                    return
                fi
                python3 tests/bench/compare.py --precision bf16 "$@" ;;
            bf16-loss) python3 tests/bench/bf16_loss.py "$@" ;;
            writing) python3 tests/bench/generate.py "$@" ;;
            prepare) python3 tests/bench/prepare.py "$@" ;;
            laptop) python3 tests/bench/laptop.py "$@" ;;
            *) echo "no part $name: kernels, steps, bf16, bf16-loss, writing, prepare, laptop" >&2; exit 2 ;;
        esac || status=1
    fi
}

case "${1:-}" in
    '')
        part kernels
        for name in steps bf16 writing prepare; do part $name --write; done ;;
    -*) part steps "$@" ;;
    *) part "$@" ;;
esac
exit $status
