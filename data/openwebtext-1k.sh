#!/usr/bin/env bash
# openwebtext-1k: 1,000 documents of OpenWebText, the beginning of the openwebtext-10k sample, one {"text"} per line.
# Public home: a test file of the Megatron-DeepSpeed repository. A mirror has it compressed.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

bytes=4790086 sha256=8b93e3bc7ca43b69d919a35053094dde0cbc2d3be42d7688ec5d97b257dbbb63
fetch_xz openwebtext-1k openwebtext-1000.jsonl 1416684 b548c0c11ffa2f0a7aa3b194e9eff1697273ad8a1ec151b9e88e8d1a10b9f502 \
    $bytes $sha256
fetch openwebtext-1k openwebtext-1000.jsonl $bytes $sha256 \
    https://raw.githubusercontent.com/bigscience-workshop/Megatron-DeepSpeed/8387ae17c4704f6579f88a84500b535d19d7fbbf/tests/data/gpt2/openwebtext-1000.jsonl
