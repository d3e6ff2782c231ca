#!/usr/bin/env python3
"""torch_generate.py - writing token by token as a good PyTorch user does it: the rival of generate.cpp.

float32, inference_mode, keys and values in a cache as long as what is written (of one size, so that torch.compile makes
one program), scaled_dot_product_attention with a mask of what is in it, the output layer for the last row alone. With --int8
all linear layers are PyTorch's dynamically quantized ones, a scale per row as ours, and inputs rounded to 8 bits, too. Weights
come from golden/formula.py, so that both programs must write the same tokens. Served like torch_rival.py: "run N" on stdin
writes N tokens from a prompt of one. Run:
    echo run 64 | python3 tests/bench/torch_generate.py d --threads 2 [--compile | --int8]
"""
import argparse
import json
import os
import resource
import sys
import time
import warnings

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


def layer(block, x, keys, values, position, seen):
    """One more row x (1,C) through a block; keys and values (NH,N,HS), position (1), seen (1,1,1,N)."""
    NH, _, HS = keys.shape
    q, k, v = block.attn.c_attn(block.ln_1(x)).view(3, NH, 1, HS)
    keys.index_copy_(1, position, k)
    values.index_copy_(1, position, v)
    att = F.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=seen)  # (1,NH,1,HS)
    x = x + block.attn.c_proj(att.view(1, NH * HS))
    return x + block.mlp(block.ln_2(x))


@torch.inference_mode()
def write(model, config, layer, count):
    """The likeliest next token, count times, behind token 0."""
    shape = config["NH"], count, config["HS"]
    cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(config["L"])]
    positions, ids, token = torch.arange(count), [], 0
    for position in positions.split(1):  # (1)
        seen = (positions <= position).view(1, 1, 1, count)
        x = (model.wte.weight[token] + model.wpe.weight[position[0]]).view(1, -1)  # (1,C)
        for block, (keys, values) in zip(model.h, cache):
            x = layer(block, x, keys, values, position, seen)
        token = int(model.lm_head(model.ln_f(x)).argmax())
        ids.append(token)
    return ids


def with_int8_linears(model):
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated in favour of a package of its own
        return quantize_dynamic(model, {torch.nn.Linear: per_channel_dynamic_qconfig})


def hash_of(ids):
    result = 0xCBF29CE484222325
    for number in ids:
        result = (result ^ number) * 0x100000001B3 % 2**64
    return f"{result:016x}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", choices=CONFIGS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile the blocks (needs a C++ compiler)")
    parser.add_argument("--int8", action="store_true", help="linear layers in 8 bits")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = CONFIGS[options.config]
    model = GPT(tied=True, activation="gelu", **config)
    for name, parameter in model.named_parameters():
        formula.fill_parameter(name, parameter, WEIGHT_SCALE)
    if options.int8:
        model = with_int8_linears(model)
    chosen_layer = torch.compile(layer) if options.compile else layer

    for line in sys.stdin:
        words = line.split()
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"error: expected 'run N', got {line.strip()!r}")
        count = int(words[1])
        begin = time.perf_counter()
        ids = write(model, config, chosen_layer, count)
        print(json.dumps(dict(seconds=time.perf_counter() - begin, tokens=count, ids=hash_of(ids),
                              peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                              version=f"PyTorch {torch.__version__}")), flush=True)


if __name__ == "__main__":
    main()
