#!/usr/bin/env bash
# cl100k_base, the tokenizer of GPT-3.5 and GPT-4: 100,256 tokens in the order of their merges, as tiktoken publishes them.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

fetch tiktoken cl100k_base.tiktoken 1681126 223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7 \
    https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken
