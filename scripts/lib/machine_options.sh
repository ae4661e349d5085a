# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # read by the scripts and boards; the image is that of build.sh
# The options of a run that say what the machine is like and how it is watched: their help, from words to them, and back to words.
# Reads common.sh and build.sh first.

# Empty means: not given, so the board decides.
opt_board=virt opt_cpus='' opt_gic='' opt_el='' opt_cpu='' opt_memory=''
opt_append='' opt_at='' opt_dtb='' opt_timeout='' opt_host_cpus=''
opt_firmware='' opt_acpi=no opt_console=''
opt_gdb=no opt_print=no opt_icount=no opt_interactive=''
opt_qemu=()

# The machine options of `scripts/run` and of `scripts/runner`, for their help.
machine_help() {
    cat <<'TEXT'
  --board NAME      the machine: virt (default), raspi4 (or raspi4b), or another folder of platform/
  --cpus N          number of CPUs (virt: default 4)
  --gic 2|3         version of the interrupt controller (virt: default 3; a GICv2 has 8 CPUs at most)
  --el 1|2|3        exception level at entry (virt: default 1). 3 boots the ELF with all CPUs running at once, on a
                    machine that has EL2 too; `-- -machine virtualization=off` takes EL2 away
  --cpu MODEL       QEMU CPU model, with its properties (virt: default max)
  --memory SIZE     RAM, such as 512M or 6G (virt: default 512M)
  --append ARGS     more boot arguments, after `reveille.exit=semihosting`
  --at ADDRESS      load the flat image there (virt: default is what its header asks for, 0x40200000)
  --dtb FILE        hand over this device tree, exactly as it is (QEMU's own -dtb edits it, which is what raspi4 gets)
  --firmware NAME   boot through this firmware, fetched from Debian's packages when it is first wanted. virt: u-boot, whose
                    `booti` starts the image, or UEFI firmware: edk2, edk2-strict-nx, edk2-shell, edk2-disk, grub, grub-linux,
                    systemd-boot, u-boot-efi, kexec (platform/README.md); raspi4: tf-a, which brings PSCI
  --acpi            virt: firmware (EDK2, if --firmware does not say otherwise) describes the machine by ACPI tables and has no tree
  --console NAME    raspi4: mini (default), the mini UART that its tree names, or pl011; virt: pl011 (default), virtio, or virtio-legacy,
                    which is the transport before version 1.0
  --icount          count instructions: one per nanosecond of guest time, the same on every run
  --host-cpus N     run QEMU on N CPUs of this host alone: if they are fewer than the machine's, these wait for each other, as
                    under a hypervisor that has more to run
  --interactive     the guest gets every key of this terminal, Ctrl-C included; Ctrl-A X ends QEMU, Ctrl-A C switches to its own
                    monitor. The examples monitor and async_server do so by themselves at a terminal; --no-interactive: they do not
  --timeout S       end the run after S seconds (default 120; 0 is never; with --gdb or --interactive the default is never)
  --gdb             wait for a debugger; the command to start one is printed
  --print           print the QEMU command as one line, and do not run it
TEXT
}

# Set the options from a command line. $1 is `run`, or `runner` where cargo has built already and chosen the image.
parse_machine_options() {
    local mode=$1
    shift
    while (($#)); do
        SHIFT=1
        case $1 in
        --board | --board=*) option_value "$@" && opt_board=$VALUE ;;
        --cpus | --cpus=*) number_value 1 512 "$@" && opt_cpus=$VALUE ;;
        --gic | --gic=*) number_value 2 3 "$@" && opt_gic=$VALUE ;;
        --el | --el=*) number_value 1 3 "$@" && opt_el=$VALUE ;;
        --cpu | --cpu=*) option_value "$@" && opt_cpu=$VALUE ;;
        --memory | --memory=*)
            option_value "$@" && opt_memory=$VALUE
            [[ $opt_memory =~ ^[1-9][0-9]{0,5}[MG]$ ]] || usage_error "--memory: '$opt_memory' is not a size such as 512M or 6G"
            ;;
        --append | --append=*) option_value "$@" && opt_append+=${opt_append:+ }$VALUE ;;
        --at | --at=*)
            option_value "$@" && opt_at=$VALUE
            [[ $opt_at =~ ^0x[0-9a-fA-F]{1,12}$ ]] || usage_error "--at: '$opt_at' is not an address such as 0x40200000"
            ;;
        --dtb | --dtb=*)
            option_value "$@" && opt_dtb=$VALUE
            [[ -f $opt_dtb && -r $opt_dtb ]] || usage_error "--dtb: cannot read '$opt_dtb'"
            opt_dtb=$(realpath -- "$opt_dtb")
            ;;
        --firmware | --firmware=*) option_value "$@" && opt_firmware=$VALUE ;;
        --acpi) opt_acpi=yes ;;
        --console | --console=*) option_value "$@" && opt_console=$VALUE ;;
        --timeout | --timeout=*) number_value 0 999999 "$@" && opt_timeout=$VALUE ;;
        --icount) opt_icount=yes ;;
        --host-cpus | --host-cpus=*) number_value 1 "$CPUS_HERE" "$@" && opt_host_cpus=$VALUE ;;
        --interactive) opt_interactive=yes ;;
        --no-interactive) opt_interactive=no ;;
        --gdb) opt_gdb=yes ;;
        --print) opt_print=yes ;;
        --)
            shift
            opt_qemu+=("$@")
            break
            ;;
        --target | --target=* | --features | --features=* | --test | --test=*)
            [[ $mode == run ]] || usage_error "${1%%=*}: the image is built already; give this to cargo"
            image_option "$@"
            ;;
        -*) usage_error "unknown option '$1'" ;;
        *)
            [[ $mode == run ]] || usage_error "what is '$1'? Options of the machine only; QEMU's own go after --"
            choose_image example "$1"
            ;;
        esac
        shift "$SHIFT"
    done
}

# Sets MACHINE_WORDS to the options by which BOARD is this machine again, with this image: what the board has filled in is written
# out, what has not been given is left out. How it is watched is not among them: machine_words BOARD
machine_words() {
    MACHINE_WORDS=(--board "$1" --cpus "$opt_cpus" --el "$opt_el" --cpu "$opt_cpu" --memory "$opt_memory")
    [[ $opt_gic == none ]] || MACHINE_WORDS+=(--gic "$opt_gic")
    [[ $opt_target == "$(default_target)" ]] || MACHINE_WORDS+=(--target "$opt_target")
    [[ -z $opt_features ]] || MACHINE_WORDS+=(--features "$opt_features")
    [[ -z $opt_append ]] || MACHINE_WORDS+=(--append "$opt_append")
    [[ -z $opt_at ]] || MACHINE_WORDS+=(--at "$opt_at")
    [[ -z $opt_dtb ]] || MACHINE_WORDS+=(--dtb "$opt_dtb")
    [[ -z $opt_firmware ]] || MACHINE_WORDS+=(--firmware "$opt_firmware")
    [[ $opt_acpi == no ]] || MACHINE_WORDS+=(--acpi)
    [[ -z $opt_console ]] || MACHINE_WORDS+=(--console "$opt_console")
    [[ $opt_icount == no ]] || MACHINE_WORDS+=(--icount)
    [[ -z $opt_host_cpus ]] || MACHINE_WORDS+=(--host-cpus "$opt_host_cpus")
    [[ -z $opt_timeout ]] || MACHINE_WORDS+=(--timeout "$opt_timeout")
    ((${#opt_qemu[@]} == 0)) || MACHINE_WORDS+=(-- "${opt_qemu[@]}")
}
