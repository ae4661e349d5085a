# shellcheck shell=bash
# Cards: what scripts/image and scripts/flash make, read back by other tools than those that made it where there are any, and
# booted; and disks that must not be written over.

# failed PATTERN COMMAND..: the command must end with exit code 1, and the last line on stderr match the pattern.
failed() {
    local pattern=$1 rc=0
    shift
    say "+ $(quoted "$@")"
    timeout -k 5 200 "$@" >"$DIR/stdout" 2>"$DIR/failed" </dev/null || rc=$?
    cat -- "$DIR/failed" >&2
    ((rc == 1)) || fail "exit code $rc, expected 1"
    tail -n 1 -- "$DIR/failed" | grep -Eqe "$pattern" || fail "the last line does not match /$pattern/"
}

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

# The card is read by mtools and sfdisk, its file system looked at by fsck.vfat, and what is on it boots: with the card in the
# board, which QEMU's board cannot boot from by itself.
card_flash() {
    local image=card.img qemu rc=0
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
    mkdir out
    MTOOLSRC=/dev/null mcopy -i "$image@@1M" '::*' out
    manifest_holds out
    cmp -- out/kernel8.img "$(staged example roll_call).img" || fail 'another image'

    qemu=(qemu-system-aarch64 -machine raspi4b -kernel out/kernel8.img -dtb out/bcm2711-rpi-4-b.dtb -append 'reveille.exit=semihosting deadline_ms=60000'
        -drive "if=sd,format=raw,file=$image" -nodefaults -display none -serial null -serial stdio
        -semihosting-config 'enable=on,target=native')
    say "+ $(quoted "${qemu[@]}")"
    timeout -k 5 200 "${qemu[@]}" </dev/null >raw || rc=$?
    tr -d '\r' <raw >console
    cat -- console
    CONSOLE=console CODE=$rc check_expectation 'roll_call 4'

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
    rm -rf out
    mkdir out
    MTOOLSRC=/dev/null mcopy -i "$image@@1M" '::*' out
    diff -r other out || fail 'not what was to be on it'
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
    mkdir out
    MTOOLSRC=/dev/null mcopy -i card.img@@1M '::*' out
    manifest_holds out
    grep -qx armstub=bl31.bin out/config.txt || fail 'config.txt does not name the stub'
    cmp -- out/bl31.bin "${CARGO_TARGET_DIR:-$ROOT/target}/firmware/arm-trusted-firmware/usr/lib/arm-trusted-firmware/rpi4/bl31.bin" \
        || fail 'another stub'
    "$ROOT/scripts/runner" "$(staged example roll_call)" --board raspi4b --firmware tf-a --dtb out/bcm2711-rpi-4-b.dtb --timeout 200 --append deadline_ms=60000 \
        -- -drive if=sd,format=raw,file=card.img -serial file:mini </dev/null >pl011 || rc=$?
    cat -- pl011 mini
    tr -d '\r' <mini >console
    CONSOLE=console CODE=$rc check_expectation 'roll_call 4'
}
check card/psci --limit 900 card_psci

# Firmware is fetched when a card is half made, and what is there of the card stays.
card_fetch() {
    card_room
    mkdir -p scratch/files
    : >scratch/files/kernel8.img
    (
        # shellcheck disable=SC2030,SC2031,SC2034 # of this shell, for what it calls
        SCRATCH=$PWD/scratch FIRMWARE=$PWD/firmware
        firmware_file arm-trusted-firmware usr/lib/arm-trusted-firmware/rpi4/bl31.bin
    )
    [[ -s firmware/arm-trusted-firmware/usr/lib/arm-trusted-firmware/rpi4/bl31.bin ]] || fail 'nothing was fetched'
    [[ $(find scratch -type f) == scratch/files/kernel8.img ]] || fail "what was being made has changed: $(find scratch -type f)"
}
check card/fetch --limit 300 card_fetch

