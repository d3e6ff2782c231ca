#!/usr/bin/env bash
# tools/compare-runs on two tiny runs whose schedules rise and fall: the table has their numbers, the pictures their curves, and
# what is no run is refused.
# shellcheck source=tests/chapter02/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/../chapter02/support.sh"

if ! command -v python3 >/dev/null; then
    skip 'compare-runs' 'no python3 here'
    finish
    exit
fi
compare=$repository/tools/compare-runs
steps=(--max-steps 40 --decay-steps 40 --eval-every 20 --sample-tokens 1 --lr 5e-4)
run train "${tiny[@]}" "${steps[@]}" --min-lr 6e-4 --warmup 0 --head-size 4 --out rising
run train "${tiny[@]}" "${steps[@]}" --min-lr 5e-5 --warmup 10 --out falling

"$compare" losses rising falling --names original fixed --out both >out 2>err
status=$?
check 'losses: written, and nothing said' eval '[ $status = 0 ] && [ ! -s out ] && [ ! -s err ]'
check 'options that differ' grep -q '^| .min-lr. | 0.0006 | 5e-05 |$' both.md
check 'options that do not differ' eval '! grep -q "^| .layers. " both.md'
last() { tail -n 1 "$1/log.csv" | awk -F, '{printf "%.4f", $7}'; }
check 'validation losses of the last step' grep -q "^| 40 | 0.0006 | .* | $(last rising) | 5e-05 | .* | $(last falling) |\$" both.md
mean() { awk -F, 'NR > 1 && $1 > 20 {sum += $3; n++} END {printf "%.4f", sum / n}' "$1/log.csv"; }
check 'training losses are means of 20 steps' grep -q "^| 40 | 0.0006 | $(mean rising) | .* | 5e-05 | $(mean falling) | " both.md
check 'both evaluations' [ "$(grep -c '^| [24]0 | ' both.md)" = 2 ]
check 'the commands' eval 'grep -q "^- original: .chapter02 train .*--out rising" both.md && grep -q "^- fixed: " both.md'
check 'four curves and a word for each' eval '[ "$(grep -o "class=\"curve [a-z]*\" stroke=\"var(--c[01])\" d=\"M[0-9.]* [0-9.]*L" both.svg | wc -l)" = 4 ] && grep -q "fixed, validation: .* at step 20, $(awk "BEGIN {printf \"%.4g\", $(last falling)}") at 40" both.svg'
"$compare" schedules rising falling --names original fixed --out rates.svg
check 'schedules: one rises, one falls' grep -q 'original: 0.000500. at step 1, 0.0006 at 40. fixed: 5e-05 at step 1, 5e-05 at 40.' rates.svg
for picture in both.svg rates.svg; do check "$picture is XML" python3 -c "import sys, xml.dom.minidom; xml.dom.minidom.parse('$picture')"; done

# wrong NAME EXPECTED ARGUMENTS...: one line, exit code 1, and no file.
wrong() {
    "$compare" "${@:3}" --out wrong >out 2>err
    local status=$?
    check "refused: $1" eval '[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && ! ls wrong* >/dev/null 2>&1'
    check "refused with its reason: $1" grep -q "$2" err
}
wrong 'no such run' 'nowhere is no run' losses rising nowhere
mkdir young && cp rising/config.json young && head -n 1 rising/log.csv >young/log.csv
wrong 'no step yet' 'young has not trained a step' losses rising young
cp -r rising torn && printf '41,2' >>torn/log.csv
wrong 'a torn log' 'torn is no run' losses rising torn
cp -r rising foreign && sed -i 's/"data.hash": "[^"]*"/"data.hash": "other"/' foreign/config.json
wrong 'other data' 'different tokens' losses rising foreign
finish
