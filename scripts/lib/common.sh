# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts that read this file
# What every script shares: strict mode, the root of the checkout, errors in one line.

set -euo pipefail
shopt -s inherit_errexit

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
PROGRAM=scripts/${0##*/}
# What cargo makes, and what the scripts keep, is below this.
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

# Cargo installed for this user alone is not always on the PATH of a script.
find_cargo() {
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
    fi
}
find_cargo

# Where Debian keeps the tools that make file systems; not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

# Nothing is left beside the modules of Python that its programs here share.
export PYTHONDONTWRITEBYTECODE=1

# A closed stdin (some CI systems) would become whatever file is opened next.
{ : <&0; } 2>/dev/null || exec </dev/null

# How much can be done at once.
CPUS_HERE=$(nproc 2>/dev/null || echo 2)

# Exit codes beside the guest's own.
readonly EXIT_USAGE=2 EXIT_BUILD=101 EXIT_TIMEOUT=124

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$PROGRAM: $*"
    exit 1
}

usage_error() {
    say "$PROGRAM: $* (see $PROGRAM --help)"
    exit "$EXIT_USAGE"
}

# The comment block at the head of a script, from its second line on, is its help.
print_help() {
    awk 'NR > 1 { if ($0 !~ /^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# Is $1 among the other arguments?
among() {
    local wanted=$1 item
    shift
    for item; do
        [[ $item == "$wanted" ]] && return 0
    done
    return 1
}

is_elf() {
    [[ -f $1 && -r $1 && $(head -c 4 -- "$1" | od -An -t x1) == ' 7f 45 4c 46' ]]
}

# Whether a file is an ELF for AArch64 (its `e_machine`, at byte 18, is 183).
is_aarch64_elf() {
    is_elf "$1" && [[ $(head -c 20 -- "$1" | tail -c 2 | od -An -t x1) == ' b7 00' ]]
}

# Join the arguments after $1 with it.
join() {
    local separator=$1 out='' item
    shift
    for item; do
        out+=${out:+$separator}$item
    done
    printf '%s\n' "$out"
}

# One line that a shell reads back as exactly these words.
quoted() {
    local out='' word
    for word; do
        if [[ $word =~ ^[A-Za-z0-9_/.,:=@%+-]+$ ]]; then
            out+=" $word"
        else
            out+=" '${word//\'/\'\\\'\'}'"
        fi
    done
    printf '%s\n' "${out# }"
}

# A whole line from the file descriptor $2 into the variable named $1, waiting $3 seconds at most: 0, or what `read` says, more than 128
# if the time is up. What has come of a line by then is kept in REST, by descriptor, and comes with the rest of it.
declare -a REST=()
read_line() {
    local -n line_read=$1
    local part='' got=0
    IFS= read -r -t "$3" -u "$2" part || got=$?
    REST[$2]=${REST[$2]:-}$part
    ((got == 0)) || return "$got"
    line_read=${REST[$2]} REST[$2]=''
}

# Scratch files of this process, gone when it ends.
scratch_dir() {
    if [[ -z ${SCRATCH:-} ]]; then
        SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/reveille.XXXXXX")
        trap 'rm -rf -- "$SCRATCH"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
    fi
}

# The value of the option at the head of the arguments, `--option VALUE` or `--option=VALUE`: sets VALUE, and SHIFT to
# the number of words taken.
option_value() {
    if [[ $1 == --*=* ]]; then
        VALUE=${1#*=} SHIFT=1
    elif (($# > 1)) && [[ $2 != --* ]]; then
        VALUE=$2 SHIFT=2
    else
        usage_error "$1: its value is missing"
    fi
}

# The same for a decimal number, which VALUE then has without leading zeros: number_value MIN MAX "$@"
number_value() {
    local least=$1 most=$2
    shift 2
    option_value "$@"
    check_number "${1%%=*}" "$VALUE" "$least" "$most"
    VALUE=$((10#$VALUE))
}

# Refuse what is not a decimal number from $3 to $4: check_number --cpus VALUE 1 512.
check_number() {
    if [[ ! $2 =~ ^[0-9]{1,9}$ ]]; then
        usage_error "$1: '$2' is not a number from $3 to $4"
    elif ((10#$2 < $3 || 10#$2 > $4)); then
        usage_error "$1: $2 is outside $3 to $4"
    fi
}
