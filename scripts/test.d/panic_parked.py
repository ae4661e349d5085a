"""Are the CPUs of this machine in the park loop, and do they stay there?

usage: panic_parked.py --elf ELF --nm LLVM_NM --dir DIR --runner RUNNER [--except CPUS] [--said REGEX] [--until REGEX]
                       [--silent CPUS] [--plant SYMBOL --stopped all|others] -- OPTIONS..

Runs the command that RUNNER prints for ELF and these options, with a QEMU monitor beside it, waits until all CPUs have come to
the loop of `reveille_park`, and looks at their program counters many times over: there they must stay. Without --plant the wait
begins when the report of a panic has ended, or, with --said, when the console has a line that matches; the CPUs of --except go
their own way: they send a storm of interrupts, and say so; with --until it ends with a line that matches, and then they park
too. With --silent there is no report to wait for, and all of so many CPUs park. With --plant, an undefined instruction is
planted at SYMBOL in a copy of the image first; the CPUs that come there must park: `all` of them, and nothing is on the
console; or all `others` than the first, whose starts are revoked, which a panic of the first says later. Every wait has a
limit. The console is left in the file `console`.
"""

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import guest

LOOKS = 40
# Seconds for which the sleep of all is looked at.
ASLEEP = 1.0
# Lines of the storm that have to come while somebody looks.
STORM_LINES = 2
# Seconds for a machine to come as far as is waited for, on a host that has other things to do.
PATIENCE = 200
END = re.compile(rb"end of the report: (\d+) CPUs")
STORM = re.compile(rb"hook: \d+ SGIs sent")
IMAGE = re.compile(rb"  image (0x[0-9a-f]+) to ")
UNDEFINED = b"\0\0\0\0"


def fail(text):
    sys.exit(f"failed: {text}")


def connected(path):
    """QEMU's monitor at the other end of a socket."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            break
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                fail("QEMU's monitor does not answer")
            time.sleep(0.1)
    connection.settimeout(PATIENCE)
    file = connection.makefile("rw")
    return guest.Monitor(file, file)


def wait_for(what, condition):
    """Waits until the condition holds, and returns what it said."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            fail(f"not in {PATIENCE} s: {what() if callable(what) else what}")
        time.sleep(0.05)
    return found


def main():
    parser = argparse.ArgumentParser()
    for option in ("--elf", "--nm", "--dir", "--runner"):
        parser.add_argument(option, required=True)
    parser.add_argument("--except", dest="excepted", default="")
    parser.add_argument("--said")
    parser.add_argument("--silent", type=int)
    parser.add_argument("--until")
    parser.add_argument("--plant")
    parser.add_argument("--stopped", choices=["all", "others"], default="all")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    excepted = {int(cpu) for cpu in options.excepted.split(",") if cpu}

    names = guest.symbols(options.nm, options.elf)
    start, park = names["__image_start"], names["reveille_park"]
    runner = [options.runner, options.elf, "--print", *options.words]
    printed = subprocess.run(runner, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    command = shlex.split(printed.stdout)
    if options.plant:
        image = os.path.join(options.dir, "planted.img")
        kernel = command.index("-kernel") + 1
        with open(command[kernel], "rb") as original:
            code = bytearray(original.read())
        at = names[options.plant] - start
        code[at : at + 4] = UNDEFINED
        with open(image, "wb") as copy:
            copy.write(code)
        command[kernel] = image
    path = os.path.join(options.dir, "qmp")
    if os.path.exists(path):
        os.remove(path)
    # The path of a socket may have 107 bytes: a relative one is short enough.
    command = ["timeout", "-k", "5", "240", *command, "-qmp", "unix:qmp,server=on,wait=off"]
    os.chdir(options.dir)
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    console = bytearray()

    def read():
        while chunk := machine.stdout.read1(65536):
            console.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        look(connected("qmp"), machine, options, console, names, start, park, excepted)
    finally:
        machine.terminate()
        machine.wait()
        reader.join()
        sys.stdout.buffer.write(bytes(console)[-6000:])
        sys.stdout.flush()
        with open("console", "wb") as copy:
            copy.write(console)


def processor_time(machine):
    """Seconds of processor time that QEMU, which `timeout` runs, has used."""
    child = Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text(encoding="ascii").split()[0]
    # User and system time stand behind the name, which is in parentheses.
    fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asleep(machine):
    """All CPUs are parked: nothing wakes them any more. One that is woken again and again has QEMU busy, however much of the host it
    gets; one that sleeps costs nothing, on any host.
    """
    before = processor_time(machine)
    time.sleep(ASLEEP)
    if (used := processor_time(machine) - before) > ASLEEP / 4:
        fail(f"in {ASLEEP} s asleep the machine has used {used:.2f} s of its host's processors")


def look(monitor, machine, options, console, names, start, park, excepted):
    if options.plant:
        # QEMU loads the flat image at 2 MiB into the RAM.
        load, wanted = 0x40200000, {0}
        if options.stopped == "others":
            wait_for("a report", lambda: END.search(console))
            wanted = {0, 1, 2, 3}
    elif options.silent:
        load, wanted = 0x40200000, set(range(options.silent))
    else:
        end = wait_for("a report", lambda: END.search(console))
        load = int(IMAGE.search(console)[1], 16)
        wanted = set(range(int(end[1]))) - excepted
    if options.said:
        wait_for(f"a line {options.said}", lambda: re.search(options.said.encode(), console, re.MULTILINE))
    # msr daifset; 1: wfi; b 1b. After a WFI that was not woken the counter may stand behind it.
    loop = range(park - start + load + 4, park - start + load + 12, 4)

    def strays():
        counters = {cpu: registers["PC"] for cpu, registers in monitor.registers().items()}
        if not wanted <= set(counters):
            fail(f"the monitor shows CPUs {sorted(counters)}")
        return {cpu: hex(counters[cpu]) for cpu in sorted(wanted) if counters[cpu] not in loop}

    # The last one parks after the last line, and the storm begins after the report.
    wait_for(lambda: f"parked at {loop.start:#x}: {strays()}", lambda: not strays())
    before = 0
    if excepted:
        wait_for("a storm", lambda: STORM.search(console))
        before = len(STORM.findall(console))

    def watch(is_over):
        looks, deadline = 0, time.monotonic() + PATIENCE
        while looks < LOOKS or not is_over():
            if moved := strays():
                fail(f"these are not in the park loop at {loop.start:#x} any more: {moved}")
            looks += 1
            if time.monotonic() > deadline:
                fail(f"{looks} looks, and what was to happen meanwhile did not")
            time.sleep(0.05)
        print(f"{looks} looks: CPUs {sorted(wanted)} are parked at {loop.start:#x}")

    watch(lambda: not excepted or len(STORM.findall(console)) >= before + STORM_LINES)
    if options.until:
        watch(lambda: re.search(options.until.encode(), console, re.MULTILINE))
        wanted |= excepted
        wait_for(lambda: f"parked at {loop.start:#x}: {strays()}", lambda: not strays())
        watch(lambda: True)
        excepted = set()
    if not excepted and not options.plant:
        asleep(machine)
    text = bytes(console)
    if options.plant and options.stopped == "all" and text.strip():
        fail("a machine without an MMU has said something")
    if options.plant and options.stopped == "others" and text.count(b" revoked generation 1: was not running") != 3:
        fail("the report does not say that the others were revoked")


try:
    main()
except guest.Refused as refused:
    fail(refused)