card_errors() {
    local image=$ROOT/scripts/image flash=$ROOT/scripts/flash
    card_room
    refused 'name the board, and the directory to make' "$image"
    refused 'name the directory to make' "$image" raspi4
    refused "BOARD: unknown 'toaster'; there are: .*raspi4" "$image" toaster new
    refused 'BOARD: virt boots from no card' "$image" virt new
    refused "what is 'more'" "$image" raspi4 new more
    refused "unknown option '--colour'" "$image" raspi4 new --colour
    refused "no example 'no_such'; there are: .*monitor" "$image" raspi4 new --example no_such
    refused '--example: its value is missing' "$image" raspi4 new --example
    refused "--firmware: cannot read the directory '/nonexistent'" "$image" raspi4 new --firmware /nonexistent
    refused '--no-firmware: not with --firmware' "$image" raspi4 new --firmware . --no-firmware
    refused '--firmware: once, and not with --no-firmware' "$image" raspi4 new --no-firmware --firmware .
    refused "--target: unknown 'x86'" "$image" raspi4 new --target x86
    refused "--features: unknown 'el4'" "$image" raspi4 new --features el4
    refused 'name the disk, or the image file' "$flash"
    refused "one card at a time: 'a' and 'b'" "$flash" a b
    refused "unknown option '--force'" "$flash" --force a
    refused "--size: 'big' is not a size" "$flash" --size big a
    refused '--size: less than 34 MiB is too small for FAT32' "$flash" --size 33M a
    refused '--size: an MBR ends at 2048G' "$flash" --size 2049G a
    refused "--from: cannot read the directory '/nonexistent'" "$flash" --from /nonexistent a
    refused '--psci: with --from the card is made already' "$flash" --from . --psci a
    refused "BOARD: unknown 'toaster'" "$flash" --board toaster a
    [[ -z $(files_in .) ]] || fail 'something was made'

    "$image" raspi4 files --no-firmware
    failed 'there is no /dev/nonexistent' "$flash" --yes --from files /dev/nonexistent
    failed '/dev/null is neither a disk nor a file' "$flash" --yes --from files /dev/null
    failed 'files is neither a disk nor a file' "$flash" --yes --from files files
    failed 'nowhere is no directory' "$flash" --yes --from files nowhere/card.img
    failed 'nobody to ask before .*/new.img is written.*: give --yes' "$flash" --from files new.img
    truncate -s 33M small.img
    failed 'small.img has 33 MiB .* too small: FAT32 takes 34 MiB' "$flash" --yes --from files small.img
    truncate -s 34M tight.img
    mkdir -p fat
    head -c 32M /dev/zero >fat/start4.elf
    : >fat/fixup4.dat
    failed 'tight.img: 34 MiB are too small for [0-9]* bytes in 7 files' "$flash" --yes --firmware fat tight.img
    cmp -- tight.img <(head -c 34M /dev/zero) || fail 'something was written'
    # No room for it.
    failed 'no room for 64 MiB in' bash -c "ulimit -f 1000; exec \"\$@\"" - "$flash" --yes --from files new.img
    # Files that are not those of the manifest.
    printf ' ' >>files/config.txt
    failed 'files is not what its manifest.txt says' "$flash" --yes --from files new.img
    printf 'x' >files/extra
    "$image" raspi4 files --no-firmware
    : >files/extra
    failed 'files has other files than those in its manifest.txt' "$flash" --yes --from files new.img
    mkdir nothing
    failed 'nothing has no manifest.txt' "$flash" --yes --from nothing new.img
    [[ $(files_in .) == 'fat files nothing small.img tight.img' ]] || fail "something was left behind: $(files_in .)"

    # It asks, and takes only yes for an answer.
    rm files/extra
    ask_flash no 1 'nothing was written'
    ask_flash y 1 'nothing was written'
    [[ ! -e new.img ]] || fail 'it was written all the same'
    ask_flash yes 0 '67108864 bytes written and read back'
    [[ -s new.img ]] || fail 'it was not written'
    # A disk of this machine that is no card.
    local disk
    for disk in /sys/class/block/*; do
        if [[ -b /dev/${disk##*/} && ! -e $disk/partition && $(<"$disk/removable") == 0 && $(<"$disk/size") != 0 ]]; then
            failed "/dev/${disk##*/}: it is not removable: neither a card nor a stick" "$flash" --yes --from files "/dev/${disk##*/}"
            break
        fi
    done
}
check card/errors --limit 900 card_errors

# ask_flash ANSWER CODE PATTERN: scripts/flash at a terminal, where somebody types ANSWER.
ask_flash() {
    say "+ scripts/flash, and the answer $1"
    python3 - "$1" "$2" "$3" "$ROOT/scripts/flash" --from files new.img <<'TEXT' || fail 'not as expected'
import os
import pty
import re
import select
import sys
import time

answer, code, pattern, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen, asked, until = b"", False, time.monotonic() + 60
while True:
    assert time.monotonic() < until, f"it does not end: {seen}"
    if not select.select([terminal], [], [], 1)[0]:
        continue
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    if not asked and b"Write? (yes or no)" in seen:
        asked = True
        os.write(terminal, answer.encode() + b"\n")
_, status = os.waitpid(pid, 0)
print(seen.decode())
assert asked, "it did not ask"
assert os.waitstatus_to_exitcode(status) == int(code), status
assert re.search(pattern, seen.decode()), pattern
TEXT
}

