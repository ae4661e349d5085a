# shellcheck shell=bash
# The header by which UEFI firmware loads the flat image: held against what it is to say, here and by LLVM; and what is asked of a run that makes
# no sense.

efi_header() {
    local elf
    elf=$(staged example roll_call)
    python3 "$ROOT/scripts/test.d/efi_header.py" --spoil "$elf.img"
    # By somebody else's reader, which knows the file by its first bytes.
    "$(llvm_tools_dir)/llvm-readobj" --file-headers --sections "$elf.img" >"$DIR/read"
    grep -q 'Format: COFF-ARM64' "$DIR/read" || fail 'LLVM sees no PE file for ARM64'
    grep -q 'Subsystem: IMAGE_SUBSYSTEM_EFI_APPLICATION' "$DIR/read" || fail 'LLVM sees no EFI application'
}
check uefi/header efi_header

efi_usage() {
    refused "--el: with --firmware the image is entered at 1 or 2" "$ROOT/scripts/run" --firmware edk2 --el 3
    refused "--at: with --firmware grub it is firmware that chooses the place" "$ROOT/scripts/run" --firmware grub --at 0x50000000
    refused '--memory: EDK2 takes 256M' "$ROOT/scripts/run" --firmware edk2 --memory 128M
    refused '--append: from a disk, with --firmware edk2-disk, nobody hands over boot arguments' "$ROOT/scripts/run" --firmware edk2-disk --append json
    refused "--firmware: virt has no 'edk3'" "$ROOT/scripts/run" --firmware edk3
}
check uefi/usage efi_usage
