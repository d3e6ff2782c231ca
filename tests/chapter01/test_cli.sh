#!/usr/bin/env bash
# The command line of chapter 01: ranges, unknown words, forms of input and output, threads, streams.
# shellcheck source=tests/chapter01/support.sh
# shellcheck disable=SC2016,SC1003  # single quotes are for eval
source "$(dirname "$0")/support.sh"

# ---- numbers and words that are refused ----
count train --vocab-size 256 1048576
count train --min-frequency 1 9223372036854775807
count train --threads 1 1024
count encode --threads 1 1024
count bench --repeat 1 1000
count stats --list 0 1048576
count explore --seed 0 9223372036854775807
real explore --model-tflop 'finite and at least 0' -1
refused 'unknown verb' 2 "no verb 'encod'" 'nearest is encode' -- encod
refused 'unknown flag' 2 '--vocab-sise' 'nearest is --vocab-size' -- train --vocab-sise 300
refused 'unknown flag without a verb: of the tour' 2 'chapter01 demo knows no flag --vocab-sise' -- --vocab-sise 300
refused 'flag of another verb' 2 '--html' -- encode --html x
refused 'unknown pattern' 2 "--pattern knows no 'gpt3'" 'nearest is gpt2' -- train --pattern gpt3
refused 'unknown input format' 2 "--input-format knows no 'json'" 'nearest is jsonl' -- encode --input-format json
refused 'unknown output format' 2 "--output-format knows no 'u8'" 'text, u16, u32' -- encode --output-format u8
refused 'decode has no jsonl' 2 "knows no 'jsonl'" -- decode --input-format jsonl
refused 'a list without values' 2 '--data wants at least one value' -- train --data --quiet
refused 'too many files' 2 "takes no 'b'" '[FILE]' -- encode a b
refused 'a text that looks like a flag' 2 'knows no flag -x y' 'goes behind --' -- show '-x y'
refused 'show without a text' 2 'show wants a text' -- show
refused 'show with a text and a file' 2 'show wants a text, or a file' -- show text --file text.txt
refused 'trace without a word' 2 'trace wants a word' -- trace
refused 'jsonl as numbers' 2 'jsonl goes with --output-format text' -- encode --input-format jsonl --output-format u16
refused 'offsets as numbers' 2 '--offsets goes with --output-format text' -- encode --offsets --output-format u32
refused 'empty path' 2 '--vocab wants a path' -- encode --vocab ''
for verb in '' train encode decode show trace explore stats bench; do
    # shellcheck disable=SC2086  # no word for no verb
    run $verb --help
    what=$(problem 0)
    for word in Usage Example --threads; do grep -q -e "$word" out || what="stdout lacks $word"; done
    [ "$(wc -L <out)" -le 110 ] || what="a line of $(wc -L <out) columns"
    conclude "help: $verb" "$what"
done

# ---- encode and decode ----
gives 'encode: bytes that no merge joins' '74 86 78\n' 'kwo' encode --vocab small
gives 'encode: nothing' '\n' '' encode --vocab small
gives 'encode: nothing, with offsets' '' '' encode --vocab small --offsets
gives 'encode: nothing, as numbers' '' '' encode --vocab small --output-format u16
gives 'encode: zero bytes and what is no UTF-8' '188 187 188\n' '\x00\xff\x00' encode --vocab small
gives 'encode: offsets' '74 0 1\n86 1 2\n' 'kw' encode --vocab small --offsets
gives 'encode: u16, the low byte first' '\x4a\x00\x56\x00' 'kw' encode --vocab small --output-format u16
gives 'encode: u32' '\x4a\x00\x00\x00\x56\x00\x00\x00' 'kw' encode --vocab small --output-format u32
check 'encode: a special token is text by default' eval '[ "$(printf "[PAD]" | "$program" encode --vocab small | wc -w)" = 5 ]'
gives 'encode: --special' '298 299\n' '<|endoftext|>[PAD]' encode --vocab small --special
gives 'decode: text' 'kw' '74 86\n' decode --vocab small
gives 'decode: any blanks' 'kwk' '\n 74\t86\r\n74 ' decode --vocab small
gives 'decode: nothing' '' '' decode --vocab small
gives 'decode: u16' 'kw' '\x4a\x00\x56\x00' decode --vocab small --input-format u16
gives 'decode: u32' 'kw' '\x4a\x00\x00\x00\x56\x00\x00\x00' decode --vocab small --input-format u32
gives 'decode: special tokens' '<|endoftext|>k' '298 74' decode --vocab small
head -c 300000 /dev/urandom >noise
cat text.txt noise text.txt >mixed
for form in text u16 u32; do
    check "there and back: $form" eval '"$program" encode --vocab small --output-format $form mixed | "$program" decode --vocab small --input-format $form | cmp -s - mixed'
