#!/usr/bin/env bash
# The Universal Declaration of Human Rights in 388 languages and spellings, one file each: data/udhr/eng.txt, jpn.txt ...
# Public domain text; the collection is the NLTK project's udhr2.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

[ ! -f data/udhr/eng.txt ] || exit 0
fetch tokenizer-tests udhr2.zip 1653975 0796c314b09a930c989c6f9d93d226af9af13feccd88496e196c743dd266c7f3 \
    https://raw.githubusercontent.com/nltk/nltk_data/5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora/udhr2.zip

# Whatever can unpack a zip here; into a folder of its own, so that a half-done job is never taken for a finished one.
zip=data/tokenizer-tests/udhr2.zip part=data/udhr.part.$$
trap 'rm -rf "$part"' EXIT
mkdir "$part"
if command -v unzip >/dev/null; then unzip -q "$zip" -d "$part"
elif command -v python3 >/dev/null; then python3 -m zipfile -e "$zip" "$part"
elif command -v bsdtar >/dev/null; then bsdtar -xf "$zip" -C "$part"
else
    echo "error: nothing here unpacks $zip: install unzip" >&2
    exit 1
fi
[ -f "$part/udhr2/eng.txt" ] || { echo "error: $zip has no udhr2/eng.txt" >&2; exit 1; }
rm -rf data/udhr
mv "$part/udhr2" data/udhr
echo "data/udhr: $(find data/udhr -name '*.txt' | wc -l | tr -d ' ') languages" >&2
