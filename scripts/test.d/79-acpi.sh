# shellcheck shell=bash
# ACPI tables that were made by hand, and a boot loader's tree of /chosen that leads to them, as Linux leaves one when it is left by kexec on a
# machine with ACPI. And firmware that parks CPUs, the third way to start one.

readonly ACPI_TABLES=0x5c000000 ACPI_STUB=0x5c070000

# by_hand IMAGE [WORD..] -- [OPTION..] -- EXPECTATION: IMAGE on `virt` with what acpi_machine.py makes of the words; with `parking` the stub that parks
# CPUs is entered before it.
# shellcheck disable=SC2034 # image_stage and CODE are for others
by_hand() {
    local image=$1 kind=test words=() made word stub code=''
    [[ $image != roll_call ]] || kind=example
    halves "${@:2}"
    made=("${BEFORE[@]}")
    halves "${AFTER[@]}"
    image_stage=$(staged "$kind" "$image")
    python3 "$ROOT/scripts/test.d/acpi_machine.py" "$DIR" "${made[@]}"
    dtc -q -O dtb -o "$DIR/chosen.dtb" "$DIR/chosen.dts"
    eval "words=($("$ROOT/scripts/runner" "$image_stage" "${BEFORE[@]}" --dtb "$DIR/chosen.dtb" --print))"
    words+=(-device "loader,file=$DIR/tables.bin,addr=$ACPI_TABLES,force-raw=on")
    if among parking "${made[@]}"; then
        stub=$(build_images shim "$DEFAULT_TARGET" '' release reveille-parking)
        "$(llvm_tools_dir)/llvm-objcopy" -O binary "$stub" "$DIR/parking.bin"
        dd if="$DIR/parking.bin" of="$DIR/tables.bin" bs=4096 seek=$(((ACPI_STUB - ACPI_TABLES) / 4096)) conv=notrunc status=none
        for word in "${!words[@]}"; do
            [[ ${words[word]} == loader,file=*.enter-*.bin,* ]] || continue
            # Its last 8 bytes are where to go.
            code=${words[word]#*file=} code=${code%%,*}
            cp -- "$code" "$DIR/enter.bin"
            patch_little "$DIR/enter.bin" $(($(stat -c %s -- "$code") - 8)) $((ACPI_STUB))
            words[word]=${words[word]/"$code"/"$DIR/enter.bin"}
        done
        [[ -n $code ]] || fail "no code in: ${words[*]}"
    fi
    say "+ $(quoted "${words[@]}")"
    CODE=0
    timeout -k 5 300 "${words[@]}" >"$DIR/console.raw" </dev/null || CODE=$?
    take_console "$DIR/console.raw"
    check_expectation "${AFTER[*]}"
}

acpi_usage() {
    refused '--acpi: raspi4 has no firmware with ACPI tables' "$ROOT/scripts/run" --board raspi4 --acpi --print
    refused '--acpi: not with --firmware u-boot, which hands over a tree' "$ROOT/scripts/run" --firmware u-boot --acpi --print
    refused '--acpi: not with --firmware u-boot-efi, which hands over a tree' "$ROOT/scripts/run" --firmware u-boot-efi --acpi --print
}
check acpi/usage acpi_usage

# What QEMU and EDK2 make themselves, out of the memory of machines that have come to the firmware's shell, against `iasl`.
acpi_dumps() {
    local bios dumps=$DIR/dumps name cpus gic more
    have_runner
    bios=$(runner fetch qemu-efi-aarch64 usr/share/qemu-efi-aarch64/QEMU_EFI.fd)
    rm -rf -- "$dumps"
    mkdir -p -- "$dumps"
    scratch_dir
    # A quarter of a GiB each.
    # shellcheck disable=SC2064 # as they are now: no longer known at the end
    trap "rm -rf -- $(quoted "$SCRATCH" "$dumps")" EXIT
    while read -r name gic cpus more; do
        # shellcheck disable=SC2086 # a list of options
        set -- qemu-system-aarch64 -machine "virt,gic-version=$gic" -cpu cortex-a72 -smp "$cpus" -m 256M -bios "$bios" $more \
            -nodefaults -display none -serial "file:$DIR/console.$name" -monitor stdio
        say "+ $(quoted "$@")"
        : >"$DIR/console.$name"
        {
            for _ in {1..600}; do
                ! grep -aq 'UEFI Interactive Shell' "$DIR/console.$name" || break
                sleep 0.5
            done
            ! grep -aq 'UEFI Interactive Shell' "$DIR/console.$name" \
                || printf 'pmemsave 0x40000000 0x10000000 "%s"\n' "$dumps/$name.40000000"
            printf 'quit\n'
        } | timeout -k 5 360 "$@" >"$DIR/monitor.$name" || fail "$name: QEMU ended with $?"
        grep -aq 'UEFI Interactive Shell' "$DIR/console.$name" || fail "$name: no shell"
        [[ -s $dumps/$name.40000000 ]] || fail "$name: no dump"
    done <<'MACHINES'
gic2 2 4
gic3 3 1
many 3 64 -numa node,cpus=0-31,memdev=a -numa node,cpus=32-63,memdev=b -object memory-backend-ram,id=a,size=128M -object memory-backend-ram,id=b,size=128M
el2 3,virtualization=on 4
MACHINES
    REVEILLE_ACPI=$dumps run_cargo test -p reveille-trees --release --target "$(host_triple)" --test tables dumps -- --nocapture \
        | tee "$DIR/dumps.log"
    (($(grep -c ' CPUs, BOCHS' "$DIR/dumps.log") >= 4)) || fail 'not every dump was read'
}
check acpi/dumps --full --limit 1500 acpi_dumps

# Each is a roll call of an image that is there already.
check acpi/chosen by_hand roll_call virtual -- --gic 3 -- 'roll_call 4'
check acpi/parking/gic3 by_hand roll_call parking -- --gic 3 -- 'roll_call 4'
check acpi/parking/gic2 --full by_hand roll_call gic=2 parking -- --gic 2 -- 'roll_call 4'
check acpi/parking/el2 --full by_hand roll_call parking -- --gic 3 --el 2 -- 'roll_call 4'
check acpi/parking/many --full by_hand roll_call parking cpus=20 gicr -- --gic 3 --cpus 20 -- 'roll_call 20'
check acpi/parking/not-parked --full by_hand roll_call parking not-parked -- --gic 3 -- \
    'code 1 ; roll_call 4 3=refused:-6 ; /cpu 3: nobody waits at its mailbox, 0x5c023000/'
check acpi/parking/lost-mailbox --full by_hand roll_call parking lost-mailbox -- --gic 3 -- \
    'code 1 ; roll_call 4 3=no-method ; /MADT: GICC 3: mailbox at 0x40201000: 0x40201000 is in use/'
# A CPU that leaves does not go back to its mailbox: it waits in the pen.
check acpi/parking/hotplug --full by_hand hotplug parking bootargs=short_ms=1000 -- --gic 3 -- '/^hotplug: all good$/'
check acpi/parking/services --full by_hand services gic=2 parking -- --gic 2 -- '/^services: all good$/'

check acpi/chosen/gic2 --full by_hand roll_call gic=2 dbg2 -- --gic 2 -- 'roll_call 4'
check acpi/chosen/gicr --full by_hand roll_call gicr -- --gic 3 -- 'roll_call 4'
check acpi/chosen/disabled --full by_hand roll_call disabled -- --gic 3 -- 'roll_call 4 3=disabled'
check acpi/chosen/bad-madt --full by_hand roll_call bad-madt -- --gic 3 -- \
    'code 1 ; /^reveille: cannot start: ACPI: MADT: wrong checksum, at \(0x5c00114[0-9a-f]\)$/'
check acpi/chosen/bad-fadt --full by_hand roll_call bad-fadt -- --gic 3 -- \
    'code 1 ; /ACPI: FADT: wrong checksum/ ; roll_call 4 1=no-method 2=no-method 3=no-method'
check acpi/chosen/bad-gtdt --full by_hand roll_call bad-gtdt -- --gic 3 -- 'code any ; /ACPI: GTDT: wrong checksum/'

# What cannot be made out at all ends on the console that the command line names.
readonly BY_HAND_CONSOLE='bootargs=earlycon=pl011,0x9000000'
check acpi/chosen/bad-xsdt --full by_hand roll_call bad-xsdt "$BY_HAND_CONSOLE" -- --gic 3 -- \
    'code 1 ; /^reveille: cannot start: ACPI: XSDT: wrong checksum, at \(0x5c000200\)$/'
check acpi/chosen/bad-rsdp --full by_hand roll_call bad-rsdp "$BY_HAND_CONSOLE" -- --gic 3 -- \
    'code 1 ; /^reveille: cannot start: ACPI: RSDP: not readable \(0x8000000000\)$/'
readonly NO_MAP='code 1 ; /^reveille: cannot start: UEFI: memory map at 0x5c008000: nothing there that can be read$/'
check acpi/chosen/no-map --full by_hand roll_call no-map "$BY_HAND_CONSOLE" -- --gic 3 -- "$NO_MAP"
# No less where a tree says what memory there is: not what of it is firmware's.
check acpi/chosen/no-map/described --full by_hand roll_call no-map described "$BY_HAND_CONSOLE" -- --gic 3 -- "$NO_MAP"

check acpi/chosen/usable --full by_hand memory usable -- --gic 3 -- '/^memory: 4 CPUs, 13[23][0-9]{6} bytes free$/'
# Two nodes of a list, a page each; 64 KiB, and two pages that a region touches.
listed_memory() {
    local words free=()
    for words in virtual 'virtual listed'; do
        # shellcheck disable=SC2086 # a list of words
        by_hand memory $words -- --gic 3 -- '/^memory: 4 CPUs, [0-9]+ bytes free$/'
        free+=("$(sed -n 's/^memory: 4 CPUs, \([0-9]*\) bytes free$/\1/p' "$CONSOLE")")
    done
    ((free[0] - free[1] == 20 * 4096)) || fail "${free[0]} bytes free, and ${free[1]} with a list of 20 pages"
}
check acpi/chosen/listed --full listed_memory