done
check 'encode: FILE, "-" and stdin are the same' eval 'cmp -s <("$program" encode --vocab small mixed) <("$program" encode --vocab small - <mixed) &&
    cmp -s <("$program" encode --vocab small mixed) <(cat mixed | "$program" encode --vocab small)'
for threads in 2 3 7; do
    check "encode: $threads threads" eval 'cmp -s <("$program" encode --vocab small --threads 1 mixed) <("$program" encode --vocab small --threads $threads mixed)'
done
"$program" encode --vocab small --offsets mixed >offsets
check 'offsets: ids are those of encode' eval 'cmp -s <(cut -d " " -f 1 offsets) <("$program" encode --vocab small mixed | tr " " "\n")'
check 'offsets: from 0 to the end without a gap' eval '[ "$(awk "\$2 != end { bad = 1 } { end = \$3 } END { print bad end }" offsets)" = "$(wc -c <mixed)" ]'
run encode --vocab small -- -x
what=$(problem 1 'cannot read -x')
conclude 'encode: a file behind --' "$what"

# ---- lines of JSON ----
json=(encode --vocab small --input-format jsonl)
gives 'jsonl: a line each' '74\n\n86 86\n' '"k"\n""\n"ww"\n' "${json[@]}"
gives 'jsonl: no line break at the end' '74\n' '"k"' "${json[@]}"
gives 'jsonl: nothing' '' '' "${json[@]}"
gives 'jsonl: blanks around' '74\n' ' \t"k" \r\n' "${json[@]}"
gives 'jsonl: offsets' '74 0 1 86 1 2\n\n' '"kw"\n""\n' "${json[@]}" --offsets
gives 'jsonl: --special' '299 74\n' '"[PAD]k"\n' "${json[@]}" --special
check 'jsonl: escapes are the characters' eval 'cmp -s <(printf "%s\n" "\"\\u00e9\\ud83d\\ude00\\uFFFD\\/\\b\\f\"" | "$program" "${json[@]}") \
    <(printf "\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd/\b\f" | "$program" encode --vocab small)'
for half in '\\ud83d' '\\ude00' ; do
    check "jsonl: half of a surrogate pair ($half) is U+FFFD" eval 'cmp -s <(printf "%b\n" "\"k${half}w\"" | "$program" "${json[@]}") \
        <(printf "k\xef\xbf\xbdw" | "$program" encode --vocab small)'
done
check 'jsonl: two halves in the wrong order are two' eval 'cmp -s <(printf "%s\n" "\"\\ude00\\ud83d\\ud83d\\ude00\"" | "$program" "${json[@]}") \
    <(printf "\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80" | "$program" encode --vocab small)'
