#!/usr/bin/env python3
"""torch_generate.py - writing token by token as a good PyTorch user does it: the rival of generate.cpp.

float32, inference_mode, keys and values in a cache that is allocated once, scaled_dot_product_attention over what is in
it, the output layer for the last row alone. Weights come from golden/formula.py, so that both programs must write the
same tokens. Served like torch_rival.py: "run N" on stdin writes N tokens from a prompt of one. Run:
    echo run 64 | python3 tests/bench/torch_generate.py d --threads 2
"""
import argparse
import json
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import formula  # noqa: E402
from torch_rival import GPT, WEIGHT_SCALE  # noqa: E402

# The same table is in generate.cpp.
CONFIGS = {
    "a": dict(V=65, T=64, L=4, NH=4, HS=32, C=128),
    "b": dict(V=65, T=256, L=6, NH=6, HS=64, C=384),
    "c": dict(V=50257, T=512, L=2, NH=4, HS=4, C=768),
    "d": dict(V=50257, T=1024, L=12, NH=12, HS=64, C=768),
}


def next_logits(model, config, cache, token, position):
    """Logits (V) behind one more token; cache is a (keys, values) pair of (NH,T,HS) tensors per layer."""
    NH, HS = config["NH"], config["HS"]
    x = model.wte.weight[token] + model.wpe.weight[position]  # (C)
    x = x.view(1, -1)
    for block, (keys, values) in zip(model.h, cache):
        q, k, v = block.attn.c_attn(block.ln_1(x)).view(3, NH, HS)
        keys[:, position], values[:, position] = k, v
        seen = slice(0, position + 1)
        att = F.scaled_dot_product_attention(q.view(1, NH, 1, HS), keys[None, :, seen], values[None, :, seen])
        x = x + block.attn.c_proj(att.view(1, NH * HS))
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.ln_f(x))[0]


def hash_of(ids):
    result = 0xCBF29CE484222325
    for number in ids:
        result = (result ^ number) * 0x100000001B3 % 2**64
    return f"{result:016x}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", choices=CONFIGS)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = CONFIGS[options.config]
    model = GPT(tied=True, activation="gelu", **config)
    for name, parameter in model.named_parameters():
        formula.fill_parameter(name, parameter, WEIGHT_SCALE)
    shape = config["NH"], config["T"], config["HS"]
    cache = [(torch.empty(shape), torch.empty(shape)) for _ in range(config["L"])]

    for line in sys.stdin:
        words = line.split()
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"error: expected 'run N', got {line.strip()!r}")
        count, ids = int(words[1]), []
        begin, token = time.perf_counter(), 0
        with torch.inference_mode():
            for position in range(count):
                token = int(next_logits(model, config, cache, token, position).argmax())
                ids.append(token)
        print(json.dumps(dict(seconds=time.perf_counter() - begin, tokens=count, ids=hash_of(ids),
                              peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                              version=f"PyTorch {torch.__version__}")), flush=True)


if __name__ == "__main__":
    main()
