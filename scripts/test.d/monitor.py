#!/usr/bin/env python3
"""Talks to the example monitor through a terminal, as a person would, with every command and with nonsense.

usage: monitor.py [--patience S] [--polled] SCENE CPUS COMMAND..

COMMAND boots the example in interactive mode. Scenes: `talk` is all commands, a reset among them, and ends with `off`; `top` is what is
drawn, on a terminal and without one; `trace` wants an image with that feature; `panic` ends with that; `leave` ends QEMU by its keys. With `--polled` the console has no
interrupt. Every wait has a limit: a minute, or what `--patience` says. The
exit code is 1 if something was not as expected.
"""

import re
import sys
import time

from terminal import Failure, Terminal, hold

# What the monitor prints before it waits for the first key of a line.
PROMPT = b"\r> \x1b[K\r\x1b[2C"
PATIENCE = 60
# The console has no interrupt, and the monitor says so when it boots. It is a virtio console then, of which QEMU's multiplexer keeps 32
# bytes that were not taken yet, and loses others if it is looking while a buffer is offered: no more than that is typed at once.
IS_POLLED = False
UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
HOME, END, DELETE = b"\x1b[H", b"\x1b[F", b"\x1b[3~"
NUMBER = r"[0-9]+"


class Conversation(Terminal):
    """The monitor at the other end of a terminal."""

    def prompt(self):
        """Waits for the prompt; the lines before it."""
        seen, _ = self.until(re.escape(PROMPT), "the prompt")
        text = seen.removesuffix(PROMPT.decode())
        return [line for line in re.sub(r"\x1b(?:\[[0-9;]*[A-Za-z]|[78])", "", text).replace("\r", "").split("\n") if line]

    def ask(self, keys):
        """Types a line, and gives back what is printed for it."""
        self.type(keys + b"\r")
        seen, _ = self.until(rb"\n", "the end of the line")
        return self.prompt()


def lines_match(lines, *patterns):
    """Exactly these lines."""
    if len(lines) != len(patterns) or not all(map(re.fullmatch, patterns, lines)):
        raise Failure(f"expected {patterns}, not {lines}")
    return lines


def check(holds, what):
    if not holds:
        raise Failure(f"not so: {what}")


CPU = re.compile(
    rf"cpu ({NUMBER}) +mpidr 0x[0-9a-f]+ ([a-z]+) +generation ({NUMBER}) +stage ({NUMBER})( penned)? "
    rf"calls in ({NUMBER}) +out ({NUMBER}) +idle +({NUMBER}) %"
)


def cpus(terminal, count):
    """What `cpus` says: state, generation, calls in, calls out and idle share of each."""
    found = [CPU.fullmatch(line) for line in terminal.ask(b"cpus")]
    check(len(found) == count and all(found), "a line for each CPU")
    check([int(cpu[1]) for cpu in found] == list(range(count)), "in their order")
    return [(cpu[2], int(cpu[3]), int(cpu[6]), int(cpu[7]), int(cpu[8])) for cpu in found]


def boot(terminal, count):
    """From the start to the first prompt."""
    lines = terminal.prompt()
    check(any(re.fullmatch(rf"roll call: {count} possible, {count} online, .*", line) for line in lines), "all are online")
    check(lines[-2 if IS_POLLED else -1].endswith('; "help" lists the commands'), "it says how to go on")
    check(any("asked again" in line for line in lines) == IS_POLLED, "the console has an interrupt, or none")


