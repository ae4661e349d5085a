#!/usr/bin/env python3
"""What scripts/bench --lines does with what the plugin of benches/lines/ has counted.

    bench_lines.py rows OPERATIONS LISTING GIC CPUS      the figures of a LISTING, a line each: NAME GIC CPUS and for each column MEDIAN:MIN:MAX
    bench_lines.py locks OPERATIONS LISTING GIC CPUS     the same of the locks, with MEAN in place of MEDIAN
    bench_lines.py list PART FIGURES                     the same of this part of FIGURES
    bench_lines.py versions PART FIGURES                 the versions of QEMU and of Rust that they were counted with, a line each
    bench_lines.py table PART ROWS BARS QEMU RUST JSON   the table, to be read; and the figures as JSON; exit code 1 if a bar is missed
    bench_lines.py compare PART OLD NEW [MACHINE..]      tells what changed; exit code 1 if anything got worse by more than 3 % or is gone
    bench_lines.py number OPERATIONS NAME                the number of an operation
    bench_lines.py show OPERATIONS LISTING NAME GIC CPUS ELF LOADED NM    one run, access by access, with the places in the source

OPERATIONS is benches/lines/operations.h. FIGURES, OLD and NEW have PART, `lines` or `locks`, as scripts/bench --PART --json writes it. MACHINE is GIC:CPUS.
"""

import bisect
import json
import os
import re
import statistics
import subprocess
import sys

COLUMNS = ("moves", "upgrades", "atomics", "dsb", "isb", "gic", "mmio")
# As keys of JSON, where `gic` is the version of the machine's.
KEYS = ("moves", "upgrades", "atomics", "dsb", "isb", "gic_accesses", "mmio")
LIMIT = 0.03
# What the caller alone does counts, not what others do until it goes on.
CALLER_ALONE = ("post",)
# There and back, on and off: two of them between the marks.
PAIRS = ("wake", "context_switch", "key_toggle")
# In the order in which benches/src/bin/locks.rs takes them.
LOCKS = ("test-and-set", "rush", "ticket", "SpinLock", "Mutex")


def fail(text):
    sys.exit(f"scripts/bench: {text}")


def operations(path):
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^OPERATION\((\w+)\)$", file.read(), re.M)


def number_of(path, name):
    names = operations(path)
    if name not in names[1:]:
        fail(f"there is no operation '{name}', only {', '.join(names[1:])}")
    return names.index(name)


def samples(path):
    """The runs in a listing: (number of the operation, what all did, what the caller did)."""
    found, is_whole = [], False
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.split()
            if word == "sample":
                counts = [int(number) for number in numbers]
                found.append((counts[0], counts[2 : 2 + len(COLUMNS)], counts[2 + len(COLUMNS) :]))
            is_whole = word == "end"
    if not is_whole:
        fail(f"the plugin has not ended '{path}'")
    return found


def measured(name, everyone, caller, cpus):
    """What counts of a run, for one operation."""
    counts = caller if name in CALLER_ALONE else everyone
    parts = 2 if name in PAIRS else max(cpus - 1, 1) if name == "bringup_per_cpu" else 1
    return [plain(count / parts) for count in counts]


def plain(number):
    """A figure: whole, or with one digit."""
    number = round(float(number), 1)
    return int(number) if number == int(number) else number


def rows(operations_path, listing, gic, cpus):
    names = operations(operations_path)
    runs = {}
    for number, everyone, caller in samples(listing):
        if number:
            runs.setdefault(number, []).append(measured(names[number], everyone, caller, cpus))
    for number, counts in runs.items():
        columns = zip(*counts)
        cells = (f"{statistics.median_high(column)}:{min(column)}:{max(column)}" for column in columns)
        print(names[number], gic, cpus, *cells)


def locks(operations_path, listing, gic, cpus):
    """Each acquisition is a run of `lock`; there are as many of each lock."""
    number = number_of(operations_path, "lock")
    runs = [everyone for operation, everyone, _ in samples(listing) if operation == number]
    length, rest = divmod(len(runs), len(LOCKS))
    if rest or not length:
        fail(f"{len(runs)} acquisitions are not as many for each of {len(LOCKS)} locks")
    for at, name in enumerate(LOCKS):
        columns = zip(*runs[at * length : (at + 1) * length])
        print(name, gic, cpus, *(f"{plain(sum(column) / length)}:{min(column)}:{max(column)}" for column in columns))


def figure(text):
    return float(text) if "." in text else int(text)


def read_rows(path):
    """Rows as `rows` and `list` print them: (name, gic, cpus) to a list of (median, least, most)."""
    figures = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, gic, cpus, *cells = line.split()
            figures[name, int(gic), int(cpus)] = [tuple(figure(part) for part in cell.split(":")) for cell in cells]
    return figures


