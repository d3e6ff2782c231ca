#!/usr/bin/env bash
# LAMBADA: 5,153 passages of novels whose last word can be guessed by who has read the whole passage; in the form that
# GPT-2's authors made of it, one {"context", "continuation"} per line.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

fetch lambada lambada_openai.jsonl 1895241 411bfbe5b9054346b6a19299c0242670adbefb9162efd958593cbc0290b8c9dc \
    https://raw.githubusercontent.com/mosaicml/llm-foundry/8c8dd48f72168c5d51e2f7b151595892a8fba43d/scripts/eval/local_data/language_understanding/lambada_openai.jsonl
