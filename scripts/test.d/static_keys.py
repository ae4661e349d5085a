"""Are all static keys of this image where they may be?

usage: static_keys.py ELF [N]

Reads the section `.static_keys`: for each site the distances to its instruction, to the target of its branch and to its
key (`SiteEntry` in src/key.rs). Each site must be an instruction of the text, a NOP or the branch to its target. None
(or N) of them may lie in `.never_patch`, where the code is that patching, stopping and taking exceptions relies on.
"""

import struct
import sys

NOP = 0xD503201F


def sections(elf):
    """Name -> (address, bytes) of what the image holds."""
    if elf[:6] != b"\x7fELF\x02\x01":
        sys.exit("not a 64-bit little-endian ELF")
    (start,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, start + i * size) for i in range(count)]
    strings = headers[names][4]
    found = {}
    for name, kind, flags, address, offset, length in headers:
        text = elf[strings + name : elf.index(b"\0", strings + name)].decode()
        # Allocated, and not .bss.
        if flags & 2 and kind != 8:
            found[text] = (address, elf[offset : offset + length])
    return found


def inside(section, address):
    return section[0] <= address < section[0] + len(section[1])


def main():
    path, allowed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with open(path, "rb") as file:
        found = sections(file.read())
    text, never = found[".text"], found[".never_patch"]
    base, table = found[".static_keys"]
    wrong, forbidden, count = [], [], len(table) // 16
    for at in range(0, 16 * count, 16):
        site, target, _ = struct.unpack_from("<iiq", table, at)
        site, target = base + at + site, base + at + 4 + target
        section = next((part for part in (text, never) if inside(part, site)), None)
        if site % 4 or section is None:
            wrong.append(f"{site:#x} is no instruction of the text")
            continue
        if section is never:
            forbidden.append(f"{site:#x}")
        (word,) = struct.unpack_from("<I", section[1], site - section[0])
        branch = 0x14000000 | (target - site) >> 2 & 0x03FFFFFF
        if word not in (NOP, branch):
            wrong.append(f"{site:#x} holds {word:#010x}, neither a NOP nor {branch:#010x}")
    print(f"{count} sites of static keys, {len(forbidden)} in .never_patch {' '.join(forbidden)}".rstrip())
    if count == 0 or len(table) % 16:
        wrong.append(f"{len(table)} bytes are no list of sites")
    if len(forbidden) != allowed:
        wrong.append(f"expected {allowed} in .never_patch")
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
