#!/usr/bin/env python3
"""torch_rival.py - the GPT training step as a good PyTorch user writes it: the rival of train_step.cpp. (On a GPU:
torch_gpu_rival.py, which trains this file's model.)

scaled_dot_product_attention, fused AdamW, float32 or autocast to bf16, optionally torch.compile. Not here: the oracle
(golden/twin.py, float64, spelt out). Weights and tokens come from golden/formula.py: the losses of both programs can be compared.
It serves one configuration: "run N" on stdin takes N training steps and answers with one line of JSON; the driver
(compare.py) lets two such programs take turns without paying their start-up. Run:
    echo run 10 | python3 tests/bench/torch_rival.py a --threads 2 [--precision bf16] [--compile]
"""
import argparse
import json
import os
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import formula  # noqa: E402

# The same table is in train_step.cpp.
CONFIGS = {
    "a": dict(L=4, NH=4, HS=32, C=128, T=64, B=64, V=65, tied=True, activation="gelu"),
    "b": dict(L=6, NH=6, HS=64, C=384, T=256, B=16, V=65, tied=True, activation="gelu"),
    "c": dict(L=2, NH=4, HS=4, C=768, T=512, B=4, V=50257, tied=True, activation="gelu"),
    "d": dict(L=12, NH=12, HS=64, C=768, T=64, B=4, V=50257, tied=True, activation="gelu"),
    "e": dict(L=4, NH=4, HS=16, C=64, T=32, B=64, V=65, tied=False, activation="relu"),
    "f": dict(L=12, NH=12, HS=64, C=768, T=1024, B=1, V=50257, tied=True, activation="gelu"),
}
LR, WEIGHT_DECAY = 1e-4, 0.01
WEIGHT_SCALE = 2.0**-5  # uniform of this half-width has a standard deviation of 0.018, close to GPT-2's 0.02
STREAM_BATCHES = 64  # batches of the token stream, taken in turn


class Attention(nn.Module):
    def __init__(self, C, NH, HS, bias):
        super().__init__()
        self.NH, self.HS = NH, HS
        self.c_attn, self.c_proj = nn.Linear(C, 3 * NH * HS, bias), nn.Linear(NH * HS, C, bias)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.NH, self.HS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, self.NH * self.HS))


class MLP(nn.Module):
    def __init__(self, C, activation, bias):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(C, 4 * C, bias), nn.Linear(4 * C, C, bias)
        self.is_gelu = activation == "gelu"

    def forward(self, x):
        x = self.c_fc(x)
        return self.c_proj(F.gelu(x, approximate="tanh") if self.is_gelu else F.relu(x))


class Block(nn.Module):
    def __init__(self, C, NH, HS, activation, bias):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(C, bias=bias), Attention(C, NH, HS, bias)
        self.ln_2, self.mlp = nn.LayerNorm(C, bias=bias), MLP(C, activation, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, V, T, L, NH, HS, C, tied, activation, bias=True, **_):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T, C)
        self.h = nn.ModuleList(Block(C, NH, HS, activation, bias) for _ in range(L))
        self.ln_f, self.lm_head = nn.LayerNorm(C, bias=bias), nn.Linear(C, V, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def logits(self, ids):
        x = self.wte(ids) + self.wpe.weight[:ids.shape[1]]
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))

    def forward(self, ids, targets):
        logits = self.logits(ids)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", choices=CONFIGS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: autocast of the forward pass")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model (needs a C++ compiler)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    config = CONFIGS[options.config]
    B, T, V = config["B"], config["T"], config["V"]
    model = GPT(**config)
    for name, parameter in model.named_parameters():  # a tied head shows up once, as wte.weight
        formula.fill_parameter(name, parameter, WEIGHT_SCALE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=WEIGHT_DECAY, fused=True)
    loss_of = torch.compile(model) if options.compile else model
    tokens = torch.tensor(formula.token_stream(B * T * STREAM_BATCHES + 1, V))

    def step(number):
        offset = (number % STREAM_BATCHES) * B * T
        ids, targets = (tokens[o:o + B * T].view(B, T) for o in (offset, offset + 1))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = loss_of(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    taken = 0
    for line in sys.stdin:
        words = line.split()
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"error: expected 'run N', got {line.strip()!r}")
        count = int(words[1])
        begin, loss = time.perf_counter(), 0.0
        for _ in range(count):
            loss = step(taken)
            taken += 1
        seconds = time.perf_counter() - begin
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(dict(seconds=seconds, steps=count, step=taken, loss=loss, peak_rss_mib=round(peak_mib),
                              version=f"PyTorch {torch.__version__}")), flush=True)


if __name__ == "__main__":
    main()
