# shellcheck shell=bash disable=SC2016  # quoted for eval
# support.sh - what the shell tests of this folder share. To be sourced. No data set is used.
# shellcheck disable=SC2034  # program.sh reads it
chapter=chapter00
# shellcheck source=tests/support/program.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/program.sh"

# A text that needs no data set: sentences of a few words, in an order that never repeats soon.
make_text() {
    awk -v lines="$1" 'BEGIN {
        n = split("the quick brown fox jumps over a lazy dog and then goes home to sleep", w, " ");
        for (i = 0; i < lines; i++) { s = s * 1103515245 % 2147483648 + 12345 + i; line = "";
            for (k = 0; k < 6; k++) { s = (s * 16807 + 11) % 2147483647; line = line w[s % n + 1] " " } print line "." } }'
}
make_text 120 >text.txt
# shellcheck disable=SC2034  # used by the tests
tiny=(--preset tiny --data text.txt --threads 1)

# The log without the column that is allowed to differ between two runs: tokens_per_s.
log_of() { cut -d , -f 1-5,7 "$1/log.csv"; }
# same_run A B: byte-identical checkpoints, and equal logs.
same_run() { cmp -s "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" && cmp -s <(log_of "$1") <(log_of "$2"); }
