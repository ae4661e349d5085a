"""The reports of panics in the lines of a console: `reports(lines)` reads them, and each is a `Report`. A module."""

import re

FATES = {
    "stopped by SGI": "sgi",
    "stopped by NMI, it had interrupts masked": "nmi",
    "panicked too": "panicked",
    "stopped at the gate": "gate",
    "stopped by itself, it had come too late": "late",
    "was not running": "absent",
    "was not running, it waits in the pen": "absent",
}
PARKED = {"sgi", "nmi", "panicked", "gate", "late"}
STATES = "offline|claimed|kicked|alive|online|dying|gone|revoked|failed|wedged"
ACTIONS = {"park": "park", "reset": "reset", "power off": "off", "exit": "exit", "hook": "hook"}

HEAD = re.compile(r"panic on (?:cpu (\d+)|mpidr 0x[0-9a-f]{10}) at \d+\.\d{6} s: (.*)")
CPU = re.compile(rf"cpu (\d+) ({STATES}) generation (\d+): (.+)")
IMAGE = re.compile(r"  image (0x[0-9a-f]+) to (0x[0-9a-f]+), build ([0-9a-f]{16})")
PLACE = re.compile(r"  pc (0x[0-9a-f]+) lr 0x[0-9a-f]+ sp 0x[0-9a-f]+ (?:thread sp|spsr) 0x[0-9a-f]+")
REGISTERS = re.compile(r"  x(\d+) {1,2}[0-9a-f]{16}(?: [0-9a-f]{16}){0,3}")
BACKTRACE = re.compile(r"  backtrace:((?: 0x[0-9a-f]+(?: \(\d+ times\))?)*)( \.\.\.)?")
HOW = "preempted|switched away|not begun"
CONTEXT = re.compile(rf"(?:context (.+)|(home of cpu \d+)): ({HOW})(?:, bound to cpu (\d+))?")
MORE = re.compile(r"\d+ more contexts (?:were preempted|have switched away or not begun)")
LOCK = re.compile(r"  waits for the lock at 0x[0-9a-f]+ for \d+\.\d{3} s(?:, taken on cpu \d+)?|  took what is waited for by \{[0-9,-]+\}")
WAITS = re.compile(r"  pc (0x[0-9a-f]+) sp 0x[0-9a-f]+")
BELOW = "  a lower exception level, entered from here:"
END = re.compile(
    r"end of the report: (\d+) CPUs: (\d+) parked, (\d+) not stopped, (\d+) not running, after (\d+) us; then: (.+)"
)


class Wrong(Exception):
    """Not a report."""


class Report:
    """One report, from its first line to its last."""

    def __init__(self, lines, at):
        self.first = at
        self.lines = lines
        self.at = at
        match = HEAD.fullmatch(self.take())
        self.reporter = int(match[1]) if match[1] else None
        self.message = [match[2]]
        while not IMAGE.fullmatch(self.here()):
            # The message of an application may have any number of lines; the place and the syndrome are indented.
            self.message.append(self.take())
            if len(self.message) > 20:
                raise Wrong(f"no image line after the message at line {at + 1}")
        match = IMAGE.fullmatch(self.take())
        self.image, self.build = (int(match[1], 16), int(match[2], 16)), match[3]
        self.backtraces = [self.details()]
        self.fates = {}
        while match := CPU.fullmatch(self.here()):
            self.take()
            cpu, fate = int(match[1]), match[4]
            if cpu in self.fates or cpu == self.reporter:
                raise Wrong(f"cpu {cpu} is there twice")
            name = "left" if fate.startswith("NOT STOPPED: ") else FATES.get(fate)
            if name is None:
                raise Wrong(f"what is the fate {fate!r}?")
            self.fates[cpu] = name
            if match[2] == "kicked":
                raise Wrong(f"cpu {cpu} may still arrive: its start was not called off")
            if name in PARKED:
                self.backtraces.append(self.details())
        self.contexts = []
        while not END.fullmatch(self.here()):
            line = self.take()
            if match := CONTEXT.fullmatch(line):
                name, how, cpu = match[1] or match[2], match[3], match[4] and int(match[4])
                self.contexts.append((name, how, cpu, self.context(how)))
            elif not MORE.fullmatch(line):
                raise Wrong(f"line {self.at}: neither a CPU nor a context: {line!r}")
        end = self.take()
        match = END.fullmatch(end)
        self.cpus, parked, left, absent, self.us = (int(match[i]) for i in range(1, 6))
        self.then = ACTIONS.get(match[6], match[6])
        counts = [
            sum(fate in PARKED for fate in self.fates.values()),
            sum(fate == "left" for fate in self.fates.values()),
            sum(fate == "absent" for fate in self.fates.values()),
        ]
        if [parked, left, absent] != counts:
            raise Wrong(f"the sums are {[parked, left, absent]}, the CPUs make {counts}")
        known = set(self.fates) | {self.reporter}
        if known != set(range(self.cpus)):
            raise Wrong(f"these CPUs are accounted for: {sorted(known)}, of {self.cpus}")
        self.last = self.at - 1

    def here(self):
        if self.at >= len(self.lines):
            raise Wrong("the console ends in the middle of a report")
        return self.lines[self.at]

    def take(self):
        line = self.here()
        self.at += 1
        return line

    def context(self, how):
        """The backtrace of a context that does not run."""
        if how == "preempted":
            return self.details()
        if how == "not begun":
            return []
        place, trace = WAITS.fullmatch(self.take()), BACKTRACE.fullmatch(self.take())
        if not place or not trace:
            raise Wrong(f"line {self.at}: not where a context is, and its backtrace")
        return re.findall(r"0x[0-9a-f]+", trace[1])

    def details(self):
        """What a CPU that panicked too has to say, its registers, and the backtrace."""
        row = None
        said = 0
        placed = False
        while True:
            line = self.take()
            if PLACE.fullmatch(line):
                said = 0
                placed = True
            elif match := REGISTERS.fullmatch(line):
                # All of them, or those that a call keeps.
                if int(match[1]) not in ((0, 19) if row is None else (row,)):
                    raise Wrong(f"line {self.at}: registers out of order: {line!r}")
                row = int(match[1]) + len(line.split()) - 1
            elif match := BACKTRACE.fullmatch(line):
                if not placed or row not in (29, 31):
                    raise Wrong(f"line {self.at}: not all registers before {line!r}: up to x{row}, pc and sp: {placed}")
                addresses = re.findall(r"0x[0-9a-f]+", match[1])
                # The first is where it was; code may have been looked for anywhere. What entered a lower level is in the image.
                for address in addresses[0 if self.lines[self.at - 2] == BELOW else 1 :]:
                    if not self.image[0] <= int(address, 16) < self.image[1]:
                        raise Wrong(f"line {self.at}: {address} is not in the image")
                return addresses
            elif line == BELOW and row == 31 and self.lines[self.at - 2].startswith("  x28 "):
                pass
            elif LOCK.fullmatch(line) and not placed:
                pass
            elif line.startswith("  ") and not self.lines[self.at - 2].startswith("  x") and said < 4:
                said += 1
            else:
                raise Wrong(f"line {self.at}: in the middle of a report: {line!r}")


def reports(lines):
    """All reports in these lines. Raises `Wrong` for one that is not whole."""
    found = []
    at = 0
    while at < len(lines):
        if HEAD.fullmatch(lines[at]):
            report = Report(lines, at)
            found.append(report)
            at = report.last
        at += 1
    return found
