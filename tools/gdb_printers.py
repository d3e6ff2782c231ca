# gdb_printers.py - lets gdb show a Tensor as what it is: name, shape, where its gradient stands, the first numbers.
# Load it with `source tools/gdb_printers.py`, or start gdb in this folder with `gdb -x tools/gdb_printers.py`.
# Not here: drawing or statistics; `call` works on the program's own functions.
import gdb
import gdb.printing

SHOWN = 6  # numbers shown of a tensor


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
        c_type = gdb.lookup_type("int" if dtype == "int32" else "float")
        if dtype in ("float32", "int32") and int(v["memory"]):
            data = v["memory"].cast(c_type.pointer())
            try:
                first = ["%.5g" % float(data[i]) for i in range(min(SHOWN, numel))]
                text += " = {%s%s}" % (", ".join(first), ", ..." if numel > SHOWN else "")
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
        data = gradient.dereference()["memory"].cast(gdb.lookup_type("float").pointer())
        count = int(words[1]) if len(words) > 1 else SHOWN
        print("{%s, ...}" % ", ".join("%.5g" % float(data[i]) for i in range(count)))


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


printers = gdb.printing.RegexpCollectionPrettyPrinter("gpt-from-scratch")
printers.add_printer("Tensor", "^Tensor$", TensorPrinter)
gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
Grad()
TapeCommand()
