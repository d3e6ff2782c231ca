#!/usr/bin/env bash
# Training with --device cuda, in a build that has the CUDA kernels: the losses of the CPU, the same checkpoint format,
# and the tiny preset by default where CUDA is emulated.
# shellcheck source=tests/chapter00/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

if ! "$program" tape --preset tiny --data text.txt --device cuda >/dev/null 2>err; then
    if grep -q 'no CUDA kernels' err; then
        ok 'a build without CUDA says so'
        skip 'training with --device cuda' 'this build has no CUDA kernels; BUILD=host has'
    else  # BUILD=cuda
        refused 'a machine without a GPU: one line' 1 'error: --device cuda: there is no NVIDIA' -- \
            train "${tiny[@]}" --device cuda --max-steps 1 --out none
        check 'it is one line' [ "$(wc -l <err)" = 1 ]
        run train "${tiny[@]}" --device cpu --max-steps 1 --out cpu
        check '--device cpu trains' [ "$status" = 0 ]
        run train "${tiny[@]}" --max-steps 1 --out auto
        check '--device auto trains on the CPU' [ "$status" = 0 ]
        check 'and says why' grep -q 'threads of the CPU: there is no NVIDIA' err
        skip 'training with --device cuda' 'there is no GPU here; BUILD=host needs none'
    fi
    finish
    exit
fi

# What the build stores on the device, and how far training is then from the CPU's float32 (tests/chapter00/test_cuda_model.cpp
# says why).
precision=fp32 other=bf16 loss_tolerance=1e-4 norm_tolerance=1e-4
if ! "$program" tape --preset tiny --data text.txt --device cuda --precision fp32 >/dev/null 2>&1; then
    precision=bf16 other=fp32 loss_tolerance=1e-3 norm_tolerance=1e-2
fi

# losses_agree A B: every loss and gradient norm of two logs.
losses_agree() {
    paste -d , "$1/log.csv" "$2/log.csv" | awk -F , -v loss=$loss_tolerance -v norm=$norm_tolerance '
        function far(x, y, t) { d = x - y; return (d < 0 ? -d : d) > t * (y < 0 ? -y : y) }
        NR > 1 { rows++; if ($1 != $8 || far($3, $10, loss) || far($5, $12, norm)) bad = 1 }
        END { exit bad || rows != 20 }'
}

run train "${tiny[@]}" --device cpu --max-steps 20 --seed 3 --out cpu
check 'the CPU computes in fp32' grep -q 'parameters, fp32;' err
run train "${tiny[@]}" --device cuda --precision $precision --max-steps 20 --seed 3 --out cuda
check "training with --device cuda --precision $precision: exit status 0" [ "$status" = 0 ]
check "20 losses agree within $loss_tolerance, gradient norms within $norm_tolerance" losses_agree cpu cuda
check 'it says what it computes on' grep -qi 'cuda' err
check 'and in what' grep -q "parameters, $precision;" err
refused "--device cuda --precision $other names the build to make" 1 "--precision $other" "PRECISION=$other" -- \
    train "${tiny[@]}" --device cuda --precision $other
run train "${tiny[@]}" --device cuda --max-steps 20 --seed 3 --threads 2 --out again
check 'the same bytes with other threads' same_run cuda again
run train "${tiny[@]}" --device cuda --max-steps 10 --seed 3 --out parts
run train --resume parts --data text.txt --device cuda --max-steps 20 --threads 1
check 'stopped and resumed: the same bytes' cmp -s cuda/checkpoint.safetensors parts/checkpoint.safetensors
run train "${tiny[@]}" --device cuda --max-steps 10 --seed 3 --out moved
run train --resume moved --data text.txt --device cpu --max-steps 20 --threads 1
check 'begun with CUDA, finished on the CPU' losses_agree cpu moved
run sample --checkpoint cuda --tokens 20 --seed 1 --device cuda
cp out sampled
run sample --checkpoint cuda --tokens 20 --seed 1 --device cpu
# In bf16 one character that is likelier by less than the rounding changes all that follow.
if [ $precision = fp32 ]; then
    check 'the same sample on both' cmp -s out sampled
else
    check 'a sample of the same length on both' [ "$(wc -m <out)" = "$(wc -m <sampled)" ]
    refused 'gradcheck wants float32' 2 'BUILD=host' -- gradcheck --data text.txt --device cuda
fi
run tape --data text.txt --device cuda
check 'tape works on the device' grep -q 'cross_entropy_inplace' out
if "$program" train --help | grep -q 'emulated'; then
    run train --data text.txt --device cuda --max-steps 1 --threads 1 --out default
    check 'emulated CUDA: the default preset is tiny' grep -q '^  channels       32' err

    # Machines that are imitated: what cannot be used is refused in one line, before anything is written.
    no_gpu() {  # NAME SETTING PATTERN...
        CUDA_ON_HOST_GPU=$2 refused "$1" 1 "${@:3}" -- train "${tiny[@]}" --device cuda --max-steps 1 --out none
        check "$1: one line" [ "$(wc -l <err)" = 1 ]
    }
    no_gpu 'no GPU' cards=0 'error: --device cuda: there is no NVIDIA GPU' '--device cpu'
    no_gpu 'no driver' driver=0 'there is no NVIDIA driver'
    no_gpu 'an old driver' driver=12020 'the NVIDIA driver knows CUDA 12.2 and this program was built with 13.0'
    CUDA_ON_HOST_GPU=memory_mib=1 refused 'too little device memory' 1 'need' 'the GPU has 0.000977 GiB' '--batch' -- \
        train "${tiny[@]}" --batch 64 --device cuda --max-steps 1 --out none
    export CUDA_ON_HOST_GPU='memory_mib=20'
    run sample --checkpoint cuda --tokens 2 --device cuda
    unset CUDA_ON_HOST_GPU
    conclude 'device memory that is used up' "$(problem 1 'of device memory: ' 'of 20.0 MiB are free; a smaller --batch')"
    export CUDA_ON_HOST_GPU=fails=layernorm_forward_kernel
    run sample --checkpoint cuda --tokens 2 --device cuda
    conclude 'a kernel that fails: how to learn its name' "$(problem 1 'an illegal memory access' 'GPT_SYNC=1 names it')"
    GPT_SYNC=1 run sample --checkpoint cuda --tokens 2 --device cuda
    conclude 'GPT_SYNC=1 names it' "$(problem 1 'layernorm_forward_kernel, launched at common/kernels/cuda/')"
    unset CUDA_ON_HOST_GPU
fi
finish
