#!/usr/bin/env bash
# openwebtext-10k: the first 10,000 documents of OpenWebText, the corpus of the run that this chapter follows; unpacked into
# one file, data/openwebtext-10k/openwebtext-10k.txt, with <|endoftext|> between documents. About 15 MB to fetch.
# The address is the one that the sample's own loading script names. Nobody here has seen the file: its hash is unknown,
# and the first download records it in openwebtext-10k.tar.xz.sha256, which later ones must match.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

[ ! -f data/openwebtext-10k/openwebtext-10k.txt ] || exit 0
fetch openwebtext-10k openwebtext-10k.tar.xz unknown unknown \
    https://cdn-datasets.huggingface.co/nlp/datasets/openwebtext/openwebtext-10k.tar.xz
unpack_openwebtext openwebtext-10k openwebtext-10k.tar.xz
