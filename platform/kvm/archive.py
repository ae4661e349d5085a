#!/usr/bin/env python3
"""Writes the archives that Linux unpacks into its first file system (cpio, "newc").

usage: archive.py programs OBJDUMP ROOT OUT [PROGRAM]
                                                busybox, QEMU or another program with the libraries that it is linked with, out of
                                                packages unpacked below ROOT; and a program that ends the run with exit code 1
       archive.py files OUT NAME=FILE..         these files, executable
"""

import os
import struct
import subprocess
import sys

LIBRARIES = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib", "usr/lib/aarch64-linux-gnu/pulseaudio"]


class Archive:
    """An archive that is being written."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.count = 0

    def entry(self, name, mode, data=b"", device=(0, 0)):
        self.count += 1
        name = name.encode() + b"\0"
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self.out.write(header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4))

    def file(self, name, path):
        with open(path, "rb") as source:
            self.entry(name, 0o100755, source.read())

    def close(self):
        self.entry("TRAILER!!!", 0)
        self.out.close()


def needed(objdump, path):
    """What the program or library says it is linked with."""
    dump = subprocess.run([objdump, "-p", path], capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in dump.splitlines() if line.split()[:1] == ["NEEDED"]]


def libraries(objdump, root, program):
    """Every library of the program, and theirs, by name."""
    found, todo = {}, [program]
    while todo:
        for name in needed(objdump, todo.pop()):
            if name in found:
                continue
            places = [os.path.join(root, folder, name) for folder in LIBRARIES]
            place = next((place for place in places if os.path.exists(place)), None)
            if place is None:
                sys.exit(f"archive.py: no {name} below {root}")
            found[name] = os.path.realpath(place)
            todo.append(found[name])
    return found


def failing_program():
    """An ELF of one segment: semihosting's SYS_EXIT with exit code 1."""
    address = 0x400000
    code = struct.pack("<4I", 0x52800300, 0x10000061, 0xD45E0000, 0x14000000)  # mov w0, #0x18; adr x1, 12; hlt #0xf000; b .
    code += struct.pack("<2Q", 0x20026, 1)  # ADP_Stopped_ApplicationExit
    size = 64 + 56 + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<2HI3QI6H", 2, 183, 1, address + 120, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + struct.pack("<2I6Q", 1, 5, 0, address, address, size, size, 0x1000) + code


def programs(objdump, root, out, program="usr/bin/qemu-system-aarch64"):
    archive = Archive(out)
    for folder in ("bin", "lib", "dev", "proc", "sys"):
        archive.entry(folder, 0o40755)
    archive.entry("dev/console", 0o20600, device=(5, 1))
    archive.file("bin/busybox", os.path.join(root, "bin/busybox"))
    program = os.path.join(root, program)
    archive.file("bin/" + os.path.basename(program).split("-")[0], program)
    archive.entry("bin/fail", 0o100755, failing_program())
    for name, path in libraries(objdump, root, program).items():
        archive.file("lib/" + name, path)
    archive.close()


def main():
    match sys.argv[1:]:
        case ["programs", objdump, root, out, *program] if len(program) < 2:
            programs(objdump, root, out, *program)
        case ["files", out, *files]:
            archive = Archive(out)
            for file in files:
                archive.file(*file.split("=", 1))
            archive.close()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
