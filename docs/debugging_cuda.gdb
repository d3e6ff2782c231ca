set pagination off
set width 0
set confirm off
set style enabled off
set startup-with-shell off
source tools/gdb_printers.py
tbreak layernorm_forward_kernel if blockIdx.x == 1 && threadIdx.x == 3
run train --preset tiny --channels 64 --device cuda --max-steps 1 --threads 1 --seed 1 --quiet --out build/debug/gdb-run
backtrace 5
next 2
print *x@4
tbreak block_sum<float>
continue
next 2
print x
print *of_warp@2
cuda-threads
next
print *of_warp@2
cuda-threads
cuda-thread 40 backtrace 7
cuda-thread 40 frame function block_sum<float>
watch -location of_warp[1]
continue
print threadIdx
print blockIdx
kill
