# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `virt` with firmware that lies, for the tests: the stub of tests/shim runs at EL2, the image below it at EL1.
# Firmware is called by smc, which the stub traps; the image tells it by hvc what to do with whom.

# shellcheck source=../virt/board.sh
source "$ROOT/platform/virt/board.sh"
board_names=(lying)
board_firmware=()

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
    local target command
    target=$(default_target)
    # shellcheck disable=SC2207 # one word or none
    command=(cargo build --quiet --release --target "$target" -p reveille-shim $(cargo_locked))
    in_root "${command[@]}" >&2 </dev/null || {
        say "$PROGRAM: the build failed: $(quoted "${command[@]}")"
        exit "$EXIT_BUILD"
    }
    flat_image "${CARGO_TARGET_DIR:-$ROOT/target}/$target/release/reveille-shim"
}

board_qemu() {
    local elf=$1 image=$2 machine=virt,virtualization=on,gic-version=$opt_gic stub
    stub=$(lying_stub) || exit
    [[ $opt_icount == no ]] || machine+=,dtb-randomness=off
    check_image_header "$image"
    qemu+=(-machine "$machine" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$opt_memory")
    qemu+=(-kernel "$stub" -append "$bootargs")
    qemu+=(-device "loader,file=${image//,/,,},addr=$LYING_IMAGE,force-raw=on")
}
