#!/usr/bin/env bash
# What comes from outside and is wrong: texts, ids, vocabularies, special tokens, disks. Message and exit status of each.
# shellcheck source=tests/chapter01/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"
if [ "$(id -u)" = 0 ]; then is_root=true; else is_root=false; fi
train=(train --data text.txt --vocab-size 300 --quiet --out never)

# ---- training ----
refused 'text: missing' 1 'cannot read no.txt' 'No such file' -- train --data no.txt --vocab-size 300 --out never
: >empty.txt
refused 'text: empty' 1 'empty.txt is empty' -- train --data empty.txt --vocab-size 300 --out never
refused 'text: one of two is empty' 1 'empty.txt is empty' -- train --data text.txt empty.txt --vocab-size 300 --out never
mkdir folder.txt
refused 'text: a folder' 1 'folder.txt' 'it is a folder' -- train --data folder.txt --vocab-size 300 --out never
refused 'text: hostile name' 1 'no\x1b[2J\n\xff' -- train --data $'no\e[2J\n\xff' --vocab-size 300 --out never
refused 'vocabulary size: below the bytes' 2 '--vocab-size must be 256 to 1048576, not 255' -- "${train[@]}" --vocab-size 255
refused 'vocabulary size: no room for special tokens' 2 '--vocab-size 257 is too small' '256 bytes and 2 special tokens need 258' \
    -- "${train[@]}" --vocab-size 257 --special-tokens a1 b1
accepted 'vocabulary size: exactly the bytes and special tokens' -- train --data text.txt --vocab-size 258 --special-tokens a1 b1 --out exact
refused 'special token: empty' 2 'an empty token' -- "${train[@]}" --special-tokens ''
refused 'special token: twice' 2 "'<x>' is there twice" -- "${train[@]}" --special-tokens '<x>' '<y>' '<x>'
refused 'special token: no UTF-8' 2 "'\\xff\\xff' is not valid UTF-8" -- "${train[@]}" --special-tokens $'\xff\xff'
refused 'pattern: unknown' 2 "--pattern knows no 'gpt-2'" 'nearest is gpt2' -- "${train[@]}" --pattern gpt-2
refused 'out: a file' 1 'text.txt' 'Not a directory' -- "${train[@]}" --out text.txt
refused 'out: below a file' 1 'Not a directory' -- "${train[@]}" --out text.txt/x
accepted 'one byte is a text' -- train --data <(printf a) --vocab-size 300 --out one
for special in a $'\n' ' '; do
    refused "special token: $(printf %q "$special") is a byte" 2 'is a single byte, which is an ordinary token' -- "${train[@]}" --special-tokens "$special"
done
for special in ' the' '{"' $'\xc4\xa0the' '#version: 0.2'; do
    run train --data text.txt --vocab-size 300 --special-tokens "$special" --out "odd"
    [ "$status" = 0 ] && { run encode --vocab odd --special text.txt; mv out ids; run decode --vocab odd ids; }
    check "special token: $(printf %q "$special")" eval '[ $status = 0 ] && cmp -s out text.txt'
    rm -rf odd
done
if $is_root; then
    skip 'out: no permission' 'root may write everywhere'
else
    mkdir locked && chmod 500 locked
    refused 'out: no permission' 1 'Permission denied' -- "${train[@]}" --out locked
fi
# A full disk, as a limit for files.
(ulimit -f 1; timeout 60 "$program" train --data text.txt --vocab-size 600 --quiet --out limited >out 2>err)
status=$? what=$(problem 1 'cannot write limited/' 'File too large')
conclude 'full disk: says which file' "$what"
check 'full disk: no leftovers' [ -z "$(find limited -name '*.tmp')" ]

# ---- vocabularies ----
refused 'vocabulary: none' 1 "no vocabulary 'nothing'" 'gpt2, cl100k, or a folder' -- encode --vocab nothing text.txt
refused 'vocabulary: a file' 1 "text.txt" -- encode --vocab text.txt text.txt
mkdir hollow
refused 'vocabulary: a folder without one' 1 'hollow' 'vocab.json and merges.txt' -- encode --vocab hollow text.txt
refused 'vocabulary: a hostile name' 1 '\x1b[2J' -- encode --vocab $'\e[2J' text.txt
# broken NAME FILE PATTERN... : with FILE as stdin has it, the vocabulary is refused.
broken() {
    local name=$1 file=$2
    rm -rf bad && cp -r small bad && cat >"bad/$file"
    refused "vocabulary: $name" 1 "bad/$file" "${@:3}" -- encode --vocab bad text.txt
}
broken 'vocab.json is no JSON' vocab.json 'not JSON' <<<'nope'
broken 'vocab.json is cut off' vocab.json 'not JSON' < <(head -c 1000 small/vocab.json)
broken 'vocab.json is a list' vocab.json <<<'[1, 2]'
broken 'an id is no number' vocab.json '"x"' <<<'{"x": "y"}'
broken 'an id is negative' vocab.json '"x"' <<<'{"x": -1}'
broken 'an id is gigantic' vocab.json '"x"' <<<'{"x": 999999999999}'
broken 'bytes are missing' vocab.json 'single byte' < <(sed 's/"!": 0, //' small/vocab.json)
broken 'a merge of one word' merges.txt 'line 3' 'two tokens' < <(sed '3s/ .*//' small/merges.txt)
broken 'a merge of unknown tokens' merges.txt 'line 5' 'is no token' < <(sed '5s/.*/qqqqq zzzzz/' small/merges.txt)
broken 'a merge twice' merges.txt 'was there before' < <(cat small/merges.txt; tail -1 small/merges.txt)
broken 'an unknown pattern' tokenizer_config.json 'pattern' 'gpt9' <<<'{"pattern": "gpt9"}'
broken 'the configuration is no JSON' tokenizer_config.json 'not JSON' <<<'{'
mkdir ranks
printf 'IQ== 0\n!!! 1\n' >ranks/a.tiktoken
echo '{"pattern": "cl100k"}' >ranks/tokenizer_config.json
refused 'vocabulary: a rank file that is no base64' 1 'ranks/a.tiktoken' 'line 2' -- encode --vocab ranks text.txt