gives 'jsonl: bytes that are no UTF-8 are kept' '187 74\n' '"\xffk"\n' "${json[@]}"
declines 'jsonl: no string' 1 'stdin, line 2: a JSON string begins with a quote' '"a"\n17\n' "${json[@]}"
declines 'jsonl: an empty line' 1 'line 2: it is empty' '"a"\n\n"b"\n' "${json[@]}"
declines 'jsonl: no closing quote' 1 'line 1: its closing quote is missing' '"a\n"b"\n' "${json[@]}"
declines 'jsonl: a backslash at the end' 1 'closing quote' '"a\\\\' "${json[@]}"
declines 'jsonl: an escaped quote at the end' 1 'closing quote' '"a\\"\n' "${json[@]}"
declines 'jsonl: more behind it' 1 'line 1: something follows the string, at byte 4' '"a" "b"\n' "${json[@]}"
declines 'jsonl: a control character' 1 'byte 2 is 0x01' '"a\x01"\n' "${json[@]}"
declines 'jsonl: an unknown escape' 1 'byte 1 begins an escape that JSON does not have' '"\\x41"\n' "${json[@]}"
declines 'jsonl: too few digits' 1 'four hexadecimal digits' '"\\u12"\n' "${json[@]}"
declines 'jsonl: no digits' 1 'four hexadecimal digits' '"\\u00g0"\n' "${json[@]}"
declines 'jsonl: an object' 1 "not with '{'" '{"text": "a"}\n' "${json[@]}"
check 'jsonl: the lines before a wrong one are there' [ "$(printf '"k"\nx\n' | "$program" "${json[@]}" 2>/dev/null)" = 74 ]
for _ in $(seq 3000); do echo '"the quick brown foxes jumped"'; echo '""'; done >many.jsonl
check 'jsonl: many lines, one output line each' eval '[ "$("$program" "${json[@]}" many.jsonl | wc -l)" = 6000 ]'
check 'jsonl: threads' eval 'cmp -s <("$program" "${json[@]}" --threads 1 many.jsonl) <("$program" "${json[@]}" --threads 5 many.jsonl)'
check 'jsonl: a line is what the text alone is' eval '[ "$("$program" "${json[@]}" many.jsonl | head -1)" = "$(printf "the quick brown foxes jumped" | "$program" encode --vocab small)" ]'

# ---- train ----
check 'train: three files' eval '[ "$(ls small | tr "\n" " ")" = "merges.txt tokenizer_config.json vocab.json " ]'
run train --data text.txt --vocab-size 300 --special-tokens '<|endoftext|>' '[PAD]' --out again --threads 3
check 'train: the same files for any number of threads' diff -r small again
run train --data text.txt --vocab-size 300 --special-tokens '<|endoftext|>' '[PAD]' --out again
check 'train: again into the same folder' eval '[ $status = 0 ] && diff -r small again'
check 'train: says what it learned' grep -q '^again: 300 tokens: 256 bytes, 42 merges, 2 special' out
run train --data text.txt --vocab-size 300 --special-tokens the 'quick brown' --out words
gives 'train: a special token that the text holds' '298 220 299\n' 'the quick brown' encode --vocab words --special
check 'train: and as ordinary text' eval '[ "$(printf the | "$program" encode --vocab words)" != 298 ]'
run train --data text.txt --vocab-size 260 --quiet --json
check 'train: the next folder under runs' [ -e runs/chapter01/001/vocab.json ]
check 'train: --json is the last line' grep -q '^{"out": "runs/chapter01/001", "tokens": 260,' out
check 'train: --quiet' [ ! -s err ]
run train --data text.txt --vocab-size 260 --quiet
check 'train: and the next' [ -e runs/chapter01/002/vocab.json ]
run train --data text.txt --vocab-size 5000 --out all
what=$(problem 0 'tokens instead of 5000')
conclude 'train: no more pairs' "$what"
run train --data text.txt text.txt --vocab-size 300 --out twice
check 'train: two documents' [ "$status" = 0 ]
for pattern in cl100k none; do
    run train --data text.txt --vocab-size 400 --pattern $pattern --out "pattern-$pattern"
    check "train: pattern $pattern travels with the vocabulary" grep -q "\"pattern\": \"$pattern\"" "pattern-$pattern/tokenizer_config.json"
    check "train: pattern $pattern, there and back" eval '"$program" encode --vocab pattern-$pattern mixed | "$program" decode --vocab pattern-$pattern | cmp -s - mixed'