NONSENSE = [
    (b"frobnicate", 'frobnicate: no such command; "help" lists them'),
    (b"CPUS", "CPUS: no such command; .*"),
    (b"up", "the number of a CPU is missing"),
    (b"up x", "x: not a number"),
    (b"up -1", "-1: not a number"),
    (b"up 1 2", "2: one word too many"),
    (b"up 99", "there is no cpu 99; the last one is [0-9]+"),
    (b"up 99999999999999999999999", "99999999999999999999999: not a number"),
    (b"down 512", "there is no cpu 512; .*"),
    (b"down 0", "the CPU cannot leave: it runs main"),
    (b"call", "the number of a CPU is missing"),
    (b"call everyone", "everyone: not a number"),
    (b"storm", "the number of seconds is missing"),
    (b"storm 1s", "1s: not a number"),
    (b"key", "on or off is missing"),
    (b"trace", "this image was built without the feature trace"),
    (b"timeline", "this image was built without the feature trace"),
    (b"key sideways", "sideways: neither on nor off"),
    (b"key on off", "off: one word too many"),
    (b"cpus now", "now: one word too many"),
    (b"bench 2", "2: one word too many"),
    (b"mem 2", "2: one word too many"),
    (b"dt / /cpus", "/cpus: one word too many"),
    (b"dt /nowhere", "/nowhere: no such node"),
    (b"dt cpus", "cpus: no such node"),
    (b"backtrace 1", "1: one word too many"),
    (b"panic now", "now: one word too many"),
    (b"reset 1", "1: one word too many"),
    (b"off 1", "1: one word too many"),
    (b"help me", "me: one word too many"),
    (b"b\xc3\xa4h", "there are characters in it that are not ASCII"),
    (b"x" * 300, "a line has 256 characters at most"),
]


def editing(terminal):
    """Each key of the line editor, and the history."""
    lines_match(terminal.ask(b""))
    lines_match(terminal.ask(b"   "))
    one = terminal.ask(b"call 1")
    lines_match(one, rf"cpu 1 answers 1 after {NUMBER} ns")
    # "alX 1", to the left, back, "c", one to the right, and the rest.
    lines_match(terminal.ask(b"alX 1" + LEFT * 2 + b"\x7fl" + HOME + b"c"), rf"cpu 1 answers 1 after {NUMBER} ns")
    lines_match(terminal.ask(b"ccall 2" + HOME + RIGHT + DELETE + END + b"\b1"), rf"cpu 1 answers 1 after {NUMBER} ns")
    lines_match(terminal.ask(b"nonsense\x15call 1"), rf"cpu 1 answers 1 after {NUMBER} ns")
    lines_match(terminal.ask(b"nonsense\x03call 1"), rf"cpu 1 answers 1 after {NUMBER} ns")
    lines_match(terminal.ask(b"call 1 and more" + LEFT * 9 + b"\x0b"), rf"cpu 1 answers 1 after {NUMBER} ns")
    # Keys that mean nothing, and sequences that nobody knows.
    lines_match(terminal.ask(b"\x1b[15~\x1b[1;5Pca\tll\x0e \x1b[Z1" + RIGHT + DELETE + DOWN), rf"cpu 1 answers 1 after {NUMBER} ns")
    # What was typed before, without what was typed twice.
    terminal.ask(b"key sideways")
    lines_match(terminal.ask(UP), "sideways: neither on nor off")
    lines_match(terminal.ask(UP + UP), rf"cpu 1 answers 1 after {NUMBER} ns")
    lines_match(terminal.ask(UP * 3 + DOWN), "sideways: neither on nor off")
    lines_match(terminal.ask(UP + DOWN + b"key"), "on or off is missing")
    if not IS_POLLED:
        # A line that is longer than what is shown of it.
        lines_match(terminal.ask(b"call 1" + b" " * 200), rf"cpu 1 answers 1 after {NUMBER} ns")
        lines_match(terminal.ask(b" " * 200 + b"x" + HOME + b"call 1" + END + b"\x7f"), rf"cpu 1 answers 1 after {NUMBER} ns")
        # Far up: as far as it goes, and no further.
        check(len(terminal.ask(UP * 100)) == 1, "the oldest line is there")
    lines_match(terminal.ask(b"help\n")[:1], "cpus .*")
    lines_match(terminal.prompt())


