#!/usr/bin/env bash
# What comes from outside and is wrong: texts, prompts, checkpoints, folders, disks, streams. Message and exit status of each.
# shellcheck source=tests/chapter00/support.sh
source "$(dirname "$0")/support.sh"
if [ "$(id -u)" = 0 ]; then is_root=true; else is_root=false; fi
no_text=(--preset tiny --threads 1 --max-steps 2)

# ---- the text ----
refused 'text: missing' 1 'cannot read no.txt' 'No such file' -- train "${no_text[@]}" --data no.txt --out o
: >empty.txt
refused 'text: empty' 1 'empty.txt is empty' -- train "${no_text[@]}" --data empty.txt --out o
mkdir folder.txt
refused 'text: a folder' 1 'folder.txt' 'it is a folder' -- train "${no_text[@]}" --data folder.txt --out o
if $is_root; then
    skip 'text: unreadable' 'root may read everything'
else
    echo text >locked.txt
    chmod 0 locked.txt
    refused 'text: unreadable' 1 'locked.txt' 'Permission denied' -- train "${no_text[@]}" --data locked.txt --out o
fi
refused 'text: below a file' 1 'Not a directory' -- train "${no_text[@]}" --data text.txt/x --out o
ln -s loop.txt loop.txt
refused 'text: a link to itself' 1 'cannot read loop.txt' -- train "${no_text[@]}" --data loop.txt --out o
printf a >one.txt
refused 'text: one character' 1 'one.txt has 1 characters' -- train "${no_text[@]}" --data one.txt --out o
printf %s '0123456789' >ten.txt
refused 'text: ten characters' 1 'ten.txt has 10 characters' 'at least 11' -- train "${no_text[@]}" --context 1 --data ten.txt --out o
printf %s '0123456789ab' >eleven.txt
accepted 'text: eleven characters' -- train "${no_text[@]}" --context 1 --data eleven.txt --out eleven
refused 'text: shorter than the context' 1 '--context 32' 'at most 1' -- train "${no_text[@]}" --data eleven.txt --out o
head -c 300 text.txt >short.txt
refused 'text: 300 characters' 1 '--context 32' 'at most 29' -- train "${no_text[@]}" --data short.txt --out o
accepted 'text: 300 characters, --context 29' -- train "${no_text[@]}" --context 29 --data short.txt --out fits
refused 'text: 300 characters, --context 30' 1 'at most 29' -- train "${no_text[@]}" --context 30 --data short.txt --out o
{ head -c 1000 text.txt; printf '\xe9'; tail -c 1000 text.txt; } >latin1.txt
refused 'text: Latin-1' 1 'latin1.txt' 'byte 1000 is 0xe9' iconv -- train "${no_text[@]}" --data latin1.txt --out o
for bad in '\xc0\xaf overlong' '\xed\xa0\x80 surrogate' '\xf4\x90\x80\x80 above-U+10FFFF' '\x80 continuation' '\xe2\x82 cut'; do
    { head -c 7 text.txt; printf '%b' "${bad% *}"; } >bad.txt
    refused "text: UTF-8, ${bad#* }" 1 'byte 7 is' -- train "${no_text[@]}" --data bad.txt --out o
done
truncate -s 1T sparse.txt && refused 'text: larger than the memory' 1 'sparse.txt' 1099511627776 -- train "${no_text[@]}" --data sparse.txt --out o
rm -f sparse.txt
[ -r /dev/zero ] && refused 'text: without an end' 1 '/dev/zero' -- train "${no_text[@]}" --data /dev/zero --out o
[ -r /proc/self/mem ] && refused 'text: a read error' 1 'cannot read /proc/self/mem' -- train "${no_text[@]}" --data /proc/self/mem --out o
escapes=$'e\e[2J\n\xff</script>.txt'
refused 'text: hostile name' 1 'e\x1b[2J\n\xff</script>.txt' -- train "${no_text[@]}" --data "$escapes" --out o
run train "${no_text[@]}" --data <(cat text.txt) --out pipe
check 'text: from a pipe' [ "$status" = 0 ]

