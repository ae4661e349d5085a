# shellcheck shell=bash
# Nothing ends in silence where the image was built to know a UART (REVEILLE_EARLYCON): one image, and each way there is to stop before the
# device tree has told of a console. The same by the bootarg `earlycon`: 49-early.cases.

# image_stage is a roll call that knows the UART of `virt`, or what $early_console says, entered at any level. Only its own package is built
# once more.
early_console=pl011,mmio32,0x9000000
early_image() {
    image_stage=$STATE/early/${early_console%%,*}/roll_call
    mkdir -p -- "${image_stage%/*}"
    alone_with_cargo build_early
}

build_early() {
    # The profile differs in something of no account, so that what other images are made of stays.
    REVEILLE_EARLYCON=$early_console run_cargo build -p reveille --release --example roll_call --target "$DEFAULT_TARGET" \
        --config 'profile.release.package.reveille.debug=1'
    keep_image "$TARGET_DIR/$DEFAULT_TARGET/release/examples/roll_call" "$image_stage"
    flat_image "$image_stage" >/dev/null
}

# says PATTERN COMMAND..: the command, which does not end by itself, comes to a console line that matches.
says() {
    local pattern=$1 pid
    shift
    say "+ $(quoted "$@")"
    "$@" >"$DIR/console.raw" 2>"$DIR/stderr" </dev/null &
    pid=$!
    # shellcheck disable=SC2317 # called by wait_for
    has_come() {
        tr -d '\r' <"$DIR/console.raw" | grep -Eqe "$pattern" || ! kill -0 "$pid" 2>/dev/null
    }
    wait_for 60 has_come || true
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
    take_console "$DIR/console.raw"
    grep -Eqe "$pattern" -- "$CONSOLE" || fail "no console line matches /$pattern/"
    ! grep -q 'roll call' -- "$CONSOLE" || fail 'it went on'
}

# early_at ADDRESS MACHINE PATTERN: the image, loaded and entered at that address of that machine.
early_at() {
    early_image
    says "$3" timeout -k 5 100 "$QEMU" -machine "$2" -cpu max -m 512M -nodefaults -display none -serial stdio \
        -device "loader,file=$image_stage.img,addr=$1,force-raw=on" -device "loader,addr=$1,cpu-num=0"
}
place='^reveille: cannot start: the image is not at a multiple of 4 KiB$'
check early/place early_at 0x40200004 virt "$place"
check early/place/el2 --full early_at 0x40200100 virt,virtualization=on "$place"
check early/place/el3 --full early_at 0x40200800 virt,virtualization=on,secure=on "$place"

# early_tree EDIT PATTERN [OPTION..]: with such a device tree.
early_tree() {
    local edit=$1 pattern=$2
    shift 2
    early_image
    make_tree "$DIR/tree.dtb" "$edit" "$@"
    says "$pattern" timeout -k 5 100 "$ROOT/scripts/runner" "$image_stage" "$@" --dtb "$DIR/tree.dtb" --timeout 100
}
check early/tree/magic early_tree magic '^reveille: cannot start: no device tree: none where x0 says \(0x[0-9a-f]+\), none at the start of RAM; nor ACPI tables$'
check early/tree/cut --full early_tree cut '^reveille: cannot start: device tree: '
check early/tree/far --full early_tree far '^reveille: cannot start: device tree: ' --el 2

# Without a console in the tree the boot goes on with the one that is built in; with one, that is the console from then on.
early_roll_call() {
    local edit=$1 words=()
    early_image
    if [[ -n $edit ]]; then
        make_tree "$DIR/tree.dtb" "$edit" --append log=info
        words=(--dtb "$DIR/tree.dtb")
    else
        words=(--append log=info)
    fi
    ends_with 0 "$ROOT/scripts/runner" "$image_stage" "${words[@]}" --timeout 100
    take_console "$DIR/stdout"
    CODE=0 check_expectation "roll_call 4 ; /$2\$/"
}
check early/no-console early_roll_call no_console 'console: pl011 at 0x9000000, earlycon, built in'
check early/console --full early_roll_call '' 'console: pl011 at 0x9000000, \/pl011@9000000, chosen'

