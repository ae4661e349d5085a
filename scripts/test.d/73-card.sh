# shellcheck shell=bash
# Cards: what scripts/image and scripts/flash make, read back by other tools than those that made it where there are any, and
# booted.

# The files of a directory and the sizes and sums in its manifest are the same.
manifest_holds() {
    local name size
    (cd -- "$1" && sha256sum --check --strict manifest.txt)
    while read -r name size; do
        [[ $(stat -c %s -- "$1/$name") == "$size" ]] || fail "$name has not $size bytes"
    done < <(sed -n 's/^# \([^ ]*\): \([0-9]*\) bytes, from ..*/\1 \2/p' -- "$1/manifest.txt")
    [[ $(files_in "$1") == "$({ echo manifest.txt && sed -n 's/^# \([^ ]*\): [0-9]* bytes, from .*/\1/p' -- "$1/manifest.txt"; } | LC_ALL=C sort | paste -sd ' ' -)" ]] \
        || fail "the manifest does not list what is there"
}

# The names in a directory, in order.
files_in() {
    find "$1" -mindepth 1 -maxdepth 1 -printf '%P\n' | LC_ALL=C sort | paste -sd ' ' -
}

# A directory of its own for each case, which begins empty.
card_room() {
    rm -rf -- "${DIR:?}/card"
    mkdir -- "$DIR/card"
    cd -- "$DIR/card" || exit
}

# read_card CARD DIR: what is in its partition, in a new directory.
read_card() {
    mkdir -- "$2"
    MTOOLSRC=/dev/null mcopy -i "$1@@1M" '::*' "$2"
}

card_image() {
    local image=$ROOT/scripts/image line
    card_room
    "$image" raspi4 plain --append 'log=info deadline_ms=2000'
    manifest_holds plain
    [[ $(files_in plain) == 'bcm2711-rpi-4-b.dtb cmdline.txt config.txt fixup4.dat kernel8.img manifest.txt raspi-firmware.txt start4.elf' ]] \
        || fail 'not the files of a boot partition'
    for line in arm_64bit=1 kernel=kernel8.img device_tree=bcm2711-rpi-4-b.dtb enable_uart=1; do
        grep -qx "$line" plain/config.txt || fail "no $line in config.txt"
    done
    [[ $(<plain/cmdline.txt) == 'log=info deadline_ms=2000' ]] || fail 'not the boot arguments'
    [[ $(head -c 4 -- plain/start4.elf | tail -c 3) == ELF ]] || fail 'start4.elf is no ELF'
    grep -q '^# kernel8.img: .* from Reveille [0-9.]* .*example monitor' plain/manifest.txt || fail 'no version of the image'
    grep -q '^# start4.elf: .* from raspi-firmware_1\.' plain/manifest.txt || fail 'no version of the firmware'
    grep -q '^# bcm2711-rpi-4-b.dtb: .* from linux-image-.* [0-9.-]*$' plain/manifest.txt || fail 'no version of the tree'

    # In the place of one that is there; from a directory of firmware.
    mkdir firmware
    printf 'start' >firmware/start4.elf
    printf 'fixup' >firmware/fixup4.dat
    "$image" raspi4b plain/ --firmware firmware --example roll_call
    manifest_holds plain
    [[ $(<plain/start4.elf) == start && $(<plain/fixup4.dat) == fixup && ! -e plain/raspi-firmware.txt ]] || fail 'another firmware'
    cmp -- plain/kernel8.img "$(staged example roll_call).img" || fail 'another image'

    # A program of one's own, of which nothing but its ELF is there.
    mkdir own
    cp -- "$(staged example roll_call)" own/program
    "$image" raspi4 plain/ --firmware firmware --elf own/program
    manifest_holds plain
    cmp -- plain/kernel8.img "$(staged example roll_call).img" || fail 'another image'
    grep -q '^# kernel8.img: .* from /.*/own/program$' plain/manifest.txt || fail 'not where the image came from'
    [[ $(files_in own) == program ]] || fail 'something was left beside the program'
    rm -r own

    # Nothing half done.
    rm firmware/fixup4.dat
    cp -r plain before
    failed 'no fixup4.dat in .*/firmware$' "$image" raspi4 plain --firmware firmware
    failed 'no fixup4.dat in .*/firmware$' "$image" raspi4 fresh --firmware firmware
    diff -r before plain || fail 'something has changed'
    [[ $(files_in .) == 'before firmware plain' ]] || fail 'something was left behind'

    # Not in the place of what somebody else made.
    mkdir precious
    : >precious/letter
    failed 'precious is not empty, and not the work of scripts/image' "$image" raspi4 precious --no-firmware
    failed 'precious/letter is there, and is no directory' "$image" raspi4 precious/letter --no-firmware
    failed 'nowhere/at is no directory' "$image" raspi4 nowhere/at/all --no-firmware
    failed '/proc is not empty' "$image" raspi4 /proc --no-firmware
}
check card/image --limit 900 card_image

