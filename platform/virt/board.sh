# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# QEMU's `virt`: a GICv2 or GICv3, a PL011, PSCI by hvc or smc, as many CPUs as asked for. RAM begins at 0x40000000.

board_names=(virt)
board_acpi=yes
board_firmware=(u-boot "${EFI_FIRMWARE[@]}")
board_consoles=(pl011 virtio virtio-legacy)

readonly VIRT_RAM=0x40000000
# Where U-Boot puts the image.
readonly VIRT_UBOOT_IMAGE=0x40400000
# The first of its virtio devices.
readonly VIRT_VIRTIO=0xa000000

board_defaults() {
    [[ $opt_acpi == no ]] || opt_firmware=${opt_firmware:-edk2}
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-3}
    opt_el=${opt_el:-1}
    opt_cpu=${opt_cpu:-max}
    opt_memory=${opt_memory:-512M}
}

board_check() {
    check_cpu_model virt
    if [[ -n $opt_at ]]; then
        [[ $opt_el != 3 ]] || usage_error "--at: with --el 3 the ELF is loaded, where it was linked for"
        if ((opt_at % 4096 || opt_at <= VIRT_RAM || opt_at >= VIRT_RAM + $(size_in_bytes "$opt_memory"))); then
            usage_error "--at: $opt_at is not a page inside the RAM, $opt_memory from $VIRT_RAM"
        fi
    fi
    if [[ $opt_acpi == yes && $opt_firmware == u-boot* ]]; then
        usage_error "--acpi: not with --firmware $opt_firmware, which hands over a tree"
    fi
    if efi_chosen; then
        efi_check
    elif [[ -n $opt_firmware ]]; then
        [[ $opt_el != 3 ]] || usage_error "--el: with --firmware the image is entered at 1 or 2"
        [[ -z $opt_at ]] || usage_error "--at: with --firmware $opt_firmware the image is at $VIRT_UBOOT_IMAGE"
        [[ -z $opt_dtb ]] || usage_error "--dtb: not with --firmware, which hands over the tree of QEMU"
        # It waits for a key by the time that it counts.
        [[ $opt_icount == no ]] || usage_error "--icount: not with --firmware"
    fi
    if [[ $opt_acpi == yes && $opt_console == virtio* ]]; then
        usage_error "--console: not $opt_console with --acpi, which does not describe it"
    fi
    if [[ -n $opt_dtb ]]; then
        [[ $opt_el != 3 ]] || usage_error "--dtb: not with --el 3, where the tree is found in RAM"
        [[ -z $opt_append ]] || usage_error "--append: with --dtb the boot arguments are those of the tree"
    fi
}

# Where the first byte of the image lies once it is loaded.
board_load_address() {
    local elf=$1 image=$2
    if [[ $opt_el == 3 ]]; then
        link_address "$elf"
    elif [[ -n $opt_firmware ]]; then
        printf '%s\n' "$VIRT_UBOOT_IMAGE"
    elif [[ -n $opt_at ]]; then
        printf '%s\n' "$opt_at"
    else
        printf '0x%x\n' $((VIRT_RAM + $(image_offset "$image")))
    fi
}

# What a boot loader does at the end, for --dtb: x0 = tree, x1 to x3 = 0, on to the image. First it wipes the magic of
# the tree that QEMU leaves at the start of RAM, so that there is no tree but the one handed over.
virt_entry_code() {
    local file=$1 tree=$2 address=$3
    {
        little_endian 4 0xd2a80005 0xf90000bf # mov x5, #0x40000000; str xzr, [x5]
        little_endian 4 0x580000c0 0x580000e4 # ldr x0, tree; ldr x4, address
        little_endian 4 0xaa1f03e1 0xaa1f03e2 0xaa1f03e3 # mov x1, xzr; mov x2, xzr; mov x3, xzr
        little_endian 4 0xd61f0080            # br x4
        little_endian 8 "$tree" "$address"
    } >"$file.$$"
    mv -f -- "$file.$$" "$file"
}

# The tree of QEMU goes on naming the PL011, so the console is named by hand; `--append earlycon` takes that back.
virt_console() {
    local legacy=false
    [[ $opt_console == virtio* ]] || return 0
    [[ $opt_console == virtio ]] || legacy=true
    bootargs="earlycon=virtio,$VIRT_VIRTIO $bootargs"
    board_console=(-serial null -global "virtio-mmio.force-legacy=$legacy" -device 'virtio-serial-device,bus=virtio-mmio-bus.0'
        -device 'virtconsole,chardev=console')
}

board_qemu() {
    local elf=$1 image=$2 machine=virt,gic-version=$opt_gic address end tree code firmware
    case $opt_el in
    2) machine+=,virtualization=on ;;
    3) machine+=,secure=on,virtualization=on ;;
    esac
    [[ $opt_icount == no ]] || machine+=,dtb-randomness=off
    # EDK2 hands over a tree or ACPI tables, never both.
    [[ $opt_acpi == yes ]] || ! efi_chosen || machine+=,acpi=off
    qemu+=(-machine "$machine" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$opt_memory")
    virt_console

    [[ $opt_el == 3 ]] || check_image_header "$image"
    if [[ -n $opt_dtb ]]; then
        address=$(board_load_address "$elf" "$image")
        # At the end of RAM, or of its first GiB: 2 MiB for the tree, then the code.
        end=$(size_in_bytes "$opt_memory")
        ((end <= 1 << 30)) || end=$((1 << 30))
        tree=$(printf '0x%x' $((VIRT_RAM + end - (4 << 20))))
        code=${image%.img}.enter-$address-$tree.bin
        virt_entry_code "$code" "$tree" "$address"
        load_file "$image" "$address"
        load_file "$opt_dtb" "$tree"
        load_file "$code" $((tree + (2 << 20))) cpu-num=0
    elif [[ $opt_el == 3 ]]; then
        qemu+=(-kernel "$elf" -append "$bootargs")
    elif [[ -n $opt_at ]]; then
        image=$(image_at "$image" $((opt_at - VIRT_RAM)))
        qemu+=(-kernel "$image" -append "$bootargs")
    elif efi_chosen; then
        efi_qemu "$image"
    elif [[ -n $opt_firmware ]]; then
        # By itself it starts, after two seconds, what QEMU holds ready for it.
        firmware=$(firmware_file u-boot-qemu usr/lib/u-boot/qemu_arm64/u-boot.bin)
        qemu+=(-bios "$firmware" -kernel "$image" -append "$bootargs")
    else
        qemu+=(-kernel "$image" -append "$bootargs")
    fi
}