def talk(terminal, count):
    boot(terminal, count)
    for line, answer in NONSENSE:
        if IS_POLLED and len(line) > 30:
            continue
        lines_match(terminal.ask(line), answer)
    editing(terminal)

    # Nonsense has changed nothing.
    before = cpus(terminal, count)
    check(all(state == "online" for state, *_ in before), "all are online")
    check(before[0][1] == 0 and all(cpu[1] == 1 for cpu in before[1:]), "and were started once")
    last = count - 1
    for target in range(count):
        lines_match(terminal.ask(b"call %d" % target), rf"cpu {target} answers {target} after {NUMBER} ns")
    lines_match(terminal.ask(b"key on"), "[1-9][0-9]* sites patched")
    lines_match(terminal.ask(b"call %d" % last), rf"cpu {last} answers {1000 + last} after {NUMBER} ns")
    lines_match(terminal.ask(b"key off"), "[1-9][0-9]* sites patched")
    lines_match(terminal.ask(b"call %d" % last), rf"cpu {last} answers {last} after {NUMBER} ns")

    (line,) = terminal.ask(b"storm 1")
    storm = re.fullmatch(rf"({NUMBER}) calls, ({NUMBER}) posts of which ({NUMBER}) ran, ({NUMBER}) refused", line)
    check(storm and storm[2] == storm[3] and int(storm[1]) > 0, "a storm loses nothing")
    after = cpus(terminal, count)
    check(after[last][2] - before[last][2] >= int(storm[2]) // count, "calls of the last CPU were counted")
    check(after[0][3] - before[0][3] >= int(storm[2]) * (count - 1) // count, "and those that came from here")
    # A long one, which a key ends.
    terminal.type(b"storm 99999\r")
    terminal.until(rb"\n", "the end of the line")
    time.sleep(0.5)
    terminal.type(b" ")
    lines_match(terminal.prompt(), rf"{NUMBER} calls, {NUMBER} posts of which {NUMBER} ran, {NUMBER} refused")
    # More than there is room for, while nobody reads: it waits.
    ahead = 3 if IS_POLLED else 100
    terminal.type(b"bench\r" + b"call 1\r" * ahead)
    for _ in range(ahead):
        terminal.until(rb"\ncpu 1 answers 1 after [0-9]+ ns\r*\n", "an answer to each line that was typed ahead")
    terminal.prompt()
    lines_match(
        terminal.ask(b"bench"), rf"a call of cpu 1: {NUMBER} ticks", rf"a stop-machine of {count} CPUs: {NUMBER} ticks"
    )

    lines_match(terminal.ask(b"down %d" % last), f"cpu {last} is gone")
    gone = cpus(terminal, count)
    check(gone[last][0] in ("gone", "offline"), "the CPU that left is gone")
    check(len(terminal.ask(b"call %d" % last)) == 1, "it takes no calls")
    lines_match(terminal.ask(b"down %d" % last), "the CPU is not online")
    check(len(terminal.ask(b"backtrace")) > count - 2, "the others say where they are")
    lines_match(terminal.ask(b"up %d" % last), f"cpu {last}: Online")
    lines_match(terminal.ask(b"up %d" % last), f"cpu {last}: Online")
    back = cpus(terminal, count)
    check(back[last][:2] == ("online", 2), "it is back, started a second time")
    check(all(cpu[4] > 0 for cpu in back[1:last]), "the others idle while nobody types")
    for other in range(1, count):
        lines_match(terminal.ask(b"down %d" % other), f"cpu {other} is gone")
    lines_match(terminal.ask(b"bench"), rf"a stop-machine of 1 CPUs?: {NUMBER} ticks")
    lines_match(terminal.ask(b"backtrace"), "no other CPU is online")
    for other in range(1, count):
        lines_match(terminal.ask(b"up %d" % other), f"cpu {other}: Online")

    traces = terminal.ask(b"backtrace")
    for other in range(1, count):
        check(any(re.match(rf"cpu {other} is here", line) for line in traces), f"cpu {other} says where it is")
    root = terminal.ask(b"dt /")
    check(root[0] == "/" and any(line.strip() == "cpus/" for line in root), "the root of the tree has CPUs")
    check(terminal.ask(b"dt") == root, "and is what one gets without a path")
    tree = terminal.ask(b"dt /cpus/cpu@%d" % last)
    check(tree[0] == f"/cpus/cpu@{last}" and any(line.strip() == 'device_type = "cpu"' for line in tree), "a CPU is one")
    memory = terminal.ask(b"mem")
    check(memory and all(re.fullmatch(rf"0x[0-9a-f]+ +{NUMBER} KiB", line) for line in memory), "there is memory")
    check(len(terminal.ask(b"help")) >= 14, "there is help")

    terminal.type(b"reset\r")
    boot(terminal, count)
    check([cpu[:2] for cpu in cpus(terminal, count)][1:] == [("online", 1)] * last, "all were started anew")
    terminal.type(b"off\r")
    check(terminal.end() == 0, "it ends, and nothing is wrong")


ASKED = re.escape(b"\x1b7\x1b[999;999H\x1b[6n\x1b8")
COLOURED = r"(?:\x1b\[[0-9]+m)([#.]+)(?:\x1b\[0m)"
PLAIN = r"([#.]+)"


def rows(text, bar):
    """What one picture of `top` says of each CPU: busy share, interrupts, calls, and the three bars."""
    row = rf"cpu ({NUMBER}) +busy +({NUMBER}) % {bar} +irq/s +({NUMBER}) {bar} +calls/s +({NUMBER}) {bar}"
    return [re.fullmatch(row, line).groups() for line in text if line.startswith("cpu") and "busy" in line]


def picture(terminal, bar):
    """Waits for the next picture of `top`: its head, and its rows."""
    seen, _ = terminal.until(rb"a key ends this(?s:.*?)(?=[^\n]*a key ends this)", "a picture and the beginning of the next")
    lines = [line.replace("\x1b[K", "").replace("\x1b[H", "") for line in seen.replace("\r", "").split("\n")]
    return lines, rows(lines, bar)


def on_terminal(terminal, keys, answer, pattern, what):
    """Types a command that asks for the size of the terminal, and answers. The monitor waits for that no longer than for somebody far away; on a busy
    machine that may be too short, and then it is asked for the same again."""
    limit = time.monotonic() + terminal.patience
    while True:
        terminal.type(keys + b"\r")
        terminal.until(ASKED, "the question for the size")
        terminal.type(answer)
        # A late answer is the key that ends a picture, and means nothing to a prompt.
        _, found = terminal.until(pattern + b"|" + re.escape(PROMPT), what)
        if found[0] != PROMPT:
            return
        check(time.monotonic() < limit, f"{what}, within {terminal.patience} s")


def picture_that(terminal, bar, holds, what):
    """Waits for a picture of which that holds: how soon the CPUs get to run is the host's affair."""
    limit = time.monotonic() + terminal.patience
    while time.monotonic() < limit:
        lines, found = picture(terminal, bar)
        if holds(found):
            return lines, found
    raise Failure(f"no picture in which {what}; the last: {lines}")


def top(terminal, count):
    boot(terminal, count)
    last = count - 1
    lines_match(terminal.ask(b"load 200"), "200: more than 100 %")
    lines_match(terminal.ask(b"top x"), "x: not a number")
    lines_match(terminal.ask(b"down %d" % last), f"cpu {last} is gone")
    lines_match(terminal.ask(b"load 60"), f"{last - 1} CPUs are busy for 60 % of their time")

    # Somebody who reads and does not answer: no colour, no position.
    terminal.type(b"top\r")
    terminal.until(ASKED, "the question for the size")
    lines, found = picture_that(
        terminal,
        PLAIN,
        lambda found: all(int(row[1]) > int(found[0][1]) and int(row[5]) > 0 and "#" in row[6] for row in found[1:]),
        "the CPUs that have work are busier than the one that watches, and call",
    )
    check(not any("\x1b" in line for line in lines), "no escape sequences where there is no terminal")
    check([int(row[0]) for row in found] == list(range(last)), "a row for each CPU that is online")
    check(any(re.fullmatch(rf"cpu {last} +(gone|offline)", line) for line in lines), "and one for the CPU that is not")
    terminal.type(UP)
    terminal.prompt()

    # A terminal.
    rows_there, columns = 4 + last, 121
    empty = re.escape(b"\x1b[2J")
    on_terminal(terminal, b"top", b"\x1b[%d;%dR" % (rows_there, columns), empty, "an empty screen")
    picture(terminal, COLOURED)
    lines, found = picture(terminal, COLOURED)
    check(len(found) == last, "a row for each CPU")
    check(all(len(row[bar]) == (columns - 52) // 3 for row in found for bar in (2, 4, 6)), "as wide as there is room")
    terminal.type(b"q")
    terminal.prompt()
    # One that is too low for all.
    on_terminal(terminal, b"top", b"\x1b[4;80R", empty, "an empty screen")
    lines, found = picture(terminal, COLOURED)
    check(len(found) == 1 and f"and {last} more" in lines, "as many rows as there is room for")
    terminal.type(b"q")
    terminal.prompt()

    lines_match(terminal.ask(b"down 1"), "the CPU cannot leave: .*")
    lines_match(terminal.ask(b"load 0"), f"{last - 1} CPUs are at rest")
    terminal.type(b"top\r")
    picture_that(
        terminal, PLAIN, lambda found: all(int(row[5]) == 0 and "#" not in row[6] for row in found), "nobody calls any more"
    )
    terminal.type(b"q")
    terminal.prompt()
    terminal.type(b"off\r")
    check(terminal.end() == 0, "it ends, and nothing is wrong")


def trace(terminal, count):
    """Of an image with the feature `trace`."""
    boot(terminal, count)
    last = count - 1
    lines_match(terminal.ask(b"timeline x"), "x: not a number")
    lines_match(terminal.ask(b"trace on more"), "more: one word too many")
    lines_match(terminal.ask(b"trace"))
    lines_match(terminal.ask(b"trace on"))
    terminal.ask(b"call %d" % last)
    lines_match(terminal.ask(b"load 30"), f"{last} CPUs are busy for 30 % of their time")
    # One a character, at the end of which the others do something.
    limit = time.monotonic() + terminal.patience
    while True:
        lines = terminal.ask(b"timeline 50")
        check(re.fullmatch(rf".*the last 50 ms, {NUMBER} us a character", lines[0]), "what a character stands for")
        found = [re.fullmatch(rf"cpu ({NUMBER}) +([-.ircsl* ]+)", line) for line in lines[1 : count + 1]]
        check(all(found) and [int(row[1]) for row in found] == list(range(count)), "a line for each CPU")
        check(len({len(row[0]) for row in found}) == 1, "of the same length")
        if all("c" in row[2] and "." in row[2] for row in found[1:]):
            break
        check(time.monotonic() < limit, "each of the others calls and idles")
    lines_match(terminal.ask(b"load 0"), f"{last} CPUs are at rest")
    lines_match(terminal.ask(b"trace off"))
    lines = terminal.ask(b"trace 30")
    # The question for the size stands before the first.
    records = [re.search(rf"({NUMBER}\.{NUMBER}) cpu ({NUMBER}) +(\S.*)", line) for line in lines]
    times = [float(record[1]) for record in records if record]
    check(len(times) == 30 and times == sorted(times), "thirty records, in order")
    check(any("attend begins" in line for line in lines), "the last is that tracing ends, for which all are gathered")
    check(terminal.ask(b"trace 30") == lines, "and nobody notes any more")
    on_terminal(terminal, b"timeline 10", b"\x1b[40;100R", re.escape(b"\x1b[36m*\x1b[0m"), "a timeline in colour")
    terminal.prompt()
    terminal.type(b"off\r")
    check(terminal.end() == 0, "it ends, and nothing is wrong")


def panic(terminal, count):
    boot(terminal, count)
    terminal.type(b"panic\r")
    terminal.until(rb"panic on cpu 0 at [0-9.]* s: as you wish", "the report")
    terminal.until(rb"end of the report: %d CPUs: %d parked, 0 not stopped" % (count, count - 1), "the end of the report")
    check(terminal.end() == 101, "the exit code of a panic")


def leave(terminal, count):
    boot(terminal, count)
    # QEMU's own monitor, and back.
    terminal.type(b"\x01c")
    terminal.until(rb"\(qemu\)", "QEMU's monitor")
    terminal.type(b"\x01c")
    terminal.ask(b"")
    check(len(terminal.ask(b"\x03cpus")) == count, "Ctrl-C is the guest's")
    terminal.type(b"\x01x")
    check(terminal.end() == 0, "Ctrl-A X ends it")


def main():
    patience = PATIENCE
    if sys.argv[1:2] == ["--patience"] and sys.argv[2:]:
        patience = int(sys.argv[2])
        del sys.argv[1:3]
    if sys.argv[1:2] == ["--polled"]:
        global IS_POLLED
        IS_POLLED = True
        del sys.argv[1]
    if len(sys.argv) < 4 or sys.argv[1] not in ("talk", "top", "trace", "panic", "leave"):
        print(__doc__, file=sys.stderr)
        return 2
    scene = {"talk": talk, "top": top, "trace": trace, "panic": panic, "leave": leave}[sys.argv[1]]
    return hold("monitor.py", Conversation(sys.argv[3:], patience), lambda terminal: scene(terminal, int(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
