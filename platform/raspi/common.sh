# shellcheck shell=bash
# shellcheck disable=SC2154 # options are variables shared with scripts/lib/machine.sh
# What the boards of Raspberry Pi have in common. Their files read this one.

# Does the tree of --dtb bring its boot arguments? QEMU would replace them.
raspi_has_bootargs() {
    [[ -n $opt_dtb ]] && LC_ALL=C grep -aq bootargs -- "$opt_dtb"
}

# The tree with the other UART as its console: a file beside the image. The two names have the same length, so that no tool is
# needed that running does not take.
raspi_pl011_tree() {
    local tree=$1 copy=$2
    LC_ALL=C sed 's/serial1:115200n8/serial0:115200n8/' "$tree" >"$copy.$$"
    ! cmp -s -- "$tree" "$copy.$$" || die "$tree names another console than serial1:115200n8: --console cannot change it"
    mv -f -- "$copy.$$" "$copy"
    printf '%s\n' "$copy"
}
