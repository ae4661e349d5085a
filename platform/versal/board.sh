# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `xlnx-versal-virt`: the two Cortex-A72 of an AMD Versal, a GICv3, PL011, PSCI by QEMU. The tree is QEMU's own.

board_names=(versal xlnx-versal-virt)

board_defaults() {
    opt_cpus=${opt_cpus:-2}
    opt_gic=${opt_gic:-3}
    opt_el=${opt_el:-2}
    opt_cpu=${opt_cpu:-cortex-a72}
    opt_memory=${opt_memory:-2G}
}

board_check() {
    ((opt_cpus == 2)) || usage_error "--cpus: $opt_board has 2, no more and no less"
    [[ $opt_gic == 3 ]] || usage_error "--gic: $opt_board has version 3"
    [[ $opt_el == 2 ]] || usage_error "--el: $opt_board enters at 2"
    [[ $opt_cpu == cortex-a72 ]] || usage_error "--cpu: $opt_board has cortex-a72"
    [[ -z $opt_at ]] || usage_error "--at: not with $opt_board"
    [[ -z $opt_dtb ]] || usage_error "--dtb: $opt_board has the tree that QEMU makes"
}

board_load_address() {
    image_offset "$2"
}

board_qemu() {
    local image=$2
    check_image_header "$image"
    # Two Cortex-R5F are counted as well, which stay off.
    qemu+=(-machine xlnx-versal-virt -smp 4 -m "$opt_memory")
    closed_networks 2
    qemu+=(-kernel "$image" -append "$bootargs")
}
