set pagination off
set width 0
set confirm off
set style enabled off
set startup-with-shell off
source tools/gdb_printers.py
tbreak Attention::backward
run train --preset tiny --max-steps 1 --threads 1 --seed 1 --quiet --out build/debug/gdb-run
backtrace 4
print qkv
print y
grad y
tape
next 5
grad qkv
tbreak cpu::layernorm_backward
continue
info args
up
print x
print ln.weight
watch -location ((float*)ln.weight.gradient->memory)[0]
continue
backtrace 5
kill
