# shellcheck shell=bash
# shellcheck disable=SC2153,SC2154 # QEMU is set in tools.sh, options in machine_options.sh
# What the files of boards call: what was asked for, checked; flat images and their headers. Reads common.sh, tools.sh and build.sh
# first.

# Is the model among those that QEMU knows for the machine type $1?
check_cpu_model() {
    local models
    mapfile -t models < <("$QEMU" -machine "$1" -cpu help 2>/dev/null | sed -n 's/^  *\([^ ]*\).*/\1/p')
    among "${opt_cpu%%,*}" "${models[@]}" || usage_error "--cpu: QEMU has no model '${opt_cpu%%,*}' (qemu-system-aarch64 -cpu help lists them)"
}

# A size such as 512M in bytes.
size_in_bytes() {
    case $1 in
    *G) printf '%d\n' $((${1%G} << 30)) ;;
    *M) printf '%d\n' $((${1%M} << 20)) ;;
    esac
}

# The bytes of numbers, least significant first, written to stdout: little_endian BYTES NUMBER..
little_endian() {
    local bytes=$1 number i out=''
    shift
    for number; do
        for ((i = 0; i < bytes; i++)); do
            out+=$(printf '\\x%02x' $((number >> 8 * i & 0xff)))
        done
    done
    # shellcheck disable=SC2059 # the escapes are the point
    printf "$out"
}

# A field of the arm64 header of a flat image, as a decimal number: image_header FILE OFFSET BYTES
image_header() {
    od -An -v -t "u$3" -j "$2" -N "$3" -- "$1" | tr -d ' '
}

# The path of the same image with another text offset in its header, which is how far from the start of RAM
# QEMU puts it: image_at IMAGE OFFSET
image_at() {
    local image=$1 offset=$2 copy
    copy=${image%.img}+$(printf '0x%x' "$offset").img
    if ! same_date "$image" "$copy"; then
        {
            head -c 8 -- "$image"
            little_endian 8 "$offset"
            tail -c +17 -- "$image"
        } >"$copy.$$"
        touch -r "$image" "$copy.$$"
        mv -f -- "$copy.$$" "$copy"
    fi
    printf '%s\n' "$copy"
}

# How far from the start of RAM QEMU puts a flat image. It follows the header, but stays clear of the first
# 2 MiB if that asks for less than a page.
image_offset() {
    local offset
    offset=$(image_header "$1" 8 8)
    ((offset >= 4096)) || offset=$((offset + 0x200000))
    printf '0x%x\n' "$offset"
}

# Whether there is an arm64 header in a file, at this place: has_image_header FILE OFFSET
has_image_header() {
    [[ $(image_header "$1" $(($2 + 56)) 4) == $((0x644d5241)) ]]
}

# Stop unless the file begins with an arm64 header.
check_image_header() {
    has_image_header "$1" 0 \
        || die "no arm64 header at the start of $1: was it linked with the linker script?"
}

# Refuse a file that is not linked as an image is, before anything is made of it: check_elf FILE [OPTION]
check_elf() {
    local of=${2:+$2: } table size count i at=''
    is_elf "$1" || usage_error "$of'$1' is not an ELF"
    is_aarch64_elf "$1" || usage_error "$of'$1' is an ELF for another kind of CPU than AArch64"
    # The program headers (ELF64: e_phoff, e_phentsize, e_phnum), and where the bytes of the first are that is loaded (p_type, p_offset).
    table=$(image_header "$1" 32 8) size=$(image_header "$1" 54 2) count=$(image_header "$1" 56 2)
    for ((i = 0; i < count; i++)); do
        if [[ $(image_header "$1" $((table + i * size)) 4) == 1 ]]; then
            at=$(image_header "$1" $((table + i * size + 8)) 8)
            break
        fi
    done
    { [[ -n $at ]] && has_image_header "$1" "$at"; } \
        || usage_error "$of'$1' has no arm64 header at its start: was it linked with reveille.ld?"
}

# The lowest address that an ELF was linked for.
link_address() {
    "$(llvm_tools_dir)/llvm-objdump" -p "$1" | awk '$1 == "LOAD" { print $5; exit }'
}

# Have QEMU load a file as it is: load_file FILE ADDRESS [PROPERTY]
load_file() {
    qemu+=(-device "loader,file=${1//,/,,},addr=$2,force-raw=on${3:+,$3}")
}

# Connect N network devices that are part of the board to a network without anything else in it: QEMU warns of those that have none.
closed_networks() {
    local i
    for ((i = 0; i < $1; i++)); do
        qemu+=(-nic 'user,restrict=on')
    done
}
