"""Checks what scripts/torture leaves of a run that failed: torture_traces.py CPUS [silent] <OUTPUT

Each CPU has a trace: its last 256 events, numbered without a gap, or all of them if there were not so many; and some CPU had so
many. Each CPU has a backtrace: in the report of the panic, unless it was not running; with `silent`, as QEMU sees it, with
functions and lines.
"""

import re
import sys

EVENTS = 256
FUNCTION = re.compile(r" {4}(?:0x[0-9a-f]+ +| +in )(.+) at (.+:\d+|\?\?:\?)$")


def check_traces(lines, cpus):
    traces, events = {}, None
    for line in lines:
        if head := re.fullmatch(r"trace of cpu (\d+)(?:, which panicked)?", line):
            assert int(head[1]) not in traces, f"two traces of cpu {head[1]}"
            events = traces[int(head[1])] = []
        elif event := re.fullmatch(r"  (\d+) at (\d+\.\d{6}) [a-z_]+ 0x[0-9a-f]+ 0x[0-9a-f]+", line):
            assert events is not None, f"an event of nobody: {line}"
            events.append(int(event[1]))
        else:
            events = None
    assert sorted(traces) == list(range(cpus)), f"traces of the CPUs {sorted(traces)}"
    for cpu, numbers in traces.items():
        assert numbers, f"the trace of cpu {cpu} is empty"
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"the trace of cpu {cpu} has gaps"
        assert len(numbers) == min(EVENTS, numbers[-1] + 1), f"the trace of cpu {cpu} has {len(numbers)} events up to number {numbers[-1]}"
    assert any(len(numbers) == EVENTS for numbers in traces.values()), "no trace is full"


def sections(lines, head):
    """For each CPU that a line like this begins with: that line, and those after it."""
    found, current = {}, None
    for line in lines:
        if match := re.match(head, line):
            cpu = int(match[1])
            assert cpu not in found, f"two of cpu {cpu}"
            current = found[cpu] = [line]
        elif line.startswith(("  ", "\t")):
            if current is not None:
                current.append(line)
        else:
            current = None
    return found


def has_backtrace(lines):
    return any(re.match(r"  backtrace:( 0x[0-9a-f]+)+", line) for line in lines)


def check_report(lines, cpus):
    of = sections(lines, r"(?:panic on cpu (?=\d+ at )|cpu (?=\d+ \S+ generation ))(\d+)")
    assert sorted(of) == list(range(cpus)), f"the report is of the CPUs {sorted(of)}"
    for cpu, part in of.items():
        assert has_backtrace(part) or re.search(r": was not running\b", part[0]), f"no backtrace of cpu {cpu}: {part[0]}"


def check_silent(lines, cpus):
    of = sections(lines, r"cpu (\d+) as QEMU sees it: pc 0x")
    assert sorted(of) == list(range(cpus)), f"QEMU sees the CPUs {sorted(of)}"
    for cpu, part in of.items():
        assert has_backtrace(part), f"no backtrace of cpu {cpu}"
        after = part[next(at for at, line in enumerate(part) if line.startswith("  backtrace:")) :]
        functions = [found[1] for line in after if (found := FUNCTION.match(line)) and found[2] != "??:?"]
        # Where it is, and how it got there; one between may be missing, which was interrupted before it had a frame.
        for wanted in ("torture::fall_silent", "reveille::life::secondary::run_secondary"):
            assert wanted in functions, f"no {wanted} in the backtrace of cpu {cpu}: {functions}"


def main(cpus, kind=""):
    lines = sys.stdin.read().splitlines()
    try:
        check_traces(lines, int(cpus))
        (check_silent if kind == "silent" else check_report)(lines, int(cpus))
    except AssertionError as error:
        sys.exit(f"torture_traces.py: {error}")


main(*sys.argv[1:])
