#!/usr/bin/env bash
# run.sh - runs test programs one after another, goes on after a failure, and says at the end how many passed.
#   tests/run.sh BUILD PROGRAM... -- ARGUMENTS      Catch2 programs; ARGUMENTS are theirs
#   tests/run.sh scripts SCRIPT...                  shell tests: they pass when they exit 0
# TEST_JOBS=2 runs two of them at a time: for those that use one core, as under sanitizers.
# GPT_PROOFS=FOLDER keeps what each program compared, for tools/proof: FOLDER/PROGRAM (tests/support/proof.h).
set -uo pipefail
TEST_JOBS=${TEST_JOBS:-1}
kind=$1
shift
programs=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do programs+=("$1"); shift; done
[ $# -gt 0 ] && shift

# ThreadSanitizer cannot place its shadow memory under some kernels' address randomisation.
launcher=()
if [ "$kind" = tsan ]; then
    if setarch -R true 2>/dev/null; then
        launcher=(setarch -R)
    elif ! "${programs[0]}" --list-tags >/dev/null 2>&1; then
        echo "skipped: ThreadSanitizer does not start here, and neither does setarch -R"
        exit 0
    fi
fi

# run_one PROGRAM: its line to stdout, and all that it printed where it failed
run_one() {
    local program=$1 start output status ms summary
    start=$(date +%s%N)
    if [ "$kind" = scripts ]; then
        output=$(bash "$program" 2>&1)
    else
        [ -z "${GPT_PROOFS:-}" ] || export GPT_PROOF=$GPT_PROOFS/${program##*/}
        output=$("${launcher[@]}" "$program" "${arguments[@]}" 2>&1)
    fi
    status=$?
    ms=$((($(date +%s%N) - start) / 1000000))
    if [ $status = 0 ]; then
        # The last line says how much was tested, for Catch2 and for our scripts that count.
        summary=$(tail -1 <<<"$output")
        printf '  pass  %-40s %4d.%d s  %s\n' "$program" $((ms / 1000)) $((ms % 1000 / 100)) "$summary"
        grep '^skipped:' <<<"$output" | sed 's/^/        /'
        return 0
    fi
    printf '%s\n' "$output"
    printf '  FAIL  %-40s exit status %d\n' "$program" $status
    return 1
}

arguments=("$@")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for i in "${!programs[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$TEST_JOBS" ]; do wait -n; done
    { run_one "${programs[i]}" >"$folder/$i.out" || touch "$folder/$i.failed"; cat "$folder/$i.out"; } &
done
wait
failed=()
for i in "${!programs[@]}"; do
    [ -e "$folder/$i.failed" ] || continue
    failed+=("${programs[i]}")
    # Once more at the end: whoever shortens a log keeps its last lines.
    grep -E '^FAILED|: FAILED:' "$folder/$i.out" | sed "s|^|  ${programs[i]}: |"
done
echo "${#programs[@]} programs, ${#failed[@]} failed${failed:+: ${failed[*]}}"
[ ${#failed[@]} = 0 ]
