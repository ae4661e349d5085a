#!/usr/bin/env python3
"""What scripts/bench does with figures once it has them.

    bench_figures.py compare OLD NEW     tells what changed by more than 3 %; exit code 1 if anything got worse or is gone
    bench_figures.py list FIGURES        the figures, a line each: NAME GIC CPUS INSTRUCTIONS
    bench_figures.py versions FIGURES    the versions of QEMU and of Rust, a line each
    bench_figures.py merge OLD NEW       FIGURES: those of NEW, and of OLD what NEW has not
    bench_figures.py readme FIGURES README   README with its sentence replaced
    bench_figures.py page FIGURES PAGE   docs/performance.md with its tables replaced
    bench_figures.py plot FIGURES        the plot, as SVG

FIGURES, OLD and NEW are files as scripts/bench --json writes them: `lines` and `locks` in them are what bench_lines.py knows. The same figures make the same text, byte by byte.
"""

import json
import sys

import bench_lines
import bench_plot

LIMIT = 0.03
# Times the floor, for a synchronous call, by the version of the GIC: scripts/bench has it as bars too.
AIM = {2: 1.5, 3: 1.3}
# Between these stands what is made of figures: in README.md a sentence, in docs/performance.md the tables.
MARKS = {
    "costs": ("<!-- costs: scripts/bench --write -->\n", "<!-- end of costs -->\n"),
    "short": ("<!-- in short: scripts/bench --write -->\n", "<!-- end of in short -->\n"),
    "figures": ("<!-- figures: scripts/bench --write -->\n", "<!-- end of figures -->\n"),
    "lines": ("<!-- lines: scripts/bench --lines --write -->\n", "<!-- end of lines -->\n"),
    "locks": ("<!-- locks: scripts/bench --locks --write -->\n", "<!-- end of locks -->\n"),
}
# The machine of the README and of the first table, and the operations of that: GIC and CPUs.
FRONT_MACHINE = (3, 4)
FRONT = ("sync_call", "post", "on_each", "stop_machine", "cpu_down", "stop_all")
# In the order of the table; what each is.
OPERATIONS = {
    "sgi_floor": "bare SGI, there and back: the floor",
    "sync_call": "synchronous call of one CPU",
    "sync_call_value": "the same, with 8 bytes captured and a value that comes back",
    "post": "post to one CPU, the poster alone",
    "on_each": "synchronous call of all others",
    "stop_machine": "stop-machine, empty job",
    "key_toggle": "a static key, toggled at one site",
    "key_off": "a static key asked while it is off",
    "irq_mask": "interrupts masked and let in again",
    "lock": "a free lock taken and given back",
    "context_switch": "one context of a CPU to another",
    "preempt": "interrupt to the next instruction of another context",
    "hypercall": "a guest's `hvc`, there and back",
    "wake": "`cpu::wake`, until the idle loop there goes on",
    "doorbell": "a doorbell, until its handler has run there",
    "cpu_down": "a CPU leaves",
    "cpu_up": "it comes back",
    "bringup_per_cpu": "first bring-up, for each secondary",
    "stop_all": "stop all others for good, as a panic does",
    "async_round_trip": "a task wakes one on another CPU, which wakes it",
    "async_channel_round_trip": "the same by two channels of `embassy-sync`, with a value",
    "async_interrupt_wake": "a task of interrupt mode woken on a busy CPU, until it runs",
    "async_spawn": "a task spawned on another CPU, until it runs",
    "async_yield": "one task yields to another",
    "async_sleep_1": "a sleep of a task, alone on its CPU",
    "async_sleep_10": "the same, one of 10 sleepers",
    "async_sleep_1000": "the same, one of 1000",
}
# Not in the plot: a few instructions on this CPU alone, on every machine; and what is measured on few machines.
SMALL = ("key_off", "irq_mask", "lock", "context_switch", "preempt", "hypercall")
FEW = tuple(name for name in OPERATIONS if name.startswith("async_"))


def fail(text):
    sys.exit(f"scripts/bench: {text}")


