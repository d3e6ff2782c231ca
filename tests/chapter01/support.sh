# shellcheck shell=bash
# support.sh - what the shell tests of this folder share: a text, a small vocabulary learned from it. To be sourced.
# Nothing here needs a data set; what wants GPT-2's vocabulary asks has_gpt2 first.
# shellcheck disable=SC2034  # program.sh reads it
chapter=chapter01
# shellcheck source=tests/support/program.sh
source "$(dirname "${BASH_SOURCE[0]}")/../support/program.sh"

# Sentences of a few words with endings, so that there is something to learn.
awk 'BEGIN {
    n = split("the quick brown foxes jumped over lazy dogs and then tokenization began, 1234 tokens longer\303\251", w, " ");
    for (i = 0; i < 400; i++) { s = s * 1103515245 % 2147483648 + 12345 + i; line = "";
        for (k = 0; k < 6; k++) { s = (s * 16807 + 11) % 2147483647; line = line w[s % n + 1] " " } print line "." } }' >text.txt
"$program" train --data text.txt --vocab-size 300 --special-tokens '<|endoftext|>' '[PAD]' --out small --quiet >out 2>err ||
    fail 'a small vocabulary' "$(cat err)"

has_gpt2() { [ -e "$repository/data/gpt2/vocab.bpe" ] || [ -e "$repository/../shared/data/gpt2/vocab.bpe" ]; }

# piped NAME INPUT ARGUMENT...: the program with INPUT (printf's escapes) on stdin; afterwards $status, out and err.
piped() {
    local input=$1
    shift
    printf '%b' "$input" | timeout 120 "$program" "$@" >out 2>err
    status=$?
}
# gives NAME EXPECTED INPUT ARGUMENT...: stdout must be EXPECTED to the byte (both with printf's escapes).
gives() {
    local name=$1 expected=$2 what
    piped "${@:3}"
    what=$(problem 0)
    [ -n "$what" ] || cmp -s <(printf '%b' "$expected") out || what="stdout is $(head -c 200 out | od -c | head -5)"
    conclude "$name" "$what"
}
# declines NAME STATUS PATTERN INPUT ARGUMENT...: what is on stdin is refused, in at most three lines without escapes.
declines() {
    local name=$1 expected=$2 pattern=$3 what
    piped "${@:4}"
    what=$(problem "$expected" "error: " "$pattern")
    [ -n "$what" ] || [ "$(wc -l <err)" -le 3 ] || what="more than 3 lines on stderr: $(head -5 err)"
    [ -n "$what" ] || ! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f]' err || what="control characters on stderr"
    conclude "$name" "$what"
}
