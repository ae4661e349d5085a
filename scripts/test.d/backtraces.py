"""Are these the backtraces of a CPU that goes round in tests/target/src/bin/backtraces.rs?

usage: backtraces.py --elf ELF --nm LLVM_NM CONSOLE COUNT

Each of the COUNT backtraces has to name the functions from where the CPU was interrupted outwards, without a gap, to where the
Rust code of a CPU begins; half of them come from a call that has interrupted it. Prints how often it was in which function.
"""

import argparse
import collections
import re
import sys

from panic_lines import BACKTRACE, Wrong
from panic_report import OUTERMOST, Symbols, read_lines

AT = re.compile(r"backtraces: chain_outer at (0x[0-9a-f]+)")
VECTORS = re.compile(r"reveille_vectors_el[12]")
# Who can have called whom. What chain_tail jumps to is called by its caller.
CALLERS = {
    "chain_last": {"chain_middle"},
    "chain_leaf": {"chain_middle", "chain_tail"},
    "chain_tail": {"chain_middle"},
    "chain_ways": {"chain_middle"},
    "chain_middle": {"chain_outer"},
}


def check(names):
    """The functions, innermost first; the one that was interrupted is returned."""
    if not OUTERMOST.fullmatch(names[-1]):
        raise Wrong("it does not end where a CPU begins")
    begin = 1 + max((at for at, name in enumerate(names) if VECTORS.fullmatch(name)), default=-1)
    chain = names[begin:]
    if "chain_outer" not in chain:
        raise Wrong("chain_outer is not in it")
    inner = chain[: chain.index("chain_outer") + 1]
    if "chain_outer" in chain[len(inner) :]:
        raise Wrong("chain_outer is in it twice")
    for callee, caller in zip(inner, inner[1:]):
        # What is not known here is the compiler's, for copies and fills.
        if callee in CALLERS and caller not in CALLERS[callee]:
            raise Wrong(f"{caller} has not called {callee}")
        if callee not in CALLERS and not caller.startswith("chain_"):
            raise Wrong(f"{callee} was called by one that is not known")
    if len(inner) > 4:
        raise Wrong("it is too long")
    return inner[0]


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--elf", required=True)
    options.add_argument("--nm", required=True)
    options.add_argument("console")
    options.add_argument("count", type=int)
    options = options.parse_args()
    symbols = Symbols(options.elf, options.nm)
    lines = read_lines(options.console)
    offset = next(offset for offset, name in symbols.starts if name == "chain_outer")
    base = next((int(match[1], 16) - offset for match in map(AT.fullmatch, lines) if match), None)
    if base is None:
        raise Wrong("no line says where chain_outer is")
    found = collections.Counter()
    for line in lines:
        match = BACKTRACE.fullmatch(line)
        if not match:
            continue
        names = [symbols.function(int(address, 16) - base) for address in match[1].split()]
        try:
            found[check(names)] += 1
        except Wrong as wrong:
            raise Wrong(f"{wrong}: {match[1]}: {' < '.join(names)}") from None
    for name, times in found.most_common():
        print(f"{times} in {name}")
    if sum(found.values()) != options.count:
        raise Wrong(f"{sum(found.values())} backtraces, expected {options.count}")
    missed = {*CALLERS, "chain_outer"} - set(found)
    if missed:
        raise Wrong(f"never in {', '.join(sorted(missed))}")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"failed: {wrong}")
