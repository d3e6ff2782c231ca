#!/usr/bin/env bash
# sample, eval, memorize, export and import on a model that was trained for some steps, and on one that came from GPT-2's
# files: what they print, what they refuse.
# shellcheck source=tests/chapter02/support.sh
source "$(dirname "$0")/support.sh"

run train "${tiny[@]}" --max-steps 60 --keep-states 3 --out model
[ "$status" = 0 ] || { echo "FAILED: cannot train: $(cat err)"; exit 1; }
model=(--checkpoint model --threads 1)

# ---- sample ----
count sample --tokens 1 16777216
count sample --num-samples 1 1048576
count sample --top-k 1 1048576
count sample --seed 0 9223372036854775807
real sample --temperature 'finite and at least 0' -1
real sample --top-p 'above 0 and at most 1' 0 1.0001 -1
real sample --repetition-penalty 'finite and above 0' 0 -1
refused 'sample: an empty prompt' 2 '--prompt is empty' -- sample "${model[@]}" --prompt ''
refused 'sample: an empty stop' 2 '--stop is empty' -- sample "${model[@]}" --prompt a --stop ''
refused 'sample: more than all tokens' 2 '--top-k 301 is outside [1, 300]' -- sample "${model[@]}" --prompt a --top-k 301
refused 'sample: no such model' 1 'nowhere' -- sample --checkpoint nowhere --prompt a
run "${prepare[@]}" --data documents.jsonl --vocab bpe:310 --out larger
cp -r model exchanged
cp larger/vocab/* exchanged/vocab/
refused 'sample: the vocabulary of another model' 1 'exchanged/checkpoint.safetensors: the vocabulary in exchanged/vocab is another' -- sample --checkpoint exchanged --prompt a
cp -r model short
truncate -s -4 short/checkpoint.safetensors
refused 'sample: a cut checkpoint' 1 'short/checkpoint.safetensors' -- sample --checkpoint short --prompt a

run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6
cp out first
check 'sample: begins with the prompt' [ "$(head -c 9 first)" = 'the quick' ]
check 'sample: six samples, five lines between' [ "$(grep -c '^---$' first)" = 5 ]
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6 --threads 3
check 'sample: same seed, same bytes, whatever the threads' cmp -s out first
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 2
check 'sample: the first two of two are those of six' [ "$(cat out)" = "$(awk '/^---$/ && ++n == 2 {exit} {print}' first)" ]
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6 --seed 1
check 'sample: another seed, another text' eval '! cmp -s out first'
run sample "${model[@]}" --prompt 'the quick' --tokens 400 --temperature 0
check 'sample: longer than the context' grep -q '^400 tokens' err
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --stop 'o' --num-samples 4
check 'sample: stops, and does not show why' eval '[ "$status" = 0 ] && ! tr -d "\n" <out | grep -q o'
run sample "${model[@]}" --prompt $'caf\xc3\xa9 \xe2\x82' --tokens 20 --temperature 5
check 'sample: UTF-8 even where the prompt is none' eval '[ "$status" = 0 ] && iconv -f UTF-8 -t UTF-8 out >/dev/null'
run sample "${model[@]}" --tokens 20 --quiet
check 'sample: without a prompt a document begins' eval '[ "$status" = 0 ] && [ -s out ]'
check 'sample: --quiet says nothing on stderr' [ ! -s err ]
refused 'sample: weights of four bits' 2 "--weights knows no 'int4'" 'float, int8' -- sample "${model[@]}" --weights int4
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6 --weights int8
cp out rounded
check 'sample: 8-bit weights, another text' eval '! cmp -s rounded first'
check 'sample: 8-bit weights, six samples' eval '[ "$status" = 0 ] && [ "$(grep -c "^---$" rounded)" = 5 ]'
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6 --weights int8 --threads 3
check 'sample: 8-bit weights, same bytes, whatever the threads' cmp -s out rounded
long=$(printf 'the quick brown fox %.0s' {1..40})
run sample "${model[@]}" --prompt "$long" --tokens 5
check 'sample: says what of a long prompt is not seen' grep -q "note: the prompt has .* tokens and the model's context 32: it does not see the first" err
if command -v python3 >/dev/null; then
    run sample "${model[@]}" --prompt 'say "</script>' --tokens 10 --num-samples 2 --json
    check 'sample: --json' eval "python3 -c 'import json; d = json.load(open(\"out\")); assert len(d[\"samples\"]) == 2'"
    cat >terminal.py <<'END'
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
os.write(fd, b"the quick\nbrown\n\x04")
seen = b""
while select.select([fd], [], [], 20)[0]:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
print(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
    python3 terminal.py "$program" sample "${model[@]}" --tokens 5 >out 2>err
    status=$?
    check 'sample: prompts on a terminal' eval '[ $status = 0 ] && [ "$(grep -c "tokens/s" out)" = 2 ]'
fi

# ---- eval ----
count eval --limit 1 1099511627776
refused 'eval: of what' 2 'eval wants --data' -- eval "${model[@]}"
refused 'eval: no such text' 1 'nowhere' -- eval "${model[@]}" --data nowhere
: >nothing
refused 'eval: an empty text' 1 'nothing is empty' -- eval "${model[@]}" --data nothing
mkdir empty
refused 'eval: no prepared folder' 1 'empty' -- eval "${model[@]}" --data empty
printf 'the quick brown fox jumps over a lazy dog and then goes home to sleep.\n' >text
run eval "${model[@]}" --data text --json
check 'eval: a text, all its bytes' grep -q ' 71 bytes' out
check 'eval: bits per byte' grep -qE 'bits per byte +[0-9.]+ \+- ' out
run eval "${model[@]}" --data prepared --json
evaluated=$(sed -n 's/.*"loss": \([0-9.]*\).*/\1/p' out)
trained=$(sed -n 's/.*test loss \([0-9.]*\).*/\1/p' <("$program" train "${tiny[@]}" --max-steps 60 --out again 2>/dev/null) | head -1)
check "eval: the test split's loss is the one that training printed ($evaluated, $trained)" \
    awk -v a="$evaluated" -v b="$trained" 'BEGIN { exit !(a > 0 && b > 0 && (a - b) ^ 2 < 1e-5) }'
