"""formula.py - weights, batches and token streams that Python and C++ make alike, so that no file carries them.

Twin of tests/support/golden.h: change both or neither. Used by golden/twin.py and bench/torch_rival.py.
Every weight is a multiple of 2^-23 times a power of two: exact in float32, the same bits on both sides.
"""
import torch

MASK64 = (1 << 64) - 1
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
CHUNK = 1 << 20  # elements made at once: int64 temporaries must not show in a rival's peak memory


def name_hash(name):
    """FNV-1a of the bytes of a name, 64 bits."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK64
    return h


def _signed(x):
    """torch knows int64 only: the same 64 bits, read as a signed number."""
    x &= MASK64
    return x - (1 << 64) if x >> 63 else x


def _shift_right(x, bits):
    """Logical shift of int64 (torch's >> copies the sign)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def hash24(name, begin, end):
    """24 random bits for each index in [begin, end): splitmix64 of (hash of the name, index), its top 24 bits."""
    z = torch.arange(begin + 1, end + 1, dtype=torch.int64) * _signed(GOLDEN_GAMMA) + _signed(name_hash(name))
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    z = z ^ _shift_right(z, 31)
    return _shift_right(z, 40)


def is_layernorm_weight(name):
    return name in ("ln_f.weight",) or name.endswith((".ln_1.weight", ".ln_2.weight"))


def fill_parameter(name, parameter, scale):
    """scale * uniform [-1, 1), scale a power of two; LayerNorm weights are 1 + scale * uniform."""
    flat = parameter.detach().view(-1)
    for begin in range(0, flat.numel(), CHUNK):
        end = min(begin + CHUNK, flat.numel())
        unit = (hash24(name, begin, end) - (1 << 23)).to(torch.float32) * 2.0**-23
        value = unit * scale
        flat[begin:end] = (1.0 + value) if is_layernorm_weight(name) else value


def batch(step, B, T, V, ignore_every=0):
    """Inputs and targets (B,T) of a step, from 1: B rows of T+1 hashed ids; target = the next id of the row.
    With ignore_every = k, each k-th target (counted along the batch) is -1: it counts for nothing."""
    row = (hash24(f"batch.{step}", 0, B * (T + 1)) % V).view(B, T + 1)
    ids, targets = row[:, :-1].contiguous(), row[:, 1:].contiguous()
    if ignore_every:
        targets.view(-1)[ignore_every - 1::ignore_every] = -1
    return ids, targets


def token_stream(n, V):
    """Half the tokens follow (7 * previous + 3) mod V, which can be learnt; the others are log-uniform in rank,
    roughly as words are. Random bits: a 64-bit linear congruential generator with Knuth's MMIX constants."""
    state, previous, out = 1337, 0, []
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK64
        r = state >> 40
        if r & 1:
            previous = (previous * 7 + 3) % V
        else:
            previous = min(V - 1, int(float(V) ** ((r >> 1) / 8388608.0)) - 1)
        out.append(previous)
    return out
