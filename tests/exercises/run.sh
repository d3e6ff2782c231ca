#!/usr/bin/env bash
# run.sh FOLDER - every exercise as it comes must fail, and every one needs a solution here that passes.
# FOLDER is the build folder; `make exercises-check` has compiled the programs into it.
set -uo pipefail
build=$1
failures=0
wrong() { echo "  FAIL  $1"; failures=$((failures + 1)); }

count=0
for exercise in chapters/[0-9][0-9]_*/exercises/[0-9]*_*.cpp; do
    [ -e "$exercise" ] || continue
    count=$((count + 1))
    chapter=${exercise#chapters/}
    number=${exercise##*/}
    number=${number%%_*}
    make --dry-run "exercise-${chapter%%_*}-$number" >/dev/null 2>&1 ||
        wrong "$exercise: make exercise-${chapter%%_*}-$number is no target"
    output=$(timeout 60 "$build/${exercise%.cpp}" 2>&1)
    status=$?
    # A crash or an endless loop is no verdict: the checker must say what is not solved yet.
    if [ $status = 0 ]; then
        wrong "$exercise passes before anybody has solved it"
    elif [ $status -ge 124 ] || [ -z "$output" ]; then
        wrong "$exercise ends with status $status instead of saying what is missing"
    else
        echo "  pass  $exercise fails as it comes"
    fi
    solutions=(tests/exercises/"${chapter%%_*}/$number"_*.cpp)
    [ -e "${solutions[0]}" ] || wrong "$exercise has no solution in tests/exercises/${chapter%%_*}/"
done
for solution in tests/exercises/[0-9][0-9]/[0-9]*_*.cpp; do
    [ -e "$solution" ] || continue
    if output=$(timeout 60 "$build/${solution%.cpp}" 2>&1); then
        echo "  pass  $solution"
    else
        printf '%s\n' "$output"
        wrong "$solution does not pass"
    fi
done
echo "$count exercises, $failures failed"
[ $failures = 0 ]
