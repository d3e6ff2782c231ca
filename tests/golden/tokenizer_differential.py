#!/usr/bin/env python3
"""tokenizer_differential.py - build/chapter01 against tiktoken on thousands of random strings; every id must be equal.

Each run draws a fresh seed and prints it; --seed repeats a run. Strings: every script, emoji with joiners, combining marks,
every kind of blank, digits of other scripts, contractions in both cases, control characters, long runs, code, slices of
real text, and broken UTF-8. tiktoken takes no broken UTF-8; there the oracle is our rule (each invalid byte is one
character that is neither letter, number nor blank): this script cuts the pieces with Python's re, after replacing each
character by one of its class, and tiktoken encodes each piece by itself. On valid text that must give the same as
tiktoken does in one go, which checks the rule's half of the oracle.

Run by hand (CI has the golden file instead), with a Python that has tiktoken and unicodedata2 16:
    python3 tests/golden/tokenizer_differential.py [--cases 20000] [--seed N] [--program build/chapter01]
    python3 tests/golden/tokenizer_differential.py --write tests/golden/tokenizer_cases.txt
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import tiktoken
import unicodedata2
from tiktoken.load import data_gym_to_mergeable_bpe_ranks, load_tiktoken_bpe
from tiktoken_ext import openai_public

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "data")


def load_oracles():
    """The Encoding objects, from data/ (data/gpt2.sh, data/tiktoken.sh) and nowhere else."""
    ranks = data_gym_to_mergeable_bpe_ranks(os.path.join(DATA, "gpt2/vocab.bpe"), os.path.join(DATA, "gpt2/encoder.json"))
    gpt2 = tiktoken.Encoding("gpt2", pat_str=openai_public.r50k_pat_str, mergeable_ranks=ranks,
                             special_tokens={"<|endoftext|>": 50256})
    original = openai_public.load_tiktoken_bpe
    openai_public.load_tiktoken_bpe = lambda *_, **__: load_tiktoken_bpe(os.path.join(DATA, "tiktoken/cl100k_base.tiktoken"))
    cl100k = tiktoken.Encoding(**openai_public.cl100k_base())
    openai_public.load_tiktoken_bpe = original
    return {"gpt2": gpt2, "cl100k": cl100k}


# ---- Our rule for any bytes ------------------------------------------------------------------------------------------

# One character each for "a letter", "a number", "a blank", "another" beyond ASCII; U+017F is an s where case is ignored.
LETTER, NUMBER, BLANK, OTHER, LONG_S = "\u0100", "\u0660", "\u2003", "\u00a7", "\u017f"
BLANKS = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200b)}
L, N, S = f"A-Za-z{LETTER}{LONG_S}", f"0-9{NUMBER}", f"\\t-\\r {BLANK}"
SPLIT = {
    "gpt2": re.compile(rf"'(?:[sdmt]|ll|ve|re)| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+"),
    "cl100k": re.compile(rf"'(?i:[sdmt]|ll|ve|re)|[^\r\n{L}{N}]?[{L}]+|[{N}]{{1,3}}| ?[^{S}{L}{N}]+[\r\n]*"
                         rf"|[{S}]+\Z|[{S}]*[\r\n]|[{S}]+(?![^{S}])|[{S}]"),
}


def characters(data):
    """(class character, bytes) of each character of data; an invalid byte is one of class OTHER."""
    i = 0
    while i < len(data):
        for length in (1, 2, 3, 4):
            try:
                character = data[i:i + length].decode("utf-8")
                break
            except UnicodeDecodeError:
                continue
        else:
            length, character = 1, OTHER
        if len(character) != 1:  # cannot happen: a valid prefix is one character
            raise AssertionError(data)
        if character > "\x7f" and character != LONG_S:
            kind = unicodedata2.category(character)[0]
            character = BLANK if character in BLANKS else {"L": LETTER, "N": NUMBER}.get(kind, OTHER)
        yield character, data[i:i + length]
        i += length


def encode_by_rule(name, encoding, data):
    pairs = list(characters(data))
    ids, begin = [], 0
    for match in SPLIT[name].finditer("".join(c for c, _ in pairs)):
        if match.start() != begin:
            raise AssertionError((name, data))
        begin = match.end()
        ids += encoding._encode_single_piece(b"".join(b for _, b in pairs[match.start():match.end()]))
    if begin != len(pairs):
        raise AssertionError((name, data))
    return ids


# ---- Random strings --------------------------------------------------------------------------------------------------

SCRIPTS = [(0x41, 0x5a), (0x61, 0x7a), (0xc0, 0x24f), (0x250, 0x2af), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x58f),
           (0x591, 0x5f4), (0x600, 0x6ff), (0x700, 0x74f), (0x780, 0x7bf), (0x900, 0x97f), (0x980, 0x9ff), (0xa00, 0xa7f),
           (0xa80, 0xaff), (0xb80, 0xbff), (0xc00, 0xc7f), (0xd00, 0xd7f), (0xe00, 0xe7f), (0xe80, 0xeff), (0xf00, 0xfff),
           (0x1000, 0x109f), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1200, 0x137f), (0x13a0, 0x13ff), (0x1680, 0x169f),
           (0x16a0, 0x16ff), (0x1780, 0x17ff), (0x1800, 0x18af), (0x1e00, 0x1eff), (0x1f00, 0x1fff), (0x2c00, 0x2c5f),
           (0x2d00, 0x2d2f), (0x3040, 0x30ff), (0x3100, 0x312f), (0x3400, 0x4dbf), (0x4e00, 0x9fff), (0xa000, 0xa48f),
           (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xff00, 0xffef), (0x10000, 0x100ff), (0x10300, 0x1034f), (0x10900, 0x1091f),
           (0x12000, 0x123ff), (0x13000, 0x1342f), (0x1d400, 0x1d7ff), (0x20000, 0x2a6df), (0x30000, 0x323af)]
DIGITS = [0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xe50, 0xed0, 0xf20, 0x1040, 0x17e0, 0x1810, 0xff10, 0x104a0,
          0x1d7ce, 0x1d7f6]
NUMBERS = "\u00b2\u00b3\u00b9\u00bc\u00bd\u2070\u2075\u2153\u2160\u216b\u2460\u2473\u3007\u3021\u3220\u0bf0\u0f33\u1369\u2cfd"
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308",
         "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f1e9\U0001f1ea", "\U0001f9d1\u200d\U0001f680", "\u261d\U0001f3ff"]
WORDS = "the of and to in is was he for it with as his on be at by I this had not are but from or have an they which one you".split()
CODE = ["for (int i = 0; i < n; i++) {\n", "    return x;\n}\n", "\t\tif (a && !b) c += d[i];\n", "#include <vector>\r\n",
        "def f(x):\n        return x ** 2\n", "// ----------\n", "<div class=\"a\">&nbsp;</div>", "x->y::z<T>(&w, *v);", "0x7fff, 1e-5, 3.14f",
        "'''doc'''", "\\n\\t%d", "SELECT * FROM t;\n", "a_b_c camelCase HTMLParser v2.0.1"]
SPECIALS = ["<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>", "<|endoftext", "|>", "<|", "endoftext|>"]


class Strings:
    def __init__(self, seed, texts):
        self.random = random.Random(seed)
        self.texts = texts

    def script(self):
        low, high = self.random.choice(SCRIPTS)
        return "".join(chr(self.random.randint(low, high)) for _ in range(self.random.randint(1, 12)))

    def any_character(self):
        code = self.random.choice((self.random.randint(0, 0x2fff), self.random.randint(0, 0xffff), self.random.randint(0, 0x10ffff)))
        return chr(code) if not 0xd800 <= code < 0xe000 else "\ufffd"

    def part(self):
        r = self.random
        kind = r.randrange(16)
        if kind == 0:
            return self.script()
        if kind == 1:
            return r.choice(EMOJI) * r.randint(1, 3)
        if kind == 2:
            return "".join(c + chr(r.choice((0x300, 0x301, 0x308, 0x327, 0x5b0, 0x64b, 0x93f, 0x94d, 0xe31, 0x20dd, 0xfe0f)))
                           for c in self.script()[:5])
        if kind == 3:
            return "".join(r.choice(sorted(BLANKS)) for _ in range(r.randint(1, 6)))
        if kind == 4:
            zero = r.choice(DIGITS)
            return "".join(chr(zero + r.randrange(10)) for _ in range(r.randint(1, 9))) + r.choice(("", r.choice(NUMBERS)))
        if kind == 5:
            return (r.choice(("", " ", "\t", "\n", "\u2004", "\u3000", "'", "x", "7", "!")) + r.choice("'''\u2019`\u02bc") +
                    r.choice("s S t T d D m M ll LL Ll lL ve VE Ve re RE rE l v r \u017f \u017fx x".split()) + r.choice(("", " ", "x", "'", "1")))
        if kind == 6:
            return "".join(chr(r.choice((r.randrange(32), r.randrange(0x7f, 0xa0), 0x180e, 0x200b, 0x200d, 0x2060, 0xfeff, 0xad)))
                           for _ in range(r.randint(1, 5)))
        if kind == 7:
            return r.choice((r.choice("aA0 =-_.'\n\t\r!\u00a0\u3000\u4e00\u0e01"), self.any_character())) * int(2 ** r.uniform(1, 9))
        if kind == 8:
            return r.choice(CODE) * r.randint(1, 2)
        if kind == 9:
            return "".join(self.any_character() for _ in range(r.randint(1, 8)))
        if kind == 10:
            return r.choice(SPECIALS)
        if kind == 11:
            text = r.choice(self.texts)
            begin = r.randrange(len(text))
            return text[begin:begin + r.randint(1, 300)]
        if kind == 12:
            return " " * r.randint(1, 20) + r.choice(("", "\n", "\r\n", "x", "\n\n  "))
        if kind == 13:
            return "".join(r.choice("!?.,;:()[]{}<>@#$%^&*-+=/|~`\"\\_") for _ in range(r.randint(1, 12)))
        return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 6))).title() if kind == 14 else " " + r.choice(WORDS)

    def valid(self):
        return "".join(self.part() for _ in range(self.random.choice((1, 1, 2, 3, 5, 8, 20))))

    def broken(self):
        """Bytes that are not UTF-8: cut, overlong, surrogates, beyond the last code point, or bytes at random."""
        r = self.random
        data = bytearray(self.valid().encode())
        for _ in range(r.randint(1, 6)):
            at = r.randint(0, len(data))
            kind = r.randrange(6)
            if kind == 0:
                data[at:at] = bytes(r.randrange(256) for _ in range(r.randint(1, 4)))
            elif kind == 1:
                del data[at:at + 1]
            elif kind == 2:
                data[at:at] = r.choice((b"\xc0\xaf", b"\xc1\x81", b"\xe0\x80\xa0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\xa0",
                                        b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"\xfe", b"\x80", b"\xe2\x82", b"\xf0\x9f\x98"))
            elif kind == 3 and at < len(data):
                data[at] ^= 1 << r.randrange(8)
            elif kind == 4:
                data[at:at] = bytes([r.choice((0xe2, 0xc3, 0xf0, 0x80, 0xbf))]) * r.randint(1, 5)
            else:
                data = data[:at] + data[at + r.randint(0, 2):]
        return bytes(data)


def real_texts():
    texts = []
    for name in ("tinyshakespeare/input.txt",):
        path = os.path.join(DATA, name)
        if os.path.exists(path):
            texts.append(open(path, encoding="utf-8").read())
    shared = os.path.join(ROOT, "..", "shared", "data", "tokenizer-tests")
    if os.path.isdir(shared):
        for name in sorted(os.listdir(shared)):
            if name.endswith((".txt", ".utf8", ".en")):
                texts.append(open(os.path.join(shared, name), encoding="utf-8", errors="replace").read())
    return texts or [" ".join(WORDS)]


# ---- Comparing -------------------------------------------------------------------------------------------------------

def run(arguments, data):
    done = subprocess.run(arguments, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: exit status {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def expect_equal(what, data, ours, theirs, failures):
    if ours == theirs:
        return
    failures.append(what)
    if len(failures) <= 10:
        print(f"DIFFERS: {what}\n  text {data!r:.300}\n  ours {ours!s:.300}\n  want {theirs!s:.300}")


def compare(program, name, encoding, cases, seed, texts):
    failures = []
    strings = Strings(seed, texts)
    valid = [strings.valid() for _ in range(cases)] + ["", " ", "\n", "\0", "a\0b", "\r\n", "x\r\n\r\n", "\ufeffa"]
    expected = [encoding.encode_ordinary(text) for text in valid]
    for text, ids in zip(valid, expected):
        by_rule = encode_by_rule(name, encoding, text.encode())
        expect_equal(f"{name}: this script's own rule", text, by_rule, ids, failures)

    lines = "".join(json.dumps(text, ensure_ascii=strings.random.random() < 0.5) + "\n" for text in valid).encode()
    command = [program, "encode", "--vocab", name, "--input-format", "jsonl"]
    for option, wanted in (([], expected), (["--special"], [encoding.encode(text, allowed_special="all") for text in valid])):
        output = run(command + option, lines).decode().split("\n")[:-1]
        expect_equal(f"{name}: number of lines", "", len(output), len(valid), failures)
        for text, line, ids in zip(valid, output, wanted):
            expect_equal(f"{name} {option}", text, [int(word) for word in line.split()], ids, failures)

    # Whole files: all strings as one text, and many strings that are not UTF-8.
    texts = ["".join(valid[i::50]).encode() for i in range(50)]
    texts += [b"".join(strings.broken() for _ in range(cases // 200)) for _ in range(50)] + [strings.broken() for _ in range(50)]
    for data in texts:
        ids = encode_by_rule(name, encoding, data)
        output = run([program, "encode", "--vocab", name], data)
        expect_equal(f"{name}: a file", data, [int(word) for word in output.split()], ids, failures)
        decoded = run([program, "decode", "--vocab", name], output)
        expect_equal(f"{name}: decode(encode(x)) == x", data, decoded, data, failures)
    print(f"{name}: {2 * len(valid)} strings and {len(texts)} files, {sum(map(len, expected))} ids, {len(failures)} differences")
    return len(failures)


def write_golden(path, encodings, texts):
    """A few hundred cases with their ids, for tests/chapter01/test_bpe.cpp: vocabulary, text in hexadecimal, ids."""
    strings = Strings(1, texts)
    with open(path, "w", encoding="ascii") as file:
        file.write("# vocabulary, text in hexadecimal (- for none), ids. Written by: "
                   "python3 tests/golden/tokenizer_differential.py --write FILE\n")
        for name, encoding in encodings.items():
            cases = ["Hello, I am a language model,".encode(), b"<|endoftext|>", b"\xff abc", b"a\xe2\x82 b", b""]
            cases += [strings.valid()[:80].encode() for _ in range(150)] + [strings.broken()[:80] for _ in range(50)]
            for data in cases:
                ids = encode_by_rule(name, encoding, data)
                file.write(f"{name} {data.hex() or '-'}{''.join(f' {i}' for i in ids)}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=os.path.join(ROOT, "build/chapter01"))
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--write", metavar="FILE", help="write the golden file instead of comparing")
    arguments = parser.parse_args()
    encodings = load_oracles()
    if arguments.write:
        # note: no text of others goes into a tracked file.
        return write_golden(arguments.write, encodings, [" ".join(WORDS)])
    print(f"seed {arguments.seed}")
    texts = real_texts()
    failed = sum(compare(arguments.program, name, encoding, arguments.cases, arguments.seed, texts)
                 for name, encoding in encodings.items())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
