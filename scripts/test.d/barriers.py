"""Holds the barriers of an image against what the architecture asks for: barriers.py OBJDUMP ELF

QEMU runs instructions one after the other, and so no run misses a barrier. They are looked for in the code as it was compiled: each
place of a kind has the barriers that the kind needs, before it and after it, and some functions have one that no other
instruction shows the place of. Prints how many places of each kind there are; none is a fault, too.
"""

import re
import subprocess
import sys

BARRIER = r"(?:dsb|dmb|isb)\b"
# So far back, and so far on, in the order of the code.
NEAR = 8

# (kind, the instruction, what comes before it with no store between, what comes after it before anything that it is to come before;
# functions that need neither, and why)
RULES = [
    # Arm IHI 0069 12.1.6, 12.2.19: what was stored is seen by the handler; the interrupt is sent before what follows.
    ("an SGI of GICv3", r"msr ICC_SGI1R_EL1,", r"dsb ishst", r"isb", ()),
    # IHI 0069 12.2.14: what the handler loads, it loads after it has acknowledged.
    ("an acknowledgement", r"mrs \w+, ICC_IAR1_EL1", None, r"isb", ()),
    ("an acknowledgement with superpriority", r"mrs \w+, (?:ICC_NMIAR1_EL1|S3_0_C12_C9_5)", None, r"isb", ()),
    # Arm ARM D1.6.2: what was stored is seen by whoever ends the wait. Who parks waits for nothing.
    ("a wait for an interrupt", r"wfi$", r"dsb sy", None, ("reveille_park",)),
    # Arm ARM D8.16.5: the new entry is seen by table walks, then the old one is gone everywhere, then this CPU goes on.
    ("an invalidation for all", r"tlbi \w+is\b", r"dsb ishst", r"dsb ish", ()),
    ("an invalidation on this CPU", r"tlbi (?!\w+is\b)", BARRIER, r"dsb nsh", ()),
    # Arm ARM B2.4.4.
    ("an invalidation of instructions", r"ic ivau,", r"dsb ish", r"dsb ish", ()),
    # Arm ARM D12.2.4: the timer is as it was set before the handler returns.
    ("a setting of the timer", r"msr CNT(?:V|HP)_CTL_EL[02],", None, r"isb", ()),
    # Arm ARM B2.3.12. What sets up the level below is followed by the `eret` that goes there.
    ("a change of the translation regime", r"msr SCTLR_EL[12],", None, r"isb", ("reveille_el_setup",)),
]

# Functions that need a barrier somewhere, whatever they have besides: (function, barrier, not followed by, why)
FUNCTIONS = [
    (
        "reveille::stop::gather::participate",
        r"isb",
        r"mrs \w+, CNT(?:VCT|PCT)_EL0",
        "a CPU that was gathered fetches what was changed",
    ),
    ("reveille::irq::private::tell", r"dmb ish$", None, "who is not found online finds the news"),
]


def functions(objdump, elf):
    """Each function: its name, and its instructions."""
    listing = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", "--no-leading-addr", "-C", elf], check=True, capture_output=True, text=True
    ).stdout
    name, code = None, []
    for line in listing.splitlines():
        if match := re.fullmatch(r"<(.+)>:", line):
            if name:
                yield name, code
            name, code = re.sub(r"::h[0-9a-f]{16}$", "", match[1]), []
        elif name and line.strip():
            code.append(" ".join(line.split("//")[0].split()))
    if name:
        yield name, code


def before(code, at, wanted):
    for instruction in reversed(code[max(0, at - NEAR) : at]):
        if re.match(wanted, instruction):
            return True
        if re.match(r"st\w*\b", instruction):
            return False
    return False


def after(code, at, wanted):
    for instruction in code[at + 1 : at + 1 + NEAR]:
        if re.match(wanted, instruction):
            return True
        if re.match(r"(?:ld|st|b|br|ret|eret)\w*\b", instruction):
            return False
    return False


def main(objdump, elf):
    counts = {rule[0]: 0 for rule in RULES}
    found = {function[0]: False for function in FUNCTIONS}
    bad = []
    for name, code in functions(objdump, elf):
        for kind, trigger, first, last, left_out in RULES:
            for at, instruction in enumerate(code):
                if not re.match(trigger, instruction) or name in left_out:
                    continue
                counts[kind] += 1
                if first and not before(code, at, first):
                    bad.append(f"{name}: {instruction}: {kind} without `{first}` before it")
                if last and not after(code, at, last):
                    bad.append(f"{name}: {instruction}: {kind} without `{last}` after it")
        for function, barrier, unless, why in FUNCTIONS:
            if name != function:
                continue
            places = zip(code, code[1:] + [""])
            found[function] = True
            if not any(re.match(barrier, one) and not (unless and re.match(unless, two)) for one, two in places):
                bad.append(f"{function}: no `{barrier}`: {why}")
    for kind, count in counts.items():
        print(f"{kind}: {count}")
        if not count:
            bad.append(f"there is nowhere {kind}")
    bad += [f"there is no function {function}" for function, is_there in found.items() if not is_there]
    print("\n".join(bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