# early_patched PLACE WORD PATTERN [OPTION..]: with another word of 32 bits at that place, which is a symbol, or /BYTES/OFFSET: so far from
# the first such bytes.
early_patched() {
    local place=$1 value=$2 pattern=$3 words word changed=() copy=$DIR/image.img symbols start at
    shift 3
    early_image
    if [[ $place == /*/* ]]; then
        word=${place#/}
        at=$(LC_ALL=C grep -abo -P "${word%/*}" -- "$image_stage.img" | head -n 1 | cut -d : -f 1)
        [[ -n $at ]] || fail "no bytes ${word%/*}"
        at=$((at + ${word#*/}))
    else
        symbols=$("$(llvm_tools_dir)/llvm-nm" "$image_stage")
        start=$(awk '$3 == "__image_start" { print "0x" $1 }' <<<"$symbols")
        at=$(awk -v symbol="$place" '$3 ~ symbol { print "0x" $1; exit }' <<<"$symbols")
        [[ -n $start && -n $at ]] || fail "no symbol $place"
        at=$((at - start))
    fi
    cp -- "$image_stage.img" "$copy"
    patch_little "$copy" "$at" "$value"
    eval "words=($("$ROOT/scripts/runner" "$image_stage" "$@" --print))"
    for word in "${words[@]}"; do
        changed+=("${word/"$image_stage.img"/"$copy"}")
    done
    says "$pattern" timeout -k 5 100 "${changed[@]}"
}
# An instruction that is none: with the vectors of the very beginning, at each level; with those of later on a CPU that has no area yet.
unhandled='reveille: an exception that nothing handles yet, at EL'
check early/exception early_patched '^reveille_early_tables$' 0 "^${unhandled}1: ESR 0x0000000002000000 ELR 0x[0-9a-f]+ FAR 0x[0-9a-f]+$"
check early/exception/el2 --full early_patched '^reveille_float$' 0 "^${unhandled}[12]: ESR 0x0000000002000000 " --el 2
check early/exception/vectors early_patched '^reveille_lacks$' 0 "^${unhandled}1: ESR 0x0000000002000000 "
# From there on it is a report like any other.
check early/exception/report early_patched 'find_blob' 0 '^panic on mpidr 0x0+ at [0-9.]+ s: synchronous exception in a thread: unknown reason, or an undefined instruction$'
# No CPU of QEMU is without pages of 4 KiB, and no linker leaves another relocation: here the first cmp x3, #0xf is for 0, and the loop of
# which cmp x4, #1027 is a part has no end before it.
check early/granule early_patched '/\x7f\x3c\x00\xf1/0' 0xf100007f '^reveille: cannot start: this CPU has no pages of 4 KiB$' --cpu cortex-a57
check early/relocation early_patched '/\x9f\x0c\x10\xf1/-12' 0xd503201f '^reveille: cannot start: the image has a relocation of an unknown kind$'

# A virtio console: before there is memory for it by emergency writes, then as any other, in memory of its own.
early_virtio() {
    local early_console=virtio,0xa000000 version legacy transport at=0x40200000
    early_image
    for legacy in true false; do
        version=(-global "virtio-mmio.force-legacy=$legacy" -device 'virtio-serial-device,bus=virtio-mmio-bus.0' -device 'virtconsole,chardev=c')
        says "$place" timeout -k 5 100 "$QEMU" -machine virt -cpu max -m 512M -nodefaults -display none -chardev stdio,id=c -serial null \
            "${version[@]}" -device "loader,file=$image_stage.img,addr=$((at + 4)),force-raw=on" -device "loader,addr=$((at + 4)),cpu-num=0"
    done
    for transport in virtio virtio-legacy; do
        early_tree magic '^reveille: cannot start: no device tree: none where x0 says' --console "$transport"
        # From there on it is the tree's, and the same.
        make_tree "$DIR/tree.dtb" virtio-chosen --console "$transport" --append earlycon --append log=info
        ends_with 0 "$ROOT/scripts/runner" "$image_stage" --dtb "$DIR/tree.dtb" --console "$transport" --timeout 100
        take_console "$DIR/stdout"
        CODE=0 check_expectation 'roll_call 4 ; /console: virtio at 0xa000000, \/virtio_mmio@a000000, chosen$/'
    done
    # No console there: it stays silent, and the tree has one.
    ends_with 0 "$ROOT/scripts/runner" "$image_stage" --timeout 100
    take_console "$DIR/stdout"
    CODE=0 check_expectation 'roll_call 4'
}
check early/virtio --full early_virtio
