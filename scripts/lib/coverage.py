#!/usr/bin/env python3
"""Prints how much of each file the tests ran, from an lcov file: coverage.py LCOV ROOT PREFIX..

Files whose path within ROOT begins with a PREFIX, a line each, and a total. The unit tests at the end of a file (from
`#[cfg(test)]` and `mod tests` on) are not counted: they always run. Nor is a file testing.rs.
"""

import os
import sys


def tests_begin(path):
    """The number of the first line of the file's unit tests, or infinity."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        if line == "#[cfg(test)]" and number < len(lines) and lines[number].startswith("mod tests"):
            return number
    return float("inf")


def main():
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr, end="")
        sys.exit(2)
    lcov, root, prefixes = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
    lines, functions = {}, {}
    with open(lcov, encoding="utf-8") as file:
        name, end, begins = None, 0, {}
        for entry in file:
            key, _, value = entry.rstrip("\n").partition(":")
            if key == "SF":
                path = os.path.relpath(value, root)
                name = path if path.startswith(prefixes) and not path.endswith("/testing.rs") else None
                begins = {}
                if name:
                    end = tests_begin(value)
                    lines.setdefault(name, {})
                    functions.setdefault(name, {})
            elif name is None:
                continue
            elif key == "DA":
                number, count = (int(part) for part in value.split(",")[:2])
                if number < end:
                    lines[name][number] = max(lines[name].get(number, 0), count)
            elif key == "FN":
                number, function = value.split(",", 1)
                begins[function] = int(number)
            elif key == "FNDA":
                count, function = value.split(",", 1)
                number = begins.get(function, end)
                # A generic function is there once for each type; it is one function in one place.
                if number < end:
                    functions[name][number] = max(functions[name].get(number, 0), int(count))
    if not lines:
        sys.exit("coverage: nothing was measured")

    def row(name, line_counts, function_counts):
        cells = []
        for counts in (line_counts, function_counts):
            hit = sum(1 for count in counts if count)
            cells.append(f"{hit:>6} of {len(counts):>5} {100 * hit / max(len(counts), 1):>6.1f} %")
        print(f"{name:<32} {cells[0]:>24} {cells[1]:>24}")

    print(f"{'file':<32} {'lines':>24} {'functions':>24}")
    for name in sorted(lines):
        row(name, lines[name].values(), functions[name].values())
    row("total", [c for f in lines.values() for c in f.values()], [c for f in functions.values() for c in f.values()])


if __name__ == "__main__":
    main()