def read(path, part="lines"):
    """This part of a file of figures: the versions, and (name, gic, cpus) to a list of (median, least, most)."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)[part]
        figures = {}
        for result in data["results"]:
            cells = [
                (result[key], result.get("min", result)[key], result.get("max", result)[key]) for key in KEYS
            ]
            figures[result["name"], result["gic"], result["cpus"]] = cells
    except OSError as error:
        fail(f"cannot read '{path}': {error}")
    except (ValueError, TypeError, KeyError, AttributeError):
        fail(f"'{path}' has no '{part}' as scripts/bench --{part} --json writes them")
    return data, figures


def as_json(figures, qemu, rust):
    """The part of a file of figures. `min` and `max` are there where not every run was the same."""
    results = []
    for (name, gic, cpus), cells in figures.items():
        result = {"name": name, "gic": gic, "cpus": cpus} | {key: cell[0] for key, cell in zip(KEYS, cells)}
        if any(least != most for _, least, most in cells):
            result["min"] = {key: cell[1] for key, cell in zip(KEYS, cells)}
            result["max"] = {key: cell[2] for key, cell in zip(KEYS, cells)}
        results.append(result)
    return {"qemu": qemu, "rust": rust, "results": results}


def table(part, path, bars, qemu, rust, json_path):
    figures = read_rows(path)
    limits = {}
    for line in bars.splitlines():
        if line.strip():
            name, gic, cpus, most = line.split()
            limits[name, int(gic), int(cpus)] = int(most)
    missed = 0
    print(f"{'name':<16} {'gic':>3} {'cpus':>4}  {'lines':>6} " + " ".join(f"{column:>8}" for column in COLUMNS) + "  bar")
    for key, cells in figures.items():
        name, gic, cpus = key
        lines = plain(cells[0][0] + cells[1][0])
        bar = ""
        if key in limits:
            good = lines <= limits[key]
            missed += not good
            bar = f"  {limits[key]} {'ok' if good else 'OVER'}"
        text = " ".join(f"{cell[0]:>8}" for cell in cells)
        print(f"{name:<16} {gic:>3} {cpus:>4}  {lines:>6} {text}{bar}")
    for name, gic, cpus in limits.keys() - figures.keys():
        print(f"{name:<16} {gic:>3} {cpus:>4}  not there  {limits[name, gic, cpus]} OVER")
        missed += 1
    print(f"counted with QEMU {qemu}, Rust {rust}; lines: moves and upgrades")
    with open(json_path, "w", encoding="utf-8") as file:
        json.dump({part: as_json(figures, qemu, rust)}, file)
    sys.exit(1 if missed else 0)


def compare(part, old_path, new_path, machines):
    old_data, old = read(old_path, part)
    new_data, new = read(new_path, part)
    if machines:
        old = {key: cells for key, cells in old.items() if f"{key[1]}:{key[2]}" in machines}
    worse = 0

    def line(word, key, text):
        name, gic, cpus = key
        print(f"{word:<9} {name:<16} GICv{gic} {cpus:>3} CPUs: {text}")

    for key, before in old.items():
        if key not in new:
            line("missing", key, "counted before, not now")
            worse += 1
            continue
        for column, (then, _, _), (now, _, _) in zip(COLUMNS, before, new[key]):
            if now > then * (1 + LIMIT):
                line("worse", key, f"{column} {then} -> {now}")
                worse += 1
            elif now < then * (1 - LIMIT):
                line("better", key, f"{column} {then} -> {now}")
    for key in new.keys() - old.keys():
        line("new", key, "not counted before")
    for what in ("qemu", "rust"):
        if old_data.get(what) != new_data.get(what):
            print(f"note      the figures compared with were taken with {what} {old_data.get(what)}, these with {new_data.get(what)}: "
                  "a difference may be theirs")
    print(f"compared with {old_path}: {len(old)} operations, {worse} figures worse by more than {LIMIT:.0%}, or missing")
    sys.exit(1 if worse else 0)


def source_places(elf, addresses):
    """Of each address in the ELF: the places in the source, innermost first, as (place, function)."""
    command = ["addr2line", "-a", "-C", "-f", "-i", "-p", "-e", elf]
    said = subprocess.run(command, input="\n".join(map(hex, addresses)), capture_output=True, text=True, check=True).stdout
    root, places, current = os.getcwd() + "/", {}, None
    for line in said.splitlines():
        start = re.match(r"0x([0-9a-f]+): ", line)
        if start:
            current = places.setdefault(int(start[1], 16), [])
            line = line[start.end() :]
        function, _, place = line.strip().removeprefix("(inlined by) ").rpartition(" at ")
        current.append((re.sub(r" \(discriminator \d+\)$", "", place).removeprefix(root), function))
    return places


def where(places):
    """One line: the innermost place that is of this project, its function, and the places that it is inlined in."""
    own = [place for place in places if not place[0].startswith(("/", "library/"))] or places
    inner, *outer = own or [("?", "?")]
    called = "".join(f" < {place}" for place, _ in outer if not place.startswith("benches/"))
    return f"{inner[0]} {short(inner[1])}{called}"


def short(name):
    """A name without the crates of the project, which the place says."""
    return re.sub(r"\breveille(?:_\w+)?::", "", name)


def symbols(elf, nm):
    """The statics of the ELF, in order: (address, size, name)."""
    said = subprocess.run([nm, "-n", "-S", "-C", elf], capture_output=True, text=True, check=True).stdout
    found = []
    for line in said.splitlines():
        parts = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) [bBdDrR] (.*)", line)
        if parts:
            found.append((int(parts[1], 16), int(parts[2], 16), parts[3]))
    return found


def show(operations_path, listing, name, gic, cpus, elf, loaded, nm):
    number = number_of(operations_path, name)
    runs = [
        measured(name, everyone, caller, cpus) for sample, everyone, caller in samples(listing) if sample == number
    ]
    if not runs:
        fail(f"'{name}' is not measured on GICv{gic} with {cpus} CPUs")
    middle = [statistics.median_high(column) for column in zip(*runs)]
    # The last one of those that are nearest to it.
    chosen = min(range(len(runs)), key=lambda run: (sum(abs(a - b) for a, b in zip(runs[run], middle)), -run))
    events = []
    with open(listing, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[0] == "event" and int(words[2]) == chosen:
                events.append((int(words[3]), words[4], int(words[5], 16), int(words[6], 16)))
    statics = symbols(elf, nm)
    starts = [address for address, _, _ in statics]
    offset = image_start(elf, nm) - loaded
    places = source_places(elf, sorted({pc + offset for _, _, pc, _ in events}))

    def what(physical):
        """The line and the place in it, and the static that is there."""
        address = physical + offset
        at = bisect.bisect_right(starts, address) - 1
        name = ""
        if at >= 0 and address < statics[at][0] + statics[at][1]:
            inside = address - statics[at][0]
            name = " " + short(re.sub(r"::h[0-9a-f]{16}(?: \(\.\d+\))?$", "", statics[at][2])) + (f"+{inside:#x}" if inside else "")
        return f"{physical & -64:#x}+{physical % 64:02x}{name}"

    counted = ", ".join(f"{count} {column}" for column, count in zip(COLUMNS, runs[chosen]))
    print(f"{name}, GICv{gic}, {cpus} CPUs: {counted}")
    print(f"run {chosen + 1} of {len(runs)}, of all CPUs (`<`: inlined there):")
    for cpu, column, pc, physical in events:
        at = what(physical) + ", " if column in ("moves", "upgrades", "mmio") else ""
        print(f"cpu {cpu:<3} {column.removesuffix('s'):<8} {at}{where(places.get(pc + offset))}")


def image_start(elf, nm):
    said = subprocess.run([nm, elf], capture_output=True, text=True, check=True).stdout
    start = re.search(r"^([0-9a-f]+) \w __image_start$", said, re.M)
    if not start:
        fail(f"'{elf}' has no __image_start")
    return int(start[1], 16)


def main():
    match sys.argv[1:]:
        case ["rows", names, listing, gic, cpus]:
            rows(names, listing, int(gic), int(cpus))
        case ["locks", names, listing, gic, cpus]:
            locks(names, listing, int(gic), int(cpus))
        case ["list", part, path]:
            for (name, gic, cpus), cells in read(path, part)[1].items():
                print(name, gic, cpus, *(":".join(map(str, cell)) for cell in cells))
        case ["versions", part, path]:
            data, _ = read(path, part)
            print(data.get("qemu", "unknown"))
            print(data.get("rust", "unknown"))
        case ["table", part, path, bars, qemu, rust, json_path]:
            table(part, path, bars, qemu, rust, json_path)
        case ["compare", part, old, new, *machines]:
            compare(part, old, new, machines)
        case ["number", names, name]:
            print(number_of(names, name))
        case ["show", names, listing, name, gic, cpus, elf, loaded, nm]:
            show(names, listing, name, int(gic), int(cpus), elf, int(loaded, 0), nm)
        case _:
            print(__doc__, file=sys.stderr, end="")
            sys.exit(2)


if __name__ == "__main__":
    main()
