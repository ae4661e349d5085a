# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# AMD Xilinx ZCU102 (Zynq UltraScale+: four Cortex-A53, a GIC-400, Cadence UARTs), as QEMU's `xlnx-zcu102` models it, with PSCI by
# QEMU in the place of TF-A. The tree is the one of the real board, out of Debian's arm64 kernel, which QEMU completes.

board_names=(zcu102 xlnx-zcu102)

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-2}
    opt_el=${opt_el:-1}
    opt_cpu=${opt_cpu:-cortex-a53}
    opt_memory=${opt_memory:-2G}
}

board_check() {
    ((opt_cpus == 4)) || usage_error "--cpus: $opt_board has 4, no more and no less"
    [[ $opt_gic == 2 ]] || usage_error "--gic: $opt_board has a GIC-400, which is version 2"
    # At 3 there is nobody to let the other CPUs out of reset.
    [[ $opt_el != 3 ]] || usage_error "--el: $opt_board enters at 1 or 2"
    [[ $opt_cpu == cortex-a53 ]] || usage_error "--cpu: $opt_board has cortex-a53"
    [[ -z $opt_at ]] || usage_error "--at: not with $opt_board"
    [[ -z $opt_dtb ]] || usage_error "--dtb: $opt_board has the tree of the board"
}

board_load_address() {
    image_offset "$2"
}

board_qemu() {
    local image=$2 machine=xlnx-zcu102,audiodev=quiet tree
    tree=$(board_tree xilinx/zynqmp-zcu102-rev1.0.dtb)
    check_image_header "$image"
    [[ $opt_el != 2 ]] || machine+=,virtualization=on
    qemu+=(-audiodev 'none,id=quiet' -machine "$machine" -smp 4 -m "$opt_memory")
    closed_networks 4
    qemu+=(-dtb "$tree" -kernel "$image" -append "$bootargs")
}
