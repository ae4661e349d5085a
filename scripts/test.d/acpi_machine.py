"""What a boot loader leaves on a machine with ACPI tables: a tree of /chosen alone, and a memory with UEFI's memory map and system table, the tables
of QEMU's `virt`, and what the parking stub of tests/shim wants to know.

usage: acpi_machine.py DIRECTORY [gic=2|3] [cpus=N] [image=ADDRESS] [bootargs=TEXT] [WORD..]

Writes tables.bin, for address 0x5c000000, and chosen.dts. Words: `parking`: no PSCI, CPUs wait at mailboxes; `virtual`: firmware has been given
virtual addresses; `gicr`: redistributors are told CPU by CPU; `dbg2`: a debug port in the place of an SPCR; `disabled`: the last CPU is not enabled;
`bad-xsdt`, `bad-madt`, `bad-fadt`, `bad-gtdt`: its checksum is wrong; `bad-rsdp`: it is not memory; `not-parked`: the last mailbox is not prepared;
`lost-mailbox`: the last one is in the image; `no-map`: the memory map is not one; `described`: the tree has more in it than that;
`listed`: a Linux has listed regions of memory that stay in use; `usable`: a Linux that has crashed had set apart 128 MiB of memory.
"""

import struct
import sys

BASE = 0x5C000000
PARAMETERS = 0x10000  # as the stub has it
MAILBOXES = 0x20000
RUNTIME = 0x80000
END = 0x90000
LISTS = END  # free, by the memory map
LISTED = [(0x50000000, 0x10000), (0x50100800, 0x1000)]
RAM, RAM_END = 0x40000000, 0x60000000
VIRTUAL = 0x20000000

words = dict(word.partition("=")[::2] for word in sys.argv[2:])
gic = int(words.get("gic") or 3)
cpus = int(words.get("cpus") or 4)
image = int(words.get("image") or "0x40200000", 0)


def settle(data, at):
    data = bytearray(data)
    data[at] = 0
    data[at] = -sum(data) & 255
    return bytes(data)


def table(signature, revision, body):
    header = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, b"REVEIL", b"BYHAND  ", 1, b"TEST", 1)
    done = settle(header + body, 9)
    name = {b"APIC": "madt", b"FACP": "fadt"}.get(signature, signature.decode().lower())
    return done[:-1] + bytes([done[-1] ^ 1]) if f"bad-{name}" in words else done


def mailbox(cpu):
    lost = "lost-mailbox" in words and cpu == cpus - 1
    return image + 0x1000 if lost else BASE + MAILBOXES + 0x1000 * cpu


def mpidr(cpu):
    return cpu >> 4 << 8 | cpu & 15


def gicc(cpu):
    parked = (1, mailbox(cpu)) if "parking" in words and cpu else (0, 0)
    frames = 0x80A0000 + 0x20000 * cpu if gic == 3 and "gicr" in words else 0
    enabled = 0 if "disabled" in words and cpu == cpus - 1 else 1
    interface = 0x8010000 if gic == 2 else 0
    return struct.pack(
        "<BBHIIIIIQQQQIQQBBH", 11, 80, 0, cpu, cpu, enabled, parked[0], 0, parked[1], interface, 0, 0, 0, frames, mpidr(cpu), 0, 0, 0
    )


madt = struct.pack("<II", 0, 0) + struct.pack("<BBHIQIB3x", 12, 24, 0, 0, 0x8000000, 0, gic)
madt += b"".join(gicc(cpu) for cpu in range(cpus))
if gic == 3 and "gicr" not in words:
    madt += struct.pack("<BBHQI", 14, 16, 0, 0x80A0000, 0xF60000)
pl011 = struct.pack("<BBBBQ", 0, 32, 0, 3, 0x9000000)
fadt = bytearray(276 - 36)
struct.pack_into("<I", fadt, 112 - 36, 1 << 20)
struct.pack_into("<H", fadt, 129 - 36, 0 if "parking" in words else 3)
gtdt = struct.pack("<QI", 2**64 - 1, 0) + b"".join(struct.pack("<II", gsiv, 0) for gsiv in (29, 30, 27, 26))
gtdt += struct.pack("<QII", 2**64 - 1, 0, 0)
spcr = struct.pack("<B3x", 3) + pl011 + struct.pack("<BBIBBBBBx", 8, 0, 33, 7, 0, 1, 0, 3) + struct.pack("<HHBBBIBI", 65535, 65535, 0, 0, 0, 0, 0, 0)
dbg2 = struct.pack("<II", 44, 1) + struct.pack("<BHBHHHHHHHHH", 0, 40, 1, 2, 38, 0, 0, 0x8000, 3, 0, 22, 34) + pl011
dbg2 += struct.pack("<I2s", 0x1000, b".")
tables = [table(b"DSDT", 2, b""), table(b"FACP", 6, bytes(fadt)), table(b"APIC", 4, madt), table(b"GTDT", 2, gtdt)]
tables.append(table(b"DBG2", 0, dbg2) if "dbg2" in words else table(b"SPCR", 2, spcr))

