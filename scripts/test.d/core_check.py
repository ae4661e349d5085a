"""Is this core that of tests/target/src/bin/crash.rs? Run by gdb, behind scripts/gdb/reveille.py.

gdb-multiarch .. -ex 'python CPUS = 4; REPORTER = 3' -x core_check.py

REPORTER is the CPU that has panicked. With PLANTED each other one has the registers that `others=registers` gives it; without MEMORY there
are no stacks, and the first frame is all that there is; with LOST the registers of some are lost. Ends with code 0, or says what is wrong and
ends with 1.
"""

import re

import gdb

CPUS, REPORTER = globals()["CPUS"], globals()["REPORTER"]
PLANTED = globals().get("PLANTED", False)
MEMORY = globals().get("MEMORY", True)
LOST = globals().get("LOST", False)


def wrong(text):
    print(f"wrong: {text}")
    gdb.execute("quit 1")


def functions(thread):
    thread.switch()
    return [match for match in re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+)", gdb.execute("bt 40", to_string=True), re.MULTILINE)]


def has(names, wanted):
    return any(wanted in name for name in names)


threads = {thread.ptid[1] - 1: thread for thread in gdb.selected_inferior().threads()}
if sorted(threads) != list(range(CPUS)):
    wrong(f"the CPUs are {sorted(threads)}")
if gdb.selected_thread().ptid[1] - 1 != REPORTER and not LOST:
    wrong(f"it begins with cpu {gdb.selected_thread().ptid[1] - 1}")
print(gdb.execute("info threads", to_string=True))
lost = 0
for cpu, thread in sorted(threads.items()):
    names = functions(thread)
    if int(gdb.newest_frame().pc()) == 0:
        lost += 1
        continue
    if cpu == REPORTER:
        print(gdb.execute("bt 40", to_string=True))
        if not has(names, "on_panic") and not has(names, "with_registers"):
            wrong(f"cpu {cpu} has not panicked: {names}")
        if MEMORY and not LOST and not has(names, "crash::fail"):
            wrong(f"cpu {cpu}: {names}")
        continue
    frame = gdb.newest_frame()
    if not PLANTED:
        continue
    found = [int(frame.read_register(f"x{number}")) for number in range(31) if number != 29]
    if found != [0x100 + number for number in range(31) if number != 29]:
        wrong(f"cpu {cpu} has {[hex(value) for value in found]}")
    if not has(names[:1], "known_registers"):
        wrong(f"cpu {cpu} is in {names}")
    if MEMORY and not LOST and not has(names, "idle_loop") and not has(names, "crash::main"):
        wrong(f"cpu {cpu}: {names}")
if lost and not LOST:
    wrong(f"{lost} CPUs have no registers")
if MEMORY and not LOST:
    for command, pattern in (
        ("reveille cpus", rf"^{REPORTER} +\S+ +online +\d+ +has stopped the others +\d+ "),
        ("reveille slots", rf"^{CPUS - 1} +online +"),
        ("reveille calls", rf"^{CPUS - 1} +(?:open|closed) +\d+ +\d+"),
    ):
        text = gdb.execute(command, to_string=True)
        print(text)
        if not re.search(pattern, text, re.MULTILINE):
            wrong(f"{command} says something else")
        if len(text.splitlines()) < CPUS + 1:
            wrong(f"{command} says too little")
print(f"core: {CPUS} CPUs, {lost} without registers")
gdb.execute("quit 0")
