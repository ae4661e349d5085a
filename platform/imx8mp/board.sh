# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# NXP i.MX 8M Plus EVK (four Cortex-A53, GICv3, i.MX UARTs), as QEMU's `imx8mp-evk` models it, with PSCI by QEMU in the place of TF-A.
# The tree is the one of the real board, out of Debian's arm64 kernel, which QEMU completes; its console is the second UART.

board_names=(imx8mp imx8mp-evk)

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-3}
    opt_el=${opt_el:-2}
    opt_cpu=${opt_cpu:-cortex-a53}
    opt_memory=${opt_memory:-2G}
}

board_check() {
    ((opt_cpus == 4)) || usage_error "--cpus: $opt_board has 4, no more and no less"
    [[ $opt_gic == 3 ]] || usage_error "--gic: $opt_board has version 3"
    [[ $opt_el == 2 ]] || usage_error "--el: $opt_board enters at 2"
    [[ $opt_cpu == cortex-a53 ]] || usage_error "--cpu: $opt_board has cortex-a53"
    [[ -z $opt_at ]] || usage_error "--at: not with $opt_board"
    [[ -z $opt_dtb ]] || usage_error "--dtb: $opt_board has the tree of the board"
}

board_load_address() {
    printf '0x%x\n' $((0x40000000 + $(image_offset "$2")))
}

board_qemu() {
    local image=$2 tree
    tree=$(board_tree freescale/imx8mp-evk.dtb)
    check_image_header "$image"
    board_serial=1
    qemu+=(-machine imx8mp-evk -smp 4 -m "$opt_memory")
    closed_networks 1
    qemu+=(-dtb "$tree" -kernel "$image" -append "$bootargs")
}