refused 'eval: shards of another vocabulary' 1 'larger/test-00000.bin was made with another vocabulary' -- eval "${model[@]}" --data larger
cp -r prepared stray
cp stray/test-00000.bin stray/test-00001.bin
refused 'eval: a shard that nobody named' 1 "stray has 2 shards of the split 'test', its manifest.json names 1" -- eval "${model[@]}" --data stray
refused 'memorize: a shard that nobody named' 1 "its manifest.json names 1" -- memorize "${model[@]}" --data stray
run eval "${model[@]}" --data prepared --limit 2
check 'eval: --limit' grep -q ' in 2 windows' out
run eval "${model[@]}" --data prepared --without-heads 0.1 1 --json
check 'eval: --without-heads, another loss' eval '[ $status = 0 ] && [ "$(sed -n "s/.*\"loss\": \([0-9.]*\).*/\1/p" out)" != "$evaluated" ]'
run eval "${model[@]}" --data prepared --json --weights int8
check 'eval: 8-bit weights, another loss, by less than a hundredth' eval '[ $status = 0 ] && sed -n "s/.*\"loss\": \([0-9.]*\).*/\1/p" out | awk -v as_trained="$evaluated" "{d = \$1 - as_trained} END {exit !(NR == 1 && d != 0 && d < 0.01 * as_trained && d > -0.01 * as_trained)}"'
for heads in 2 0.2 -1 0.-1 0.1x 0. every ''; do
    refused "eval: --without-heads '$heads'" 2 '--without-heads' -- eval "${model[@]}" --data prepared --without-heads "$heads"
done

# ---- memorize ----
refused 'memorize: of what' 2 'memorize wants --data' -- memorize "${model[@]}"
run memorize "${model[@]}" --data prepared --limit 5 --tokens 12 --num-samples 1 --prompt 'the quick brown zebra' --json
check 'memorize: both kinds, and a verdict' eval 'grep -q "^training  *5 " out && grep -q "^unseen  *5 " out && grep -q "^An unseen token costs" out'
check 'memorize: samples side by side' eval 'grep -q "^training 1: " out && grep -q "^unseen 1: " out && grep -q "  written  (" out'
check 'memorize: its own prompt' grep -q 'tokens stand in the training text together' out