# ---- a model to ask, trained on characters of one to four bytes and on zero bytes ----
printf 'a\0b\e[31m<b>&"\\\xe2\x80\xa8\xc3\xa9\xf0\x9f\x98\x80\xef\xbb\xbf\xc2\x85\n%.0s' {1..40} >strange.txt
accepted 'strange characters: train' -- train "${no_text[@]}" --data strange.txt --out strange --context 8 --sample-tokens 200
accepted 'strange characters: sample' -- sample --checkpoint strange --prompt 'a' --tokens 50
check 'strange characters: zero bytes reach stdout' [ "$(tr -cd '\0' <out | wc -c)" -gt 0 ]
run sample --checkpoint strange --tokens 100 --json
check 'strange characters: one line of JSON' [ "$(wc -l <out)" = 1 ]
if command -v python3 >/dev/null; then check 'strange characters: valid JSON' python3 -m json.tool out /dev/null; fi
accepted 'strange characters: resume' -- train --resume strange --data strange.txt --max-steps 4
check 'strange characters: no control characters in the report' eval "! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f]' strange/report.html"

accepted 'model' -- train "${tiny[@]}" --max-steps 2 --out model --eval-every 1
refused 'prompt: unknown character' 1 "'Z'" 'U+005A' 'never seen' -- sample --checkpoint model --prompt 'aZ'
refused 'prompt: unknown, wide' 1 'U+1F600' -- sample --checkpoint model --prompt $'\xf0\x9f\x98\x80'
refused 'prompt: terminal escape' 1 'U+001B' '\x1b' -- sample --checkpoint model --prompt $'\e[31m'
refused 'prompt: not UTF-8' 1 '--prompt' 'byte 1 is 0xff' -- sample --checkpoint model --prompt $'a\xffb'
refused 'prompt: empty' 2 '--prompt is empty' -- sample --checkpoint model --prompt ''
refused 'top-k above the alphabet' 2 '--top-k 1000' -- sample --checkpoint model --top-k 1000

# ---- checkpoints ----
cp model/checkpoint.safetensors good
bytes=$(wc -c <good)
header=$((8 + $(od -An -tu8 -N8 good)))
damaged() { rm -rf damaged; mkdir damaged; cat >damaged/checkpoint.safetensors; }
refuse_both() {  # NAME PATTERN...
    refused "$1" 1 damaged "${@:2}" -- train --resume damaged --data text.txt
}
refused 'resume: missing folder' 1 'no such folder' -- train --resume nowhere
mkdir void
refused 'resume: empty folder' 1 'void' 'no checkpoint.safetensors' -- train --resume void
refused 'resume: a file' 1 'that is a file' -- train --resume good
refused 'resume: hostile name' 1 '\x1b[2J\n' -- train --resume $'\e[2J\n'
refused 'sample: missing' 1 nowhere 'No such file' -- sample --checkpoint nowhere
refused 'sample: empty folder' 1 void 'no checkpoint.safetensors' -- sample --checkpoint void
refused 'sample: no run yet' 1 'train one first' -- sample
mkdir -p deep/checkpoint.safetensors
refused 'resume: the checkpoint is a folder' 1 deep -- train --resume deep
for length in 0 1 7 8 9 100 $((header - 1)) "$header" $((header + 1)) $((bytes / 2)) $((bytes - 1)); do
    damaged < <(head -c "$length" good)
    refuse_both "resume: cut to $length bytes"
done
damaged < <(cat good; printf x)
refuse_both 'resume: a byte too many'
flip() {  # OFFSET: another bit there
    local byte
    byte=$(od -An -tu1 -j "$1" -N 1 good)
    damaged < <(head -c "$1" good; printf '%b' "$(printf '\\x%02x' $((byte ^ (1 << $1 % 8))))"; tail -c +$(($1 + 2)) good)
    refuse_both "resume: bit $(($1 % 8)) of byte $1 flipped"
}
in_metadata=$(grep -abo '"step":"' good | head -1 | cut -d : -f 1)
in_shape=$(grep -abo '"shape":\[' good | head -1 | cut -d : -f 1)
for offset in 0 3 7 8 20 60 $((in_metadata + 8)) $((in_shape + 9)) $((header - 1)) "$header" $((header + 5)) $(((header + bytes) / 2)) $((bytes - 1)); do
    flip "$offset"
done
damaged < <(cat text.txt)
refuse_both 'resume: a text'
damaged < <(head -c 5000 /dev/zero)
refuse_both 'resume: zeros'
foreign='{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
damaged < <(printf '%b' "\\x$(printf %02x ${#foreign})\0\0\0\0\0\0\0"; printf %s "$foreign"; printf '\0\0\0\0\0\0\0\0')
refuse_both 'resume: a foreign file' 'no checksums'
refused 'sample: a foreign file' 1 damaged "no 'format'" -- sample --checkpoint damaged/checkpoint.safetensors
damaged < <(printf '\377\377\377\377\377\377\377\177{}')
refuse_both 'resume: a header without end' 'header claims 9223372036854775807 bytes'
if command -v python3 >/dev/null; then
    # A file with right checksums and other contents, as another program, or an enemy, could write it.
    cat >rewrite.py <<'PYTHON'
