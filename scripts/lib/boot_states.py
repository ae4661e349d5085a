"""Boots images again and again, each time with other things left behind in registers.

usage: boot_states.py --runner RUNNER --images DIR --stub ELF --nm LLVM_NM --table FILE --dir DIR --boots N --seed N [--first N]
       boot_states.py --table FILE --write FILE --level 1|2 [--stub ELF --nm LLVM_NM] [NAME=VALUE[@CPUS]..]

Each boot takes some of what is in the table (tests/shim/leavings.table), on some of its CPUs, which are left there before the image is
entered: by the stub at EL2, or, with rows for EL3 as well, by the stage at EL3. It has to end in a complete roll call, or as the table
says. One line for each boot that does not, with what was left, and its console behind it. The last line is the sum.

In DIR there are `leavings` and `leavings-el2`, and the same with `-simd`.

With --write there is no boot: it makes the file from which the stage, or the stub that is named, leaves the rows of these names, on the CPUs
whose bits are set (default: all), and enters the image at that level; and prints the value of QEMU's `-device` that puts it there.
"""

import argparse
import collections
import os
import random
import re
import subprocess
import sys

# Where the stage finds what to leave.
FLASH = 0x04000000
GICD, GICC, GICR, GICR_STRIDE = 0x8000000, 0x8010000, 0x80A0000, 0x20000
# Where QEMU puts the stub: what the header of its image asks for.
STUB = 0x40080000
MAGIC = int.from_bytes(b"LEAV", "little")
SYSTEM = re.compile(r"S([23])_([0-7])_C(1[0-5]|[0-9])_C(1[0-5]|[0-9])_([0-7])")
DEVICE = re.compile(r"(gicd|gicb|gicc|gicr)\+(0x[0-9a-f]+|[0-9])")
# What has to be said, and what becomes of the CPU.
SAID = re.compile(r"(?:deaf(?: unless (?P<unless>[a-z0-9_]+))?: (?P<deaf>.+)|no start: (?P<no_start>.+)|(?P<nothing>-)|(?P<words>.+))")
SIZE = 0x4000
ALL = (1 << 64) - 1
# What is illegal in streaming mode is.
CPU = "max,sme_fa64=off"
# Exit codes of the runner for a run that had to be stopped, and of the stub and the stage for what has no business there.
STOPPED, STAGE_STOPPED = 124, 99
# The scratch registers of the program; x0 is the number of the CPU.
VALUE, ADDRESS, MASK, SAVED, ZERO = 9, 10, 11, 12, 31


Row = collections.namedtuple("Row", "name gic level register values said")
# A row with the value and the CPUs for which it was chosen.
Left = collections.namedtuple("Left", "row value mask")


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
        if gic not in ("2", "3", "any") or level not in ("1", "2", "3", "any", "alone", "above"):
            raise Bad(f"{path}:{number}: GIC '{gic}', entry to '{level}'")
        if not SYSTEM.fullmatch(register) and not DEVICE.fullmatch(register):
            raise Bad(f"{path}:{number}: what is the register '{register}'?")
        values = values.split(",")
        for value in values:
            if value != "random" and not re.fullmatch(r"0x[0-9a-f]{1,16}|[0-9]+", value):
                raise Bad(f"{path}:{number}: what is the value '{value}'?")
        yield Row(name, gic, level, register, values, SAID.fullmatch(said))


def parse(value):
    return int(value, 0)


def constant(register, value):
    """MOVZ and MOVK (Arm ARM C6.2)."""
    words = [0xD2800000 | (value & 0xFFFF) << 5 | register]
    for half in range(1, 4):
        part = value >> 16 * half & 0xFFFF
        if part:
            words.append(0xF2800000 | half << 21 | part << 5 | register)
    return words


def msr(name, register):
    op0, op1, crn, crm, op2 = map(int, SYSTEM.fullmatch(name).groups())
    return 0xD5000000 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | register


def move(to, register):
    return 0xAA0003E0 | register << 16 | to


def store(register, value):
    """What puts the value there."""
    if SYSTEM.fullmatch(register):
        return [*constant(VALUE, value), msr(register, VALUE)]
    base, offset = DEVICE.fullmatch(register).groups()
    address = {"gicd": GICD, "gicb": GICD, "gicc": GICC, "gicr": GICR}[base] + int(offset, 0)
    words = constant(ADDRESS, address)
    if base == "gicr":
        # madd x10, x0, x11, x10
        words += [*constant(MASK, GICR_STRIDE), 0x9B000000 | MASK << 16 | ADDRESS << 10 | 0 << 5 | ADDRESS]
    # str w9, [x10]
    return [*words, *constant(VALUE, value & 0xFFFFFFFF), 0xB9000000 | ADDRESS << 5 | VALUE]


