#!/usr/bin/env python3
"""gpt2_files.py - a tiny GPT-2 as transformers writes it, and what transformers computes with it.

Writes gpt2_tiny/ (config.json, model.safetensors, vocab.json, merges.txt: save_pretrained's own bytes; the vocabulary is
256 bytes, some merges, <|endoftext|>) and gpt2_tiny.txt: logits, the loss of a text, the likelihoods of continuations, in
float64 from the float32 weights. Weights are formula.py's. Needs torch and transformers. Run:
    python3 tests/golden/gpt2_files.py            # writes
    python3 tests/golden/gpt2_files.py --load DIR # loads what our `export` wrote to DIR and prints its logits and ids
"""
import argparse
import json
import os
import shutil

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

import formula

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "gpt2_tiny")
MERGES = 23
SCALE = 0.25
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
TEXT = "The cat and the other one: 12 were there in it, then 3 more.\n\nWhat are they? It\u2019s not that \u00e9."
PASSAGES = [  # context, continuations; the last context is longer than the model's
    ("The man in the", [" house", " other", " an", " 7?"]),
    ("It", [" is", " he re"]),
    ("One and another and then the one that is not the other one, and on", [" it", " and the rest"]),
]


def write_vocabulary(folder):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    spelling = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    with open(os.path.join(HERE, "tokenizer_merges.txt")) as f:
        merges = [line for line in f.read().split("\n") if line and not line.startswith("#")][:MERGES]
    tokens = spelling + [merge.replace(" ", "") for merge in merges] + ["<|endoftext|>"]
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        json.dump({token: number for number, token in enumerate(tokens)}, f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w") as f:
        f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    return len(tokens)


def fill(model):
    for name, parameter in model.named_parameters():
        own = name.removeprefix("transformer.")
        x = torch.empty(parameter.shape[::-1] if own.endswith(TRANSPOSED) else parameter.shape)
        formula.fill_parameter(own, x, SCALE)
        with torch.no_grad():
            parameter.copy_(x.t() if own.endswith(TRANSPOSED) else x)


def numbers(values):
    return " ".join(f"{float(v):.9g}" for v in values)


def write():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    V = write_vocabulary(FOLDER)
    config = GPT2Config(vocab_size=V, n_positions=24, n_embd=16, n_layer=2, n_head=2, bos_token_id=V - 1,
                        eos_token_id=V - 1)
    model = GPT2LMHeadModel(config).eval()
    fill(model)
    model.save_pretrained(FOLDER)
    os.remove(os.path.join(FOLDER, "generation_config.json"))
    tokenizer = GPT2TokenizerFast(vocab=os.path.join(FOLDER, "vocab.json"), merges=os.path.join(FOLDER, "merges.txt"))
    model = GPT2LMHeadModel.from_pretrained(FOLDER).double().eval()
    lines = [f"# What transformers {transformers.__version__} computes with gpt2_tiny/. Written by gpt2_files.py.",
             f"text {json.dumps(TEXT)}"]
    ids = tokenizer(TEXT)["input_ids"]
    lines.append("ids " + " ".join(map(str, ids)))
    T = config.n_positions
    with torch.no_grad():
        logits = model(torch.tensor([ids[:T]])).logits[0]
        for row in (0, T // 2, T - 1):
            lines.append(f"logits {row} {numbers(logits[row])}")
        windows = [ids[i:i + T + 1] for i in range(0, len(ids) - T, T)]
        loss = torch.stack([torch.nn.functional.cross_entropy(model(torch.tensor([w[:-1]])).logits[0], torch.tensor(w[1:]))
                            for w in windows]).mean()
        lines.append(f"loss {len(windows)} {float(loss):.12f}")
        for context, continuations in PASSAGES:
            for continuation in continuations:
                a, b = tokenizer(context)["input_ids"], tokenizer(continuation)["input_ids"]
                kept = (a + b)[-(T + 1):]
                logprobs = model(torch.tensor([kept[:-1]])).logits[0].log_softmax(-1)[-len(b):]
                nats = -logprobs.gather(-1, torch.tensor(b)[:, None]).sum()
                greedy = int((logprobs.argmax(-1) == torch.tensor(b)).all())
                lines.append(f"passage {json.dumps(context)} {json.dumps(continuation)} {len(b)} {float(nats):.9f} {greedy}")
    with open(os.path.join(HERE, "gpt2_tiny.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")


def load(folder):
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    tokenizer = GPT2TokenizerFast.from_pretrained(folder)
    ids = tokenizer(TEXT)["input_ids"]
    T = model.config.n_positions
    with torch.no_grad():
        print("ids", " ".join(map(str, ids)))
        logits = model(torch.tensor([ids[:T]])).logits[0]
        for row in (0, T // 2, T - 1):
            print(f"logits {row} {numbers(logits[row])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", metavar="DIR")
    options = parser.parse_args()
    if options.load:
        load(options.load)
    else:
        write()


if __name__ == "__main__":
    main()
