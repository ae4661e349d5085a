#!/usr/bin/env python3
"""The long runs of scripts/torture: torture_series.py WORD SERIES..

    list SERIES                          their names
    options SERIES NAME                  the options of one, a line each
    words SERIES NAME                    what scripts/test.d/torture.py has to find in its JSON
    keep SERIES FIGURES NAME HOST        takes a run's JSON from stdin into FIGURES
    page SERIES FIGURES                  prints FIGURES as a page of Markdown
"""

import fcntl
import json
import os
import shlex
import sys

WRONGS = ("lost", "doubled", "reordered", "unaccounted", "hangs")


def read_series(path):
    """Name: (what it is, options, words), in the order of the file."""
    series = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = [field.strip() for field in line.split("|")]
            if len(fields) != 4 or fields[0] in series:
                sys.exit(f"{path}:{number}: not NAME | WHAT | OPTIONS | WORDS, or that name again")
            series[fields[0]] = fields[1], shlex.split(fields[2]), fields[3].split()
    return series


def read_figures(path):
    """Name: {host, run}; none yet if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            figures = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        sys.exit(f"{path}: not JSON: {error}")
    if not isinstance(figures, dict):
        sys.exit(f"{path}: not an object with a run for each name")
    for name, figure in figures.items():
        if not isinstance(figure, dict) or not isinstance(figure.get("host"), str) or not is_run(figure.get("run")):
            sys.exit(f"{path}: '{name}' is not a run as scripts/torture --record keeps it")
    return figures


def is_run(run):
    """Has it what the page is made of?"""
    return (
        isinstance(run, dict)
        and all(isinstance(run.get(name), (int, float)) for name in ("seconds", "operations", *WRONGS))
        and run["seconds"] > 0
        and all(
            isinstance(run.get(name), dict) and all(isinstance(count, int) for count in run[name].values())
            for name in ("by_kind", "faults")
        )
    )


def keep(series, path, name, host):
    """Several runs may end at the same time: who writes holds the lock of the series."""
    try:
        run = json.load(sys.stdin)
    except ValueError as error:
        sys.exit(f"{name}: its last line is not JSON: {error}")
    if not is_run(run):
        sys.exit(f"{name}: its last line is not the JSON of a run")
    with open(sys.argv[2], encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        figures = read_figures(path)
        figures[name] = {"host": host, "run": run}
        with open(path + ".new", "w", encoding="utf-8") as file:
            lines = (f"{json.dumps(key)}: {json.dumps(figures[key])}" for key in series if key in figures)
            file.write("{\n" + ",\n".join(lines) + "\n}\n")
        os.rename(path + ".new", path)


def thousands(number):
    return f"{number:,}".replace(",", " ")


def columns(title, figures, key):
    """A table with a line for each kind, a column for each run."""
    names = [name for name in figures if figures[name]["run"][key]]
    kinds = list(dict.fromkeys(kind for name in names for kind in figures[name]["run"][key]))
    print(f"\n| {title} | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for kind in kinds:
        counts = (figures[name]["run"][key].get(kind) for name in names)
        print(f"| `{kind}` | " + " | ".join("" if count is None else thousands(count) for count in counts) + " |")


def page(series, figures):
    missing = [name for name in series if name not in figures]
    if missing:
        sys.exit(f"no figures of {', '.join(missing)}: scripts/torture --record {' '.join(missing)}")
    print("""# Torture

The long runs of `scripts/torture`: every mechanism at once, at random, with faults, each operation accounted for.
`scripts/torture --record` makes these runs (`--record NAME` one of them) and this page; the JSON of each is in
[torture.json](torture.json). A run without `--icount` is another interleaving each time, so the counts differ a little; the last
five do not, or the run has failed. Rates are of the host that is named.

| run | options | seconds | operations | a second | faults | lost | doubled | reordered | unaccounted | hangs |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|""")
    for name in series:
        what, options, _ = series[name]
        run = figures[name]["run"]
        row = [
            f"{name}: {what}",
            f"`{shlex.join(options)}`",
            f"{run['seconds']:.0f}",
            thousands(run["operations"]),
            thousands(round(run["operations"] / run["seconds"])),
            thousands(sum(run["faults"].values())),
            *(str(run[wrong]) for wrong in WRONGS),
        ]
        print("| " + " | ".join(row) + " |")
    totals = [sum(figures[name]["run"][wrong] for name in series) for wrong in WRONGS]
    seconds = sum(figures[name]["run"]["seconds"] for name in series)
    operations = sum(figures[name]["run"]["operations"] for name in series)
    faults = sum(sum(figures[name]["run"]["faults"].values()) for name in series)
    print(
        f"| all | | {seconds:.0f} | {thousands(operations)} | | {thousands(faults)} | " + " | ".join(map(str, totals)) + " |"
    )
    for host in dict.fromkeys(figures[name]["host"] for name in series):
        here = [name for name in series if figures[name]["host"] == host]
        print(f"\n{host}: {', '.join(here)}.")
    figures = {name: figures[name] for name in series}
    columns("fault", figures, "faults")
    columns("operation", figures, "by_kind")


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr, end="")
        sys.exit(2)
    try:
        series = read_series(sys.argv[2])
    except OSError as error:
        sys.exit(f"cannot read the series: {error}")
    match sys.argv[1], sys.argv[3:]:
        case "list", []:
            print("\n".join(series))
        case "options" | "words", [name] if name not in series:
            sys.exit(f"no run '{name}'; there are: {', '.join(series)}")
        case "options", [name]:
            print("\n".join(series[name][1]))
        case "words", [name]:
            print(" ".join(series[name][2]))
        case "keep", [figures, name, host]:
            keep(series, figures, name, host)
        case "page", [figures]:
            page(series, read_figures(figures))
        case _:
            print(__doc__, file=sys.stderr, end="")
            sys.exit(2)


if __name__ == "__main__":
    main()
