# shellcheck shell=bash disable=SC2016  # quoted for eval
# support.sh - what the shell tests of this folder share. To be sourced. No data set is used.
# shellcheck disable=SC2034  # program.sh reads it
chapter=chapter02
# shellcheck source=tests/support/program.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/program.sh"

# Documents that need no data set: sentences of a few words, in an order that never repeats soon. One JSON object a line.
make_documents() {  # LINES [SEED]
    awk -v lines="$1" -v s="${2:-1}" 'BEGIN {
        n = split("the quick brown fox jumps over a lazy dog and then goes home to sleep", w, " ");
        for (i = 0; i < lines; i++) { line = "";
            for (k = 0; k < 30; k++) { s = (s * 16807 + 11) % 2147483647; line = line w[s % n + 1] (k % 6 == 5 ? ".\\n" : " ") }
            printf "{\"text\":\"%s document %d\"}\n", line, i } }'
}
make_documents 200 >documents.jsonl
prepare=(prepare --vocab bpe:300 --validation-percent 10 --test-percent 10 --threads 2)
# shellcheck disable=SC2034  # used by the tests
tiny=(--preset tiny --data prepared --threads 1)

# The log without the column that is allowed to differ between two runs: tokens_per_s.
log_of() { cut -d , -f 1-5,7 "$1/log.csv"; }
# same_run A B: byte-identical checkpoints, and equal logs.
same_run() { cmp -s "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" && cmp -s <(log_of "$1") <(log_of "$2"); }
# same_shards A B: byte-identical shards, vocabularies and manifests.
same_shards() { diff -r "$1" "$2" >/dev/null; }
run "${prepare[@]}" --data documents.jsonl --out prepared
[ "$status" = 0 ] || { echo "FAILED: cannot prepare: $(cat err)"; exit 1; }