def read(path):
    """The file's JSON, and its figures: (name, gic, cpus) to instructions."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read '{path}': {error}")
    except ValueError as error:
        fail(f"'{path}' is not JSON: {error}")
    figures = {}
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, list):
        fail(f"'{path}' has no list 'results'")
    for number, result in enumerate(results):
        try:
            key = (str(result["name"]), int(result["gic"]), int(result["cpus"]))
            figures[key] = int(result["instructions"])
        except (TypeError, KeyError, ValueError):
            fail(f"'{path}': results[{number}] is not {{name, gic, cpus, instructions}}")
    if not figures:
        fail(f"'{path}' holds no figures")
    return data, figures


def compare(old_path, new_path):
    old_data, old = read(old_path)
    new_data, new = read(new_path)
    worse = 0

    def line(word, key, text):
        name, gic, cpus = key
        print(f"{word:<9} {name:<24} GICv{gic} {cpus:>3} CPUs: {text}")

    for key, before in old.items():
        now = new.get(key)
        if now is None:
            line("missing", key, f"{before} before, not measured now")
            worse += 1
            continue
        change = f"{before} -> {now}" + (f" ({(now - before) / before:+.1%})" if before else "")
        if now > before * (1 + LIMIT):
            line("worse", key, change)
            worse += 1
        elif now < before * (1 - LIMIT):
            line("better", key, change)
    for key, now in new.items():
        if key not in old:
            line("new", key, str(now))
    for what in ("qemu", "rust"):
        before, now = old_data.get(what), new_data.get(what)
        if before != now:
            print(f"note      the figures compared with were taken with {what} {before}, these with {now}: "
                  "a difference may be theirs")
    print(f"compared with {old_path}: {len(old)} figures, {worse} worse by more than {LIMIT:.0%} or missing")
    sys.exit(1 if worse else 0)


def columns(figures):
    """The machines of the table: those of GICv3, then those of GICv2."""
    return sorted({(gic, cpus) for _, gic, cpus in figures}, key=lambda machine: (-machine[0], machine[1]))


def machine_name(gic, cpus):
    return f"v{gic}, {cpus} CPU{'s' if cpus > 1 else ''}"


def aim(figures):
    """Which machines keep to the aim for a synchronous call of another CPU, and which do not."""
    kept, missed = [], []
    for gic, cpus in columns(figures):
        count, floor = figures.get(("sync_call", gic, cpus)), figures.get(("sgi_floor", gic, cpus))
        if cpus > 1 and count and floor:
            (kept if count <= AIM[gic] * floor else missed).append(f"{machine_name(gic, cpus)} ({count / floor:.2f})")
    return [
        f"A `sync_call` of another CPU is meant to cost at most {AIM[3]} times the floor on GICv3, and {AIM[2]} on GICv2.",
        f"- It does: {'; '.join(kept) or 'nowhere'}.",
        f"- It does not: {'; '.join(missed) or 'nowhere'}.",
    ]


def operations(figures):
    names = {name for name, _, _ in figures}
    return [name for name in OPERATIONS if name in names] + sorted(names - OPERATIONS.keys())


def table(path):
    data, figures = read(path)
    machines = columns(figures)
    lines = [
        f"Counted with QEMU {data.get('qemu', '?')} and Rust {data.get('rust', '?')}. In brackets: times the floor of the "
        "same machine.",
        "",
        "| instructions | " + " | ".join(machine_name(gic, cpus) for gic, cpus in machines) + " |",
        "|---|" + "---:|" * len(machines),
    ]
    for name in operations(figures):
        cells = []
        for gic, cpus in machines:
            count, floor = figures.get((name, gic, cpus)), figures.get(("sgi_floor", gic, cpus))
            if count is None:
                cells.append("")
            elif floor and name in ("sync_call", "post", "on_each"):
                cells.append(f"{count} ({count / floor:.2f})")
            else:
                cells.append(str(count))
        what = OPERATIONS.get(name)
        lines.append(f"| `{name}`{': ' + what if what else ''} | " + " | ".join(cells) + " |")
    lines += ["", *aim(figures)]
    return "\n".join(lines) + "\n"


def costs(path):
    """The sentence of the README."""
    _, figures = read(path)
    gic, cpus = FRONT_MACHINE
    floor, call, post, stop, start = (
        figures.get((name, gic, cpus), 0) for name in ("sgi_floor", "sync_call", "post", "stop_machine", "bringup_per_cpu")
    )
    times = f"{call / floor:.2f}" if floor else "?"
    return (
        f"On GICv{gic} with {cpus} CPUs a synchronous call of another CPU takes {call} instructions of all CPUs together, {times} times\n"
        f"an SGI there and back; a post {post}, stop-machine {stop}, the bring-up of a CPU {start}.\n"
    )


def front(path):
    """The first table: a few operations on one machine."""
    data, figures = read(path)
    _, lines = bench_lines.read(path)
    gic, cpus = FRONT_MACHINE
    floor = figures.get(("sgi_floor", gic, cpus))
    out = [
        f"Counted with QEMU {data.get('qemu', '?')} and Rust {data.get('rust', '?')}, on GICv{gic} with {cpus} CPUs.",
        "",
        "| operation | instructions | times the floor | lines moved + upgraded |",
        "|---|---:|---:|---:|",
    ]
    for name in FRONT:
        count, cells = figures.get((name, gic, cpus)), lines.get((name, gic, cpus))
        times = f"{count / floor:.2f}" if count and floor else ""
        out.append(f"| `{name}`: {OPERATIONS[name]} | {count or ''} | {times} | {moved(cells)} |")
    return "\n".join(out) + "\n"


def moved(cells):
    """Moves and upgrades, of the cells of one operation."""
    return f"{cells[0][0]} + {cells[1][0]}" if cells else ""


def line_tables(path):
    """All that a plugin counts on one machine, and the lines on every machine."""
    data, figures = bench_lines.read(path)
    names = operations(figures)
    gic, cpus = FRONT_MACHINE
    out = [
        f"Counted with QEMU {data.get('qemu', '?')} and Rust {data.get('rust', '?')}. On GICv{gic} with {cpus} CPUs, or 1:",
        "",
        "| operation | moves | upgrades | atomics | DSB | ISB | GIC | MMIO |",
        "|---|" + "---:|" * len(bench_lines.COLUMNS),
    ]
    for name in names:
        cells = figures.get((name, gic, cpus)) or figures.get((name, gic, 1))
        if cells:
            out.append(f"| `{name}` | " + " | ".join(str(cell[0]) for cell in cells) + " |")
    # With one CPU nothing moves.
    machines = [machine for machine in columns(figures) if machine[1] > 1]
    out += [
        "",
        "Moves + upgrades, machine by machine:",
        "",
        "| lines | " + " | ".join(machine_name(*machine) for machine in machines) + " |",
        "|---|" + "---:|" * len(machines),
    ]
    for name in names:
        cells = [figures.get((name, *machine)) for machine in machines]
        if any(cells):
            out.append(f"| `{name}` | " + " | ".join(map(moved, cells)) + " |")
    return "\n".join(out) + "\n"


def lock_table(path):
    """Moves and upgrades of an acquisition that all CPUs want, lock by lock."""
    data, figures = bench_lines.read(path, "locks")
    machines = columns(figures)
    names = dict.fromkeys(name for name, _, _ in figures)
    out = [
        f"Counted with QEMU {data.get('qemu', '?')} and Rust {data.get('rust', '?')}. Moves + upgrades of an acquisition:",
        "",
        "| lock | " + " | ".join(machine_name(*machine) for machine in machines) + " |",
        "|---|" + "---:|" * len(machines),
    ]
    for name in names:
        out.append(f"| {name} | " + " | ".join(moved(figures.get((name, *machine))) for machine in machines) + " |")
    return "\n".join(out) + "\n"


def replaced(path, tables):
    """The text of the file with these tables between their marks."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        fail(f"cannot read '{path}': {error}")
    for name, content in tables.items():
        begin, end = MARKS[name]
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            fail(f"'{path}' has no place for a table, between {begin.strip()} and {end.strip()}")
        before, rest = text.split(begin)
        text = before + begin + content + end + rest.split(end)[1]
    return text


