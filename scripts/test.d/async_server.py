#!/usr/bin/env python3
"""Talks to the example async_server through a terminal, as a person would.

usage: async_server.py CPUS COMMAND..

COMMAND boots the example in interactive mode, with CPUS CPUs, two or more. The exit code is 1 if something was not as expected.
"""

import re
import sys
import time

from terminal import Failure, Terminal, hold

# What it writes before it waits for the first key of a line.
PROMPT = b"\r\x1b[K> "
PATIENCE = 60
NUMBER = r"[0-9]+"
LEFT = b"\x1b[D"


class Conversation(Terminal):
    """The example at the other end of a terminal."""

    def prompt(self):
        """Waits for the prompt; the lines before it."""
        seen, _ = self.until(re.escape(PROMPT), "the prompt")
        text = seen.removesuffix(PROMPT.decode())
        return [line for line in re.sub(r"\x1b\[[0-9]*[A-Z]|\x07", "", text).replace("\r", "").split("\n") if line]

    def ask(self, keys):
        """Types a line, and gives back what is printed for it."""
        self.type(keys + b"\r")
        self.until(rb"\n", "the end of the line")
        return self.prompt()

    def news(self):
        """Waits for a line that comes by itself."""
        self.until(rb"\r\x1b\[K(?=cpu )", "news")
        lines = self.prompt()
        check(len(lines) == 1, f"one line, not {lines}")
        return lines[0]


def check(holds, what):
    if not holds:
        raise Failure(f"not so: {what}")


def lines_match(lines, *patterns):
    """Exactly these lines."""
    if len(lines) != len(patterns) or not all(map(re.fullmatch, patterns, lines)):
        raise Failure(f"expected {patterns}, not {lines}")
    return lines


CPU = re.compile(rf"cpu ({NUMBER}) +([a-z]+) +generation ({NUMBER}) +({NUMBER}) sleepers, idle +({NUMBER}) %")
SLEEPER = re.compile(rf"sleeper ({NUMBER}): of cpu ({NUMBER}), every ({NUMBER}) ms, woke up ({NUMBER}) times, last on cpu ({NUMBER})")


def cpus(terminal, count):
    """State, generation, sleepers, idle share of each."""
    found = [CPU.fullmatch(line) for line in terminal.ask(b"cpus")]
    check(len(found) == count and all(found), "a line for each CPU")
    check([int(cpu[1]) for cpu in found] == list(range(count)), "in their order")
    return [(cpu[2], int(cpu[3]), int(cpu[4]), int(cpu[5])) for cpu in found]


def sleepers(terminal):
    """Of each its home, how often it woke up, and where it did last."""
    *lines, last = terminal.ask(b"tasks")
    found = [SLEEPER.fullmatch(line) for line in lines]
    check(all(found), f"sleepers, not {lines}")
    check(last == f"{len(found)} sleepers", f"as many sleepers as lines, not {last}")
    return [(int(one[2]), int(one[4]), int(one[5])) for one in found]


def go_on(terminal, where):
    """Each sleeper wakes up again, and the last time where it should."""
    before = sleepers(terminal)

    def have_gone_on():
        now = sleepers(terminal)
        return all(new[1] > old[1] + 1 and where(*new) for new, old in zip(now, before, strict=True))

    wait(have_gone_on, "all sleepers go on where they should")


def wait(holds, what):
    """Waits until that is so."""
    limit = time.monotonic() + PATIENCE
    while not holds():
        check(time.monotonic() < limit, what)
        time.sleep(0.1)


NONSENSE = [
    (b"frobnicate", 'frobnicate: no such command; "help" lists them'),
    (b"up", "the number of a CPU is missing"),
    (b"down x", "x: not a number from 1"),
    (b"up 1 2", "2: one word too many"),
    (b"up 99", f"there is no cpu 99; the last one is {NUMBER}"),
    (b"down 0", "the command line runs there"),
    (b"spawn", "the number of sleepers is missing"),
    (b"spawn 3", "the number of milliseconds is missing"),
    (b"spawn 0 10", "0: not a number from 1"),
    (b"spawn 99999999999999999999 10", "99999999999999999999: not a number from 1"),
    (b"tasks all", "all: one word too many"),
    (b"exit 1", "1: one word too many"),
]