def stores(left):
    """What leaves all that; x0 is the number of the CPU."""
    words = []
    for item in left:
        body = store(item.row.register, item.value)
        # x11 = mask >> number of the CPU; tbz x11, #0, past the body
        words += constant(MASK, item.mask)
        words.append(0x9AC02400 | 0 << 16 | MASK << 5 | MASK)
        words.append(0x36000000 | (len(body) + 1) << 5 | MASK)
        words += body
    return [*words, 0xD5033FDF, 0xD5033F9F]  # isb, dsb sy


def packed(words):
    data = b"".join(word.to_bytes(4, "little") for word in words)
    if len(data) > SIZE:
        raise Bad("these leavings are more than there is room for")
    return data


RET = 0xD65F03C0


def stub_program(level, left):
    """The file that the stub calls at EL2."""
    return packed([MAGIC, level, 0, 0, *stores(left), RET])


def stage_program(level, left):
    """The file of the stage: what it calls at EL3, and what it enters at EL2, with x0 for the image, the image in x1, and the number
    of the CPU in x2."""
    upper = [*stores([item for item in left if item.row.level == "3"]), RET]
    lower = [move(SAVED, 0), move(0, 2), *stores([item for item in left if item.row.level != "3"]), move(0, SAVED)]
    if level == 2:
        lower += [move(SAVED, 1), move(1, ZERO), move(2, ZERO), 0xD61F0000 | SAVED << 5]  # br
    else:
        spsr, elr = "S3_4_C4_C0_0", "S3_4_C4_C0_1"
        lower += [msr(elr, 1), *constant(VALUE, 0x3C5), msr(spsr, VALUE), move(1, ZERO), move(2, ZERO), 0xD5033FDF, 0xD69F03E0]  # eret
    return packed([MAGIC, level, 16 + 4 * len(upper), 0, *upper, *lower])


def symbol(nm, elf, name):
    for line in subprocess.run([nm, elf], check=True, capture_output=True, text=True).stdout.splitlines():
        if line.endswith(f" {name}"):
            return int(line.split()[0], 16)
    raise Bad(f"{elf} has no symbol {name}")


def loader(path, stub, nm):
    """The value of QEMU's `-device` that puts the file where the stub looks for it, or without one the stage."""
    address = FLASH
    if stub:
        size = symbol(nm, stub, "__image_end") - symbol(nm, stub, "__image_start")
        address = (STUB + size + 0xFFF) & ~0xFFF
    return f"loader,file={path.replace(',', ',,')},addr={address:#x},force-raw=on"


def choose(rng, fitting, cpus, most):
    """Some of these rows, each with a value and CPUs; one of each register."""
    chosen = sorted(rng.sample(range(len(fitting)), rng.randint(1, min(most, len(fitting)))))
    for row in {fitting[index].register: fitting[index] for index in chosen}.values():
        value = rng.choice(row.values)
        value = rng.getrandbits(64 if row.register.startswith("S") else 32) if value == "random" else parse(value)
        mask = rng.choice(((1 << cpus) - 1, 1, rng.getrandbits(cpus) or 1))
        yield Left(row, value, 1 if row.register.startswith("gicd") else mask)


def on(left, cpu):
    """What is left on this CPU."""
    return [item for item in left if item.mask >> cpu & 1]


def reasons(left, cpu):
    """Patterns of why this CPU is deaf, if it is."""
    names = {item.row.name for item in left if item.mask >> cpu & 1 or item.row.register.startswith("gicd")}
    return [item.row.said["deaf"] for item in on(left, cpu) if item.row.said["deaf"] and item.row.said["unless"] not in names]


def judge(left, cpus, code, console):
    """What is wrong about how it ended, or None."""
    def wrong(*patterns):
        return None if any(re.search(pattern, console, re.MULTILINE) for pattern in patterns) else f"no /{'|'.join(patterns)}/"

    no_start = [item.row.said["no_start"] for item in on(left, 0) if item.row.said["no_start"]]
    no_start = no_start[:1] or [f"interrupt controller: .*({reason})" for reason in reasons(left, 0)]
    if no_start:
        if code in (0, STOPPED, STAGE_STOPPED) or "roll call:" in console:
            return f"exit code {code}, or a roll call"
        return wrong(*(f"^reveille: cannot start: {reason}" for reason in no_start))
    deaf = [cpu for cpu in range(cpus) if reasons(left, cpu)]
    if code != (1 if deaf else 0):
        return f"exit code {code}"
    found = [wrong(item.row.said["words"]) for item in on(left, 0) if item.row.said["words"]]
    found.append(wrong(f"^roll call: {cpus} possible, {cpus - len(deaf)} online, 0 revoked, 0 refused, {len(deaf)} failed, 0 wedged, 0 other$"))
    for cpu in deaf:
        found.append(wrong(f"^cpu {cpu} mpidr 0x[0-9a-f]+ failed gic generation 1$"))
        found.append(wrong(*(f"cpu {cpu}: interrupt controller: .*({reason})" for reason in reasons(left, cpu))))
    return ", ".join(filter(None, found)) or None


