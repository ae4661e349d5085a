# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `virt` with a Secure world, and firmware of our own in it, for the tests: the stage of tests/shim runs at EL3, the image
# below it at EL2 or EL1. It has PSCI by smc, and leaves behind what is in the second flash, if anything.

# shellcheck source=../virt/board.sh
source "$ROOT/platform/virt/board.sh"
board_names=(secure)
board_firmware=()
board_consoles=()

# Where the stage expects the image and the tree, and what it is to leave behind.
readonly SECURE_IMAGE=0x40200000 SECURE_TREE=0x4fc00000 SECURE_FLASH=0x04000000

board_check() {
    [[ $opt_el != 3 ]] || usage_error "--el: with --board secure the image is entered at 1 or 2"
    [[ -z $opt_at ]] || usage_error "--at: with --board secure the image is at $SECURE_IMAGE"
    [[ -z $opt_dtb ]] || usage_error "--dtb: not with --board secure, which hands over the tree of QEMU"
    (($(size_in_bytes "$opt_memory") >= 256 << 20)) || usage_error "--memory: with --board secure it has to be 256M at least"
    ((opt_cpus <= 123)) || usage_error "--cpus: $opt_cpus CPUs, but --board secure knows one region of redistributors, of 123"
    check_cpu_model virt
}

board_load_address() {
    printf '%s\n' "$SECURE_IMAGE"
}

# The flat image of the stage. Cargo knows whether it is up to date.
secure_stage() {
    local elf
    elf=$(CARGO_TERM_QUIET=true build_images shim "$(default_target)" '' release reveille-stage) || exit
    flat_image "$elf"
}

# QEMU's tree of the machine $1 with that much of everything. With firmware of ours it names no PSCI; so it is that of the machine without
# a Secure world, where QEMU itself has PSCI by smc.
secure_tree() {
    local image=$2 tree words
    words=("$QEMU" -machine "$1" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$opt_memory" -kernel "$image" -append "$bootargs"
        -nodefaults -display none -serial null)
    tree=${image%.img}.$(md5sum <<<"${words[*]}" | cut -c -16).dtb
    "${words[@]}" -machine "dumpdtb=$tree.$$" >/dev/null 2>&1 </dev/null || die "cannot get the tree of QEMU: $(quoted "${words[@]}")"
    mv -f -- "$tree.$$" "$tree"
    printf '%s\n' "$tree"
}

board_qemu() {
    local elf=$1 image=$2 machine=virt,virtualization=on,gic-version=$opt_gic stage tree level
    stage=$(secure_stage) || exit
    [[ $opt_icount == no ]] || machine+=,dtb-randomness=off
    check_image_header "$image"
    tree=$(secure_tree "$machine" "$image") || exit
    qemu+=(-machine "$machine,secure=on" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$opt_memory" -bios "$stage")
    load_file "$image" "$SECURE_IMAGE"
    load_file "$tree" "$SECURE_TREE"
    if [[ $opt_el == 1 ]]; then
        # Nothing but the level: see `Leavings` in tests/shim/src/common.rs.
        level=$stage.el1
        {
            printf LEAV
            little_endian 4 1 0 0 0xd65f03c0 # ret
        } >"$level.$$"
        mv -f -- "$level.$$" "$level"
        load_file "$level" "$SECURE_FLASH"
    fi
}
