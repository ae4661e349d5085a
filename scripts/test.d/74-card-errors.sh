# shellcheck shell=bash
# What scripts/image and scripts/flash say to options that make no sense, to what must not be written over, and to cards that are not
# whole; and that they ask first.

card_errors() {
    local image=$ROOT/scripts/image flash=$ROOT/scripts/flash
    card_room
    refused 'name the board, and the directory to make' "$image"
    refused 'name the directory to make' "$image" raspi4
    refused "BOARD: unknown 'toaster'; there are: .*raspi4" "$image" toaster new
    refused 'BOARD: virt boots from no card' "$image" virt new
    refused "what is 'more'" "$image" raspi4 new more
    refused '--psci: raspi4 alone has it' "$image" raspi3 new --psci
    refused '--psci: raspi4 alone has it' "$image" raspi new --psci
    refused '--firmware, --no-firmware: raspi5 has its firmware in an EEPROM' "$image" raspi5 new --no-firmware
    refused '--board: raspi is a card for several boards' "$ROOT/scripts/run" --board raspi
    refused "unknown option '--colour'" "$image" raspi4 new --colour
    refused "no example 'no_such'; there are: .*monitor" "$image" raspi4 new --example no_such
    refused '--example: its value is missing' "$image" raspi4 new --example
    refused "--firmware: cannot read the directory '/nonexistent'" "$image" raspi4 new --firmware /nonexistent
    refused '--no-firmware: not with --firmware' "$image" raspi4 new --firmware . --no-firmware
    refused '--firmware: once, and not with --no-firmware' "$image" raspi4 new --no-firmware --firmware .
    refused "--target: unknown 'x86'" "$image" raspi4 new --target x86
    refused "--features: unknown 'el4'" "$image" raspi4 new --features el4
    refused "--elf: cannot read the ELF '/nonexistent'" "$image" raspi4 new --elf /nonexistent
    refused "--elf: '$ROOT/Cargo.toml' is not an ELF" "$image" raspi4 new --elf "$ROOT/Cargo.toml"
    printf '\x7fELF\x02\x01\x01%014d\x3e\x00' 0 >"$DIR/foreign"
    refused "--elf: '.*/foreign' is an ELF for another kind of CPU than AArch64" "$image" raspi4 new --elf "$DIR/foreign"
    refused '--elf: it is built already' "$image" raspi4 new --elf "$(staged example roll_call)" --example monitor
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
    python3 "$ROOT/scripts/test.d/question.py" 'Write? (yes or no)' "$1" "$2" "$3" "$ROOT/scripts/flash" --from files new.img \
        </dev/null || fail 'not as expected'
}
