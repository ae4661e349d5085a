#!/usr/bin/env python3
"""What benches/linux/run does with what was counted.

    report.py number NAME                    the number of an operation
    report.py rows CPUS LISTING CONSOLE      the figures of a LISTING of the plugin and what the module printed, a line each: NAME CPUS
                                             INSTRUCTIONS and for each column MEDIAN:MIN:MAX
    report.py json ROWS KERNEL QEMU HOST     the same as JSON, with what they were counted with
    report.py check FIGURES                  nothing, if FIGURES are such
    report.py list FIGURES                   the figures, to be read
    report.py page FIGURES REVEILLE PAGE     PAGE with its tables replaced: FIGURES beside those of REVEILLE (benches/figures.json)

The same figures make the same text, byte by byte.
"""

import json
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../scripts/lib"))
import bench_lines  # noqa: E402 (it is found by the line before)
from bench_lines import COLUMNS, KEYS, plain  # noqa: E402

OPERATIONS = os.path.join(HERE, "../lines/operations.h")
BEGIN = re.compile(r"^<!-- linux: [^>\n]*-->\n", re.M)
END = "<!-- end of linux -->\n"
# A few instructions: the module has counted many of them, and printed what one takes.
SMALL = ("irq_mask", "lock")
# Where nothing sleeps, the counter that the module reads has to tell the same.
COUNTED_TWICE = ("sync_call", "sync_call_value", "post", "on_each", "stop_machine", "key_toggle")
# What is measured, and what Linux calls it.
LINUX = {
    "sync_call": "`smp_call_function_single`, waiting",
    "sync_call_value": "the same, with 8 bytes there and back",
    "post": "`smp_call_function_single_async`",
    "on_each": "`smp_call_function`, waiting",
    "stop_machine": "`stop_machine`",
    "key_toggle": "`static_key_enable`, `static_key_disable`",
    "irq_mask": "`local_irq_save`, `local_irq_restore`",
    "lock": "`spin_lock_irqsave`, `spin_unlock_irqrestore`",
    "cpu_down": "`remove_cpu`",
    "cpu_up": "`add_cpu`",
    "bringup_per_cpu": "`smp_init`, for each secondary",
    "stop_all": "`smp_send_stop`",
}
# Of the table of what is neither instructions nor lines.
CPUS_OF_THE_REST = 4
REST = {"atomics": "atomics", "dsb": "DSB", "isb": "ISB", "gic_accesses": "GIC", "mmio": "MMIO"}


def fail(text):
    sys.exit(f"benches/linux/run: {text}")


def rows(cpus, listing, console):
    names = bench_lines.operations(OPERATIONS)
    runs, counts = {}, {}
    for number, everyone, caller in bench_lines.samples(listing):
        if number:
            runs.setdefault(names[number], []).append(bench_lines.measured(names[number], everyone, caller, cpus))
    with open(listing, encoding="utf-8") as file:
        for line in file:
            word, *numbers = line.split()
            if word == "instructions":
                counts.setdefault(names[int(numbers[0])], []).append(int(numbers[1]))
    with open(console, encoding="utf-8") as file:
        printed = {name: int(count) for name, count in re.findall(r"^bench (\w+) (\d+)$", file.read(), re.M)}
    missing = [name for name in LINUX if name not in runs or name not in counts or name in SMALL + COUNTED_TWICE and name not in printed]
    if missing:
        fail(f"with {cpus} CPUs nothing was counted of {', '.join(missing)}")
    for name in names:
        if name not in LINUX:
            continue
        # One mark is counted with them.
        (instructions,) = (int(part) for part in bench_lines.measured(name, [min(counts[name]) - 1], [min(counts[name]) - 1], cpus))
        if name in COUNTED_TWICE and abs(printed[name] - instructions) > 2:
            fail(f"{name} with {cpus} CPUs: {instructions} instructions by the plugin, {printed[name]} by the counter")
        if name in SMALL:
            instructions = printed[name]
        columns = zip(*runs[name])
        cells = (f"{statistics.median_high(column)}:{min(column)}:{max(column)}" for column in columns)
        print(name, cpus, instructions, *cells)


def as_json(path, kernel, qemu, host):
    results = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, cpus, instructions, *cells = line.split()
            cells = [[bench_lines.figure(part) for part in cell.split(":")] for cell in cells]
            result = {"name": name, "cpus": int(cpus), "instructions": int(instructions)}
            result |= {key: cell[0] for key, cell in zip(KEYS, cells)}
            if any(least != most for _, least, most in cells):
                result["min"] = {key: cell[1] for key, cell in zip(KEYS, cells)}
                result["max"] = {key: cell[2] for key, cell in zip(KEYS, cells)}
            results.append(result)
    head = {"linux": kernel, "qemu": qemu, "host": host}
    lines = ",\n".join(f"  {json.dumps(result)}" for result in results)
    print(f'{json.dumps(head)[:-1]}, "results": [\n{lines}\n]}}')


