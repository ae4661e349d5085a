#!/usr/bin/env python3
"""The plot of how operations grow: instructions divided by the number of CPUs, by the number of CPUs, both axes logarithmic.

    bench_growth.py FIGURES      as SVG, of GICv3

FIGURES is a file as scripts/bench --json writes it. A line that stays level is an operation that grows with the number of CPUs; one that
rises grows faster. The same figures make the same text, byte by byte.
"""

import json
import math
import sys

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 60, 60
# Name, its label, whether the figure is of one CPU already, and colours on a light and on a dark page.
SHOWN = (
    ("bringup_per_cpu", "bring-up", True, "#b35c00", "#f5a64f"),
    ("cpu_down", "cpu_down", False, "#a8243f", "#ff8a9a"),
    ("stop_machine", "stop_machine", False, "#2f6db3", "#7fb8ff"),
    ("stop_all", "stop_all", False, "#7a4a9c", "#c9a2ea"),
    ("on_each", "on_each", False, "#2f7d3a", "#7fd08a"),
    ("wake", "wake (of one)", True, "#5f5f5f", "#b8b8b8"),
    ("async_round_trip", "async, round trip", True, "#0f7f7f", "#5fd0d0"),
)


def read(path):
    """Of each operation that is shown, what it takes for each CPU: (CPUs, instructions), in order; and what it was counted with."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    points = {}
    for result in data["results"]:
        for name, _, each, *_ in SHOWN:
            if result["name"] == name and result["gic"] == 3 and result["cpus"] > 1:
                count = result["instructions"] / (1 if each else result["cpus"])
                points.setdefault(name, []).append((result["cpus"], count))
    return {name: sorted(of) for name, of in points.items()}, f"QEMU {data['qemu']}, Rust {data['rust']}"


def plot(points, versions):
    sizes = sorted({cpus for of in points.values() for cpus, _ in of})
    counts = [count for of in points.values() for _, count in of]
    low, high = 10 ** math.floor(math.log10(min(counts))), 10 ** math.ceil(math.log10(max(counts)))
    span = math.log2(sizes[-1] / sizes[0]) or 1

    def x(cpus):
        return LEFT + math.log2(cpus / sizes[0]) / span * (WIDTH - LEFT - RIGHT)

    def y(count):
        return HEIGHT - BOTTOM - math.log10(count / low) / math.log10(high / low) * (HEIGHT - TOP - BOTTOM)

    light = "".join(f".{name}{{--c:{colour}}}" for name, _, _, colour, _ in SHOWN)
    dark = "".join(f".{name}{{--c:{colour}}}" for name, *_, colour in SHOWN)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        "<style>:root{--page:#ffffff;--text:#222222;--grid:#dddddd}" + light
        + "@media (prefers-color-scheme:dark){:root{--page:#0d1117;--text:#e0e0e0;--grid:#30363d}" + dark + "}"
        + "text{fill:var(--text)}.grid{stroke:var(--grid)}polyline{fill:none;stroke:var(--c);stroke-width:2}"
        + "circle,.label{fill:var(--c)}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill:var(--page)"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Instructions of all CPUs together, divided by the number of CPUs</text>',
        f'<text x="{LEFT}" y="42">GICv3; level: it grows with the number of CPUs; {versions}</text>',
    ]
    decade = low
    while decade <= high:
        at = y(decade)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{decade:,}</text>')
        decade *= 10
    for cpus in sizes:
        out.append(f'<line class="grid" x1="{x(cpus):.1f}" x2="{x(cpus):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        out.append(f'<text x="{x(cpus):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{cpus}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 16}" text-anchor="middle">CPUs</text>')
    labels = []
    for name, label, *_ in SHOWN:
        of = points.get(name)
        if not of:
            continue
        path = " ".join(f"{x(cpus):.1f},{y(count):.1f}" for cpus, count in of)
        out.append(f'<g class="{name}"><polyline points="{path}"/>')
        out.extend(f'<circle cx="{x(cpus):.1f}" cy="{y(count):.1f}" r="3"/>' for cpus, count in of)
        out.append("</g>")
        labels.append([y(of[-1][1]), x(of[-1][0]), name, label])
    # At the end of each line, pushed apart.
    labels.sort()
    for above, below in zip(labels, labels[1:]):
        below[0] = max(below[0], above[0] + 15)
    for at, end, name, label in labels:
        out.append(f'<g class="{name}"><text class="label" x="{end + 10:.1f}" y="{at + 4:.1f}">{label}</text></g>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr, end="")
        sys.exit(2)
    sys.stdout.write(plot(*read(sys.argv[1])))


if __name__ == "__main__":
    main()