# card_rolls_call MACHINE KERNEL TREE [QEMU OPTION..]: QEMU's own loader takes these files in the place of the board's.
card_rolls_call() {
    local rc=0 raw=raw-${3##*/} qemu
    qemu=(qemu-system-aarch64 -machine "$1" -kernel "$2" -dtb "$3" -append 'reveille.exit=semihosting deadline_ms=60000' "${@:4}"
        -nodefaults -display none -serial null -serial stdio -semihosting-config 'enable=on,target=native')
    say "+ $(quoted "${qemu[@]}")"
    timeout -k 5 200 "${qemu[@]}" </dev/null >"$raw" || rc=$?
    take_console "$raw"
    # shellcheck disable=SC2034 # read by check_expectation
    CODE=$rc check_expectation 'roll_call 4'
}

# The card is read by mtools and sfdisk, its file system looked at by fsck.vfat, and what is on it boots: with the card in the
# board, which QEMU's board cannot boot from by itself.
card_flash() {
    local image=card.img
    card_room
    "$ROOT/scripts/flash" --yes --example roll_call "$image"
    (($(stat -c %s -- "$image") == 64 << 20)) || fail 'not the size of a card'
    sfdisk --json -- "$image" | tee table
    python3 - table <<'TEXT' || fail 'not the table of partitions expected'
import json
import sys

table = json.load(open(sys.argv[1]))["partitiontable"]
(part,) = table["partitions"]
assert table["label"] == "dos" and part["type"] == "c" and part["bootable"], table
assert (part["start"], part["size"]) == (2048, 129024), part
TEXT
    tail -c +$(((1 << 20) + 1)) -- "$image" >partition
    fsck.vfat -n -v partition | tee check
    grep -q '32 bits per FAT\|FAT32\|32-bit' check || [[ $(tail -c +83 partition | head -c 5) == FAT32 ]] || fail 'no FAT32'
    read_card "$image" out
    manifest_holds out
    cmp -- out/kernel8.img "$(staged example roll_call).img" || fail 'another image'

    card_rolls_call raspi4b out/kernel8.img out/bcm2711-rpi-4-b.dtb -drive "if=sd,format=raw,file=$image"

    # Over one that is there: as much of it as is said, and no more.
    cp -- "$image" before
    truncate -s 100M -- "$image"
    printf 'end' | dd of="$image" bs=1M seek=99 conv=notrunc status=none
    "$ROOT/scripts/image" raspi4 other --no-firmware --example roll_call
    "$ROOT/scripts/flash" --yes --size 40M --from other "$image"
    (($(stat -c %s -- "$image") == 100 << 20)) || fail 'the file has changed its size'
    [[ $(tail -c $((1 << 20)) -- "$image" | head -c 3) == end ]] || fail 'more than 40 MiB were written'
    cmp -- <(tail -c +$(((40 << 20) + 1)) -- before) <(tail -c +$(((40 << 20) + 1)) -- "$image" | head -c $((24 << 20))) \
        || fail 'more than 40 MiB were written'
    read_card "$image" again
    diff -r other again || fail 'not what was to be on it'
    # Large ones, which want larger clusters.
    "$ROOT/scripts/flash" --yes --size 1G --from other large.img
    rm -f large.img partition
}
check card/flash --limit 900 card_flash

# With TF-A: on the card the console is the mini UART, where the board has pins, though TF-A names the other one.
card_psci() {
    local rc=0
    card_room
    "$ROOT/scripts/flash" --yes --example roll_call --psci --no-firmware card.img
    read_card card.img out
    manifest_holds out
    grep -qx armstub=bl31.bin out/config.txt || fail 'config.txt does not name the stub'
    have_runner
    cmp -- out/bl31.bin "$(runner fetch arm-trusted-firmware usr/lib/arm-trusted-firmware/rpi4/bl31.bin)" || fail 'another stub'
    "$ROOT/scripts/runner" "$(staged example roll_call)" --board raspi4b --firmware tf-a --dtb out/bcm2711-rpi-4-b.dtb --timeout 200 --append deadline_ms=60000 \
        -- -drive if=sd,format=raw,file=card.img -serial file:mini </dev/null >pl011 || rc=$?
    cat -- pl011
    take_console mini
    CODE=$rc check_expectation 'roll_call 4'
}
check card/psci --limit 900 card_psci

# The value of setting $2 in the config.txt $1 for a model that passes the filters $3..
setting() {
    local file=$1 name=$2
    shift 2
    awk -v name="$name" -v filters=" all $* " '
        /^\[/ { counts = index(filters, " " substr($0, 2, length($0) - 2) " ") }
        BEGIN { counts = 1 }
        counts && index($0, name "=") == 1 { value = substr($0, length(name) + 2) }
        END { print value }' "$file"
}

# card_boots MACHINE FILTER..: what the firmware of such a model would choose from the directory `all` boots.
card_boots() {
    local machine=$1 kernel tree
    shift
    kernel=$(setting all/config.txt kernel "$@")
    tree=$(setting all/config.txt device_tree "$@")
    card_rolls_call "$machine" "all/$kernel" "all/$tree"
}

# One card for every model, and one for each.
card_models() {
    local image=$ROOT/scripts/image model
    card_room
    "$image" raspi all --example roll_call
    manifest_holds all
    [[ $(files_in all) == 'bcm2711-rpi-4-b.dtb bcm2712-rpi-5-b.dtb bcm2837-rpi-3-a-plus.dtb bcm2837-rpi-3-b-plus.dtb bcm2837-rpi-3-b.dtb bcm2837-rpi-zero-2-w.dtb bootcode.bin cmdline.txt config.txt fixup.dat fixup4.dat kernel8.img manifest.txt raspi-firmware.txt start.elf start4.elf' ]] \
        || fail "not the files of a card for all: $(files_in all)"
    for model in 'bcm2837-rpi-3-b pi3' 'bcm2837-rpi-3-b-plus pi3 pi3+ board-type=0x0d' 'bcm2837-rpi-3-a-plus pi3 pi3+ board-type=0x0e' \
        'bcm2837-rpi-zero-2-w pi0 pi0w pi02' 'bcm2711-rpi-4-b pi4' 'bcm2712-rpi-5-b pi5'; do
        # shellcheck disable=SC2086 # a word for each filter
        [[ $(setting all/config.txt device_tree ${model#* }) == "${model%% *}.dtb" ]] || fail "another tree than that of $model"
    done
    [[ $(setting all/config.txt os_check pi5) == 0 && -z $(setting all/config.txt os_check pi4) ]] || fail 'os_check is for raspi5 alone'
    [[ $(setting all/config.txt enable_uart pi5) == 1 && $(setting all/config.txt arm_64bit pi3) == 1 ]] || fail 'settings for all'
    grep -q '^# bcm2712-rpi-5-b.dtb: .* from linux-image-.* [0-9.-]*$' all/manifest.txt || fail 'no version of the tree'
    card_boots raspi3b pi3
    card_boots raspi3ap pi3 pi3+ board-type=0x0e
    card_boots raspi3ap pi0 pi0w pi02
    card_boots raspi4b pi4

    "$image" raspi3 three --example roll_call
    manifest_holds three
    [[ $(files_in three) == 'bcm2837-rpi-3-a-plus.dtb bcm2837-rpi-3-b-plus.dtb bcm2837-rpi-3-b.dtb bcm2837-rpi-zero-2-w.dtb bootcode.bin cmdline.txt config.txt fixup.dat kernel8.img manifest.txt raspi-firmware.txt start.elf' ]] \
        || fail "not the files of a card for raspi3: $(files_in three)"
    "$image" raspi5 five --example roll_call
    manifest_holds five
    [[ $(files_in five) == 'bcm2712-rpi-5-b.dtb cmdline.txt config.txt kernel8.img manifest.txt' ]] \
        || fail "not the files of a card for raspi5: $(files_in five)"
    "$ROOT/scripts/flash" --yes --from all card.img
    read_card card.img out
    diff -r all out || fail 'not what was to be on it'
    rm -f card.img
}
check card/models --full --limit 1500 card_models

# Files of packages: fetched once, also by several that want one at the same time; put there by hand, where nothing can be fetched; and what is
# said then. What a fetch that was stopped has left is in nobody's way; a signal takes it along.
card_fetch() {
    local file=usr/lib/arm-trusted-firmware/rpi4/bl31.bin path pid pids=() bare=$DIR/card/bare rc=0
    card_room
    have_runner
    export REVEILLE_CACHE=$PWD/cache REVEILLE_PROGRAM=reveille-run
    mkdir -p cache/.fetch "$bare"
    : >cache/.fetch/old
    for path in one two three; do
        "$RUNNER" fetch arm-trusted-firmware "$file" >"$path" 2>"$path.said" &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail 'it could not be fetched'
    done
    cat -- one.said two.said three.said
    (($(cat -- one.said two.said three.said | grep -c "^fetching Debian's arm-trusted-firmware (once)$") == 1)) || fail 'not fetched once'
    path=$(<one)
    [[ -s $path && $path == "$(<two)" && $path == "$(<three)" ]] || fail 'nothing was fetched'
    [[ $(files_in cache) == 'fetch.lock firmware' ]] || fail "something was left behind: $(files_in cache)"
    failed 'no usr/nothing in arm-trusted-firmware_' "$RUNNER" fetch arm-trusted-firmware usr/nothing

    failed "apt-get is missing, and the device tree broadcom/x.dtb .* say .reveille-run tree broadcom/x.dtb --from FILE" env PATH="$bare" "$RUNNER" tree broadcom/x.dtb
    printf 'given' >own
    path=$("$RUNNER" fetch --from own some-package usr/lib/file)
    [[ $(env PATH="$bare" "$RUNNER" fetch some-package usr/lib/file) == "$path" && $(<"$path") == given ]] || fail 'not the file that was given'
    path=$("$RUNNER" tree --suite trixie broadcom/x.dtb --from own)
    [[ $(env PATH="$bare" "$RUNNER" tree --suite=trixie broadcom/x.dtb) == "$path" ]] || fail 'not the tree that was given'
    # An apt that does not come to its end.
    mkdir slow
    printf '#!/bin/sh\necho $$ >"%s/apt.new"\nmv "%s/apt.new" "%s/apt"\nexec sleep 300\n' "$PWD" "$PWD" "$PWD" >slow/apt-get
    chmod +x slow/apt-get
    PATH=$PWD/slow:$PATH "$RUNNER" fetch other-package usr/file &
    pid=$!
    # shellcheck disable=SC2317 # called by wait_for
    has_begun() { [[ -e apt ]] || ! kill -0 "$pid"; }
    wait_for 200 has_begun || fail 'apt was not called'
    [[ -e apt ]] || fail 'it ended by itself'
    [[ -d cache/.fetch ]] || fail 'nothing is being done'
    kill -TERM "$pid"
    wait "$pid" || rc=$?
    ((rc == 143)) || fail "exit code $rc"
    [[ ! -e cache/.fetch ]] || fail "something was left behind: $(files_in cache)"
    # shellcheck disable=SC2317 # called by wait_for
    is_gone() { [[ -z $(tr -d '\0' <"/proc/$(<apt)/cmdline") ]]; }
    wait_for 60 is_gone 2>/dev/null || fail 'apt goes on'

    refused "the file: '../x' is no name that Debian has" "$RUNNER" fetch some-package ../x
    refused 'name the package, and the file in it' "$RUNNER" fetch some-package
    refused "unknown option '--refresh'" "$RUNNER" tree --refresh x
}
check card/fetch --limit 300 card_fetch