def read(path):
    """The file's JSON, and (name, cpus) to its result."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        for key in ("linux", "qemu", "host"):
            if not isinstance(data[key], str):
                raise TypeError
        figures = {}
        for result in data["results"]:
            if not all(isinstance(result[key], (int, float)) for key in ("cpus", "instructions", *KEYS)):
                raise TypeError
            figures[result["name"], result["cpus"]] = result
    except OSError as error:
        fail(f"cannot read '{path}': {error}")
    except (ValueError, TypeError, KeyError):
        fail(f"'{path}' does not hold figures as benches/linux/run --json writes them")
    if not figures:
        fail(f"'{path}' holds no figures")
    return data, figures


def read_reveille(path):
    """The versions that Reveille was counted with, and (name, cpus) to what is there of it, on GICv3."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        figures = {}
        for result in data["results"] + data.get("lines", {}).get("results", []):
            if result["gic"] == 3:
                key = result["name"], result["cpus"]
                figures[key] = figures.get(key, {}) | {key: result[key] for key in ("instructions", *KEYS) if key in result}
    except OSError as error:
        fail(f"cannot read '{path}': {error}")
    except (ValueError, TypeError, KeyError, AttributeError):
        fail(f"'{path}' does not hold figures as scripts/bench --json writes them")
    return data, figures


def show(path):
    data, figures = read(path)
    print(f"{'name':<16} {'cpus':>4} {'instructions':>12} " + " ".join(f"{column:>8}" for column in COLUMNS))
    for (name, cpus), result in figures.items():
        print(f"{name:<16} {cpus:>4} {result['instructions']:>12} " + " ".join(f"{result[key]:>8}" for key in KEYS))
    print(f"counted with {data['linux']}, QEMU {data['qemu']}, on {data['host']}")


def factor(linux, reveille):
    if linux is None or not reveille:
        return "-"
    ratio = linux / reveille
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"


def lines_of(result):
    """Moves and upgrades: to be read, and together."""
    if "moves" not in result:
        return "-", None
    return f"{result['moves']} + {result['upgrades']}", plain(result["moves"] + result["upgrades"])


def pairs_table(title, names, machines, figures, reveille, cell):
    """One kind of figure on each machine: Linux, Reveille, factor."""
    head = " | ".join(f"{cpus} CPUs: Linux | Reveille | factor" for cpus in machines)
    lines = [f"| {title} | {head} |", "|---|" + "---:|" * (3 * len(machines))]
    for name in names:
        cells = []
        for cpus in machines:
            (theirs, their_number), (ours, our_number) = (cell(of.get((name, cpus), {})) for of in (figures, reveille))
            cells += [theirs, ours, factor(their_number, our_number)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def tables(path, reveille_path):
    data, figures = read(path)
    own, reveille = read_reveille(reveille_path)
    names = [name for name in bench_lines.operations(OPERATIONS) if name in LINUX]
    machines = sorted({cpus for _, cpus in figures})
    kernel = re.sub(r"^linux-image-[^_]*_(.*)_arm64$", r"\1", data["linux"])

    def instructions(result):
        count = result.get("instructions")
        return "-" if count is None else str(count), count

    lines = [
        f"Linux {kernel}, Debian's for arm64, counted with QEMU {data['qemu']} on {data['host']}, beside Reveille, with QEMU "
        f"{own.get('qemu', '?')} and Rust",
        f"{own.get('rust', '?')}; GICv3. The factor is Linux's figure divided by Reveille's.",
        "",
        "| operation | in Linux |",
        "|---|---|",
        *(f"| `{name}` | {LINUX[name]} |" for name in names),
        "",
        *pairs_table("instructions", names, machines, figures, reveille, instructions),
        "",
        *pairs_table("lines: moves + upgrades", names, machines, figures, reveille, lines_of),
        "",
        f"| {CPUS_OF_THE_REST} CPUs: Linux, Reveille | " + " | ".join(REST.values()) + " |",
        "|---|" + "---:|" * len(REST),
    ]
    for name in names:
        cells = []
        for key in REST:
            pair = (of.get((name, CPUS_OF_THE_REST), {}).get(key, "-") for of in (figures, reveille))
            cells.append(", ".join(map(str, pair)))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(path, reveille_path, page_path):
    try:
        with open(page_path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        fail(f"cannot read '{page_path}': {error}")
    begin = BEGIN.search(text)
    if not begin or len(BEGIN.findall(text)) != 1 or text.count(END) != 1 or text.index(END) < begin.end():
        fail(f"'{page_path}' has no place for the tables, between <!-- linux: .. --> and {END.strip()}")
    return text[: begin.end()] + tables(path, reveille_path) + text[text.index(END) :]


def main():
    match sys.argv[1:]:
        case ["number", name]:
            print(bench_lines.number_of(OPERATIONS, name))
        case ["rows", cpus, listing, console]:
            rows(int(cpus), listing, console)
        case ["json", path, kernel, qemu, host]:
            as_json(path, kernel, qemu, host)
        case ["check", path]:
            read(path)
        case ["list", path]:
            show(path)
        case ["page", path, reveille_path, page_path]:
            sys.stdout.write(page(path, reveille_path, page_path))
        case _:
            print(__doc__, file=sys.stderr, end="")
            sys.exit(2)


if __name__ == "__main__":
    main()
