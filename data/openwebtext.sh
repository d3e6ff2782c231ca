#!/usr/bin/env bash
# openwebtext: all of OpenWebText, 8,013,769 documents (Gokaslan and Cohen 2019), unpacked into one file of 38 GB,
# data/openwebtext/openwebtext.txt, with <|endoftext|> between documents. 12 GB to fetch, and 60 GB of disk on the way:
# so `make data` leaves it out, and it wants OPENWEBTEXT=yes.
# Nobody here has seen the files: their hashes are unknown; the first download records them, later ones must match.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

[ ! -f data/openwebtext/openwebtext.txt ] || exit 0
if [ "${OPENWEBTEXT:-}" != yes ]; then
    echo "openwebtext: not fetched: 12 GB, and 60 GB of disk to unpack; say OPENWEBTEXT=yes data/openwebtext.sh" >&2
    [ -n "${DATA_ALL:-}" ] || exit 1
    exit 0
fi
parts=()
for number in $(seq -w 0 20); do
    fetch openwebtext "urlsf_subset$number.tar" unknown unknown \
        "https://huggingface.co/datasets/Skylion007/openwebtext/resolve/main/subsets/urlsf_subset$number.tar"
    parts+=("urlsf_subset$number.tar")
done
unpack_openwebtext openwebtext "${parts[@]}"