# Disks of made-up machines: sysfs and proc are directories.
card_disks() {
    # shellcheck source=../lib/disk.sh
    source "$ROOT/scripts/lib/disk.sh"
    local sys=sys proc=proc fault
    card_room
    mkdir -p proc/self
    printf 'Filename\tType\tSize\tUsed\tPriority\n/dev/sdd1 partition 1000 0 -2\n' >proc/swaps
    {
        printf '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n'
        printf '40 22 8:17 / /media/my\\040card rw shared:2 - vfat /dev/sdb1 rw\n'
        printf '41 22 0:33 /@ /mnt/pool rw - btrfs /dev/sdc2 rw\n'
    } >proc/self/mountinfo

    # fake NAME DEV REMOVABLE SIZE RO [PARTITION DEV]..
    fake() {
        local dir=sys/class/block/$1 name=$1
        mkdir -p "$dir/holders" "$dir/device"
        printf '%s\n' "$2" >"$dir/dev"
        printf '%s\n' "$3" >"$dir/removable"
        printf '%s\n' "$4" >"$dir/size"
        printf '%s\n' "$5" >"$dir/ro"
        shift 5
        while (($#)); do
            mkdir -p "$dir/$1/holders"
            printf '%s\n' "$2" >"$dir/$1/dev"
            printf '1\n' >"$dir/$1/partition"
            # Partitions stand beside the disks too.
            ln -s "$name/$1" "sys/class/block/$1"
            shift 2
        done
    }
    # fault NAME PATTERN
    fault() {
        fault=$(disk_fault "$sys" "$proc" "$1")
        say "$1: ${fault:-may be written}"
        if [[ -z $2 ]]; then
            [[ -z $fault ]] || fail "$1 is refused"
        else
            grep -Eqx "$2" <<<"$fault" || fail "not refused as /$2/"
        fi
    }
    fake sda 8:0 1 60000000 0 sda1 8:1 sda2 8:2
    fault sda ''
    fault sda1 'it is a partition: name the whole disk'
    fault sdz 'the kernel knows no disk of that name'
    fake sdb 8:16 1 60000000 0 sdb1 8:17
    fault sdb 'sdb1 is mounted at /media/my\\040card'
    fake sdc 8:32 1 60000000 0 sdc1 8:33 sdc2 8:34
    fault sdc 'sdc2 is mounted at /mnt/pool'
    fake sdd 8:48 1 60000000 0 sdd1 8:49
    fault sdd 'sdd1 is in use as swap space'
    fake sde 8:64 1 60000000 0 sde1 8:65
    : >sys/class/block/sde/sde1/holders/dm-0
    fault sde 'sde1 is part of dm-0'
    fake sdf 8:80 1 60000000 1
    fault sdf 'it is write-protected'
    fake sdg 8:96 1 0 0
    fault sdg 'there is no card in it'
    fake sdh 8:112 0 60000000 0
    fault sdh 'it is not removable: neither a card nor a stick'
    fake vda 254:0 1 60000000 0
    fault vda 'vda is mounted at /'
    # A reader without USB: the card says what it is, and so does soldered memory.
    fake mmcblk0 179:0 0 60000000 0 mmcblk0p1 179:1
    printf 'SD\n' >sys/class/block/mmcblk0/device/type
    printf 'SC32G\n' >sys/class/block/mmcblk0/device/name
    fault mmcblk0 ''
    [[ $(disk_description sys mmcblk0) == 'SC32G 29296 MiB' ]] || fail "not its name: $(disk_description sys mmcblk0)"
    fake mmcblk1 179:8 0 60000000 0
    printf 'MMC\n' >sys/class/block/mmcblk1/device/type
    fault mmcblk1 'it is not removable: neither a card nor a stick'

    fake loop3 7:3 0 60000000 0
    mkdir sys/class/block/loop3/loop
    printf '/srv/card.img\n' >sys/class/block/loop3/loop/backing_file
    [[ $(file_fault sys /srv/card.img) == 'it is in use as loop3' ]] || fail 'a file that is a loop device is not refused'
    [[ -z $(file_fault sys /srv/other.img) ]] || fail 'a file is refused'
}
check card/disks card_disks