def one(options, table, number):
    """Boot number `number`: what was left, what is wrong about it, or None, whether by EL3, and whether a CPU was left deaf."""
    rng = random.Random(f"{options.seed}/{number}")
    stage = rng.random() < 0.4
    gic, level, cpus = rng.choice((2, 3)), rng.choice((1, 2)), rng.choice((1, 2, 4))
    fitting = [row for row in table if row.gic in ("any", str(gic))]
    left = list(choose(rng, [row for row in fitting if row.level in ("any", str(level), "any" if stage else "alone")], cpus, 12))
    if stage:
        left += choose(rng, [row for row in fitting if row.level == "3"], cpus, 3)
    path = os.path.join(options.dir, "left")
    with open(path, "wb") as file:
        file.write(stage_program(level, left) if stage else stub_program(level, left))
    kept = level == 2 and rng.random() < 0.5
    image = f"leavings{'-el2' if kept else ''}{rng.choice(('', '-simd'))}"
    board = ["--board", "secure", "--el", "2"] if stage else ["--board", "lying", "--cpu", CPU]
    # By a counter that runs faster than it says, a second is short.
    command = [options.runner, os.path.join(options.images, image), *board, "--gic", str(gic), "--cpus", str(cpus), "--timeout", "60",
               "--append", f"deadline_ms={1000000 if stage else 20000}",
               "--", "-device", loader(path, None if stage else options.stub, options.nm)]
    if stage:
        # CPUs that are off spin there.
        command += ["-accel", "tcg,thread=single"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    console = run.stdout.replace("\r", "")
    words = ", ".join(f"{item.row.name}={item.value:#x} on {item.mask:#x}" for item in left)
    what = f"boot {number}: GICv{gic}, {cpus} CPUs, {image}, {'by EL3, ' if stage else ''}entered at EL{level}: {words}"
    wrong = judge(left, cpus, run.returncode, console)
    lines = [line for line in (console + run.stderr).splitlines() if line.strip()]
    return what, wrong and "\n  | ".join([wrong, *lines]), stage, any(reasons(left, cpu) for cpu in range(cpus))


def write(options, table):
    """The file of what the words say."""
    rows_by_name = {row.name: row for row in table}
    left = []
    for word in options.leave:
        match = re.fullmatch(r"([a-z0-9_]+)=(-?[0-9]+|0x[0-9a-f]+)(?:@(0x[0-9a-f]+|[0-9]+))?", word)
        if not match or match[1] not in rows_by_name:
            raise Bad(f"'{word}' is not NAME=VALUE[@CPUS], or the table has no such name")
        left.append(Left(rows_by_name[match[1]], parse(match[2]) & ALL, parse(match[3]) if match[3] else ALL))
    with open(options.write, "wb") as file:
        file.write(stub_program(options.level, left) if options.stub else stage_program(options.level, left))
    print(loader(options.write, options.stub, options.nm))


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    for name in ("runner", "images", "stub", "nm", "dir", "write"):
        options.add_argument(f"--{name}")
    options.add_argument("--table", required=True)
    options.add_argument("--level", type=int, choices=(1, 2), default=2)
    options.add_argument("--boots", type=int)
    options.add_argument("--seed", type=int)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("leave", nargs="*")
    options = options.parse_args()
    table = list(rows(options.table))
    if options.write:
        write(options, table)
        return 0
    failed = stages = deaf = 0
    for number in range(options.first, options.first + options.boots):
        what, why, by_stage, has_deaf = one(options, table, number)
        stages, deaf = stages + by_stage, deaf + has_deaf
        if why:
            failed += 1
            print(f"FAILED {what}: {why}", flush=True)
    print(f"boot states: {options.boots} boots of seed {options.seed}, {stages} by EL3, {deaf} that left CPUs deaf, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Bad, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"boot_states.py: {error}")