# ---- attention ----
run train "${tiny[@]}" --layers 12 --heads 12 --head-size 2 --context 256 --max-steps 1 --keep-states 1 --out wide
refused 'attention: which text' 2 'attention wants --prompt' -- attention "${model[@]}" --out page.html
refused 'attention: to which page' 2 'attention wants --out' -- attention "${model[@]}" --prompt 'the quick brown'
refused 'attention: a single token' 1 'single token' -- attention "${model[@]}" --prompt 'a' --out page.html
hostile=$'the quick </script><img onerror=alert(1)> "brown\' \\ fox\n<!-- \xff\xe2\x80 caf\xc3\xa9 \xe2\x80\xae over'
run attention "${model[@]}" --prompt "$hostile" --out page.html
check 'attention: a page' eval '[ "$status" = 0 ] && grep -q "Where the heads look" page.html && ! grep -q "<img" page.html && iconv -f UTF-8 -t UTF-8 page.html >/dev/null'
check 'attention: finds the states that the run kept' [ "$(grep -o '"name":"step [0-9]*"' page.html | tr -dc '0-9\n' | tr '\n' ' ')" = '0 25 50 60 ' ]
run attention "${model[@]}" --earlier model/state-000025.safetensors --prompt "$hostile" --out few.html
check 'attention: training ends with a page' [ "$(grep -o '"name":"step [0-9]*"' model/attention.html | tr -dc '0-9\n' | tr '\n' ' ')" = '0 25 50 60 ' ]
check 'attention: --earlier names others' [ "$(grep -o '"name":"step [0-9]*"' few.html | tr -dc '0-9\n' | tr '\n' ' ')" = '25 60 ' ]
odd='"><img onerror=alert(1)>'
cp -r model "$odd"
run train "${tiny[@]}" --max-steps 1 --seed 5 --keep-states 1 --out another
cp another/state-000000.safetensors "$odd"
run attention --checkpoint "$odd" --threads 1 --prompt "$hostile" --out "$odd.html"
check 'attention: a folder with another run in it' eval '[ "$status" = 0 ] && grep -q "of another run: 1 states" err && grep -q "step 25" "$odd.html" && ! grep -q "step 0\"" "$odd.html"'
check 'attention: a hostile file name' eval '! grep -q "<img" "$odd.html"'
truncate -s -4 "$odd/state-000025.safetensors"
refused 'attention: a cut state' 1 'state-000025.safetensors' -- attention --checkpoint "$odd" --threads 1 --prompt 'the quick' --out cut.html
refused 'attention: a state of another model' 1 'is no state of the same model' -- attention "${model[@]}" --earlier wide --prompt 'the quick brown' --out cut.html
run attention "${model[@]}" --prompt "$long" --out long.html
check 'attention: says what of a long text is shown' grep -q 'the page shows the first 32' err
run attention --checkpoint wide --threads 2 --prompt "$long $long $long" --out wide.html
check 'attention: at most 10 MB, and says what it left out' \
    eval '[ "$status" = 0 ] && [ "$(wc -c <wide.html)" -le 10000000 ] && grep -q "note: The page holds the maps of .* of 12 layers: all would" err && grep -q "The page holds the maps of" wide.html'
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$browser" ] && command -v python3 >/dev/null; then
    for page in page wide; do
        timeout 120 python3 "$repository/tests/chapter02/browse.py" "$browser" $page.html >seen 2>&1
        status=$?
        check "attention: $page.html in a browser" eval '[ $status = 0 ] && [ "$(grep -c "^ok" seen)" -ge 25 ]'
        grep -E '^FAILED|lag:' seen
    done
else
    skip 'attention: the page in a browser' 'no chromium or no python3 here'
fi

# ---- export and import ----
refused 'export: where to' 2 'export wants --out' -- export "${model[@]}"
refused 'import: what' 2 'import wants the folder' -- import
refused 'import: no such folder' 1 'nowhere/config.json' -- import nowhere --out o
run export "${model[@]}" --out files
check 'export: four files' eval '[ "$status" = 0 ] && ls files/config.json files/model.safetensors files/vocab.json files/merges.txt >/dev/null'
mkdir other_program
cp files/model.safetensors other_program/checkpoint.safetensors
refused "sample: another program's checkpoint" 1 'other_program/checkpoint.safetensors is a checkpoint of another program' -- sample --checkpoint other_program --prompt a
run import files --out imported
check 'import' [ "$status" = 0 ]
run sample "${model[@]}" --prompt 'the quick' --tokens 30 --num-samples 6
cp out before
run sample --checkpoint imported --threads 1 --prompt 'the quick' --tokens 30 --num-samples 6
check 'import: the same model writes the same' cmp -s out before
refused 'import: onto a model' 1 'imported' -- import files --out imported
sed 's/"gpt2"/"llama"/' files/config.json >other.json
cp -r files foreign
cp other.json foreign/config.json
refused 'import: another architecture' 1 'foreign/config.json' '"llama"' 'only "gpt2"' -- import foreign --out o
cp -r files damaged
truncate -s -4 damaged/model.safetensors
refused 'import: cut weights' 1 'damaged/model.safetensors' -- import damaged --out o
run train "${tiny[@]}" --head-size 3 --max-steps 1 --out odd
refused 'export: heads that GPT-2 has no word for' 1 'heads of 3 channels' -- export --checkpoint odd --out o
run import "$repository/tests/golden/gpt2_tiny" --out foreign_model
check "import: what transformers wrote" [ "$status" = 0 ]
run sample --checkpoint foreign_model --threads 1 --prompt 'The cat' --tokens 20 --top-p 0.9
check 'import: and it writes' eval '[ "$status" = 0 ] && [ -s out ]'

finish