def editing(terminal):
    """Each key of the line editor."""
    uptime = rf"up {NUMBER}\.[0-9]{{3}} s"
    lines_match(terminal.ask(b""))
    lines_match(terminal.ask(b"  "))
    lines_match(terminal.ask(b"uptimx\x7fe"), uptime)
    lines_match(terminal.ask(b"\x7f\bupp\btime"), uptime)
    lines_match(terminal.ask(b"nonsense" + LEFT + b"\x1b[15~\xc3\xa4\x02"), 'nonsense: no such command; .*')
    # Either begins another prompt.
    terminal.type(b"nonsense\x15")
    terminal.until(rb"nonsense", "what was typed")
    terminal.prompt()
    lines_match(terminal.ask(b"uptime"), uptime)
    terminal.type(b"nonsense\x03")
    lines_match(terminal.prompt()[-1:], r".*\^C")
    lines_match(terminal.ask(b"uptime"), uptime)
    # No more than there is room for.
    lines_match(terminal.ask(b"x" * 100), 'x{72}: no such command; .*')
    # Typed ahead.
    terminal.type(b"uptime\r" * 20)
    for _ in range(20):
        terminal.until(rb"\nup [0-9.]+ s\r*\n", "an answer to each line that was typed ahead")
    terminal.prompt()


def talk(terminal, count):
    lines = terminal.prompt()
    check(any(re.fullmatch(rf"roll call: {count} possible, {count} online, .*", line) for line in lines), "all are online")
    check(lines[-1].endswith('; "help" lists the commands'), "it says how to go on")
    for line, answer in NONSENSE:
        lines_match(terminal.ask(line), answer)
    editing(terminal)
    check(len(terminal.ask(b"help")) == 9, "there is help")

    # While nobody types nobody is busy: whoever polled would be.
    # A host that takes its CPUs away has them look busy, for a while.
    limit = time.monotonic() + PATIENCE
    cpus(terminal, count)
    while True:
        time.sleep(2)
        found = cpus(terminal, count)
        for cpu, (state, generation, _, _) in enumerate(found):
            check(state == "online" and generation == min(cpu, 1), f"cpu {cpu} is there")
        busy = [f"cpu {cpu}: {100 - idle} %" for cpu, (_, _, _, idle) in enumerate(found) if idle < 50]
        if not busy:
            break
        check(time.monotonic() < limit, f"busy while nobody types: {', '.join(busy)}")

    lines_match(terminal.ask(b"spawn %d 20" % (2 * count)))
    check([home for home, _, _ in sleepers(terminal)] == list(range(count)) * 2, "two sleepers of each CPU")
    go_on(terminal, lambda home, _, on: on == home)
    lines_match(terminal.ask(b"spawn 100 100000"), f"{64 - 2 * count} were spawned: there is room for 64 in all")
    lines_match(terminal.ask(b"stop"))
    wait(lambda: not sleepers(terminal), "all sleepers end")
    lines_match(terminal.ask(b"spawn %d 20" % (2 * count)))

    last = count - 1
    terminal.type(b"down %d\r" % last + b"help")
    said = terminal.news()
    check(re.fullmatch(rf"cpu {last} is gone, said cpu {NUMBER} after {NUMBER} ms", said), f"it is gone, not: {said}")
    terminal.until(rb"help$", "what was being typed meanwhile is there again")
    check(len(terminal.ask(b"")) == 9, "and counts")
    go_on(terminal, lambda home, _, on: on != last and (home == on or home == last))
    check(cpus(terminal, count)[last][0] in ("gone", "offline"), "it is gone")
    terminal.type(b"down %d\r" % last)
    check(terminal.news() == f"cpu {last} stays: the CPU is not online", "it is told apart from one that is there")
    terminal.type(b"up %d\r" % last)
    said = terminal.news()
    check(re.fullmatch(rf"cpu {last} is online, said cpu {NUMBER} after {NUMBER} ms", said), f"it is back, not: {said}")
    go_on(terminal, lambda home, _, on: on == home)
    check(cpus(terminal, count)[last][:2] == ("online", 2), "it was started a second time")

    terminal.type(b"exit\r")
    check(terminal.end() == 0, "it ends, and nothing is wrong")


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    return hold("async_server.py", Conversation(sys.argv[2:], PATIENCE), lambda terminal: talk(terminal, int(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
