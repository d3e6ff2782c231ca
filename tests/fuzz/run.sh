#!/usr/bin/env bash
# run.sh - runs every fuzz target of this folder for FUZZ_SECONDS (30) under AddressSanitizer and UBSan.
# With clang's libFuzzer where it works (--has-libfuzzer only asks that), else with standalone/main.cpp. Seeds:
# tests/fuzz/corpus/NAME/. What libFuzzer finds on the way stays in build/fuzz-corpus/NAME/; an input that fails is left as
# build/fuzz-corpus/NAME-crash-*.
set -uo pipefail
seconds=${FUZZ_SECONDS:-30}
shopt -s nullglob
unset MAKEFLAGS MAKELEVEL  # what is built here has its own flags
targets=(tests/fuzz/*.cpp)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz targets in tests/fuzz"; exit 0; }

clang="clang++"
case ${CXX:-} in *clang*) clang=$CXX ;; esac
mkdir -p build
probe=$(mktemp)
trap 'rm -f "$probe"' EXIT
has_libfuzzer() {
    echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
        $clang -x c++ -fsanitize=fuzzer,address - -o "$probe" 2>/dev/null
}
if [ "${1:-}" = --has-libfuzzer ]; then
    has_libfuzzer
    exit
elif has_libfuzzer; then
    driver=libfuzzer build=(make BUILD=fuzz MARCH=native CXX="$clang")
else
    driver=standalone build=(make BUILD=asan MARCH=native CXX=g++)
fi
"${build[@]}" fuzzers || exit 1
folder=$("${build[@]}" where)

failures=0
for target in "${targets[@]}"; do
    name=$(basename "$target" .cpp)
    seeds=(tests/fuzz/corpus/"$name"/*)
    mkdir -p "build/fuzz-corpus/$name"
    if [ $driver = libfuzzer ]; then
        command=("$folder/fuzz/$name" "-max_total_time=$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1
            "-artifact_prefix=build/fuzz-corpus/$name-" "build/fuzz-corpus/$name")
        [ ${#seeds[@]} = 0 ] || command+=("tests/fuzz/corpus/$name")
    else
        command=("$folder/fuzz/$name" "$seconds" "${seeds[@]}")
    fi
    if output=$("${command[@]}" 2>&1); then
        runs=$(grep -oE 'number_of_executed_units: [0-9]+|^[0-9]+ inputs' <<<"$output" | grep -oE '[0-9]+' | head -1)
        echo "  pass  $name: ${runs:-?} inputs in $seconds s ($driver)"
    else
        tail -40 <<<"$output"
        echo "  FAIL  $name ($driver): ${command[*]}"
        failures=$((failures + 1))
    fi
done
echo "${#targets[@]} fuzz targets, $failures failed"
[ $failures = 0 ]
