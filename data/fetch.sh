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

# is_right FILE BYTES SHA256 NAME: says on stderr what is wrong with NAME, if something is.
is_right() {
    local bytes hash
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