def merge(old_path, new_path):
    """The figures of the new file with what it lacks of the old one: a line of text for each result."""
    parts = []
    for path in (old_path, new_path):
        with open(path, encoding="utf-8") as file:
            parts.append(json.load(file))
    data = parts[0] | parts[1]

    def listed(results):
        return "[" + ",".join(f"\n  {json.dumps(result)}" for result in results) + "\n]"

    def versions(part):
        return f'"qemu": {json.dumps(part["qemu"])}, "rust": {json.dumps(part["rust"])}, "results": {listed(part["results"])}'

    rest = "".join(f', "{part}": {{{versions(data[part])}}}' for part in ("lines", "locks") if part in data)
    return f"{{{versions(data)}{rest}}}\n"


def plotted(path):
    data, figures = read(path)
    names = [name for name in operations(figures) if name not in SMALL + FEW]
    return bench_plot.plot(figures, names, f"QEMU {data.get('qemu', '?')}, Rust {data.get('rust', '?')}")


def main():
    match sys.argv[1:]:
        case ["compare", old, new]:
            compare(old, new)
        case ["list", figures]:
            for (name, gic, cpus), count in read(figures)[1].items():
                print(name, gic, cpus, count)
        case ["versions", figures]:
            data, _ = read(figures)
            print(data.get("qemu", "unknown"))
            print(data.get("rust", "unknown"))
        case ["merge", old, new]:
            sys.stdout.write(merge(old, new))
        case ["readme", figures, path]:
            sys.stdout.write(replaced(path, {"costs": costs(figures)}))
        case ["page", figures, path]:
            tables = {"short": front(figures), "figures": table(figures), "lines": line_tables(figures), "locks": lock_table(figures)}
            sys.stdout.write(replaced(path, tables))
        case ["plot", figures]:
            sys.stdout.write(plotted(figures))
        case _:
            print(__doc__, file=sys.stderr, end="")
            sys.exit(2)


if __name__ == "__main__":
    main()
