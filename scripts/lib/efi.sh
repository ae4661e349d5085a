# shellcheck shell=bash
# shellcheck disable=SC2154 # `qemu`, `bootargs` and SCRATCH are those of machine.sh
# UEFI firmware for a board, and the disks that it boots from. Reads common.sh, fetch.sh and machine.sh first.

# What --firmware may say where there is UEFI firmware: the name, and how the image gets its boot arguments.
readonly EFI_FIRMWARE=(edk2 edk2-strict-nx edk2-shell edk2-disk grub grub-linux systemd-boot u-boot-efi kexec)

# Is the firmware that was chosen UEFI firmware?
efi_chosen() { among "$opt_firmware" "${EFI_FIRMWARE[@]}"; }

# Check what was asked for with it, and define what the console takes: firmware writes for a terminal, before the image does.
efi_check() {
    [[ $opt_el != 3 ]] || usage_error "--el: with --firmware the image is entered at 1 or 2"
    [[ -z $opt_at ]] || usage_error "--at: with --firmware $opt_firmware it is firmware that chooses the place"
    [[ -z $opt_dtb ]] || usage_error "--dtb: not with --firmware, which hands over the tree of QEMU"
    [[ $opt_icount == no ]] || usage_error "--icount: not with --firmware"
    (($(size_in_bytes "$opt_memory") >= 256 << 20)) || usage_error "--memory: EDK2 takes 256M"
    [[ $opt_firmware != kexec || $opt_append != *\'* ]] || usage_error "--append: no single quotes with --firmware kexec"
    [[ $opt_gdb == no ]] || usage_error "--gdb: with --firmware $opt_firmware nobody knows beforehand where the image will be"
    if [[ $opt_firmware == edk2-disk || $opt_firmware == u-boot-efi ]]; then
        [[ -z $opt_append ]] || usage_error "--append: from a disk, with --firmware $opt_firmware, nobody hands over boot arguments"
    fi
    if [[ $opt_interactive != yes ]]; then
        # shellcheck disable=SC2317,SC2329 # for machine.sh
        board_output() { sed -u -E 's/\x1b\[[0-9;=?]*[A-Za-z]//g; s/\r//g'; }
    fi
}

# A FAT file system in a file of its own, its path printed: efi_disk NAME=SOURCE.. A source of `-` stands for what is on stdin.
efi_disk() {
    local disk=${SCRATCH:-$TARGET_DIR}/efi.fat entry name source dir size=0
    command -v mcopy >/dev/null || die 'mcopy is missing, which fills the disk (scripts/setup --test installs it)'
    for entry; do
        source=${entry#*=}
        [[ $source == - ]] || size=$((size + $(stat -L -c %s -- "$source")))
    done
    rm -f -- "$disk"
    truncate -s $(((size >> 20) + 16))M -- "$disk"
    mformat -i "$disk" -h 16 -s 63 -v REVEILLE :: || die "no file system in $disk"
    for entry; do
        name=${entry%%=*} dir=''
        while [[ ${name#"$dir"} == */* ]]; do
            source=${name#"$dir"}
            dir+=${source%%/*}/
            mmd -D s -i "$disk" "::${dir%/}" 2>/dev/null || true
        done
        mcopy -i "$disk" -- "${entry#*=}" "::$name" || die "no room for $name in $disk"
    done
    printf '%s\n' "$disk"
}

# Fill `qemu` with firmware and what it boots: efi_qemu IMAGE
efi_qemu() {
    local image=$1 bios disk='' packages=usr/lib
    case $opt_firmware in
    u-boot-efi)
        bios=$(firmware_file u-boot-qemu usr/lib/u-boot/qemu_arm64/u-boot.bin)
        ;;
    edk2-strict-nx)
        # The first Debian that has it.
        bios=$(firmware_file qemu-efi-aarch64 usr/share/AAVMF/AAVMF_CODE.secboot.strictnx.fd main trixie)
        ;;
    *)
        bios=$(firmware_file qemu-efi-aarch64 usr/share/qemu-efi-aarch64/QEMU_EFI.fd)
        ;;
    esac
    qemu+=(-bios "$bios")
    case $opt_firmware in
    edk2 | edk2-strict-nx)
        qemu+=(-kernel "$image" -append "$bootargs")
        ;;
    edk2-shell)
        # It waits five seconds for a key, then does what is in this file.
        disk=$(printf 'fs0:\\reveille.efi %s\r\n' "$bootargs" | efi_disk startup.nsh=- reveille.efi="$image")
        ;;
    edk2-disk | u-boot-efi)
        disk=$(efi_disk EFI/BOOT/BOOTAA64.EFI="$image")
        ;;
    grub | grub-linux)
        packages=$(firmware_file grub-efi-arm64-bin usr/lib/grub/arm64-efi/monolithic/grubaa64.efi)
        disk=$(printf '%s /reveille.efi %s\nboot\n' "$(efi_grub_command)" "$bootargs" \
            | efi_disk EFI/debian/grub.cfg=- EFI/BOOT/BOOTAA64.EFI="$packages" reveille.efi="$image")
        ;;
    kexec)
        [[ -e $FIRMWARE/kexec ]] || fetching fetch_kexec
        qemu+=(-kernel "$FIRMWARE/kexec/vmlinuz" -initrd "$(efi_kexec_files "$image")" -append 'console=ttyAMA0 quiet panic=-1')
        ;;
    systemd-boot)
        packages=$(firmware_file systemd-boot-efi usr/lib/systemd/boot/efi/systemd-bootaa64.efi)
        disk=$(printf 'title Reveille\nefi /reveille.efi\noptions %s\n' "$bootargs" \
            | efi_disk loader/entries/reveille.conf=- EFI/BOOT/BOOTAA64.EFI="$packages" reveille.efi="$image")
        ;;
    esac
    [[ -z $disk ]] || qemu+=(-drive "if=none,id=efi,format=raw,snapshot=on,file=${disk//,/,,}" -device 'virtio-blk-device,drive=efi')
}

efi_grub_command() {
    if [[ $opt_firmware == grub ]]; then printf 'chainloader\n'; else printf 'linux\n'; fi
}

# The first file system of a Linux that starts the image in its own place; its path: efi_kexec_files IMAGE
efi_kexec_files() {
    local files=${SCRATCH:-$TARGET_DIR}/kexec.cpio
    cat >"$files.init" <<TEXT
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
export LD_LIBRARY_PATH=/lib
/bin/kexec -c -l /image --command-line='$bootargs' && echo 'Linux: loaded' && /bin/kexec -e
echo 'Linux: kexec failed'
/bin/busybox poweroff -f
TEXT
    python3 "$ROOT/platform/kvm/archive.py" files "$files.files" init="$files.init" image="$1" || die 'the image could not be packed for Linux'
    # Linux takes several archives, one behind the other.
    cat -- "$FIRMWARE/kexec/programs.cpio" "$files.files" >"$files"
    printf '%s\n' "$files"
}
