"""Boots an image again and again, each time with other things left behind in registers.

usage: boot_states.py --runner RUNNER --image ELF --el2-image ELF --stub ELF --nm LLVM_NM --table FILE --dir DIR --boots N --seed N
                      [--first N]

Each boot takes some of what is in the table (tests/shim/leavings.table), on some of its CPUs, which the stub at EL2 leaves there
before it enters the image. It has to end in a complete roll call; and where the table says so, in words about what was left. One line
for each boot that does not, with what was left, and its console behind it. The last line is the sum.
"""

import argparse
import os
import random
import re
import subprocess
import sys

GICD, GICC, GICR, GICR_STRIDE = 0x8000000, 0x8010000, 0x80A0000, 0x20000
# Where QEMU puts the stub: what the header of its image asks for.
STUB = 0x40080000
MAGIC = int.from_bytes(b"LEAV", "little")
SYSTEM = re.compile(r"S([23])_([0-7])_C(1[0-5]|[0-9])_C(1[0-5]|[0-9])_([0-7])")
DEVICE = re.compile(r"(gicd|gicc|gicr)\+(0x[0-9a-f]+|[0-9])")
SIZE = 0x4000
# The scratch registers of the program; x0 is the number of the CPU.
VALUE, ADDRESS, MASK = 9, 10, 11


class Bad(Exception):
    """Something in the table or in the tools."""


def rows(path):
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        fields = [field.strip() for field in line.split("|", 5)]
        if len(fields) != 6:
            raise Bad(f"{path}:{number}: {len(fields)} fields, 6 are wanted")
        name, gic, level, register, values, said = fields
        if gic not in ("2", "3", "any") or level not in ("1", "2", "any"):
            raise Bad(f"{path}:{number}: GIC '{gic}', entry to '{level}'")
        if not SYSTEM.fullmatch(register) and not DEVICE.fullmatch(register):
            raise Bad(f"{path}:{number}: what is the register '{register}'?")
        values = values.split(",")
        for value in values:
            if value != "random" and not re.fullmatch(r"0x[0-9a-f]{1,16}|[0-9]+", value):
                raise Bad(f"{path}:{number}: what is the value '{value}'?")
        yield name, gic, level, register, values, said


def constant(register, value):
    """MOVZ and MOVK (Arm ARM C6.2)."""
    words = [0xD2800000 | (value & 0xFFFF) << 5 | register]
    for half in range(1, 4):
        part = value >> 16 * half & 0xFFFF
        if part:
            words.append(0xF2800000 | half << 21 | part << 5 | register)
    return words


def store(register, value):
    """What puts the value there."""
    match = SYSTEM.fullmatch(register)
    if match:
        op0, op1, crn, crm, op2 = map(int, match.groups())
        msr = 0xD5000000 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | VALUE
        return [*constant(VALUE, value), msr]
    base, offset = DEVICE.fullmatch(register).groups()
    address = {"gicd": GICD, "gicc": GICC, "gicr": GICR}[base] + int(offset, 0)
    words = constant(ADDRESS, address)
    if base == "gicr":
        # madd x10, x0, x11, x10
        words += [*constant(MASK, GICR_STRIDE), 0x9B000000 | MASK << 16 | ADDRESS << 10 | 0 << 5 | ADDRESS]
    # str w9, [x10]
    return [*words, *constant(VALUE, value & 0xFFFFFFFF), 0xB9000000 | ADDRESS << 5 | VALUE]


def program(level, left):
    """The file that the stub calls: `left` is (register, value, mask of CPUs)."""
    words = [MAGIC, level, 0, 0]
    for register, value, mask in left:
        body = store(register, value)
        # x11 = mask >> number of the CPU; tbz x11, #0, past the body
        words += constant(MASK, mask)
        words.append(0x9AC02400 | 0 << 16 | MASK << 5 | MASK)
        words.append(0x36000000 | (len(body) + 1) << 5 | MASK)
        words += body
    words += [0xD5033FDF, 0xD5033F9F, 0xD65F03C0]  # isb, dsb sy, ret
    data = b"".join(word.to_bytes(4, "little") for word in words)
    if len(data) > SIZE:
        raise Bad(f"{len(left)} leavings are more than there is room for")
    return data


def symbol(nm, elf, name):
    for line in subprocess.run([nm, elf], check=True, capture_output=True, text=True).stdout.splitlines():
        if line.endswith(f" {name}"):
            return int(line.split()[0], 16)
    raise Bad(f"{elf} has no symbol {name}")


def loader(path, stub, nm):
    """The value of QEMU's `-device` that puts the file where the stub looks for it."""
    size = symbol(nm, stub, "__image_end") - symbol(nm, stub, "__image_start")
    address = (STUB + size + 0xFFF) & ~0xFFF
    return f"loader,file={path},addr={address:#x},force-raw=on"


def one(options, table, number):
    """Boot number `number`: what failed, or None."""
    rng = random.Random(f"{options.seed}/{number}")
    gic, level, cpus = rng.choice((2, 3)), rng.choice((1, 2)), rng.choice((1, 2, 4))
    fitting = [row for row in table if row[1] in ("any", str(gic)) and row[2] in ("any", str(level))]
    chosen = sorted(rng.sample(range(len(fitting)), rng.randint(1, min(12, len(fitting)))))
    left, words, said = [], [], []
    for name, _, _, register, values, expected in (fitting[index] for index in chosen):
        value = rng.choice(values)
        value = rng.getrandbits(64 if register.startswith("S") else 32) if value == "random" else int(value, 0)
        mask = rng.choice(((1 << cpus) - 1, 1, rng.getrandbits(cpus) or 1))
        left.append((register, value, mask))
        words.append(f"{name}={value:#x} on {mask:#x}")
        if expected != "-" and mask & 1:
            said.append(expected)
    path = os.path.join(options.dir, "leavings")
    with open(path, "wb") as file:
        file.write(program(level, left))
    image = options.el2_image if level == 2 and rng.random() < 0.5 else options.image
    command = [options.runner, image, "--board", "lying", "--gic", str(gic), "--cpus", str(cpus), "--timeout", "60", "--append",
               "deadline_ms=20000", "--", "-device", loader(path, options.stub, options.nm)]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    console = run.stdout.replace("\r", "")
    what = f"boot {number}: GICv{gic}, {cpus} CPUs, {'kept at EL2' if image == options.el2_image else f'entered at EL{level}'}: {', '.join(words)}"
    sums = f"roll call: {cpus} possible, {cpus} online,"
    if run.returncode == 0 and sums in console and all(re.search(pattern, console) for pattern in said):
        return what, None
    missing = [f"no /{pattern}/" for pattern in said if not re.search(pattern, console)]
    lines = [line for line in (console + run.stderr).splitlines() if line.strip()]
    return what, "\n  | ".join([", ".join([f"exit code {run.returncode}", *missing]), *lines])


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    for name in ("runner", "image", "el2-image", "stub", "nm", "table", "dir"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--boots", type=int, required=True)
    options.add_argument("--seed", type=int, required=True)
    options.add_argument("--first", type=int, default=0)
    options = options.parse_args()
    table = list(rows(options.table))
    failed = 0
    for number in range(options.first, options.first + options.boots):
        what, why = one(options, table, number)
        if why:
            failed += 1
            print(f"FAILED {what}: {why}", flush=True)
    print(f"boot states: {options.boots} boots of seed {options.seed}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Bad, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"boot_states.py: {error}")
