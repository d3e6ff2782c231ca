#!/usr/bin/env bash
# The ladder program climbs every family and finds no rung wrong; an unknown family is a usage error.
set -u
cd "$(dirname "$0")/../.." || exit 2
ladder=${GPT_BUILD_DIR:-build/host}/bench/ladder
if [ ! -x "$ladder" ]; then
    echo "skipped: this build has no CUDA kernels, BUILD=host has"
    exit 0
fi
failures=0
fail() { echo "FAILED: $*"; failures=1; }

output=$("$ladder" --check) || fail "ladder --check exits $?"
echo "$output"
for family in matmul softmax layernorm attention_forward attention_backward; do
    grep -q "^$family: against the CPU" <<<"$output" || fail "$family was not climbed"
done
grep -q '^  ok ' <<<"$output" || fail "no rung is ok"

one=$("$ladder" --check --family softmax) || fail "--family softmax exits $?"
grep -q '^matmul' <<<"$one" && fail "--family softmax climbs matmul too"
"$ladder" --family escalator >/dev/null 2>&1
[ $? = 2 ] || fail "an unknown family should exit 2"

echo "$(grep -c '^  ok ' <<<"$output") passed, $failures failed"
exit $failures
