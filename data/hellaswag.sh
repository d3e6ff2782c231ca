#!/usr/bin/env bash
# HellaSwag's validation set: 10,042 beginnings of everyday scenes, each with four endings, one {"ctx", "endings", "label"}
# per line. A mirror has it rebuilt from a copy in another form, with fewer fields; the authors' own file has the same
# items in other bytes, which nobody here could see: its hash is unknown, and the first download records it.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

file=data/hellaswag/hellaswag_val.jsonl bytes=8568379
sha256=619300f6b7c0cef4c3db14f9cae1fb5f485a01876bdcd99c2d151c5d551c635d
fetch_xz hellaswag hellaswag_val.jsonl 2025808 71906df6cb89e7788b34b26fb42a1895d0fa75e4197564d442db190d935455df $bytes $sha256
[ -f $file ] && is_right $file $bytes $sha256 $file 2>/dev/null && exit 0
fetch hellaswag hellaswag_val.jsonl unknown unknown \
    https://raw.githubusercontent.com/rowanz/hellaswag/a29ff8e9a04bba4bd6588223785ce105328adc57/data/hellaswag_val.jsonl
