#!/usr/bin/env python3
"""torch_laptop.py - a small GPT trained on a laptop's CPU as nanoGPT's recipe does it: the rival of chapter 02's `laptop`.

The recipe: no biases, weights drawn with deviation 0.02 and smaller ones behind each residual branch, windows at random
places, AdamW (0.9, beta2; decay 0.1 of matrices only), gradients clipped at norm 1, warm-up, cosine to a tenth. Ours to be
fair: it is given seconds, not steps, and its cosine ends with them; fused AdamW; of eager and torch.compile the faster.
It reads the shards and the vocabulary of a folder that `chapter02 prepare` wrote (chapters/02_small_gpt/shards.h), and
counts bits per byte as ours does: over all windows that do not overlap. Served like torch_rival.py; laptop.py asks:
    train SECONDS   until its clock shows so many    validate   bits per byte, and keeps the best weights so far
    test            bits per byte of the best weights on the third split
"""
import argparse
import copy
import glob
import json
import math
import os
import statistics
import struct
import sys
import time

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_rival import GPT  # noqa: E402

DECAY, CLIP = 0.1, 1.0
TRIAL_STEPS = 12  # of each variant; the first third warms up


def read_shards(folder, split, token_bytes):
    """The ids of a split, a tensor per shard. The header counts the bytes of text: they must be what our table says."""
    shards = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), f"{split}-*.bin"))):
        with open(path, "rb") as f:
            magic, version, id_bytes, _, tokens, _, text_bytes, _, _ = struct.unpack("<8sIIQQQQQQ", f.read(64))
            content = bytearray(f.read())
        if (magic, version) != (b"GPTSHARD", 1) or len(content) != tokens * id_bytes:
            sys.exit(f"error: {path} is no whole shard of version 1")
        ids = torch.frombuffer(content, dtype=torch.int16 if id_bytes == 2 else torch.int32).int()
        ids = ids & 0xFFFF if id_bytes == 2 else ids
        if int(token_bytes[ids].sum()) != text_bytes:
            sys.exit(f"error: {path} is not in this vocabulary: its tokens stand for another number of bytes")
        shards.append(ids)
    if not shards:
        sys.exit(f"error: {folder} has no {split} split: chapter02 prepare writes one")
    return shards


def read_token_bytes(folder):
    """For each id the bytes that it stands for: vocab.json spells each byte as one character; a special token has none."""
    with open(os.path.join(folder, "vocab", "vocab.json"), encoding="utf-8") as f:
        ids = json.load(f)
    return torch.tensor([0 if text == "<|endoftext|>" else len(text) for text in sorted(ids, key=ids.get)])


class Trainer:
    def __init__(self, options):
        self.options, self.steps, self.used_s, self.best = options, 0, 0.0, (math.inf, None)
        self.token_bytes = read_token_bytes(options.data)
        self.splits = {name: read_shards(options.data, name, self.token_bytes) for name in ("train", "validation", "test")}
        self.text = torch.cat(self.splits["train"])
        self.forward = self.faster_variant()
        self.start_anew()

    def start_anew(self):
        """Weights and optimiser as before the first step."""
        o = self.options
        torch.manual_seed(o.seed)
        if not hasattr(self, "model"):
            self.model = GPT(V=len(self.token_bytes), T=o.context, L=o.layers, NH=o.heads, HS=o.channels // o.heads,
                             C=o.channels, tied=True, activation="gelu", bias=False)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.dim() == 1:
                    parameter.fill_(1.0)
                else:
                    parameter.normal_(0.0, 0.02 / math.sqrt(2 * o.layers) if name.endswith("c_proj.weight") else 0.02)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=DECAY), dict(params=vectors, weight_decay=0.0)],
                                           lr=o.lr, betas=(0.9, o.beta2), fused=True)

    def faster_variant(self):
        """The model as it is or compiled: whichever takes its steps in less time here."""
        self.start_anew()
        seconds = {}
        for name, forward in (("eager", self.model), ("compiled", torch.compile(self.model))):
            try:
                times = [self.timed_step(forward, self.options.lr) for _ in range(TRIAL_STEPS)]
                seconds[name] = statistics.median(times[TRIAL_STEPS // 3:]), forward
            except Exception as error:  # torch.compile where no compiler is
                print(f"{name} does not run here: {error}", file=sys.stderr)
        self.variant = min(seconds, key=lambda name: seconds[name][0])
        return seconds[self.variant][1]

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.precision == "bf16")

    def timed_step(self, forward, lr):
        begin = time.perf_counter()
        T = self.options.context
        starts = torch.randint(len(self.text) - T, (self.options.batch,))
        window = self.text[starts[:, None] + torch.arange(T + 1)].long()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.autocast():
            loss = forward(window[:, :-1].contiguous(), window[:, 1:].contiguous())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.loss = loss.item()
        return time.perf_counter() - begin

    def lr(self):
        """Warm-up by steps, then a cosine that ends with the time."""
        o = self.options
        rise = min(1.0, (self.steps + 1) / o.warmup)
        return rise * (o.min_lr + (o.lr - o.min_lr) * (1 + math.cos(math.pi * min(1.0, self.used_s / o.seconds))) / 2)

    def train(self, until_s):
        self.model.train()
        while self.used_s < until_s:
            self.used_s += self.timed_step(self.forward, self.lr())
            self.steps += 1
        return dict(steps=self.steps, seconds=self.used_s, loss=self.loss,
                    tokens=self.steps * self.options.batch * self.options.context)

    @torch.inference_mode()
    def bits_per_byte(self, split):
        T, nats, count = self.options.context, 0.0, 0
        self.model.eval()
        for ids in self.splits[split]:
            windows = (len(ids) - 1) // T
            inputs, targets = (ids[o:o + windows * T].view(windows, T).long() for o in (0, 1))
            for rows in torch.arange(windows).split(16):
                nats += float(self.model(inputs[rows], targets[rows])) * len(rows) * T
            count += int(self.token_bytes[targets].sum())
        return nats / math.log(2) / count

    def validate(self):
        now = self.bits_per_byte("validation")
        if now < self.best[0]:
            self.best = now, copy.deepcopy(self.model.state_dict())
        return dict(bits_per_byte=now)

    def test(self):
        self.model.load_state_dict(self.best[1])
        return dict(bits_per_byte=self.bits_per_byte("test"), validation=self.best[0], variant=self.variant,
                    parameters=sum(p.numel() for p in self.model.parameters()), version=f"PyTorch {torch.__version__}")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="that chapter02 prepare wrote")
    parser.add_argument("--seconds", type=float, required=True, help="of training, all `train` together")
    for name, value in (("layers", 4), ("heads", 4), ("channels", 128), ("context", 64), ("batch", 12), ("warmup", 100),
                        ("threads", 2), ("seed", 1337)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("lr", 1e-3), ("min-lr", 1e-4), ("beta2", 0.99)):
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    return parser.parse_args()


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    for line in sys.stdin:
        words = line.split()
        if words and words[0] == "train":
            answer = trainer.train(float(words[1]))
        elif words == ["validate"] or words == ["test"]:
            answer = getattr(trainer, words[0])()
        else:
            sys.exit(f"error: expected 'train SECONDS', 'validate' or 'test', got {line.strip()!r}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
