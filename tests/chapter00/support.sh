# shellcheck shell=bash disable=SC2012,SC2016  # names are ours; quoted for eval
# support.sh - what the shell tests of this folder share: the program, a temporary folder, and checks of one run each.
# To be sourced. CHAPTER00 names the program; no network, no data set and no earlier run is used.
set -uo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${CHAPTER00:-${GPT_BUILD_DIR:-build}/chapter00}
case $program in /*) ;; *) program=$repository/$program ;; esac
[ -x "$program" ] || { echo "FAILED: $program is not there; build it with: make chapter00"; exit 1; }

work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1

passed=0 failed=0
ok() { echo "ok $1"; passed=$((passed + 1)); }
fail() { echo "FAILED $1: $2"; failed=$((failed + 1)); }
# conclude NAME PROBLEM: ok when there is none.
conclude() { if [ -z "$2" ]; then ok "$1"; else fail "$1" "$2"; fi; }
skip() { echo "skipped $1: $2"; }
# check NAME COMMAND...: the command must succeed.
check() { if "${@:2}"; then ok "$1"; else fail "$1" "${*:2}"; fi; }
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# run ARGUMENT...: afterwards $status, and the files out and err.
run() {
    timeout 120 "$program" "$@" >out 2>err </dev/null
    status=$?
}

# problem STATUS PATTERN...: what is wrong with the last run; nothing when it ended as it should.
problem() {
    local pattern
    [ "$status" = "$1" ] || { echo "exit status $status, not $1; stderr: $(head -c 300 err)"; return; }
    shift
    for pattern in "$@"; do
        grep -qF -- "$pattern" err || { echo "stderr does not say '$pattern' but: $(head -c 400 err)"; return; }
    done
}

# refused NAME STATUS PATTERN... -- ARGUMENT...: exit status, at most three lines on stderr that say every PATTERN, nothing
# on stdout, no terminal escapes, and nothing new in the folder.
refused() {
    local name=$1 expected=$2 patterns=() what before
    shift 2
    while [ "$1" != -- ]; do patterns+=("$1"); shift; done
    shift
    before=$(ls -A)
    run "$@"
    what=$(problem "$expected" "error: " "${patterns[@]}")
    [ -n "$what" ] || [ ! -s out ] || what="stdout: $(head -c 200 out)"
    [ -n "$what" ] || [ "$(wc -l <err)" -le 3 ] || what="more than 3 lines on stderr: $(head -5 err)"
    [ -n "$what" ] || ! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f]' err || what="control characters on stderr"
    [ -n "$what" ] || [ "$(ls -A)" = "$before" ] || what="it left files behind: $(ls -A | tr '\n' ' ')"
    conclude "$name" "$what"
}

# accepted NAME PATTERN... -- ARGUMENT...: exit status 0, and every PATTERN on stderr.
accepted() {
    local name=$1 patterns=() what
    shift
    while [ "$1" != -- ]; do patterns+=("$1"); shift; done
    shift
    run "$@"
    what=$(problem 0 "${patterns[@]}")
    conclude "$name" "$what"
}

touch out err

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
