"""Writes what the shim is to leave behind before it enters an image: the file, and on stdout QEMU's argument that puts it there.

usage: leavings.py FILE STUB LLVM_NM LEVEL NAME=VALUE[@CPUS]..

LEVEL is the exception level at which the image is entered, VALUE a number, CPUS the mask of those that get it (default: all). NAME is
that of a row of tests/shim/leavings.table, or one of those that only mean something to a stage above: cntvoff_el2, cnthctl_el2.
"""

import os
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))
sys.dont_write_bytecode = True
import boot_states  # noqa: E402

ABOVE = {"cntvoff_el2": "S3_4_C14_C0_3", "cnthctl_el2": "S3_4_C14_C1_0"}


def main():
    path, stub, nm, level, *words = sys.argv[1:]
    known = {row.name: row for row in boot_states.rows(os.path.join(ROOT, "tests", "shim", "leavings.table"))}
    known |= {name: boot_states.Row(name, "any", "any", register, [], None) for name, register in ABOVE.items()}
    left = []
    for word in words:
        name, _, value = word.partition("=")
        value, _, mask = value.partition("@")
        left.append(boot_states.Left(known[name], int(value, 0) & (1 << 64) - 1, int(mask or "-1", 0) & (1 << 64) - 1))
    with open(path, "wb") as file:
        file.write(boot_states.stub_program(int(level), left))
    print(boot_states.loader(path, stub, nm))


if __name__ == "__main__":
    main()