import json, struct, sys
M = (1 << 64) - 1
P = [11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261]
rot = lambda x, r: ((x << r) | (x >> (64 - r))) & M
rnd = lambda a, v: rot((a + v * P[1]) & M, 31) * P[0] & M
def xxh64(b):
    i, n = 0, len(b)
    if n >= 32:
        v = [(P[0] + P[1]) & M, P[1], 0, -P[0] & M]
        while i + 32 <= n:
            v = [rnd(v[k], w) for k, w in enumerate(struct.unpack_from("<4Q", b, i))]
            i += 32
        h = (rot(v[0], 1) + rot(v[1], 7) + rot(v[2], 12) + rot(v[3], 18)) & M
        for a in v: h = ((h ^ rnd(0, a)) * P[0] + P[3]) & M
    else: h = P[4]
    h = (h + n) & M
    while i + 8 <= n: h = (rot(h ^ rnd(0, struct.unpack_from("<Q", b, i)[0]), 27) * P[0] + P[3]) & M; i += 8
    if i + 4 <= n: h = (rot(h ^ struct.unpack_from("<I", b, i)[0] * P[0] & M, 23) * P[1] + P[2]) & M; i += 4
    for c in b[i:]: h = rot(h ^ c * P[4] & M, 11) * P[0] & M
    h = (h ^ h >> 33) * P[1] & M
    h = (h ^ h >> 29) * P[2] & M
    return h ^ h >> 32
raw = open("good", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + n])
for change in sys.argv[1:]:
    kind, key, value = change.split("=", 2)
    if kind == "set": header["__metadata__"][key] = value
    if kind == "del": del header["__metadata__"][key]
    if kind == "shape": header[key]["shape"] = json.loads(value)
    if kind == "name": header = {(value if k == key else k): v for k, v in header.items()}
