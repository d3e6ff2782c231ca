#!/usr/bin/env python3
"""torch_gpu_rival.py - what gpu_step.cpp does, as a good PyTorch user does it on a GPU: bf16 autocast over float32 weights,
scaled_dot_product_attention, fused AdamW, a vocabulary padded to a multiple of 64, optionally torch.compile.

The model is torch_rival.py's. Not here: the oracle (golden/twin.py). It serves one workload: "run N" on stdin does it N times
and answers with one line of JSON; the driver (tools/gpu_check/timing.py) lets it and gpu_step take turns. After each turn
it gives the memory that it only keeps for later back, as the programs share one card. Run:
    echo run 5 | python3 tests/bench/torch_gpu_rival.py step a --batch 16 --accumulate 32 [--compile [--bf16-logits]]
    echo run 50 | python3 tests/bench/torch_gpu_rival.py attention-forward 16 1024 12 64
--device cpu tries the same on the CPU, for the sizes of `step tiny`: to be tested, not timed.
"""
import argparse
import contextlib
import json
import os
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import formula  # noqa: E402
import torch_rival  # noqa: E402

# The same table is in gpu_step.cpp, and so are the constants behind it.
CONFIGS = {
    "a": dict(L=12, NH=12, HS=64, C=768, T=1024, V=50257, tied=True, activation="gelu", clip=1.0),
    "b": dict(L=2, NH=4, HS=4, C=768, T=512, V=50257, tied=True, activation="gelu", clip=1.0),
    "c": dict(L=4, NH=4, HS=16, C=64, T=32, V=65, tied=False, activation="relu", clip=0.0),
    "tiny": dict(L=1, NH=2, HS=8, C=16, T=16, V=65, tied=True, activation="gelu", clip=1.0),
}
LR, WEIGHT_DECAY = 1e-4, 0.01
STREAM_MICRO_BATCHES = 64
PADDING = 64  # columns of the logits: rows that do not begin at 16 bytes cost a matrix product half of its speed


class GPT(torch_rival.GPT):
    """logits_in_bf16: the loss reads them as they are, instead of a float32 copy. (The sums inside are float32 anyway.)"""

    def __init__(self, logits_in_bf16, **config):
        super().__init__(**config)
        self.logits_in_bf16 = logits_in_bf16

    def forward(self, ids, targets):
        logits = self.logits(ids)
        with torch.autocast(logits.device.type, enabled=False) if self.logits_in_bf16 else contextlib.nullcontext():
            return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class Step:
    unit = "tokens/s"

    def __init__(self, options):
        config = CONFIGS[options.config]
        self.B, self.T, self.accumulate, self.clip = options.batch, config["T"], options.accumulate, config["clip"]
        self.work, self.device = self.B * self.T * self.accumulate, options.device
        torch.manual_seed(1)
        padded = config["V"] if config["V"] < 1000 else -(-config["V"] // PADDING) * PADDING
        self.model = GPT(options.bf16_logits, **{**config, "V": padded}).to(self.device)
        for name, parameter in self.model.named_parameters():  # GPT-2's beginning
            if name.endswith(".bias"):
                torch.nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=0.02)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR, betas=(0.9, 0.999), eps=1e-8,
                                           weight_decay=WEIGHT_DECAY, fused=True)
        self.loss_of = self.model
        if options.compile:
            self.loss_of = torch.compile(self.model, mode="reduce-overhead" if options.cuda_graphs else None)
        tokens = formula.token_stream(self.B * self.T * STREAM_MICRO_BATCHES + 1, config["V"])
        self.tokens, self.next = torch.tensor(tokens, device=self.device), 0

    def micro_batch(self):
        offset = (self.next % STREAM_MICRO_BATCHES) * self.B * self.T
        ids, targets = (self.tokens[o:o + self.B * self.T].view(self.B, self.T) for o in (offset, offset + 1))
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(self.device, dtype=torch.bfloat16):
            loss = self.loss_of(ids, targets)
        (loss / self.accumulate).backward()
        return loss

    def warm_up(self):  # the gradients go with the next step's zero_grad
        self.micro_batch()
        self.optimizer.zero_grad(set_to_none=True)

    def once(self):
        mean = torch.zeros((), device=self.device)
        for _ in range(self.accumulate):
            mean += self.micro_batch().detach() / self.accumulate
            self.next += 1
        if self.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return mean


