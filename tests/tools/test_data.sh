#!/usr/bin/env bash
# data/fetch.sh with sources that we make up: right, wrong, missing. No network is used: the public home is a dead address.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir -p "$sandbox/repository/data" "$sandbox/mirror/tiny" "$sandbox/bad/tiny"
cp data/fetch.sh "$sandbox/repository/data"
cd "$sandbox/repository" || exit 2
printf 'to be or not\n' >"$sandbox/mirror/tiny/input.txt"
printf 'to be or NOT\n' >"$sandbox/bad/tiny/input.txt"
cat >data/tiny.sh <<'END'
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
fetch tiny input.txt 13 6e0ba0a3d5b2a4a40e4e5d1a4b4a4f3a http://127.0.0.1:9/input.txt
END
hash=$(source data/fetch.sh && sha256_of "$sandbox/mirror/tiny/input.txt")
sed -i "s/6e0ba0a3d5b2a4a40e4e5d1a4b4a4f3a/$hash/" data/tiny.sh
failures=0

# expect NAME STATUS PATTERN VARIABLE=VALUE...
expect() {
    local name=$1 status=$2 pattern=$3 output got
    shift 3
    output=$(env -u DATA_MIRROR "$@" bash data/tiny.sh 2>&1)
    got=$?
    if [ $got != "$status" ] || [[ $output != *$pattern* ]]; then
        echo "FAILED: $name: wanted status $status and '$pattern', got $got and: $output"
        failures=1
    fi
}
is_there() { [ "$(cat data/tiny/input.txt 2>/dev/null)" = 'to be or not' ]; }

expect 'no source' 1 'no source had data/tiny/input.txt' A=
if is_there; then echo 'FAILED: a file from nowhere'; failures=1; fi
expect 'a wrong file in the mirror is refused by name' 1 "bad/tiny/input.txt: refused, its sha256" DATA_MIRROR="$sandbox/bad"
if [ -n "$(ls data/tiny)" ]; then echo "FAILED: left behind: $(ls data/tiny)"; failures=1; fi
expect 'a mirror' 0 '13 bytes from' DATA_MIRROR=../mirror
is_there || { echo 'FAILED: the file of the mirror did not arrive'; failures=1; }
output=$(bash data/tiny.sh 2>&1)
[ "$?$output" = 0 ] || { echo "FAILED: should be silent when all is there: $output"; failures=1; }
echo more >>data/tiny/input.txt
expect 'a damaged file is named and replaced' 0 'refused, it has 18 bytes instead of 13' DATA_MIRROR="$sandbox/mirror"
is_there || { echo 'FAILED: the damaged file is still there'; failures=1; }
rm -r data/tiny
mkdir -p ../shared/data && cp -r ../mirror/tiny ../shared/data/
expect 'the sibling folder is the mirror of last resort' 0 '13 bytes from' A=
is_there || { echo 'FAILED: the sibling folder was not looked at'; failures=1; }
exit $failures
