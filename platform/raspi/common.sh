# shellcheck shell=bash
# shellcheck disable=SC2154 # options are variables shared with scripts/lib/machine.sh
# What the boards of Raspberry Pi have in common. Their files read this one.

# Does the tree of --dtb bring its boot arguments? QEMU would replace them.
raspi_has_bootargs() {
    [[ -n $opt_dtb ]] && LC_ALL=C grep -aq bootargs -- "$opt_dtb"
}

# The tree with the other UART as its console: a file beside the image. The two names have the same length, so that no tool is
# needed that running does not take.
raspi_pl011_tree() {
    local tree=$1 copy=$2
    LC_ALL=C sed 's/serial1:115200n8/serial0:115200n8/' "$tree" >"$copy.$$"
    ! cmp -s -- "$tree" "$copy.$$" || die "$tree names another console than serial1:115200n8: --console cannot change it"
    mv -f -- "$copy.$$" "$copy"
    printf '%s\n' "$copy"
}

# The boot partition of one model, or of several: what the firmware in the board's GPU looks for, or that in its EEPROM. Names and
# settings are those of Raspberry Pi's documentation of config.txt ("Boot options", "Conditional filters") and of the boot folder.
# scripts/lib/card.sh gives the image, and says what it is.

# Debian's kernel knows the Raspberry Pi 5 from this suite on.
readonly RASPI5_SUITE=trixie

# Each tree of a model with the filter by which it is chosen, and the suite of Debian whose kernel has it if that is not the usual one.
raspi_trees() {
    case $1 in
    3)
        printf '%s\n' "pi3 bcm2837-rpi-3-b" "board-type=0x0d bcm2837-rpi-3-b-plus" "board-type=0x0e bcm2837-rpi-3-a-plus" \
            "pi02 bcm2837-rpi-zero-2-w"
        ;;
    4) printf '%s\n' "pi4 bcm2711-rpi-4-b" ;;
    5) printf '%s\n' "pi5 bcm2712-rpi-5-b $RASPI5_SUITE" ;;
    esac
}

# The files of the model's own firmware. The Raspberry Pi 5 has it in its EEPROM.
raspi_firmware() {
    case $1 in
    3) printf '%s\n' bootcode.bin start.elf fixup.dat ;;
    4) printf '%s\n' start4.elf fixup4.dat ;;
    esac
}

# Before anything is made: raspi_card_check MODEL..
raspi_card_check() {
    local model files
    [[ $card_psci == no || $* == 4 ]] \
        || usage_error "--psci: raspi4 alone has it; the firmware of a Raspberry Pi 5 has PSCI, and a raspi3 does without"
    files=$(for model; do raspi_firmware "$model"; done)
    [[ -n $files || $card_firmware == package ]] \
        || usage_error "--firmware, --no-firmware: $opt_board has its firmware in an EEPROM, and none on the card"
}

# raspi_card IMAGE WHAT MODEL..: puts the card together.
raspi_card() {
    local image=$1 what=$2 line filter name suite tree package files=() lines=()
    shift 2
    mapfile -t lines < <(for line; do raspi_trees "$line"; done)
    mapfile -t files < <(for line; do raspi_firmware "$line"; done)
    scratch_dir
    raspi_settings "${lines[@]}" >"$SCRATCH/config"
    printf '%s\n' "$card_append" >"$SCRATCH/cmdline"
    card_file kernel8.img "$image" "$what"
    card_file config.txt "$SCRATCH/config" 'scripts/image'
    card_file cmdline.txt "$SCRATCH/cmdline" 'scripts/image'
    for line in "${lines[@]}"; do
        read -r filter name suite <<<"$line"
        tree=$(board_tree "broadcom/$name.dtb" "$suite")
        package=$(tree_package "$suite")
        if [[ $card_psci == yes ]]; then
            # TF-A makes `serial0` the console, which on the board goes to Bluetooth: the two names change places.
            LC_ALL=C sed 's|/soc/serial@7e201000|/soc/serial@7e2:::::|; s|/soc/serial@7e215040|/soc/serial@7e201000|
                s|/soc/serial@7e2:::::|/soc/serial@7e215040|' "$tree" >"$SCRATCH/tree"
            ! cmp -s -- "$tree" "$SCRATCH/tree" || die "no names of serial ports in $tree"
            tree=$SCRATCH/tree package+=', with serial0 and serial1 exchanged'
        fi
        card_file "$name.dtb" "$tree" "$package"
    done
    if [[ $card_psci == yes ]]; then
        tree=$(firmware_file arm-trusted-firmware usr/lib/arm-trusted-firmware/rpi4/bl31.bin)
        package=$(firmware_version arm-trusted-firmware)
        card_file bl31.bin "$tree" "$package"
        card_file bl31.txt "$(firmware_file arm-trusted-firmware usr/share/doc/arm-trusted-firmware/copyright)" "$package"
    fi
    [[ $card_firmware != none ]] || return 0
    for line in "${files[@]}"; do
        card_firmware_file "$line" raspi-firmware "usr/lib/raspi-firmware/$line" non-free-firmware
    done
    if ((${#files[@]})) && [[ $card_firmware == package ]]; then
        card_firmware_file raspi-firmware.txt raspi-firmware usr/share/doc/raspi-firmware/copyright non-free-firmware
    fi
}

# The settings for these lines of `raspi_trees`.
raspi_settings() {
    local line filter name suite
    printf '# The first settings of a Raspberry Pi, read by its firmware.\narm_64bit=1\nkernel=kernel8.img\n'
    printf '# The console, 115200 baud: the mini UART on pins 8 and 10; of a Raspberry Pi 5 the debug connector with three pins.\n'
    printf 'enable_uart=1\n'
    for line; do
        read -r filter name suite <<<"$line"
        # So that no two filters count at once.
        (($# == 1)) || printf '[all]\n[%s]\n' "$filter"
        printf 'device_tree=%s.dtb\n' "$name"
        [[ $suite != "$RASPI5_SUITE" ]] \
            || printf '# Else this firmware looks for an operating system that it knows, and starts no other.\nos_check=0\n'
    done
    if [[ $card_psci == yes ]]; then
        printf '# The first code at EL3, in place of the stub in the firmware.\narmstub=bl31.bin\nenable_gic=1\n'
    fi
}
