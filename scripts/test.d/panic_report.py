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
                     the Rust code of a CPU begins, or a context, as the symbols of ELF tell. How long those of the others are is up
                     to the compiler, which may inline all that a CPU was in
  contexts=NAME/HOW[@CPU][/F<G<..][,..]
                     there is a context of this name that does not run: HOW is preempted, switched_away or not_begun, @CPU the
                     one that it is bound to, and the functions F, G, .. are in its backtrace, in this order
  words=yes          the machine was reset after each report, and the next boot printed it again, word for word
"""

import argparse
import bisect
import re
import subprocess
import sys

from panic_lines import HEAD, PARKED, Wrong, reports

# What the first instructions of the boot CPU and of a secondary call, and never return to; and those of a context.
OUTERMOST = re.compile(r"reveille(?:::\w+)*::(?:boot_on_own_stacks|secondary)(?:::h[0-9a-f]{16})?|reveille_context")


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
    """One report against the keys. `symbols` may be None if there is no key that wants them."""
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
    for wanted in filter(None, keys.get("contexts", "").split(",")):
        check_context(report, wanted, symbols)
    if "frames" in keys:
        found = len(report.backtraces[0])
        if found < int(keys["frames"]):
            raise Wrong(f"a backtrace of {found} addresses, expected {keys['frames']} or more")
        for addresses in report.backtraces:
            outermost = symbols.function(int(addresses[-1], 16) - report.image[0])
            if not OUTERMOST.fullmatch(outermost):
                raise Wrong(f"a backtrace ends in {outermost}, which is called: {' '.join(addresses)}")


def check_context(report, wanted, symbols):
    name, how, *functions = wanted.replace("_", " ").split("/")
    how, _, cpu = how.partition("@")
    functions = [part for part in "<".join(functions).split("<") if part]
    for found in report.contexts:
        if found[:2] != (name, how) or cpu and found[2] != int(cpu):
            continue
        names = iter([symbols.function(int(address, 16) - report.image[0]).replace("_", " ") for address in found[3]])
        if all(any(re.search(rf"\b{part}(::h[0-9a-f]{{16}})?$", at) for at in names) for part in functions):
            return
    raise Wrong(f"no context {wanted} among {[context[:3] for context in report.contexts]}")


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
    named = keys.keys() & {"frames", "contexts"}
    if named and not (options.elf and options.nm):
        raise Wrong(f"the keys {sorted(named)} need --elf and --nm")
    symbols = Symbols(options.elf, options.nm) if named else None
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
