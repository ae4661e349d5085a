# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `raspi3b` and `raspi3ap`: four Cortex-A53, no GIC, a spin table in the place of firmware, and the tree of the real board, out
# of Debian's arm64 kernel, which QEMU completes. The Zero 2 W is a `raspi3ap` with a tree of its own.

# shellcheck source=../raspi/common.sh
source "$ROOT/platform/raspi/common.sh"

board_names=(raspi3 raspi3b raspi3ap zero2w)
board_consoles=(mini pl011)

raspi3_memory() {
    case $opt_board in
    raspi3 | raspi3b) printf '1G\n' ;;
    *) printf '512M\n' ;;
    esac
}

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-none}
    opt_el=${opt_el:-2}
    opt_cpu=${opt_cpu:-cortex-a53}
    opt_memory=${opt_memory:-$(raspi3_memory)}
    opt_console=${opt_console:-mini}
}

board_check() {
    ((opt_cpus == 4)) || usage_error "--cpus: $opt_board has 4, no more and no less"
    [[ $opt_gic == none ]] || usage_error "--gic: $opt_board has none"
    [[ $opt_el == 2 ]] || usage_error "--el: $opt_board enters the flat image at 2; where the ELF is linked for it has no memory"
    [[ ${opt_cpu%%,*} == cortex-a53 ]] || usage_error "--cpu: $opt_board has cortex-a53"
    (($(size_in_bytes "$opt_memory") == $(size_in_bytes "$(raspi3_memory)"))) \
        || usage_error "--memory: $opt_board has $(raspi3_memory)"
    if [[ -n $opt_at ]]; then
        if ((opt_at % 4096 || opt_at < 0x80000 || opt_at >= 0x18000000)); then
            usage_error "--at: $opt_at is not a page from 0x80000 to 0x18000000"
        fi
    fi
    if [[ -n $opt_append ]] && raspi_has_bootargs; then
        usage_error "--append: with --dtb the boot arguments are those of the tree"
    fi
}

board_load_address() {
    local image=$2
    if [[ -n $opt_at ]]; then
        printf '%s\n' "$opt_at"
    else
        image_offset "$image"
    fi
}

board_qemu() {
    local image=$2 tree=$opt_dtb append=(-append "$bootargs") machine=raspi3ap name
    ! raspi_has_bootargs || append=()
    case $opt_board in
    raspi3 | raspi3b) machine=raspi3b name=3-b ;;
    raspi3ap) name=3-a-plus ;;
    zero2w) name=zero-2-w ;;
    esac
    [[ -n $tree ]] || tree=$(board_tree "broadcom/bcm2837-rpi-$name.dtb")
    board_serial=1
    if [[ $opt_console == pl011 ]]; then
        board_serial=0
        tree=$(raspi_pl011_tree "$tree" "${image%.img}.$name.pl011.dtb")
    fi
    qemu+=(-machine "$machine")
    check_image_header "$image"
    [[ -z $opt_at ]] || image=$(image_at "$image" "$opt_at")
    qemu+=(-dtb "$tree" -kernel "$image" "${append[@]}")
}

# One card for all of them.
board_card() {
    raspi_card "$1" "$2" 3
}

board_card_check() {
    raspi_card_check 3
}
