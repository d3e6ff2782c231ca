#!/usr/bin/env bash
# prepare: the same bytes however it is run, killed or fed; what is wrong with its input; full disks.
# shellcheck source=tests/chapter02/support.sh
source "$(dirname "$0")/support.sh"
if [ "$(id -u)" = 0 ]; then is_root=true; else is_root=false; fi

# ---- the same shards ----
run "${prepare[@]}" --data documents.jsonl --out again --threads 1
check 'another number of threads' same_shards prepared again
run "${prepare[@]}" --data documents.jsonl --out again
check 'prepared already: prints the same, writes nothing' eval '[ $status = 0 ] && grep -q "200 documents, 0 skipped" out'
if command -v xz >/dev/null; then
    xz -k documents.jsonl
    mkdir xz && mv documents.jsonl.xz xz/documents.jsonl
    mv xz/documents.jsonl xz/documents.jsonl.xz
    run "${prepare[@]}" --data xz/documents.jsonl.xz --out from_xz
    check 'from xz: the same tokens' cmp -s prepared/train-00000.bin from_xz/train-00000.bin
    head -c 3000 xz/documents.jsonl.xz >cut.jsonl.xz
    run "${prepare[@]}" --data cut.jsonl.xz --out o
    check 'a cut .xz' eval '[ $status = 1 ] && grep -q "xz says that it is damaged or cut" err'
    rm -rf o
    ln -s "$(command -v true)" xz/xz
else
    skip 'from xz' 'xz is not here'
fi
awk '{ sub(/^\{"text":"/, ""); sub(/"\}$/, ""); gsub(/\\n/, "\n"); printf "%s<|endoftext|>", $0 }' documents.jsonl >documents.txt
run "${prepare[@]}" --data documents.txt --out from_text
check 'from a text with <|endoftext|> between documents: the same tokens' cmp -s prepared/train-00000.bin from_text/train-00000.bin
awk '{ sub(/"text"/, "\"body\""); print }' documents.jsonl >body.jsonl
run "${prepare[@]}" --data body.jsonl --text-key body --out from_body
check '--text-key' cmp -s prepared/test-00000.bin from_body/test-00000.bin
head -c -1 documents.jsonl >unfinished.jsonl
run "${prepare[@]}" --data unfinished.jsonl --out without_newline
check 'no line break at the end' cmp -s prepared/train-00000.bin without_newline/train-00000.bin
run "${prepare[@]}" --data documents.jsonl --vocab prepared/vocab --out with_folder
check '--vocab DIR' cmp -s prepared/validation-00000.bin with_folder/validation-00000.bin
check 'the manifest names no path' eval '! grep -q "$work" prepared/manifest.json'
run "${prepare[@]}" --data documents.jsonl --out json --json
if command -v python3 >/dev/null; then check '--json' python3 -c 'import json,sys; json.loads(open("out").read().splitlines()[-1])'; fi

# ---- several shards, killed on the way ----
for seed in 1 2 3 4 5 6; do make_documents 20000 $seed; done >many.jsonl
many=("${prepare[@]}" --data many.jsonl --shard-mb 1)
run "${many[@]}" --out whole
check 'several shards' [ -e whole/train-00004.bin ]
check 'says which corpus, and how far it is' eval 'grep -qx "corpus: many.jsonl" err && grep -q "documents=" err'
run "${many[@]}" --out whole_by_three --threads 3
check 'several shards: another number of threads' same_shards whole whole_by_three
kills=0
RANDOM=5
for _ in {1..60}; do
    run_for $((RANDOM % 150 + 5 + kills * 30)) "${many[@]}" --out victim
    [ "$status" = 137 ] || break
    kills=$((kills + 1))
done
check "killed $kills times, then finished" [ "$status" = 0 ]
check 'killed: the same bytes' same_shards whole victim
# What a killed run leaves for certain: a portion, the journal of it, and half a shard.
run "${many[@]}" --out half
python3 - <<'PYTHON' 2>/dev/null && {
import json
m = json.load(open("half/manifest.json"))
m["complete"], m["portions"], m["blocks"] = False, m["portions"][:1], 1
json.dump(m, open("half/manifest.json", "w"))
PYTHON
    refused 'the sources have changed since' 1 'have changed since it was begun' -- "${many[@]}" --out half
}
head -c 1000 whole/train-00002.bin >victim/train-00002.bin.tmp
run "${many[@]}" --out victim
check 'half of a shard beside the whole ones' [ $status = 0 ]

