# gdb_printers.py - lets gdb show a Tensor as what it is: name, shape, where its gradient stands, the first numbers;
# and, in builds that run CUDA kernels on the CPU, what the CUDA threads of a block do and where they wait.
# Load it with `source tools/gdb_printers.py`, or start gdb in this folder with `gdb -x tools/gdb_printers.py`.
# Not here: drawing or statistics; `call` works on the program's own functions.
import struct

import gdb
import gdb.printing

SHOWN = 6  # numbers shown of a tensor


def numbers(memory, dtype, count):
    """The first numbers at an address, as text."""
    if dtype == "bfloat16":  # the upper half of a float
        halves = memory.cast(gdb.lookup_type("unsigned short").pointer())
        bits = [int(halves[i]) << 16 for i in range(count)]
        values = [struct.unpack("f", struct.pack("I", b))[0] for b in bits]
    else:
        data = memory.cast(gdb.lookup_type("int" if dtype == "int32" else "float").pointer())
        values = [float(data[i]) for i in range(count)]
    return ", ".join("%.5g" % value for value in values)


class TensorPrinter:
    """(4,32,65) float32 "linear" = {-0.13, 0.02, ...}, gradient not written"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        ndim = int(v["ndim"])
        if int(v["memory"]) == 0 and ndim == 0:
            return "null Tensor"
        shape = [int(v["shape"][i]) for i in range(ndim)]
        dtype = str(v["dtype"]).replace("DType::k", "").lower()
        name = v["name"].string() if int(v["name"]) else ""
        text = '(%s) %s "%s"' % (",".join(map(str, shape)), dtype, name)
        numel = 1
        for size in shape:
            numel *= size
        if int(v["memory"]):
            try:
                first = numbers(v["memory"], dtype, min(SHOWN, numel))
                text += " = {%s%s}" % (first, ", ..." if numel > SHOWN else "")
            except gdb.MemoryError:
                text += " = memory that is gone"
        gradient = v["gradient"]
        if int(gradient) == 0:
            return text + ", no gradient"
        state = gradient.dereference()
        if bool(state["is_parameter"]):
            return text + ", parameter"
        return text + (", gradient written" if bool(state["is_written"]) else ", gradient not written")


class Grad(gdb.Command):
    """grad TENSOR [N]: the first N numbers of a tensor's gradient (default 6)."""

    def __init__(self):
        super().__init__("grad", gdb.COMMAND_DATA, gdb.COMPLETE_SYMBOL)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words:
            raise gdb.GdbError("grad TENSOR [N]")
        tensor = gdb.parse_and_eval(words[0])
        gradient = tensor["gradient"]
        if int(gradient) == 0 or int(gradient.dereference()["memory"]) == 0:
            print("no gradient yet")
            return
        state = gradient.dereference()
        if not bool(state["is_written"]):
            print("nothing written since zero_grad")
            return
        dtype = "float32" if bool(state["is_parameter"]) else str(tensor["dtype"]).replace("DType::k", "").lower()
        print("{%s, ...}" % numbers(state["memory"], dtype, int(words[1]) if len(words) > 1 else SHOWN))


class TapeCommand(gdb.Command):
    """tape: the nodes recorded so far, in a frame where `ctx` is a Context."""

    def __init__(self):
        super().__init__("tape", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        ctx = gdb.parse_and_eval(argument or "ctx")
        nodes = ctx["tape"]["_M_impl"]
        node, end, i = nodes["_M_start"], nodes["_M_finish"], 0
        node_type = gdb.lookup_type("Node").pointer()
        while node != end:
            # a unique_ptr is one pointer wide: read it as one
            address = int(node.cast(gdb.lookup_type("long").pointer()).dereference())
            pointer = gdb.Value(address).cast(node_type)
            print("%3d  %-22s %s" % (i, pointer["op"].string(), TensorPrinter(pointer["y"]).to_string()))
            node, i = node + 1, i + 1


# ---- CUDA threads on the host: fibers of common/cuda_on_host/cuda_machine.cpp ----


def running_block():
    block = gdb.parse_and_eval("cuda_on_host::block")
    if int(block) == 0 or int(block["size"]) == 0:
        raise gdb.GdbError("no CUDA block has run yet")
    return block.dereference()


def what_it_does(block, rank):
    """'waits in __syncthreads at layernorm.cu:31', for thread `rank` of the block."""
    thread = block["threads"][rank]
    state = str(thread["state"]).split("::")[-1]
    place = "%s:%d" % (thread["waits_at"]["file"].string(), int(thread["waits_at"]["line"])) if int(thread["waits_at"]["file"]) else ""
    if rank == int(block["current"]):
        return "runs"
    if state == "kAtBarrier":
        return "waits in __syncthreads at " + place
    if state == "kInWarpOperation":
        return "waits in %s at %s" % (thread["operation"].string(), place)
    return {"kUnstarted": "has not begun", "kReady": "may go on from " + place, "kReturned": "has returned"}[state]


class CudaThreads(gdb.Command):
    """cuda-threads: what each CUDA thread of the running block does, a line per group of neighbours."""

    def __init__(self):
        super().__init__("cuda-threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        block = running_block()
        size, first = int(block["size"]), 0
        for rank in range(1, size + 1):
            if rank == size or what_it_does(block, rank) != what_it_does(block, first):
                threads = "thread %d" % first if rank - first == 1 else "threads %d to %d" % (first, rank - 1)
                print("%-18s %s" % (threads, what_it_does(block, first)))
                first = rank


class CudaThread(gdb.Command):
    """cuda-thread N [COMMAND]: runs COMMAND (default: backtrace) where CUDA thread N of the running block waits.
    For the time of the command the processor's registers are those that thread N will go on with (x86-64)."""

    # As cuda_on_host_switch (fiber.cpp) leaves them, the lowest address first.
    SAVED = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]

    def __init__(self):
        super().__init__("cuda-thread", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        number, _, command = argument.strip().partition(" ")
        if not number.isdigit():
            raise gdb.GdbError("cuda-thread N [COMMAND]")
        block, rank, command = running_block(), int(number), command or "backtrace"
        if rank >= int(block["size"]):
            raise gdb.GdbError("the block has %d threads" % int(block["size"]))
        thread = block["threads"][rank]
        if rank == int(block["current"]):
            gdb.execute(command)
            return
        if str(thread["state"]).split("::")[-1] in ("kUnstarted", "kReturned"):
            print("thread %d %s" % (rank, what_it_does(block, rank)))
            return
        slot = thread["fiber"]["stack_pointer"].cast(gdb.lookup_type("unsigned long").pointer())
        values = {name: int(slot[i]) for i, name in enumerate(self.SAVED)}
        values["rsp"] = int(slot + len(self.SAVED))
        level = gdb.selected_frame().level()
        gdb.newest_frame().select()  # in an outer frame gdb would set what is saved of the registers
        kept = {name: int(gdb.parse_and_eval("(unsigned long)$" + name)) for name in values}
        try:
            self.set_registers(values)
            gdb.execute(command)
        finally:
            gdb.newest_frame().select()
            self.set_registers(kept)
            frame = gdb.newest_frame()
            for _ in range(level):
                frame = frame.older()
            frame.select()

    @staticmethod
    def set_registers(values):
        for name, value in values.items():
            gdb.execute("set $%s = %d" % (name, value), to_string=True)


printers = gdb.printing.RegexpCollectionPrettyPrinter("gpt-from-scratch")
printers.add_printer("Tensor", "^Tensor$", TensorPrinter)
gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
Grad()
TapeCommand()
CudaThreads()
CudaThread()
