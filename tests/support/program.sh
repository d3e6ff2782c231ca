# shellcheck shell=bash disable=SC2012  # names are ours
# program.sh - what the shell tests of a chapter's program share: the program, a temporary folder, checks of one run each.
# To be sourced, with $chapter set ("chapter00"). GPT_PROGRAM names another program; no network and no earlier run is used.
set -uo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${GPT_PROGRAM:-${GPT_BUILD_DIR:-build}/$chapter}
case $program in /*) ;; *) program=$repository/$program ;; esac
[ -x "$program" ] || { echo "FAILED: $program is not there; build it with: make $chapter"; exit 1; }

work=$(mktemp -d)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1

passed=0 failed=0
ok() { echo "ok $1"; passed=$((passed + 1)); }
fail() { echo "FAILED $1: $2"; failed=$((failed + 1)); }
# conclude NAME PROBLEM: ok when there is none.
conclude() { if [ -z "$2" ]; then ok "$1"; else fail "$1" "$2"; fi; }
skip() { echo "skipped: $1: $2"; }  # tests/run.sh shows lines that begin so
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

# run_for MILLISECONDS ARGUMENT...: as run, killed after so long ($status 137) unless it has ended by itself.
# note: not by `timeout -s KILL`, which kills itself, too: the next life would begin while this one is still dying.
run_for() {
    local life timer
    "$program" "${@:2}" >out 2>err </dev/null &
    life=$!
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" &
    timer=$!
    {
        wait -n $life $timer
        kill -KILL $life
        kill $timer
        wait $life
    } 2>/dev/null  # where the shell says who was killed, and who is gone already
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

# ---- numbers out of their range: as refused, but one line for a whole flag ----
flag_failures=()
bad_value() {  # VERB FLAG VALUE PATTERN
    run "$1" "$2" "$3"
    local what
    what=$(problem 2 "error: $2 " "$4")
    [ -z "$what" ] && [ -s out ] && what="stdout: $(head -c 100 out)"
    [ -z "$what" ] && [ "$(wc -l <err)" -gt 3 ] && what="$(wc -l <err) lines"
    [ -z "$what" ] || flag_failures+=("'$3': $what")
}
flag_done() { if [ ${#flag_failures[@]} = 0 ]; then ok "$1"; else fail "$1" "${flag_failures[*]}"; fi; flag_failures=(); }
# count VERB FLAG LOW HIGH: what lies outside of a whole number's range, and what is no number.
count() {
    local value
    for value in $(($3 - 1)) -9223372036854775808 99999999999999999999 1.5 nan '' '12x' ' 1' 0x10 1e3; do
        bad_value "$1" "$2" "$value" "$3 to $4"
    done
    [ "$4" = 9223372036854775807 ] || bad_value "$1" "$2" $(($4 + 1)) "$3 to $4"
    bad_value "$1" "$2" 9223372036854775808 "$3 to $4"  # 2^63
    flag_done "$1 $2 outside $3 to $4"
}
# real VERB FLAG RANGE VALUE...: the same for real numbers; VALUEs outside of the range.
real() {
    local value
    for value in nan inf -inf 1e400 '' x 1,5 0x1p3 ' 1' --1 "${@:4}"; do bad_value "$1" "$2" "$value" "$3"; done
    flag_done "$1 $2 not $3"
}
