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

# ---- --into: the header libraries into a folder, from packages that we make up out of this machine's own headers ----
cat >"$sandbox/bin/apt-get" <<END
#!/bin/bash
while [ "\$1" != download ] && [ \$# -gt 0 ]; do shift; done
shift
for package; do : >"\$package.deb"; done
END
cat >"$sandbox/bin/dpkg-deb" <<END
#!/bin/bash
mkdir -p "\$3/usr/include"
case \$2 in
    *libcli11-dev*) cp -r /usr/include/CLI "\$3/usr/include/" ;;
    *nlohmann*) cp -r /usr/include/nlohmann "\$3/usr/include/" ;;
    *catch2*) cp -r /usr/include/catch2 "\$3/usr/include/"; mkdir -p "\$3/usr/lib/any"; : >"\$3/usr/lib/any/libCatch2.a" ;;
esac
END
chmod +x "$sandbox/bin/apt-get" "$sandbox/bin/dpkg-deb"
if [ -d /usr/include/CLI ] && [ -d /usr/include/nlohmann ] && [ -d /usr/include/catch2 ]; then
    PATH="$sandbox/bin:$PATH" bash tools/deps --into "$sandbox/tree" >/dev/null 2>&1 || { echo "FAILED: --into"; failures=1; }
    [ -e "$sandbox/tree/lib/libCatch2.a" ] || { echo "FAILED: --into leaves out Catch2's archive"; failures=1; }
    # What the sources include of packages comes from the folder; of the system they need the compiler's and the kernel's own.
    grep -q -e "-isystem .deps/include" Makefile || { echo "FAILED: the Makefile does not look into .deps"; failures=1; }
    for file in common/io/cli.cpp tests/support/main.cpp $(grep -ls '<nlohmann' common/*/*.cpp chapters/*/*.cpp tests/*/*.cpp); do
        foreign=$("${CXX:-g++}" -std=c++17 -M -Icommon -I. -isystem "$sandbox/tree/include" "$file" | tr -s ' \\\\' '\n' |
            grep -E '/(CLI|nlohmann|catch2)/' | grep -v "^$sandbox/tree/" | head -1)
        [ -z "$foreign" ] || { echo "FAILED: $file takes $foreign, not the folder's"; failures=1; }
    done
else
    echo "skipped: tools/deps --into: the headers are not under /usr/include here"
fi

# The machine that runs this test has everything, so there is nothing to say and nothing to wait for.
output=$(DEPS=no tools/deps --quiet 2>&1)
[ "$?$output" = 0 ] || { echo "FAILED: --quiet on a complete machine: $output"; failures=1; }
exit $failures
