# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `virt` with firmware that lies, for the tests: the stub of tests/shim runs at EL2, the image below it at EL1.
# Firmware is called by smc, which the stub traps; the image tells it by hvc what to do with whom.

# shellcheck source=../virt/board.sh
source "$ROOT/platform/virt/board.sh"
board_names=(lying)
board_firmware=()
board_consoles=()

# Where the stub expects the image.
readonly LYING_IMAGE=0x40200000

board_check() {
    [[ $opt_el == 1 ]] || usage_error "--el: with --board lying the image is entered at EL1"
    [[ -z $opt_at ]] || usage_error "--at: with --board lying the image is at $LYING_IMAGE"
    [[ -z $opt_dtb ]] || usage_error "--dtb: not with --board lying, which edits the tree of QEMU"
    check_cpu_model virt
}

board_load_address() {
    printf '%s\n' "$LYING_IMAGE"
}

# The flat image of the stub. Cargo knows whether it is up to date.
lying_stub() {
    local elf
    elf=$(CARGO_TERM_QUIET=true build_images shim "$(default_target)" '' release reveille-shim) || exit
    flat_image "$elf"
}

board_qemu() {
    local elf=$1 image=$2 machine=virt,virtualization=on,gic-version=$opt_gic stub
    stub=$(lying_stub) || exit
    [[ $opt_icount == no ]] || machine+=,dtb-randomness=off
    check_image_header "$image"
    qemu+=(-machine "$machine" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$opt_memory")
    qemu+=(-kernel "$stub" -append "$bootargs")
    load_file "$image" "$LYING_IMAGE"
}
