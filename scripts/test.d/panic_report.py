"""Is this console exactly what a panic leaves behind?

usage: panic_report.py [--elf ELF --nm LLVM_NM] CONSOLE CPUS [KEY=VALUE]..

The console must hold one report, in one piece, that ends with its last line: every CPU of the CPUS is in it once, and the
sums are right. Other lines may come before and after it, none in between. Keys:

  reporter=N[,N..]   the CPU that reports is one of these
  message=REGEX      the message, with the lines that belong to it, matches; `_` in it stands for a blank
  N=FATE[,FATE..]    the fate of CPU N, of which the report says one of: sgi, nmi, panicked, gate, late, absent, left
  all=FATE[,FATE..]  that of every CPU that has no key of its own, by default sgi,nmi,panicked,gate,late
  then=NAME          what follows: park, reset, off, exit, hook
  after=REGEX        some line after the report matches
  reports=N          so many reports, in order; every one must be in one piece. The other keys are for each of them
  panicked=N         in at least N percent of the reports, another CPU than the reporter panicked too
  frames=N           the backtrace of the reporter has at least N addresses, and that of every CPU is whole: it ends where
                     the Rust code of a CPU begins, as the symbols of ELF tell. How long those of the others are is up
                     to the compiler, which may inline all that a CPU was in
  words=yes          the machine was reset after each report, and the next boot printed it again, word for word

Imported, `reports(lines)` reads them and `Report` is one of them.
"""

import argparse
import bisect
import re
import subprocess
import sys

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
END = re.compile(
    r"end of the report: (\d+) CPUs: (\d+) parked, (\d+) not stopped, (\d+) not running, after (\d+) us; then: (.+)"
)


# What the first instructions of the boot CPU and of a secondary call, and never return to.
OUTERMOST = re.compile(r"reveille(?:::\w+)*::(?:boot_on_own_stacks|secondary)(?:::h[0-9a-f]{16})?")


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
        end = self.take()
        match = END.fullmatch(end)
        if not match:
            raise Wrong(f"line {self.at}: neither a CPU nor the end of the report: {end!r}")
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
                # The first is where it was; code may have been looked for anywhere.
                for address in addresses[1:]:
                    if not self.image[0] <= int(address, 16) < self.image[1]:
                        raise Wrong(f"line {self.at}: {address} is not in the image")
                return addresses
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


def read_lines(path):
    with open(path, encoding="utf-8", errors="replace") as console:
        return console.read().replace("\r", "").split("\n")


class Symbols:
    """The functions of an image, by their distance from its beginning."""

    def __init__(self, elf, nm):
        listed = subprocess.run([nm, "-n", "-C", elf], check=True, capture_output=True, text=True).stdout
        self.starts = []
        start = None
        for address, kind, name in (line.split(" ", 2) for line in listed.splitlines()):
            if name == "__image_start":
                start = int(address, 16)
            if kind in ("t", "T"):
                self.starts.append((int(address, 16), name))
        if start is None:
            raise Wrong(f"{elf} has no symbol __image_start")
        self.starts = [(address - start, name) for address, name in self.starts]

    def function(self, offset):
        at = bisect.bisect_right(self.starts, offset, key=lambda symbol: symbol[0])
        return self.starts[at - 1][1] if at else f"nothing known, at {offset:#x}"


def check(report, lines, count, keys, symbols):
    """One report against the keys. `symbols` may be None if there is no key `frames`."""
    if report.cpus != count:
        raise Wrong(f"{report.cpus} CPUs, expected {count}")
    default = keys.get("all", ",".join(sorted(PARKED))).split(",")
    for cpu, fate in report.fates.items():
        wanted = keys[str(cpu)].split(",") if str(cpu) in keys else default
        if fate not in wanted:
            raise Wrong(f"cpu {cpu}: {fate}, expected {'|'.join(wanted)}")
    if "reporter" in keys and str(report.reporter) not in keys["reporter"].split(","):
        raise Wrong(f"cpu {report.reporter} reports, expected {keys['reporter']}")
    message = "\n".join(report.message)
    if "message" in keys and not re.search(keys["message"].replace("_", " "), message):
        raise Wrong(f"the message is {message!r}, expected {keys['message']!r}")
    if "then" in keys and report.then != keys["then"]:
        raise Wrong(f"then: {report.then}, expected {keys['then']}")
    if "after" in keys:
        pattern = keys["after"].replace("_", " ")
        if not any(re.search(pattern, line) for line in lines[report.last + 1 :]):
            raise Wrong(f"no line after the report matches {pattern!r}")
    if "frames" in keys:
        found = len(report.backtraces[0])
        if found < int(keys["frames"]):
            raise Wrong(f"a backtrace of {found} addresses, expected {keys['frames']} or more")
        for addresses in report.backtraces:
            outermost = symbols.function(int(addresses[-1], 16) - report.image[0])
            if not OUTERMOST.fullmatch(outermost):
                raise Wrong(f"a backtrace ends in {outermost}, which is called: {' '.join(addresses)}")


def check_last_words(report, lines):
    """What the boot after this report has to say about it."""
    begin = report.last + 1
    while begin < len(lines) and lines[begin] != "last words of the run before:":
        if HEAD.fullmatch(lines[begin]):
            raise Wrong(f"line {begin + 1}: another report before the last words of the one at line {report.first + 1}")
        begin += 1
    end = begin + 1
    while end < len(lines) and lines[end].startswith("| "):
        end += 1
    said = [line[2:] for line in lines[begin + 1 : end]]
    # The report begins with an empty line, so as not to end somebody else's.
    if said != ["", *lines[report.first : report.last + 1]]:
        raise Wrong(f"the last words at line {begin + 1} are not the report at line {report.first + 1}")


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--elf")
    options.add_argument("--nm")
    options.add_argument("console")
    options.add_argument("count", type=int)
    options.add_argument("keys", nargs="*")
    options = options.parse_args()
    keys = dict(word.split("=", 1) for word in options.keys)
    if "frames" in keys and not (options.elf and options.nm):
        raise Wrong("the key `frames` needs --elf and --nm")
    symbols = Symbols(options.elf, options.nm) if "frames" in keys else None
    lines = read_lines(options.console)
    found = reports(lines)
    if len(found) != int(keys.get("reports", 1)):
        raise Wrong(f"{len(found)} reports, expected {keys.get('reports', 1)}")
    if sum("end of the report" in line and not line.startswith("| ") for line in lines) != len(found):
        raise Wrong("the end of a report is there that has no beginning")
    both = sum("panicked" in report.fates.values() for report in found)
    if 100 * both < int(keys.get("panicked", 0)) * len(found):
        raise Wrong(f"in {both} of {len(found)} reports a second CPU panicked, expected {keys['panicked']} %")
    for report in found:
        check(report, lines, options.count, keys, symbols)
        if keys.get("words") == "yes":
            check_last_words(report, lines)


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"failed: {wrong}")