# ---- lines that are wrong ----
{ head -3 documents.jsonl; echo 'no json'; echo '{"title":"x"}'; echo '{"text":""}'; echo '{"text":7}'; tail -n +4 documents.jsonl; } >bad.jsonl
run "${prepare[@]}" --data bad.jsonl --out bad
check 'bad lines are skipped, with their numbers' eval '[ $status = 0 ] && grep -q "bad.jsonl, line 4: it is no JSON object" err && grep -q "line 7: its member \"text\" is no string" err'
check 'bad lines are counted' grep -q '200 documents, 4 skipped' out
check 'bad lines: the same tokens as without' cmp -s prepared/train-00000.bin bad/train-00000.bin
run "${prepare[@]}" --data bad.jsonl --out strict --strict
check '--strict stops at the first' eval '[ $status = 1 ] && grep -q "error: bad.jsonl, line 4" err && [ ! -e strict/train-00000.bin ]'
{ head -1 documents.jsonl; echo '{"title":"x"}'; } >untitled.jsonl
run "${prepare[@]}" --data untitled.jsonl --vocab prepared/vocab --out strict_text --strict
check '--strict: a line without a text' eval '[ $status = 1 ] && grep -qx "error: untitled.jsonl, line 2: it has no member \"text\"" err'
awk 'NR == 70001 { print "bad" } { print }' many.jsonl >late.jsonl
run "${prepare[@]}" --data documents.jsonl late.jsonl --vocab prepared/vocab --shard-mb 1 --out late --threads 3
check 'a bad line far behind, in the second file' eval '[ $status = 0 ] && grep -q "^skipped late.jsonl, line 70001: it is no JSON object" err'
run "${prepare[@]}" --data late.jsonl --vocab prepared/vocab --shard-mb 1 --out late_strict --threads 3 --strict
check '--strict there: what was whole before stays' eval '[ $status = 1 ] && grep -q "^error: late.jsonl, line 70001" err && [ -e late_strict/train-00000.bin ] && [ -z "$(find late_strict -name "*.tmp")" ]'
for i in {1..50}; do echo "bad $i"; done | cat - documents.jsonl >fifty.jsonl
run "${prepare[@]}" --data fifty.jsonl --out fifty
check 'many bad lines: ten are shown' [ "$(grep -c '^skipped' err)" = 10 ]
printf '\xff\xfe{"text":"a"}\n' | cat - documents.jsonl >bytes.jsonl
run "${prepare[@]}" --data bytes.jsonl --out bytes
check 'bytes that are no text' eval '[ $status = 0 ] && grep -q "200 documents, 1 skipped" out'

# ---- what is refused ----
refused 'no such file' 1 'cannot read no.jsonl' -- "${prepare[@]}" --data no.jsonl --out o
mkdir folder
refused 'a folder' 1 'folder' 'it is a folder' -- "${prepare[@]}" --data folder --out o
refused 'no --out' 2 '--out is missing' -- "${prepare[@]}" --data documents.jsonl
refused 'bpe:N too small' 2 'bpe:12' '257 to 65536' -- "${prepare[@]}" --data documents.jsonl --vocab bpe:12 --out o
refused 'bpe:N is no number' 2 'bpe:x' -- "${prepare[@]}" --data documents.jsonl --vocab bpe:x --out o
refused 'another vocabulary in the same folder' 1 "prepared with vocab 'bpe:300', not 'bpe:400'" -- "${prepare[@]}" --data documents.jsonl --vocab bpe:400 --out prepared
refused 'another split in the same folder' 1 "test-percent '10', not '20'" -- "${prepare[@]}" --data documents.jsonl --test-percent 20 --out prepared
refused 'other sources in the same folder' 1 "sources 'documents.jsonl'" -- "${prepare[@]}" --data many.jsonl --out prepared
: >empty.jsonl
run "${prepare[@]}" --data empty.jsonl --out o
check 'no documents' eval '[ $status = 1 ] && grep -q "no training documents" err'
rm -rf o
head -1 documents.jsonl >one.jsonl
run "${prepare[@]}" --data one.jsonl --vocab prepared/vocab --out o
check 'too few documents for three splits' eval '[ $status = 1 ] && grep -q "falls into the split" err'
rm -rf o
cp -r prepared damaged
printf x | dd of=damaged/train-00000.bin bs=1 seek=100 conv=notrunc 2>/dev/null
refused 'a damaged shard' 1 'damaged/train-00000.bin is damaged' -- "${prepare[@]}" --data documents.jsonl --out damaged
rm damaged/train-00000.bin
refused 'a missing shard' 1 'damaged/train-00000.bin' -- "${prepare[@]}" --data documents.jsonl --out damaged
echo '{}' >damaged/manifest.json
refused 'a manifest that is none' 1 'damaged/manifest.json is no manifest' -- "${prepare[@]}" --data documents.jsonl --out damaged
: >file
refused '--out is a file' 1 'file' -- "${prepare[@]}" --data documents.jsonl --out file
# A full disk: /dev/full cannot hold a folder, so a limit on the size of files stands for it.
run_limited() { (ulimit -f "$1"; shift; timeout 120 "$program" "$@" >out 2>err </dev/null); status=$?; }
run_limited 64 "${many[@]}" --out full --vocab whole/vocab
check 'disk full: one line, exit status 1' eval '[ $status = 1 ] && grep -q "^error: cannot write full/train-00000.bin: File too large" err && [ "$(grep -c "^error" err)" = 1 ]'
check 'disk full: no half of a shard' eval '[ ! -e full/train-00000.bin ] && [ -z "$(find full -name "*.tmp")" ]'
run "${many[@]}" --out full --vocab whole/vocab
check 'disk full: goes on when there is room' eval '[ $status = 0 ] && cmp -s full/train-00002.bin whole/train-00002.bin'
if [ -w /dev/shm ] && $is_root && mount -t tmpfs -o size=2m none folder 2>/dev/null; then
    run "${many[@]}" --vocab prepared/vocab --out folder/full
    check 'a disk of 2 MiB' eval '[ $status = 1 ] && grep -q "No space left on device" err'
    check 'a disk of 2 MiB: no leftovers' [ -z "$(find folder -name '*.tmp')" ]
    umount folder
else
    skip 'a disk of 2 MiB' 'only root may mount one'
fi

finish