header["__metadata__"]["header_checksum"] = "xxh64:" + "0" * 16
text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
text += b" " * (-len(text) % 8)
text = text.replace(b"xxh64:" + b"0" * 16, b"xxh64:%016x" % xxh64(text), 1)
open("damaged/checkpoint.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + n:])
PYTHON
    rewritten() {  # NAME CHANGE PATTERN...
        rm -rf damaged; mkdir damaged; python3 rewrite.py "$2"; refuse_both "resume: $1" "${@:3}"
    }
    rm -rf damaged; mkdir damaged; python3 rewrite.py; cp damaged/checkpoint.safetensors copy
    check 'the rewriter rewrites nothing by itself' cmp -s good copy
    rewritten 'another program' 'set=format=other 1' 'another program' 'other 1'
    rewritten 'terminal escapes in the metadata' $'set=format=\e[2J' '\x1b[2J'
    rewritten 'another shape' 'shape=wte.weight=[16,64]' 'wte.weight'
    rewritten 'another shape, same size' "shape=h.0.ln_1.bias=[32,1]" 'h.0.ln_1.bias' '(32,1)' '(32)'
    rewritten 'a tensor with another name' 'name=ln_f.bias=ln_g.bias' 'ln_f.bias'
    rewritten 'a moment is missing' 'name=optimizer.v.ln_f.bias=x' 'optimizer.v.ln_f.bias'
    rewritten 'channels disagree with the tensors' 'set=channels=64' 'wte.weight' '(29,64)'
    for key in format layers seed step tokens epoch_loss_sum epochs_done data.hash; do
        rewritten "no $key" "del=$key=" "'$key'"
    done
    for change in layers=x layers=0 layers=-1 layers=99999999999999999999 channels=65537 heads=0 head-size=1e3 context=0 \
        batch=0 dropout=1 dropout=nan lr=inf beta2=1 tied=maybe activation=glu init=zero seed=-1 step=-1 step=1x tokens= \
        epoch_loss_sum=00 max-steps=-5 eval-every=x sample-tokens=0 accumulate=0; do
        rewritten "$change" "set=$change" "${change%%=*}"
    done
    rewritten 'sizes that no machine has' 'set=layers=1000' 'h.2.'
    rewritten 'an epoch too many' 'set=epochs_done=1' 'epoch.1.train_loss'
    rewritten 'another text' 'set=data.hash=xxh64:0' 'another text' '--data'
    rm -rf damaged; mkdir damaged; python3 rewrite.py 'set=data.alphabet='
    refused 'sample: no alphabet' 1 'data.alphabet' -- sample --checkpoint damaged
    python3 rewrite.py 'set=channels=65536'
    refused 'sample: another shape' 1 bytes -- sample --checkpoint damaged
fi
rm -f text2.txt; make_text 100 >text2.txt
refused 'resume: another text' 1 'another text' '--data' -- train --resume model --data text2.txt
for flag in '--layers 3' '--channels 64' '--seed 5' '--lr 0.5' '--dropout 0.5' '--batch 8' '--accumulate 2' '--epochs 7' '--tied' \
    '--activation relu' '--weight-decay 0.5' '--warmup 3' '--min-lr 1e-9' '--heads 4' '--head-size 8' '--context 8' '--preset full'; do
    # shellcheck disable=SC2086
    refused "resume: $flag contradicts" 1 "${flag%% *}" 'contradicts the checkpoint' -- train --resume model --data text.txt $flag
done
accepted 'resume: a flag that agrees' 'finished' -- train --resume model --data text.txt --layers 2 --lr 1e-3 --no-tied --preset tiny

# ---- folders and disks ----
refused '--out: holds a checkpoint' 1 'model holds a checkpoint' '--resume model' -- train "${tiny[@]}" --out model
refused '--out: a file' 1 'text.txt' 'Not a directory' -- train "${tiny[@]}" --out text.txt
refused '--out: below a file' 1 'text.txt/x' 'Not a directory' -- train "${tiny[@]}" --out text.txt/x
refused '--out: hostile name' 1 '\x1b[2J' -- train "${tiny[@]}" --out $'text.txt/\e[2J'
refused '--out: a name that is too long' 1 'File name too long' -- train "${tiny[@]}" --out "$(printf 'x%.0s' {1..300})"
[ -d /proc/self ] && refused '--out: unwritable' 1 '/proc/nothing' -- train "${tiny[@]}" --out /proc/nothing
mkdir used && echo mine >used/notes
accepted '--out: a folder without a checkpoint' -- train "${tiny[@]}" --max-steps 1 --out used
check '--out: what is in it stays' [ "$(cat used/notes)" = mine ]
accepted '--out: new, below new' -- train "${tiny[@]}" --max-steps 1 --out new/er/est/
accepted 'default folder: 1' 'runs/chapter00/001' -- train "${tiny[@]}" --max-steps 1
accepted 'default folder: 2' 'runs/chapter00/002' -- train "${tiny[@]}" --max-steps 1
for round in 1 2 3; do
    for _ in 1 2 3 4 5 6 7 8; do "$program" train "${tiny[@]}" --max-steps 1 --threads 1 >/dev/null 2>&1 & done
    wait
    check 'default folder: eight at the same moment, each has its own' \
        [ "$(find runs/chapter00 -name report.html | wc -l)" = $((2 + 8 * round)) ]
done
accepted 'sample: the newest run' -- sample --tokens 3
if $is_root; then
    skip '--out: no permission' 'root may write everywhere'
else
    mkdir locked && chmod 500 locked
    refused '--out: no permission' 1 'Permission denied' -- train "${tiny[@]}" --out locked
fi
# A full disk, as a limit for files: each file of the run may have so many KiB. The checkpoint needs 360 of them.
limited() { (ulimit -f "$1"; shift; timeout 60 "$program" "$@" >out 2>err); status=$?; }
limited 100 train "${tiny[@]}" --out limited
what=$(problem 1 'cannot write limited/checkpoint.safetensors' 'File too large')
conclude 'files may not grow: at the start' "$what"
check 'files may not grow: no leftovers' [ -z "$(find limited -name '*.tmp')" ]
if $is_root && mkdir small && mount -t tmpfs -o size=900k none small 2>/dev/null; then
    trap 'cd /; umount "$work/small"; rm -rf "$work"' EXIT
    # Room for one checkpoint and a second beside it; the filler takes it away while the run is under way.
    run train "${tiny[@]}" --max-steps 10 --out small/run
    check 'full disk: a run that fits' [ "$status" = 0 ]
    cp small/run/checkpoint.safetensors before
    head -c 2000000 /dev/zero >small/filler 2>/dev/null
    refused 'full disk: at the start' 1 'small/other' 'No space left' -- train "${tiny[@]}" --out small/other
    refused 'full disk: resume' 1 'No space left' -- train --resume small/run --data text.txt --max-steps 20
    check 'full disk: the old checkpoint is kept' cmp -s before small/run/checkpoint.safetensors
    head -c 300000 small/filler >filler2 && cp filler2 small/filler 2>/dev/null
    run train --resume small/run --data text.txt --max-steps 20
    what=$(problem 1 'cannot write small/run/checkpoint.safetensors' 'No space left')
    conclude 'full disk: during a run' "$what"
    check 'full disk: the old checkpoint is still kept' cmp -s before small/run/checkpoint.safetensors
    check 'full disk: no leftovers' [ -z "$(find small -name '*.tmp')" ]
    rm small/filler
    accepted 'full disk: with room again it goes on' -- train --resume small/run --data text.txt --max-steps 20
    mount -o remount,ro small
    refused 'read-only disk: --out' 1 'Read-only file system' -- train "${tiny[@]}" --out small/new
    refused 'read-only disk: --resume' 1 'Read-only file system' -- train --resume small/run --data text.txt --max-steps 30
    accepted 'read-only disk: sample' -- sample --checkpoint small/run --tokens 3
else
    skip 'full disk, read-only disk' 'needs root and a tmpfs'
fi

# ---- less memory than the sizes need, threads that the system does not give ----
if ! grep -qa __asan_init "$program"; then  # AddressSanitizer itself needs terabytes of addresses
    (ulimit -v 400000; timeout 60 "$program" train "${tiny[@]}" --threads 1024 --out o >out 2>err)
    status=$? what=$(problem 1 'cannot start 1024 threads' '--threads')
    conclude 'threads: more than the system gives' "$what"
    (ulimit -v 200000; timeout 60 "$program" train "${tiny[@]}" --layers 20 --channels 512 --out o2 >out 2>err)
    status=$? what=$(problem 1 'memory')
    conclude 'memory: less than it needs' "$what"
fi

# ---- a loss that is not finite ----
run train "${tiny[@]}" --lr 1e30 --out blown --checkpoint-every 1
what=$(problem 1 'the loss is not finite at step' 'first bad tensor: ' 'last good checkpoint is kept in blown' '--lr')
conclude 'not finite: stops and says where' "$what"
check 'not finite: names a tensor' grep -qE 'bad tensor: (weight|gradient|forward of|backward of) ?.*(element|\[)' err
accepted 'not finite: the kept checkpoint is a good one' -- sample --checkpoint blown --tokens 3
run train --resume blown --data text.txt
check 'not finite: the kept checkpoint resumes, to the same end' grep -q 'the loss is not finite' err
run train "${tiny[@]}" --lr 3e38 --out burst --max-steps 1 --json
what=$(problem 1 'is not finite' 'first bad tensor: ')
conclude 'not finite: at the last step' "$what"
accepted 'not finite: at the last step, a good checkpoint is kept' -- sample --checkpoint burst --tokens 3

# ---- standard streams ----
"$program" train "${tiny[@]}" --max-steps 4 --out streams 2>/dev/null | head -1 >/dev/null
accepted 'stdout: its reader left, the run went on' 'finished: step 4' -- train --resume streams --data text.txt
timeout 60 "$program" train "${tiny[@]}" --max-steps 4 --out closed >&- 2>&- <&-
check 'streams closed: the run ends well' [ $? = 0 ]
check 'streams closed: no result in its files' [ "$(grep -cv '^[0-9]*,[0-9]' closed/log.csv)" = 1 ]
accepted 'streams closed: the checkpoint is whole' 'finished: step 4' -- train --resume closed --data text.txt
if [ -w /dev/full ]; then
    timeout 60 "$program" sample --checkpoint model --tokens 5 >/dev/full 2>err
    status=$? what=$(problem 1 'could be written to stdout')
    conclude 'stdout: full' "$what"
fi
"$program" sample --checkpoint model --tokens 2000 2>err | head -c 1 >/dev/null
check 'sample: its reader left' [ ! -s err ]

# ---- pages ----
mkdir pages && cd pages || exit 1
name=$'</script><img src=x onerror=alert(1)>\e[31m'
{ cat ../text.txt; for _ in 1 2 3 4 5 6 7 8 9; do echo '</script><script>alert("x")</script>&amp;'; done; } >"text${name//\//-}"
accepted 'page: hostile names' -- train --preset tiny --threads 1 --max-steps 3 --data "text${name//\//-}" --out "${name//\//-}"
# shellcheck disable=SC2034  # read by the evals
page=$(cat -- *onerror*/report.html)
check 'page: no tag of ours is closed by a name' eval "[[ \$page != *'<img src=x'* ]]"
check 'page: no script of theirs' eval "[[ \$page != *'<script>alert'* ]]"
check 'page: the name is there as text' grep -q '&lt;img src=x' -- *onerror*/report.html
check 'stderr: no terminal escapes' eval "! grep -q $'\x1b' err"

finish
