#!/usr/bin/env bash
# tools/deps on machines that we make up: a PATH with no compiler, a package manager that only takes notes.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir "$sandbox/bin"
for tool in bash env sed cat tr head tail mktemp rm grep mkdir; do ln -s "$(command -v $tool)" "$sandbox/bin/$tool"; done
failures=0

# A package manager that installs nothing, fails until its lists were updated, and writes down what it was told.
cat >"$sandbox/bin/apt-get" <<END
#!/bin/bash
echo "apt-get \$*" >>"$sandbox/log"
if [ "\$1" = update ]; then : >"$sandbox/lists"; fi
[ -e "$sandbox/lists" ]
END
user() { printf '#!/bin/bash\necho %s\n' "$1" >"$sandbox/bin/id"; chmod +x "$sandbox/bin/id"; }
chmod +x "$sandbox/bin/apt-get"

# expect NAME STATUS PATTERN [VARIABLE=VALUE...]: what tools/deps must end with and say; \$log is what apt-get was told.
expect() {
    local name=$1 status=$2 pattern=$3 output got
    shift 3
    rm -f "$sandbox/log" "$sandbox/lists"
    output=$(cd "$sandbox" && env -u DEPS -u CXX PATH="$sandbox/bin" CI=true "$@" bash "$root/tools/deps" 2>&1 </dev/null)
    got=$?
    log=$(cat "$sandbox/log" 2>/dev/null)
    if [ $got != "$status" ] || [[ $output != *$pattern* ]]; then
        echo "FAILED: $name: wanted status $status and '$pattern', got $got and: $output"
        failures=1
    fi
}
refuse() { echo "FAILED: $1: apt-get was told: $log"; failures=1; }

user 0
expect 'root installs' 0 'installed: a C++17 compiler'
[[ $log == *'apt-get install -y --no-install-recommends --no-upgrade g++ make curl'*$'\n''apt-get update'$'\n''apt-get install'* ]] ||
    refuse 'root installs, and reads the package lists when the first try fails'
expect 'DEPS=no leaves the system alone, root or not' 1 'to install: apt-get install' DEPS=no
[ -z "$log" ] || refuse 'DEPS=no'
expect 'a bad DEPS is named' 2 'DEPS=maybe is unknown' DEPS=maybe

user 1000
expect 'a user without a terminal is told the command' 1 'to install: sudo apt-get install'
[ -z "$log" ] || refuse 'a user without a terminal'
printf '#!/bin/bash\nexec "$@"\n' >"$sandbox/bin/sudo"
chmod +x "$sandbox/bin/sudo"
expect 'a user who says DEPS=install gets it' 0 'installed:' DEPS=install

rm "$sandbox/bin/apt-get"
expect 'an unknown system is told what to look for' 1 'to install: a C++17 compiler' DEPS=install

# The machine that runs this test has everything, so there is nothing to say and nothing to wait for.
output=$(DEPS=no tools/deps --quiet 2>&1)
[ "$?$output" = 0 ] || { echo "FAILED: --quiet on a complete machine: $output"; failures=1; }
exit $failures