memory = bytearray(LISTS + 0x2000)


def put(at, data):
    memory[at : at + len(data)] = data


pointers, at = b"", 0x1000
for each in tables:
    put(at, each)
    pointers += struct.pack("<Q", BASE + at)
    at += len(each) + 7 & ~7
put(0x200, table(b"XSDT", 1, pointers))
rsdp = settle(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"REVEIL", 2, 0), 8) + struct.pack("<IQI", 36, BASE + 0x200, 0)
put(0x100, settle(rsdp, 32))

# UEFI: system table and configuration tables in memory that firmware uses at run time, the map in memory that is free.
rsdp_at = 0x8000000000 if "bad-rsdp" in words else BASE + 0x100
guid = bytes.fromhex("71e86888f1e4d311bc220080c73c8881")
configurations = bytes(16) + struct.pack("<Q", 0x1234) + guid + struct.pack("<Q", rsdp_at)
if "listed" in words:
    # The first node is one of Linux's EFI stub, without room for any; the other has a page.
    configurations += bytes.fromhex("c6b08e88de8ef54fa8f09aee5cb977c2") + struct.pack("<Q", BASE + LISTS)
    put(LISTS, struct.pack("<IIQ", 0, 0, BASE + LISTS + 0x1000))
    regions = b"".join(struct.pack("<QQ", *region) for region in LISTED)
    put(LISTS + 0x1000, struct.pack("<IIQ", 255, len(LISTED), 0) + regions)
put(RUNTIME + 0x400, configurations)
virtual = "virtual" in words
configuration = RUNTIME + 0x400 + (VIRTUAL - RUNTIME if virtual else BASE)
system = b"IBI SYST" + bytes(96) + struct.pack("<QQ", len(configurations) // 24, configuration)
put(RUNTIME, system)
WB, USED = 0xF, 1 << 63
pieces = [
    (7, RAM, 0, BASE, WB),
    (9, BASE, 0, BASE + PARAMETERS, WB),
    (0, BASE + PARAMETERS, 0, BASE + RUNTIME, WB),
    (6, BASE + RUNTIME, VIRTUAL if virtual else 0, BASE + END, WB | USED),
    (4, BASE + END, 0, RAM_END, WB),
    (11, 0x9010000, 0, 0x9011000, 1 | USED),
]
uefi_map = b"".join(struct.pack("<I4xQQQQ8x", kind, start, to, end - start >> 12, bits) for kind, start, to, end, bits in pieces)
put(0x8000, uefi_map)

put(PARAMETERS, struct.pack("<QQQQQ", image, 0x8000000, 0x8010000 if gic == 2 else 0, 0x80A0000, cpus - 1))
for cpu in range(1, cpus):
    box = BASE + MAILBOXES + 0x1000 * cpu
    put(PARAMETERS + 64 + 32 * (cpu - 1), struct.pack("<QQQQ", mpidr(cpu), box, cpu, cpu))
    prepared = not ("not-parked" in words and cpu == cpus - 1)
    put(MAILBOXES + 0x1000 * cpu, struct.pack("<I", 0xFFFFFFFF if prepared else 0x77))

with open(f"{sys.argv[1]}/tables.bin", "wb") as file:
    file.write(memory)
usable = f"linux,usable-memory-range = <0 {RAM:#x} 0 0x8000000>;" if "usable" in words else ""
node = f'memory@{RAM:x} {{ device_type = "memory"; reg = <0 {RAM:#x} 0 {RAM_END - RAM:#x}>; }};' if "described" in words else ""
with open(f"{sys.argv[1]}/chosen.dts", "w", encoding="ascii") as file:
    file.write(
        f"""/dts-v1/;
/ {{
    #address-cells = <2>;
    #size-cells = <2>;
    chosen {{
        bootargs = "reveille.exit=semihosting {words.get('bootargs', '')}";
        linux,uefi-system-table = /bits/ 64 <{BASE + RUNTIME:#x}>;
        linux,uefi-mmap-start = /bits/ 64 <{BASE + 0x8000:#x}>;
        linux,uefi-mmap-size = <{0 if "no-map" in words else len(uefi_map)}>;
        linux,uefi-mmap-desc-size = <48>;
        linux,uefi-mmap-desc-ver = <1>;
        {usable}
    }};
    {node}
}};
"""
    )