done
check 'train: without a split, tokens cross blanks' eval '"$program" stats --vocab pattern-none --list 300 | grep -caE "bytes +[^ ]*[a-z]$(printf "\xe2\x90\xa3")[a-z]" >/dev/null'
run train --data text.txt --vocab-size 256 --out bytes
check 'train: bytes alone' eval '[ $status = 0 ] && [ "$(wc -l <bytes/merges.txt)" = 1 ]'
gives 'bytes alone: encode' '71 68\n' 'he' encode --vocab bytes

# Ctrl-C: exit status 130, nothing written, the shell's line is free.
mkfifo slow
(sleep 3 >slow &)
timeout --signal=INT 1 "$program" train --data slow --vocab-size 300 --out never >out 2>err
check 'Ctrl-C while reading: nothing half-written' [ -z "$(ls never 2>/dev/null)" ]
for _ in $(seq 40); do cat mixed; done >long.txt
"$program" train --data long.txt --vocab-size 100000 --min-frequency 1 --out stopped >out 2>err &
pid=$!
sleep 0.6
kill -INT $pid 2>/dev/null
wait $pid
status=$?
if [ $status = 0 ]; then
    skip 'Ctrl-C: exit status 130' 'training was faster'
else
    check 'Ctrl-C: exit status 130' [ $status = 130 ]
    check 'Ctrl-C: nothing half-written' [ -z "$(ls stopped)" ]
fi

# ---- stats, bench ----
run stats --vocab small --data text.txt --json --list 3
check 'stats: ends well' [ "$status" = 0 ]
for word in '300 tokens, 42 merges, 2 special' 'the longest tokens' 'bytes per token' 'never use'; do
    check "stats: $word" grep -q "$word" out
done
if command -v python3 >/dev/null; then
    check 'stats: --json' eval 'tail -1 out | python3 -c "import json, sys; d = json.load(sys.stdin); assert d[\"tokens\"] == 300 == d[\"used\"] + len(d[\"unused\"]) + d[\"special\"]"'
fi
run bench --vocab small --data text.txt --repeat 1 --json
check 'bench: ends well' eval '[ $status = 0 ] && tail -1 out | grep -q "\"encode_seconds\": "'

# ---- streams ----
timeout 60 "$program" encode --vocab small mixed >&- 2>&- <&-
check 'streams closed: encode ends well' [ $? = 0 ]
if [ -w /dev/full ]; then
    timeout 60 "$program" encode --vocab small mixed >/dev/full 2>err
    status=$? what=$(problem 1 'could be written to stdout')
    conclude 'stdout: full' "$what"
fi
for verb in 'encode mixed' 'encode --offsets mixed' 'stats --list 1000' 'show --file text.txt'; do
    # shellcheck disable=SC2086  # several words
    "$program" $verb --vocab small 2>err | head -c 1 >/dev/null
    check "the reader of stdout left: $verb" [ ! -s err ]
done
(trap '' PIPE; "$program" encode --vocab small mixed 2>err | head -c 1 >/dev/null)
check 'the reader of stdout left, and nobody dies of it' [ ! -s err ]

# ---- the vocabularies that the world uses ----
if has_gpt2; then
    gpt2() { gives "gpt2: $1" "$2\n" "$1" encode; }
    gpt2 'Hello world' '15496 995'
    gpt2 'tokenization' '30001 1634'
    gpt2 '\xff abc' '187 450 66'
    gpt2 '<|endoftext|>' '27 91 437 1659 5239 91 29'
    gives 'gpt2: --special' '50256\n' '<|endoftext|>' encode --special
    check 'gpt2: there and back' eval '"$program" encode --vocab gpt2 mixed | "$program" decode | cmp -s - mixed'
    run trace tokenization
    check 'gpt2: trace' eval 'grep -q "ids: 30001 1634" out && [ "$(grep -c " + " out)" = 10 ]'
else
    skip 'gpt2' 'data/gpt2 is not here'
fi
finish
