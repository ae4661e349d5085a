#!/usr/bin/env python3
"""Compares the mutants that survived with those that a page explains: survivors.py PAGE OUTCOMES_JSON

The page has a line for each: - `FILE`: `WHAT`: why. Exit code 1, and a line for each, if one that survived is not
explained, or one that is explained did not survive.
"""

import json
import re
import sys


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr, end="")
        sys.exit(2)
    explained = {}
    with open(sys.argv[1], encoding="utf-8") as page:
        for line in page:
            entry = re.match(r"- `([^`]+)`: `([^`]+)`: \S", line)
            if entry:
                explained[entry.group(1), entry.group(2)] = False
    with open(sys.argv[2], encoding="utf-8") as file:
        outcomes = json.load(file)["outcomes"]
    counts, unexplained = {}, []
    for outcome in outcomes:
        if outcome["scenario"] == "Baseline":
            if outcome["summary"] != "Success":
                sys.exit("mutation: the tests fail without any mutant")
            continue
        counts[outcome["summary"]] = counts.get(outcome["summary"], 0) + 1
        if outcome["summary"] != "MissedMutant":
            continue
        # protocol/src/gate.rs:81:81: replace | with ^ in Fields::to_bits
        file, what = re.match(r"(.*?):\d+:\d+: (.*)", outcome["scenario"]["Mutant"]["name"]).groups()
        key = (file.removeprefix("protocol/src/"), what)
        if key in explained:
            explained[key] = True
        else:
            unexplained.append(outcome["scenario"]["Mutant"]["name"])
    if not counts:
        sys.exit("mutation: there was no mutant")
    for name in unexplained:
        print(f"survives, and is not explained: {name}")
    stale = [key for key, seen in explained.items() if not seen]
    for file, what in stale:
        print(f"explained, and does not survive: {file}: {what}")
    print(", ".join(f"{summary}: {count}" for summary, count in sorted(counts.items())))
    sys.exit(1 if unexplained or stale else 0)


if __name__ == "__main__":
    main()
