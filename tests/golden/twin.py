#!/usr/bin/env python3
"""twin.py - the GPT of chapters/00_char_gpt/gpt.h, written again in PyTorch: the oracle that our C++ is held against.

Not here: speed (bench/torch_rival.py). Attention is spelt out, the model runs in float64, nothing is fused.
Writes gpt_tiny.txt (losses, gradient norms) and gpt_tiny_grads.f32 (every gradient of step 1) beside itself.
Run: python3 tests/golden/twin.py            write the golden files
     python3 tests/golden/twin.py --check    compute again and compare with the files; exit 1 when they differ
     python3 tests/golden/twin.py --bf16     write gpt_tiny_bf16.txt: how far PyTorch's own bf16 is from float64
Any PyTorch since 1.13 (Debian's python3-torch) writes the same numbers; see README.md.
"""
import argparse
import array
import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

import formula

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT_FILE = os.path.join(HERE, "gpt_tiny.txt")
GRADS_FILE = os.path.join(HERE, "gpt_tiny_grads.f32")
BF16_FILE = os.path.join(HERE, "gpt_tiny_bf16.txt")

WEIGHT_SCALE = 0.25  # power of two, see formula.fill_parameter; large enough that attention is far from uniform
STEPS = 10
LR, BETAS, EPS, WEIGHT_DECAY = 1e-2, (0.9, 0.999), 1e-8, 0.1

# Sizes are small and odd on purpose: C=18 and 15 head columns are no multiple of any vector width.
# clip: global gradient norm, 0 for none. ignore_every: each k-th target counts for nothing, 0 for none.
CASES = {
    "tied_gelu": dict(V=17, T=12, B=3, L=2, NH=3, HS=8, C=24, tied=1, activation="gelu", clip=0.0, ignore_every=0),
    "untied_relu": dict(V=17, T=12, B=3, L=2, NH=3, HS=5, C=18, tied=0, activation="relu", clip=0.0, ignore_every=5),
    "tied_gelu_narrow": dict(V=17, T=12, B=3, L=2, NH=3, HS=4, C=24, tied=1, activation="gelu", clip=0.0,
                             ignore_every=0),
    "untied_gelu_clip": dict(V=17, T=12, B=3, L=2, NH=3, HS=6, C=18, tied=0, activation="gelu", clip=1.0,
                             ignore_every=0),
}


def gelu(x):
    """GPT-2's tanh form."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class Attention(nn.Module):
    def __init__(self, C, NH, HS):
        super().__init__()
        self.NH, self.HS = NH, HS
        self.c_attn = nn.Linear(C, 3 * NH * HS)  # rows: all queries, all keys, all values; each head by head
        self.c_proj = nn.Linear(NH * HS, C)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.NH, self.HS).permute(2, 0, 3, 1, 4)  # each (B,NH,T,HS)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.HS)  # (B,NH,T,T)
        future = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
        att = scores.masked_fill(future, -math.inf).softmax(-1)
        return self.c_proj((att @ v).transpose(1, 2).reshape(B, T, self.NH * self.HS))


class MLP(nn.Module):
    def __init__(self, C, activation):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
        self.activation = {"gelu": gelu, "relu": F.relu}[activation]

    def forward(self, x):
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, C, NH, HS, activation):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(C, eps=1e-5), Attention(C, NH, HS)
        self.ln_2, self.mlp = nn.LayerNorm(C, eps=1e-5), MLP(C, activation)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Attribute names are GPT-2's, so that named_parameters() yields the dotted names of DESIGN, section 6."""

    def __init__(self, V, T, L, NH, HS, C, tied, activation, **_):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T, C)
        self.h = nn.ModuleList(Block(C, NH, HS, activation) for _ in range(L))
        self.ln_f = nn.LayerNorm(C, eps=1e-5)
        self.lm_head = None if tied else nn.Linear(C, V, bias=False)

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe.weight[:ids.shape[1]]  # (B,T,C)
        for block in self.h:
            x = block(x)
        head = self.wte if self.lm_head is None else self.lm_head
        logits = self.ln_f(x) @ head.weight.t()  # (B,T,V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def train(case, dtype):
    """Ten AdamW steps; returns losses, gradient norms before clipping, and the gradients of step 1 by name."""
    model = GPT(**case).to(dtype)
    for name, parameter in model.named_parameters():
        formula.fill_parameter(name, parameter, WEIGHT_SCALE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    losses, norms, first_grads = [], [], {}
    for step in range(1, STEPS + 1):
        loss = model(*formula.batch(step, case["B"], case["T"], case["V"], case["ignore_every"]))
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad.double()**2).sum()) for p in model.parameters()))
        if step == 1:
            first_grads = {name: p.grad.clone() for name, p in model.named_parameters()}
        if case["clip"] > 0 and norm > case["clip"]:
            for p in model.parameters():
                p.grad *= case["clip"] / norm
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm)
    return losses, norms, first_grads


