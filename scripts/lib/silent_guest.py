#!/usr/bin/env python3
"""What every CPU of a guest that says nothing any more is doing, and was: out of its memory, through QEMU's monitor.

usage: silent_guest.py --elf ELF --nm LLVM_NM --image ADDRESS --sources DIR MONITOR

MONITOR is the path of QEMU's machine protocol on a pipe, without `.in` and `.out`; files are made beside it. ADDRESS is where
the image was loaded; DIR, where the names of the events stand (tests/target/src/bin/torture). Prints for each CPU its
registers and the addresses of its backtrace, then the last events in its ring (tests/target/src/trace.rs), in the words in
which the image itself prints them. The guest stays stopped.
"""

import argparse
import os
import re
import struct
import subprocess
import sys

import guest

MAGIC = int.from_bytes(b"REVTRACE", "big")
# Of the table of rings, and of an event, in words: see trace.rs.
HEAD, EVENT = 4, 4
# More CPUs and events than that are garbage.
MOST_CPUS, MOST_EVENTS = 512, 1 << 20
DEPTH = 64


class Memory:
    """The memory of a guest."""

    def __init__(self, monitor, path):
        self.monitor = monitor
        # Where QEMU puts what it reads.
        self.path = path

    def words(self, address, count, cpu=None):
        """So many 64-bit words at a physical address, or a virtual one of this CPU; `None` if there is no memory."""
        where = {"val": address, "size": count * 8, "filename": self.path}
        try:
            if cpu is None:
                self.monitor.execute("pmemsave", **where)
            else:
                self.monitor.execute("memsave", **where, **{"cpu-index": cpu})
        except guest.Refused:
            return None
        with open(self.path, "rb") as file:
            data = file.read()
        return struct.unpack(f"<{count}Q", data) if len(data) == count * 8 else None


def backtrace(memory, cpu, cpus, state, start, end, handled):
    """As the runtime walks it (src/backtrace); stacks are mapped alike on all CPUs, but not while one is at another exception
    level or has its MMU off. `handled` are the addresses that handlers of interrupts return to.

    Of what was interrupted the caller may be in a register alone. Who that is is told by the code, which is not looked at
    here: both are named."""

    def words(address, count, wanted):
        for eyes in [cpu, *(other for other in cpus if other != cpu)]:
            found = memory.words(address, count, eyes)
            if found and wanted(found):
                return found
        return None

    def in_register(lr, fp):
        record = words(fp, 2, lambda _: True) if fp and fp % 8 == 0 else None
        return [lr - 4] if start <= lr - 4 < end and (record is None or record[1] != lr) else []

    fp = state["X29"]
    addresses = [state["PC"], *in_register(state["X30"], fp)]
    for _ in range(DEPTH):
        if fp == 0 or fp % 8:
            break
        record = words(fp, 2, lambda words: start <= words[1] - 4 < end)
        if record is None:
            break
        addresses.append(record[1] - 4)
        fp = record[0]
        if record[1] in handled:
            frame = words(fp - 8, 3, lambda words: start <= words[2] < end)
            if frame is None:
                break
            lr, fp, pc = frame
            addresses += [pc, *in_register(lr, fp)]
    return addresses


def names_of(sources):
    """What the numbers of events mean: the operations in their order, and the others."""
    with open(os.path.join(sources, "kinds.rs"), encoding="utf-8") as file:
        kinds = file.read().partition("KINDS of Kind {")[2].partition("\n    }\n")[0]
    names = dict(enumerate(re.findall(r'^ +[A-Z]\w+ "(\w+)" \d+,$', kinds, flags=re.M)))
    with open(os.path.join(sources, "main.rs"), encoding="utf-8") as file:
        names.update((int(number), name) for number, name in re.findall(r'^ +(\d+) => "(\w+)",$', file.read(), flags=re.M))
    return names


def traces(memory, address, names):
    head = memory.words(address, HEAD)
    if head is None or head[0] != MAGIC or not 0 < head[1] <= MOST_EVENTS or not head[2] or head[3] > MOST_CPUS:
        print("no traces: the guest has not begun, or has lost them")
        return
    _, events, frequency, count = head
    for cpu, ring in enumerate(memory.words(address + HEAD * 8, count) or ()):
        words = memory.words(ring, 1 + events * EVENT)
        print(f"trace of cpu {cpu}" + ("" if words else f": no memory at {ring:#x}"))
        if not words:
            continue
        for nth in range(max(0, words[0] - events), words[0]):
            ticks, what, *numbers = words[1 + nth % events * EVENT :][:EVENT]
            micros = ticks * 1_000_000 // frequency
            numbers = " ".join(f"{number:#x}" for number in numbers)
            print(f"  {nth} at {micros // 1_000_000}.{micros % 1_000_000:06} {names.get(what, '?')} {numbers}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2].partition("\n")[0])
    for option in ("--elf", "--nm", "--image", "--sources"):
        parser.add_argument(option, required=True)
    parser.add_argument("monitor")
    options = parser.parse_args()
    symbols = guest.symbols(options.nm, options.elf)
    offset = int(options.image, 16) - symbols["__image_start"]
    # Written first: QEMU has both ends of either open already.
    commands = open(options.monitor + ".in", "w", encoding="utf-8")
    monitor = guest.Monitor(open(options.monitor + ".out", encoding="utf-8"), commands)
    memory = Memory(monitor, options.monitor + ".memory")
    # So that registers and memory are of one moment.
    monitor.execute("stop")
    cpus = monitor.registers()
    start, end = symbols["__image_start"] + offset, symbols["__text_end"] + offset
    handled = {symbols[name] + offset for name in ("reveille_handled_el1", "reveille_handled_el2") if name in symbols}
    for cpu, state in cpus.items():
        print(f"cpu {cpu} as QEMU sees it: pc {state['PC']:#x} lr {state['X30']:#x} sp {state['SP']:#x} pstate {state['PSTATE']:#x}")
        print("  backtrace: " + " ".join(f"{address:#x}" for address in backtrace(memory, cpu, cpus, state, start, end, handled)))
    traces(memory, symbols["REVEILLE_TRACES"] + offset, names_of(options.sources))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError, struct.error, subprocess.SubprocessError, guest.Refused) as error:
        sys.exit(f"silent_guest.py: {type(error).__name__}: {error}")