class Copy:
    unit = "GB/s"

    def __init__(self, options):
        n = options.sizes[0] << 28
        self.source, self.to = (torch.rand(n, device=options.device) for _ in range(2))
        self.work = 2e-9 * 4 * n

    def once(self):
        self.to.copy_(self.source)

    warm_up = once


class Product:
    """out (M,N) = a (M,K) b (N,K)^T, as nn.Linear's forward."""
    unit = "TFLOP/s"

    def __init__(self, options):
        M, N, K = options.sizes
        self.a, self.b = (torch.rand(rows, K, device=options.device, dtype=torch.bfloat16) * 2 - 1 for rows in (M, N))
        self.out = torch.empty(M, N, device=options.device, dtype=torch.bfloat16)
        self.work = 2e-12 * M * N * K

    def once(self):
        torch.matmul(self.a, self.b.T, out=self.out)

    warm_up = once


class Attention:
    """Causal attention of the flash back end, which is FlashAttention-2, on one block of queries, keys and values."""
    unit = "TFLOP/s"

    def __init__(self, options):
        B, T, NH, HS = options.sizes
        qkv = torch.rand(B, T, 3, NH, HS, device=options.device, dtype=torch.bfloat16) * 2 - 1
        self.qkv = [part.detach().requires_grad_() for part in qkv.permute(2, 0, 3, 1, 4).unbind(0)]  # views (B,NH,T,HS)
        self.work = 2e-12 * 2 * B * NH * T * T / 2 * HS
        self.is_backward = options.workload.endswith("backward")
        if self.is_backward:
            self.work *= 2.5
            self.out = self.forward()
            self.dout = torch.rand_like(self.out) * 2 - 1

    def forward(self):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(*self.qkv, is_causal=True)

    def once(self):
        if self.is_backward:
            torch.autograd.grad(self.out, self.qkv, self.dout, retain_graph=True)
        else:
            with torch.no_grad():
                self.forward()

    warm_up = once


WORKLOADS = {"step": (Step, 0), "copy": (Copy, 1), "gemm": (Product, 3), "attention-forward": (Attention, 4),
             "attention-backward": (Attention, 4)}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("sizes", nargs="+", help="a configuration's name, or numbers, as gpu_step takes them")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--bf16-logits", action="store_true", help="no float32 copy of the logits for the loss")
    parser.add_argument("--cuda-graphs", action="store_true", help="with --compile: replay the step as a CUDA graph")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    how_many = WORKLOADS[options.workload][1] or 1
    if len(options.sizes) != how_many:
        parser.error(f"{options.workload} takes {how_many} sizes")
    if options.workload == "step":
        options.config = options.sizes[0]
        if options.config not in CONFIGS:
            parser.error(f"no configuration {options.config}: use {', '.join(CONFIGS)}")
    else:
        options.sizes = [int(word) for word in options.sizes]
    return options


def main():
    options = parse_options()
    is_cuda = options.device == "cuda"
    if is_cuda and not torch.cuda.is_available():
        sys.exit("error: PyTorch sees no GPU here")
    torch.set_float32_matmul_precision("high")
    workload = WORKLOADS[options.workload][0](options)
    synchronize = torch.cuda.synchronize if is_cuda else lambda: None
    version = f"PyTorch {torch.__version__}"
    if is_cuda:
        version += f", cuDNN {torch.backends.cudnn.version()}"
    for line in sys.stdin:
        words = line.split()
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"error: expected 'run N', got {line.strip()!r}")
        workload.warm_up()
        synchronize()
        begin, loss = time.perf_counter(), None
        for _ in range(int(words[1])):
            loss = workload.once()
        synchronize()
        answer = dict(seconds=time.perf_counter() - begin, steps=int(words[1]), work=workload.work, unit=workload.unit,
                      version=version)
        if loss is not None:
            answer["loss"] = float(loss)
        if is_cuda:
            answer["memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
            if not options.cuda_graphs:  # a graph's memory must stay where it is
                torch.cuda.empty_cache()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