def relative_errors(grads, want):
    """Root mean square and largest, over the parameters, of the norm of what differs over the norm of the gradient."""
    errors = [float((grads[name].double() - grad).norm() / grad.norm()) for name, grad in want.items()]
    return math.sqrt(sum(error**2 for error in errors) / len(errors)), max(errors)


def bf16_lines():
    """What a model in bf16 costs in PyTorch: whoever stores as it does should not be much worse."""
    lines = ["# How far PyTorch's gradients of step 1 in bf16 are from float64, relative error of the norm: root mean square over",
             "# the parameters, and the largest. stored: the whole model in bf16, as BUILD=cuda stores it. autocast: products in",
             "# bf16, weights and the residual stream in float32.",
             f"# command: python3 tests/golden/twin.py --bf16; torch: {torch.__version__}, on a CPU"]
    for name, case in CASES.items():
        want = train(case, torch.float64)[2]
        stored = relative_errors(train(case, torch.bfloat16)[2], want)
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            autocast = relative_errors(train(case, torch.float32)[2], want)
        lines.append(f"{name} stored {stored[0]:.2e} {stored[1]:.2e} autocast {autocast[0]:.2e} {autocast[1]:.2e}")
    return lines


def compute(dtype=torch.float64):
    """The two files as (lines of text, array of float32)."""
    lines = [
        "# Losses and gradients of tiny GPTs, computed in float64 by PyTorch. Written by tests/golden/twin.py.",
        "# command: python3 tests/golden/twin.py",
        f"# torch: {torch.__version__}",
        f"# weights: formula.py, scale {WEIGHT_SCALE}; AdamW lr {LR}, betas {BETAS}, eps {EPS}, "
        f"weight decay {WEIGHT_DECAY} on every parameter",
        "# step: number, loss before the update, gradient norm before clipping",
        "# grad: name, elements, where it starts in gpt_tiny_grads.f32 (little-endian float32), norm; at step 1",
    ]
    values = array.array("f")
    for name, case in CASES.items():
        losses, norms, grads = train(case, dtype)
        lines.append("case " + name + "".join(f" {key} {value}" for key, value in case.items()))
        lines += [f"step {i + 1} {losses[i]:.12f} {norms[i]:.12f}" for i in range(STEPS)]
        for parameter, grad in grads.items():
            lines.append(f"grad {parameter} {grad.numel()} {len(values)} {grad.double().norm().item():.12e}")
            values.extend(grad.flatten().tolist())
    if sys.byteorder == "big":
        values.byteswap()
    return lines, values


def differs(line, want):
    """Whether two lines differ by more than the last digits that another PyTorch may round otherwise."""
    a, b = line.split(), want.split()
    if len(a) != len(b) or a[:2] != b[:2]:
        return True
    for x, y in zip(a, b):
        try:
            if abs(float(x) - float(y)) > 1e-9 * max(1.0, abs(float(y))):
                return True
        except ValueError:
            if x != y:
                return True
    return False


def check(lines, values):
    """How many lines or values differ from the tracked files."""
    with open(TEXT_FILE) as f:
        want_lines = [line for line in f.read().splitlines() if not line.startswith("#")]
    want_values = array.array("f")
    with open(GRADS_FILE, "rb") as f:
        want_values.frombytes(f.read())
    got_lines = [line for line in lines if not line.startswith("#")]
    bad = abs(len(got_lines) - len(want_lines)) + abs(len(values) - len(want_values))
    for got, want in zip(got_lines, want_lines):
        if differs(got, want):
            print(f"now:  {got}\nfile: {want}")
            bad += 1
    bad += sum(abs(x - y) > 1e-6 * max(abs(y), 1e-3) for x, y in zip(values, want_values))
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the tracked files instead of writing them")
    parser.add_argument("--float32-spread", action="store_true",
                        help="print how far the same model in float32 is from float64: the test's bars must allow that")
    parser.add_argument("--bf16", action="store_true", help="write gpt_tiny_bf16.txt, and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.bf16:
        with open(BF16_FILE, "w") as f:
            f.write("\n".join(bf16_lines()) + "\n")
        print(f"wrote {BF16_FILE}")
        return
    if options.float32_spread:
        for name, case in CASES.items():
            losses, _, grads = train(case, torch.float64)
            losses32, _, grads32 = train(case, torch.float32)
            loss_error = max(abs(a - b) / a for a, b in zip(losses, losses32))
            grad_error = max(float((grads32[k].double() - g).norm() / g.norm()) for k, g in grads.items())
            print(f"{name}: losses {loss_error:.1e} relative, gradients {grad_error:.1e} relative norm")
        return
    lines, values = compute()
    if options.check:
        bad = check(lines, values)
        print(f"golden files: {len(CASES)} cases, {len(values)} gradients, {bad} differences "
              f"(torch {torch.__version__})")
        sys.exit(1 if bad else 0)
    with open(TEXT_FILE, "w") as f:
        f.write("\n".join(lines) + "\n")
    with open(GRADS_FILE, "wb") as f:
        f.write(values.tobytes())
    print(f"wrote {TEXT_FILE} and {GRADS_FILE}")


if __name__ == "__main__":
    main()
