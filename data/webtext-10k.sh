#!/usr/bin/env bash
# webtext-10k: a STAND-IN for openwebtext-10k, 10,000 documents from blogs, textbooks, government pages and openwebtext-1k.
# Mirror-only: these bytes have no public home. Programs that use it say so, and so does every number made with it.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

hash=8c2403e6a52f9b91b0fc5a95ddb69a30ce7bd32120219c383a0a9991cfac260f
(fetch webtext-10k webtext-10k.jsonl.xz 11015436 $hash '') || {
    [ -n "${DATA_ALL:-}" ] || exit 1
    echo "webtext-10k: left out" >&2  # `make data` is not to fail for what most readers cannot have
}