# ---- ids ----
declines 'ids: outside the vocabulary' 1 'stdin: id 300, at position 2, is no token of small, whose ids are 0 to 299' '1 2 300' decode --vocab small
declines 'ids: far outside' 1 'id 2^40 or more, at position 1' '1 99999999999999999999999999' decode --vocab small
declines 'ids: negative' 1 "'-1', at position 0, is no id" '-1' decode --vocab small
declines 'ids: a word' 1 "'x', at position 1, is no id" '1 x 2' decode --vocab small
declines 'ids: a list' 1 "'[1,', at position 0, is no id" '[1, 2]' decode --vocab small
declines 'ids: terminal escapes' 1 '\x1b[2J' '\x1b[2J' decode --vocab small
declines 'ids: u16 with an odd byte' 1 'stdin has 3 bytes, and each id takes 2' '\x01\x00\x01' decode --vocab small --input-format u16
for bytes in '\x01' '\x01\x00' '\x01\x00\x00' '\x01\x00\x00\x00\x01'; do
    declines "ids: u32 cut off ($bytes)" 1 'and each id takes 4' "$bytes" decode --vocab small --input-format u32
done
declines 'ids: u16 outside' 1 'id 300, at position 1' '\x01\x00\x2c\x01' decode --vocab small --input-format u16
declines 'ids: u32 outside' 1 'id 4294967295, at position 0' '\xff\xff\xff\xff' decode --vocab small --input-format u32
refused 'ids: a missing file' 1 'cannot read no.ids' -- decode --vocab small no.ids
refused 'text: a missing file' 1 'cannot read no.txt' -- encode --vocab small no.txt
refused 'text: a folder to encode' 1 'it is a folder' -- encode --vocab small folder.txt
if [ -e "$repository/data/tiktoken/cl100k_base.tiktoken" ]; then
    declines 'u16 cannot hold cl100k' 2 'u16 holds ids below 65536, and cl100k has 100277 tokens; use u32' x encode --vocab cl100k --output-format u16
    declines 'an id that no file names' 1 'id 100256, at position 0' 100256 decode --vocab cl100k
else
    skip 'u16 cannot hold cl100k' 'data/tiktoken is not here'
fi

# ---- show, trace, stats ----
refused 'show: a missing file' 1 'cannot read no.txt' -- show --vocab small --file no.txt
refused 'show: a page that cannot be written' 1 'cannot write text.txt/x' -- show --vocab small text --html text.txt/x
refused 'show: a second vocabulary that is none' 1 "no vocabulary 'nothing'" -- show --vocab small text --compare nothing
head -c 3000 /dev/zero | tr '\0' a >long
refused 'trace: a piece too long to read' 1 'at most 2000 bytes' 'this one has 3000' -- trace --vocab small "$(cat long)"
refused 'stats: an empty text' 1 'empty.txt is empty' -- stats --vocab small --data empty.txt
refused 'bench: a missing text' 1 'cannot read no.txt' -- bench --vocab small --data no.txt

# ---- no data sets, no network ----
mkdir -p copy/build mirror
cp -r "$repository/data" copy/ 2>/dev/null && rm -rf copy/data/tinyshakespeare copy/data/gpt2 copy/data/tiktoken
cp "$program" copy/build/chapter01
offline() {
    (cd copy && DATA_MIRROR="$work/mirror" http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
        timeout 120 build/chapter01 "$@" >../out 2>../err </dev/null)
    status=$?
}
offline encode --vocab gpt2
what=$(problem 1 'data/gpt2.sh')
conclude 'no network: gpt2' "$what"
offline train --vocab-size 300
what=$(problem 1 'data/tinyshakespeare.sh' '--data FILE')
conclude 'no network: tiny Shakespeare' "$what"

# ---- more than 2 GiB of text: only when asked for, and where there is room for it ----
available_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
if [ "${GPT_SLOW_TESTS:-}" = 1 ] && [ "${available_kib:-0}" -gt 12000000 ]; then
    { yes 'the quick brown foxes jumped over lazy dogs' | head -c 2200000000; printf 'kw'; } >huge.txt
    check 'encode: 2.2 GB, its last two ids' eval '[ "$("$program" encode --vocab small --output-format u16 huge.txt | tail -c 4 | od -An -tu2 | xargs)" = "74 86" ]'
    check 'encode: 2.2 GB, offsets beyond 2 GiB' eval '[ "$("$program" encode --vocab small --offsets huge.txt | tail -1)" = "86 2200000001 2200000002" ]'
    rm huge.txt
else
    skip 'encode: 2.2 GB' 'wants GPT_SLOW_TESTS=1 and 12 GB of memory'
fi
finish
