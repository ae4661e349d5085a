"""The plot of what scripts/bench counts: instructions by the number of CPUs, both axes logarithmic. A module."""

import math

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 60, 60
COLOURS = ["#4e79a7", "#e15759", "#59a14f", "#b07aa1", "#f28e2b", "#76b7b2", "#9c755f", "#d4a017", "#555555", "#af2d5d", "#2f6f4f"]


def plot(figures, names, versions):
    """The SVG of the figures, (name, gic, cpus) to instructions, of these operations, counted with these versions."""
    sizes = sorted({cpus for _, _, cpus in figures})
    shown = [key for key in figures if key[0] in names and figures[key] > 0]
    low = 10 ** math.floor(math.log10(min(figures[key] for key in shown)))
    high = 10 ** math.ceil(math.log10(max(figures[key] for key in shown)))

    def x(cpus):
        span = math.log2(sizes[-1]) - math.log2(sizes[0]) or 1
        return LEFT + (math.log2(cpus) - math.log2(sizes[0])) / span * (WIDTH - LEFT - RIGHT)

    def y(count):
        return HEIGHT - BOTTOM - math.log10(count / low) / math.log10(high / low) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Instructions of all CPUs together, by the number of CPUs</text>',
        f'<text x="{LEFT}" y="42" fill="#555555">solid: GICv3, dashed: GICv2; {versions}</text>',
    ]
    decade = low
    while decade <= high:
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(decade):.1f}" y2="{y(decade):.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(decade) + 4:.1f}" text-anchor="end">{decade:,}</text>')
        decade *= 10
    for cpus in sizes:
        out.append(f'<line x1="{x(cpus):.1f}" x2="{x(cpus):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eeeeee"/>')
        out.append(f'<text x="{x(cpus):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{cpus}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 16}" text-anchor="middle">CPUs</text>')

    labels = []
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        for gic in (2, 3):
            points = sorted((cpus, figures[key]) for key in shown for cpus in [key[2]] if key[:2] == (name, gic))
            if not points:
                continue
            dashes = ' stroke-dasharray="5 4"' if gic == 2 else ""
            path_text = " ".join(f"{x(cpus):.1f},{y(count):.1f}" for cpus, count in points)
            out.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
            if gic == 3:
                out.extend(f'<circle cx="{x(cpus):.1f}" cy="{y(count):.1f}" r="3" fill="{colour}"/>' for cpus, count in points)
                labels.append([y(points[-1][1]), y(points[-1][1]), name, colour, x(points[-1][0])])
    # Labels at the right end, pushed apart.
    labels.sort()
    for above, label in zip(labels, labels[1:]):
        label[0] = max(label[0], above[0] + 15)
    for at, point, name, colour, end in labels:
        # From where the line ends, which is not at the edge if the largest machines do not have it.
        if end < WIDTH - RIGHT:
            out.append(
                f'<line x1="{end + 4:.1f}" x2="{WIDTH - RIGHT + 4}" y1="{point:.1f}" y2="{point:.1f}" stroke="{colour}" '
                'stroke-width="0.5"/>'
            )
        out.append(f'<line x1="{WIDTH - RIGHT + 4}" x2="{WIDTH - RIGHT + 16}" y1="{point:.1f}" y2="{at:.1f}" stroke="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 20}" y="{at + 4:.1f}" fill="{colour}">{name}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
