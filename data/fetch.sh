# shellcheck shell=bash
# fetch.sh - the part that the scripts of this folder share: where a file may come from, and whether it is the right one.
# To be sourced. Sources in order: the mirror (DATA_MIRROR: a folder or an http address with one folder per set; else
# ../shared/data beside this repository, when there is one), then the file's public home.
# Nothing else is believed: size and sha256 must both fit before a file gets its name.
set -euo pipefail
readonly caller_folder=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sha256_of() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

# download ADDRESS FILE: gives up after about ten seconds in which nothing comes.
download() {
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --connect-timeout 10 --speed-limit 1 --speed-time 10 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        # wget tries each address of a host in turn: one limit for all of them, then the real thing.
        timeout 12 wget -q --tries=1 --spider "$1" && wget -q --tries=1 --timeout=10 -O "$2" "$1"
    else
        echo "neither curl nor wget is here: tools/deps installs one" >&2
        return 1
    fi
}

# is_right FILE BYTES SHA256 NAME: says on stderr what is wrong with NAME, if something is. "unknown", for a file that nobody
# here could see, is what the first download was: its hash is recorded beside it, in NAME.sha256.
is_right() {
    local bytes hash
    if [ "$3" = unknown ]; then
        hash=$(sha256_of "$1")
        local record=${target:-$4}.sha256
        if [ ! -f "$record" ]; then
            echo "$hash" >"$record"
            echo "$4: $(wc -c <"$1" | tr -d ' ') bytes, sha256 $hash: nobody has checked these; recorded in $record" >&2
        fi
        [ "$hash" = "$(cat "$record")" ] || { echo "$4: refused, its sha256 is $hash, $record says $(cat "$record")" >&2; return 1; }
        return 0
    fi
    bytes=$(wc -c <"$1" | tr -d ' ')
    [ "$bytes" = "$2" ] || { echo "$4: refused, it has $bytes bytes instead of $2" >&2; return 1; }
    hash=$(sha256_of "$1")
    [ "$hash" = "$3" ] || { echo "$4: refused, its sha256 is $hash instead of $3" >&2; return 1; }
}

# fetch SET FILE BYTES SHA256 ADDRESS: afterwards data/SET/FILE is there and right, or the script ends with status 1.
fetch() {
    local set=$1 file=$2 bytes=$3 sha256=$4 home=$5
    local target=data/$set/$file mirror=${DATA_MIRROR:-../shared/data} source part
    if [ -f "$target" ] && is_right "$target" "$bytes" "$sha256" "$target"; then return; fi

    case $mirror in /* | http://* | https://*) ;; *) [ -z "${DATA_MIRROR:-}" ] || mirror=$caller_folder/$mirror ;; esac
    mkdir -p "data/$set"
    part=$target.part.$$
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -f '$part'" EXIT
    for source in "$mirror/$set/$file" "$home"; do
        [ -n "$source" ] || { echo "$set is mirror-only: it has no public home" >&2; continue; }
        case $source in
            http*) download "$source" "$part" || { echo "$source: could not be fetched" >&2; continue; } ;;
            *) [ -f "$source" ] || { [ -z "${DATA_MIRROR:-}" ] || echo "$source: not there" >&2; continue; }
               cp "$source" "$part" ;;
        esac
        if is_right "$part" "$bytes" "$sha256" "$source"; then
            mv "$part" "$target"
            echo "$target: $bytes bytes from $source" >&2
            return
        fi
    done
    echo "error: no source had $target; put the file there yourself, or set DATA_MIRROR to a folder with $set/$file" >&2
    exit 1
}

# fetch_xz SET FILE XZ_BYTES XZ_SHA256 BYTES SHA256: data/SET/FILE from SET/FILE.xz of a mirror; status 0 also when there is
# none, for then `fetch` goes on.
fetch_xz() {
    local set=$1 file=$2
    local target=data/$set/$file mirror=${DATA_MIRROR:-../shared/data} part
    if [ -f "$target" ] && is_right "$target" "$5" "$6" "$target" 2>/dev/null; then return; fi
    case $mirror in /* | http://* | https://*) ;; *) [ -z "${DATA_MIRROR:-}" ] || mirror=$caller_folder/$mirror ;; esac
    command -v xz >/dev/null || return 0
    mkdir -p "data/$set"
    part=$target.part.$$
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -f '$part' '$part.xz'" EXIT
    case $mirror in
        http*) download "$mirror/$set/$file.xz" "$part.xz" 2>/dev/null || return 0 ;;
        *) [ -f "$mirror/$set/$file.xz" ] || return 0
           cp "$mirror/$set/$file.xz" "$part.xz" ;;
    esac
    is_right "$part.xz" "$3" "$4" "$mirror/$set/$file.xz" || return 0
    xz -dc "$part.xz" >"$part" || return 0
    rm -f "$part.xz"
    is_right "$part" "$5" "$6" "$mirror/$set/$file.xz, unpacked," || return 0
    mv "$part" "$target"
    echo "$target: $5 bytes from $mirror/$set/$file.xz" >&2
}

# unpack_openwebtext SET TAR...: archives that hold archives (NAME.xz, each a tar of texts) become data/SET/SET.txt, texts in
# the order of their names with <|endoftext|> between them. Under another name until it is whole.
unpack_openwebtext() {
    local set=$1 folder=data/$1 tar inner text
    shift
    command -v xz >/dev/null || { echo "error: xz is not here: tools/deps installs it" >&2; exit 1; }
    local part=$folder/unpack.part.$$
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -rf '$part'" EXIT
    mkdir -p "$part"
    for tar in "$@"; do
        mkdir "$part/outer"
        tar -xf "$folder/$tar" -C "$part/outer"
        while IFS= read -r inner; do
            mkdir "$part/inner"
            tar -xJf "$inner" -C "$part/inner"
            while IFS= read -r text; do
                cat "$text" && printf '<|endoftext|>'
            done < <(find "$part/inner" -type f -name '*.txt' | LC_ALL=C sort) >>"$part/all"
            rm -rf "$part/inner"
        done < <(find "$part/outer" -type f -name '*.xz' | LC_ALL=C sort)
        rm -rf "$part/outer"
    done
    [ -s "$part/all" ] || { echo "error: $folder: the archives hold no texts in the form that was expected" >&2; exit 1; }
    mv "$part/all" "$folder/$set.txt"
    echo "$folder/$set.txt: $(wc -c <"$folder/$set.txt" | tr -d ' ') bytes, sha256 $(sha256_of "$folder/$set.txt")" >&2
}
