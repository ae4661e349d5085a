"""Is this flat image an application that UEFI firmware loads, however strict it is, and the arm64 image that it was before?

usage: efi_header.py IMAGE

What must hold is from the Microsoft PE Format, UEFI 2.10 (2.1.1, 2.3.6), Linux's arm64 boot protocol, and what shim and EDK2 ask of an
image for memory that is not both writable and executable. `--spoil IMAGE` checks the check: with any field changed that it is about, the image is refused.
"""

import struct
import sys

CODE, DATA = 0x20, 0x40
EXECUTE, READ, WRITE = 0x20000000, 0x40000000, 0x80000000
PAGE = 4096


class Refused(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Refused(what)


def check(image):
    need(image[:2] == b"MZ", "no MZ")
    first, branch = struct.unpack_from("<II", image)
    need(first == 0xFA405A4D, "the first instruction is another than the one known to do no harm")
    need(branch >> 26 == 0b000101, "the second word is no branch")
    _, size, flags = struct.unpack_from("<QQQ", image, 8)
    need(image[0x38:0x3C] == b"ARM\x64" and flags == 0xA and size, "no arm64 header")
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    need(pe == 0x40 and image[pe:pe + 4] == b"PE\0\0", "no PE signature behind the arm64 header")
    machine, sections, _, _, _, optional_size, characteristics = struct.unpack_from("<HHIIIHH", image, pe + 4)
    need(machine == 0xAA64, "not for ARM64")
    need(characteristics & 2, "not executable")
    need(not characteristics & 0x2001, "a library, or one that cannot be moved")
    at = pe + 24
    magic, _, _, code_size, _, _, entry, code_base = struct.unpack_from("<HBBIIIII", image, at)
    need(magic == 0x20B, "no PE32+")
    (base, alignment, file_alignment) = struct.unpack_from("<QII", image, at + 24)
    need(base % 0x10000 == 0, "impossible base")
    need(alignment == PAGE and file_alignment == 512, "sections are not pages")
    image_size, headers_size, _, subsystem, dll = struct.unpack_from("<IIIHH", image, at + 56)
    need(image_size == size and size % PAGE == 0, "another size than that of the arm64 header")
    need(subsystem == 10, "no EFI application")
    need(dll & 0x100, "not said to go with NX")
    (directories,) = struct.unpack_from("<I", image, at + 108)
    need(optional_size == 112 + 8 * directories and 6 <= directories <= 16, "directories do not fit")
    need(not any(image[at + 112:at + optional_size]), "a directory has something in it")
    table = at + optional_size
    need(table + 40 * sections <= headers_size <= len(image) and headers_size % file_alignment == 0, "headers do not fit")
    target = 4 + ((branch & 0x3FFFFFF ^ 0x2000000) - 0x2000000) * 4
    end = headers_size
    inside = kinds = None
    for index in range(sections):
        name, virtual, address, raw, place = struct.unpack_from("<8sIIII", image, table + 40 * index)
        relocations, lines, counts, kind = struct.unpack_from("<IIII", image, table + 40 * index + 24)
        name = name.rstrip(b"\0").decode("ascii")
        need(address == end and address % alignment == 0, f"{name}: not behind the one before")
        need(place == address, f"{name}: lies elsewhere in the file, which is flat")
        need(raw <= virtual and raw % file_alignment == 0 and place + raw <= len(image), f"{name}: not all of it in the file")
        need(virtual % PAGE == 0, f"{name}: not whole pages")
        need(index == sections - 1 or raw == virtual, f"{name}: not all that it has is in the file")
        need(relocations == lines == counts == 0, f"{name}: relocations")
        need(kind & READ and not (kind & WRITE and kind & EXECUTE), f"{name}: both writable and executable")
        need(kind & (CODE if kind & EXECUTE else DATA), f"{name}: neither code nor data")
        if kind & EXECUTE and address <= entry < address + virtual:
            need(address <= target < address + virtual, "the branch at the start leads to no code")
            inside = name
            need(code_base == address and code_size == virtual, f"{name}: not the code that the header names")
        end, kinds = address + virtual, (kinds or ()) + (kind & (EXECUTE | WRITE),)
    need(end == image_size, "the sections end before the image, or behind it")
    need(inside and entry % 4 == 0, "the entry point lies in no code")
    need(kinds == (EXECUTE, WRITE, WRITE), "not code, constants that relocation may write, and data")
    need(place + raw == len(image), "the file goes on behind the last section")
    return f"entry {entry:#x} in {inside}, {sections} sections, {image_size} bytes"


# Fields that may be anything: the name of a section, the sizes that nobody looks at, and versions.
FREE = ([(8, 16), (32, 56), (0x48, 0x54)] + [(0x58 + from_, 0x58 + to) for from_, to in
        [(2, 4), (8, 16), (24, 32), (40, 56), (64, 68), (72, 108)]])


def spoil(image):
    """Every byte of the headers that matters, changed in several ways."""
    (optional_size,) = struct.unpack_from("<H", image, 0x54)
    sections = 0x58 + optional_size
    free = FREE + [(sections + 40 * index, sections + 40 * index + 8) for index in range(3)]
    # Further flags change nothing, as such.
    free += [(0x56, 0x58), (0x58 + 70, 0x58 + 72)] + [(sections + 40 * index + 36, sections + 40 * index + 40) for index in range(3)]
    count = 0
    for at in range(sections + 120):
        if any(start <= at < end for start, end in free):
            continue
        for change in (1, 0x10, 0x80, 0xFF):
            # Another branch or another entry point in the code is one still.
            if 4 <= at < 8 or 0x58 + 16 <= at < 0x58 + 20:
                continue
            bad = bytearray(image)
            bad[at] ^= change
            try:
                check(bytes(bad))
            except (Refused, struct.error, UnicodeDecodeError):
                count += 1
                continue
            sys.exit(f"failed: byte {at:#x} changed by {change:#x} is not noticed")
    return f"{count} changes noticed"


def main():
    name = sys.argv[-1]
    with open(name, "rb") as file:
        image = file.read()
    try:
        print(f"{name}: {check(image)}")
    except Refused as error:
        sys.exit(f"failed: {name}: {error}")
    if sys.argv[1] == "--spoil":
        print(spoil(image))


if __name__ == "__main__":
    main()
