# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `raspi4b`: four Cortex-A72, a GIC-400, a spin table in the place of firmware, and the tree of the real board, out of
# Debian's arm64 kernel, which QEMU completes. What QEMU lacks it disables in the tree, and says so.

# shellcheck source=../raspi/common.sh
source "$ROOT/platform/raspi/common.sh"

board_names=(raspi4 raspi4b)
board_firmware=(tf-a)
board_consoles=(mini pl011)

# Where the tree goes for TF-A: in the last 64 MiB of what QEMU calls RAM, the part that the image has no use for by default.
readonly RASPI4_TREE=0x38000000

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-2}
    opt_el=${opt_el:-2}
    opt_cpu=${opt_cpu:-cortex-a72}
    opt_memory=${opt_memory:-2G}
}

board_check() {
    ((opt_cpus == 4)) || usage_error "--cpus: $opt_board has 4, no more and no less"
    [[ $opt_gic == 2 ]] || usage_error "--gic: $opt_board has a GIC-400, which is version 2"
    [[ $opt_el != 1 ]] || usage_error "--el: $opt_board enters the flat image at 2, or the ELF at 3"
    [[ ${opt_cpu%%,*} == cortex-a72 ]] || usage_error "--cpu: $opt_board has cortex-a72"
    [[ $opt_memory == 2G || $opt_memory == 2048M ]] || usage_error "--memory: QEMU's raspi4b has 2G"
    if [[ -n $opt_at ]]; then
        [[ $opt_el != 3 ]] || usage_error "--at: with --el 3 the ELF is loaded, where it was linked for"
        if ((opt_at % 4096 || opt_at < 0x80000 || opt_at >= RASPI4_TREE)); then
            usage_error "--at: $opt_at is not a page from 0x80000 to $RASPI4_TREE"
        fi
    fi
    if [[ -n $opt_append ]] && raspi_has_bootargs; then
        usage_error "--append: with --dtb the boot arguments are those of the tree"
    fi
    if [[ -n $opt_firmware ]]; then
        [[ $opt_el != 3 ]] || usage_error "--el: with --firmware $opt_firmware the flat image is entered at 2"
        [[ $opt_console != mini ]] || usage_error "--console: TF-A makes pl011 the console"
        opt_console=pl011
    fi
    opt_console=${opt_console:-mini}
}

board_load_address() {
    local elf=$1 image=$2
    if [[ $opt_el == 3 ]]; then
        link_address "$elf"
    elif [[ -n $opt_at ]]; then
        printf '%s\n' "$opt_at"
    else
        image_offset "$image"
    fi
}

# TF-A as the `armstub` of the board's own firmware: at address 0, told where the tree and the image are, which are loaded
# already. The tree is the one that QEMU completes for the image; TF-A adds itself to it.
raspi4_tfa() {
    local image=$1 tree=$2 address=$3 bl31 at stub name
    at=${image%.img}
    bl31=$(firmware_file arm-trusted-firmware usr/lib/arm-trusted-firmware/rpi4/bl31.bin)
    stub=$at.tf-a-$address.bin
    {
        # Words at 0xf0: 0 in place of the magic number that asks for the other two, 0, tree, image.
        head -c $((0xf0)) -- "$bl31"
        little_endian 4 0 0 "$RASPI4_TREE" "$address"
        tail -c +$((0x101)) -- "$bl31"
    } >"$stub.$$"
    mv -f -- "$stub.$$" "$stub"
    # shellcheck disable=SC2153 # set in scripts/lib/tools.sh
    "$QEMU" -machine "raspi4b,dumpdtb=$at.$$.dtb" -dtb "$tree" -kernel "$image" "${append[@]}" \
        -nodefaults -display none >/dev/null 2>&1 </dev/null || die "QEMU does not complete the tree $tree"
    # Different boot arguments, different file: what --print prints goes on to hold.
    name=$at.tf-a-$(cksum <"$at.$$.dtb" | tr -dc 0-9).dtb
    mv -f -- "$at.$$.dtb" "$name"
    printf '%s\n' "$stub" "$name"
}

board_qemu() {
    local elf=$1 image=$2 tree=$opt_dtb append=(-append "$bootargs") address files
    ! raspi_has_bootargs || append=()
    [[ -n $tree ]] || tree=$(board_tree broadcom/bcm2711-rpi-4-b.dtb)
    board_serial=1
    if [[ $opt_console == pl011 ]]; then
        board_serial=0
        # TF-A changes the tree itself.
        [[ -n $opt_firmware ]] || tree=$(raspi_pl011_tree "$tree" "${image%.img}.pl011.dtb")
    fi
    qemu+=(-machine raspi4b)
    if [[ $opt_el == 3 ]]; then
        qemu+=(-dtb "$tree" -kernel "$elf" "${append[@]}")
        return
    fi
    check_image_header "$image"
    if [[ -n $opt_firmware ]]; then
        address=$(board_load_address "$elf" "$image")
        mapfile -t files < <(raspi4_tfa "$image" "$tree" "$address")
        ((${#files[@]} == 2)) || exit 1
        load_file "${files[0]}" 0
        load_file "${files[1]}" "$RASPI4_TREE"
        load_file "$image" "$address"
        return
    fi
    [[ -z $opt_at ]] || image=$(image_at "$image" "$opt_at")
    qemu+=(-dtb "$tree" -kernel "$image" "${append[@]}")
}

board_card() {
    raspi_card "$1" "$2" 4
}

board_card_check() {
    raspi_card_check 4
}
