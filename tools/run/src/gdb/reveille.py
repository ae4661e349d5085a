"""What gdb knows of Reveille, in a running guest and in a core alike.

    gdb-multiarch -x scripts/gdb/reveille.py IMAGE CORE

`scripts/run --gdb` and `scripts/core` print the whole command. Then `help reveille` lists the commands. Backtraces follow the frame
records that every function of the image makes, through interrupts too. The page is docs/core.md.
"""

import base64
import contextlib
import os
import re
import struct
import sys
import zlib

import gdb
import gdb.unwinder

PAGE = 4096
# What the compiler puts behind the names of functions.
HASH = re.compile("::h[0-9a-f]{16}")
STATES = ["offline", "claimed", "kicked", "alive", "online", "dying", "gone", "revoked", "failed", "wedged"]
PARKED = ["", "SGI", "NMI", "own panic", "gate", "too late"]
# As `protocol/src/queue.rs` has them: callers that a queue has room for, and `call::POSTS_PER_CPU`.
CALLERS = 48
POSTS = 16


@contextlib.contextmanager
def rust():
    """Names are those of Rust, whatever is being debugged."""
    before = gdb.parameter("language")
    gdb.execute("set language rust", to_string=True)
    try:
        yield
    finally:
        gdb.execute(f"set language {before}", to_string=True)


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def is_readable(address):
    try:
        word(address & ~7)
    except gdb.MemoryError:
        return False
    return True


def linked(name):
    """The address of a name of the linker script or of assembly, where the image is."""
    symbol = gdb.lookup_minimal_symbol(name) if hasattr(gdb, "lookup_minimal_symbol") else None
    if symbol is not None:
        return int(symbol.value().address)
    try:
        text = gdb.execute(f"info address {name}", to_string=True)
    except gdb.error:
        return None
    for part in text.replace(".", " ").split():
        if part.startswith("0x"):
            return int(part, 16)
    return None


def static(path):
    with rust():
        try:
            return int(gdb.parse_and_eval(f"&{path}"))
        except gdb.error as error:
            raise gdb.GdbError(f"{path} is not in the image: {error}") from error


def offset(kind, *path):
    """Where a field of a type is, in bytes."""
    at = 0
    for name in path:
        field = next(field for field in kind.strip_typedefs().fields() if field.name == name)
        at += field.bitpos // 8
        kind = field.type
    return at


class Layout:
    """Where things are in the runtime of this image, as its debug information says."""

    def __init__(self):
        with rust():
            try:
                self.area = gdb.lookup_type("reveille::life::area::Area")
                self.part = gdb.lookup_type("reveille::call::part::Part")
                self.queue = gdb.lookup_type("reveille::call::part::QueueLine")
                self.lent = gdb.lookup_type("reveille::call::part::Lent")
                self.block = gdb.lookup_type("reveille::call::part::Block")
            except gdb.error as error:
                raise gdb.GdbError(f"no image of Reveille with debug information: {error}") from error

    def of_area(self, *path):
        return offset(self.area, *path)


LAYOUT = {}


def layout():
    name = gdb.current_progspace().filename or ",".join(sorted(f.filename for f in gdb.objfiles()))
    if name not in LAYOUT:
        LAYOUT[name] = Layout()
    return LAYOUT[name]


class Cpu:
    """A CPU, as its area has it."""

    def __init__(self, number, area):
        self.number, self.area, self.layout = number, area, layout()
        self.mpidr = self.field("header", "mpidr")
        slot = self.field("slot")
        self.state, self.reason, self.generation = slot & 0xFF, slot >> 8 & 0xFFFF, slot >> 32
        self.parked = self.field("parked") & 0xFF

    def at(self, *path):
        return self.area + self.layout.of_area(*path)

    def field(self, *path):
        return word(self.at(*path))

    def state_name(self):
        return STATES[self.state] if self.state < len(STATES) else f"state {self.state}"

    def label(self):
        place = self.field("header", "label")
        if not place:
            return ""
        try:
            text, size = word(place), word(place + 8)
            return read(text, min(size, 64)).decode(errors="replace")
        except gdb.MemoryError:
            return "?"

    def crumbs(self):
        """Stage and pen word, or None."""
        place = self.field("header", "crumbs")
        try:
            return (word(place), word(place + 8)) if place else None
        except gdb.MemoryError:
            return None


def cpus():
    first = word(static("reveille::percpu::area::FIRST"))
    count = word(static("reveille::percpu::area::COUNT"))
    if count == 0:
        raise gdb.GdbError("there are no CPUs yet: the image has not got that far, or this memory is not in the core")
    size = layout().area.sizeof
    return [Cpu(number, first + number * size) for number in range(count)]


def gate_owner():
    """The affinity of the CPU that stops, or has stopped, the others; None: none does."""
    gate = static("reveille::gate::GATE")
    with rust():
        kind = gdb.lookup_type("reveille_protocol::gate::Gate<reveille::arch::hw::Hw>")
    value = word(gate + offset(kind, "word"))
    if value >> 24 & 0xFF == 0:
        return None
    owner = value >> 32
    return (owner >> 24) << 32 | owner & 0xFFFFFF


def is_core():
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return connection is not None and connection.type == "core"


def thread_pointer():
    """TPIDR_ELx of the thread that is selected: where its CPU has its area; 0: it has none, or this is a core."""
    frame = gdb.newest_frame()
    for name in ("TPIDR_EL2", "TPIDR_EL1"):
        try:
            value = int(frame.read_register(name)) & (1 << 64) - 1
        except ValueError:
            continue
        if value:
            return value
    return 0


@contextlib.contextmanager
def kept_thread():
    thread = gdb.selected_thread()
    try:
        yield
    finally:
        if thread is not None and thread.is_valid():
            thread.switch()


def threads(of):
    """The threads of gdb by the numbers of these CPUs."""
    found = {}
    with kept_thread():
        for thread in gdb.selected_inferior().threads():
            if is_core():
                found[thread.ptid[1] - 1] = thread
                continue
            thread.switch()
            pointer = thread_pointer()
            for cpu in of:
                if cpu.area == pointer:
                    found[cpu.number] = thread
    return found


def function_at(address):
    """The function at an address, and how far in it that is."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True).split(" in section ")[0].strip()
    return HASH.sub("", text) if "No symbol" not in text else f"{address:#x}"


def table(head, rows):
    rows = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


class Reveille(gdb.Command):
    """What the runtime knows: `help reveille` lists its commands."""

    def __init__(self):
        super().__init__("reveille", gdb.COMMAND_STATUS, prefix=True)


class Cpus(gdb.Command):
    """All CPUs: state, generation, why each was parked, its thread, where it is, and what it says that it does."""

    def __init__(self):
        super().__init__("reveille cpus", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        no_arguments(argument)
        all_cpus = cpus()
        owner = gate_owner()
        where = threads(all_cpus)
        rows = []
        with kept_thread():
            for cpu in all_cpus:
                thread, place = where.get(cpu.number), ""
                if thread is not None:
                    thread.switch()
                    pc = int(gdb.newest_frame().pc())
                    place = function_at(pc) if pc else ""
                how = PARKED[cpu.parked] if cpu.parked < len(PARKED) else str(cpu.parked)
                rows.append([
                    cpu.number, f"{cpu.mpidr:#x}", cpu.state_name(), cpu.generation,
                    "has stopped the others" if cpu.mpidr == owner else how or "-",
                    thread.num if thread is not None else "-", place, cpu.label(),
                ])
        table(["cpu", "mpidr", "state", "generation", "parked by", "thread", "where", "label"], rows)


class Slots(gdb.Command):
    """How each CPU came up: the word of its slot, how far it was with its MMU off, and whether it waits in the pen."""

    def __init__(self):
        super().__init__("reveille slots", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        no_arguments(argument)
        stages = {0: "-", 1: "entered", 2: "MMU", 3: "unfit"}
        rows = []
        for cpu in cpus():
            crumbs = cpu.crumbs()
            stage, pen = ("?", "?") if crumbs is None else (stages.get(crumbs[0], crumbs[0]), "-")
            if crumbs is not None and crumbs[1] >> 32:
                pen = f"since generation {crumbs[1] & 0xFFFFFFFF}"
            rows.append([cpu.number, cpu.state_name(), cpu.generation, cpu.reason or "-", stage, pen])
        table(["cpu", "state", "generation", "reason", "stage", "pen"], rows)


class Calls(gdb.Command):
    """The call queues: which are open, what is in them, who waits for whom, and what is being run."""

    def __init__(self):
        super().__init__("reveille calls", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        no_arguments(argument)
        all_cpus = cpus()
        part = layout().part
        first = all_cpus[0].at("call")
        queues, queue_count = (word(first + offset(part, "queues") + at) for at in (0, 8))
        blocks, block_count = (word(first + offset(part, "blocks") + at) for at in (0, 8))
        lent_by = word(first + offset(part, "lent_by"))
        if queue_count == 0:
            raise gdb.GdbError("there are no queues yet: the image has not got that far")
        queued, rows = set(), []
        for cpu in all_cpus:
            messages, closed = [], False
            for block in range(block_count):
                line = queues + (block * len(all_cpus) + cpu.number) * layout().queue.sizeof
                head = word(line + offset(layout().queue, "queue", "head"))
                closed = closed or head >> 63 != 0
                if head >> 63 == 0:
                    links = word(blocks + block * layout().block.sizeof + offset(layout().block, "links"))
                    messages += self.messages(head, links, block, queued, cpu.number)
            own = cpu.at("call")
            activity = word(own + offset(part, "activity"))
            rows.append([
                cpu.number, "closed" if closed else "open", word(own + offset(part, "sent")), word(own + offset(part, "ran")),
                function_at(activity) if activity else "-", ", ".join(messages) or "-",
            ])
        table(["cpu", "queue", "sent", "ran", "runs", "queued, oldest first"], rows)
        for cpu in all_cpus:
            left = word(lent_by + cpu.number * layout().lent.sizeof + offset(layout().lent, "sync", "left"))
            targets = sorted(target for sender, target in queued if sender == cpu.number)
            if left:
                names = ", ".join(f"cpu {target}" for target in targets)
                begun = left - len(targets)
                names += (" and " if names and begun > 0 else "") + (f"{begun} that have begun its call" if begun > 0 else "")
                print(f"cpu {cpu.number} waits for {names}")

    @staticmethod
    def messages(head, links, block, queued, target):
        """What a word of a queue, and the links behind it, say is queued, oldest first."""
        found = []
        for _ in range(CALLERS * POSTS + 1):
            node, callers = head >> CALLERS & 0x7FFF, head & (1 << CALLERS) - 1
            below = word(links + 8 * (node - 1)) if node else 0
            # The link of a node is the whole word that its sender found.
            newer = callers & ~(below & (1 << CALLERS) - 1) if node else callers
            for bit in range(CALLERS):
                if newer >> bit & 1:
                    sender = block * CALLERS + bit
                    queued.add((sender, target))
                    found.append(f"call of cpu {sender}")
            if not node:
                break
            found.append(f"post of cpu {block * CALLERS + (node - 1) // POSTS}")
            head = below
        return found[::-1]


class Rings:
    """Where what the CPUs have noted is (docs/trace.md, "In a memory core")."""

    WORDS = 11

    def __init__(self):
        at = linked("reveille_trace")
        if at is None:
            raise gdb.GdbError("the image was built without the feature `trace`")
        words = struct.unpack(f"<{self.WORDS}Q", read(at, 8 * self.WORDS))
        if words[0] != 1:
            raise gdb.GdbError("nothing is noted yet: the image has not got that far")
        self.slots, self.size, self.count, self.heads, self.distance, self.frequency, self.log = words[1:8]
        self.sites, self.sites_end = words[8:10]

    def events(self):
        """Name, shape and kind of value of each site."""
        found = {}
        for at in range(self.sites, self.sites_end, 8):
            site, event = struct.unpack("<ii", read(at, 8))
            name, size, kind = struct.unpack("<QQH", read(at + 4 + event, 18))
            text = read(name, min(size, 200)).decode(errors="replace")
            found[at + site & 0xFFFFFFFF] = text, chr(kind & 0xFF), chr(kind >> 8)
        return found

    def records(self, cpu):
        """What a CPU has noted, the oldest first: time, site and value; and how many records there are no longer, or not whole."""
        head, limit, slots, first = struct.unpack("<4Q", read(self.heads + cpu * self.distance, 32))
        step, lap = 1 << 32 - self.log, 1 << 32
        head = max(head, first)
        end = min(head, max(limit, first))
        begin = end - lap if end - first > lap else first
        lost, found = (head - end + begin - first) // step, []
        if end == begin:
            return found, lost
        data = read(slots, self.size)
        for number in range(begin, end, step):
            slot = number >> 32 - self.log & (1 << self.log) - 1
            words = struct.unpack_from("<4Q", data, 32 * slot)
            stamp = number >> 32
            # Each word has a stamp (protocol/src/trace.rs).
            if any(part & 0xFFFFFFFF != stamp for part in (words[1], words[2], words[3] >> 32)):
                lost += 1
                continue
            time = words[0] - (number << 16) & (1 << 64) - 1
            # The stamp of the first is above its time, which is less than what 48 bits hold before 78 hours of a GHz are over.
            if time >> 48:
                lost += 1
                continue
            found.append((time, words[2] >> 32, words[1] >> 32 | (words[3] & 0xFFFFFFFF) << 32))
        return found, lost


class Trace(gdb.Command):
    """What the CPUs have noted last, in the order of time: reveille trace [COUNT [CPU]]

    COUNT is 40 if it is not said. The image has to be built with the feature `trace`, and somebody to trace."""

    SHAPES = {"B": "begin", "E": "end", "I": ""}

    def __init__(self):
        super().__init__("reveille trace", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) > 2 or not all(word.isdecimal() for word in words):
            raise gdb.GdbError("the number of records, and of a CPU, and nothing else")
        rings = Rings()
        count = int(words[0]) if words else 40
        chosen = range(rings.count)
        if len(words) == 2:
            chosen = [int(words[1])]
            if chosen[0] >= rings.count:
                raise gdb.GdbError(f"there is no cpu {chosen[0]}; the last one is {rings.count - 1}")
        events, all_records, lost = rings.events(), [], 0
        for cpu in chosen:
            try:
                records, missing = rings.records(cpu)
            except gdb.MemoryError as error:
                raise gdb.GdbError("the rings are not in this core") from error
            lost += missing
            all_records += [(time, cpu, site, value) for time, site, value in records]
        all_records.sort(key=lambda record: record[0])
        rows = []
        for time, cpu, site, value in all_records[-count:] if count else []:
            name, shape, kind = events.get(site, (f"site {site:#x}", "I", "n"))
            rows.append([f"{time / rings.frequency:.9f}", cpu, name, self.SHAPES.get(shape, shape), self.value(kind, value)])
        table(["time, s", "cpu", "event", "", "value"], rows)
        print(f"{len(rows)} of {len(all_records)} records; {lost} more are no longer there, or not whole")

    @staticmethod
    def value(kind, value):
        if kind == "c":
            return f"cpu {value}"
        if kind in "tf":
            to = f"to cpu {value >> 48}, " if kind == "t" else ""
            return f"{to}message {value & (1 << 48) - 1:#x}"
        return {"-": "", "s": f"{value:#x}"}.get(kind, str(value))


def no_arguments(argument):
    if argument.strip():
        raise gdb.GdbError(f"what is '{argument.strip()}'? There are no arguments")


# The form of a dump: machine/src/dump.rs.
INFO = 0xBEEF_0000_0000_0000
CPU_SIZE = 0x200
LINE = 96
FRAME = 304


class Lines:
    """Writes words as the lines of a dump."""

    def __init__(self, out):
        self.out, self.number, self.next, self.line = out, 0, None, bytearray()

    def words(self, address, data):
        for (value,) in struct.iter_unpack("<Q", data):
            if address != self.next or len(self.line) > LINE - 4 - 10:
                self.end()
                size = (address.bit_length() + 7) // 8
                self.line += struct.pack("<HB", self.number, 0x7F + size) + address.to_bytes(size, "little")
                self.zero = None
            if value == 0:
                if self.zero is not None and self.line[self.zero] < 0x7F:
                    self.line[self.zero] += 1
                else:
                    self.zero = len(self.line)
                    self.line.append(0)
            else:
                self.zero = None
                size = (value.bit_length() + 7) // 8
                self.line.append(0x7F + size)
                self.line += value.to_bytes(size, "little")
            address += 8
            self.next = address

    def end(self):
        if not self.line:
            return
        while len(self.line) % 3 != 2:
            self.line.append(0xFF)
        self.line += struct.pack("<I", zlib.crc32(self.line))
        self.out.write(base64.b64encode(self.line).decode() + "\n")
        self.number = (self.number + 1) & 0xFFFF
        self.line = bytearray()


class Capture(gdb.Command):
    """Write the machine to a file, of which `scripts/core --from FILE` makes a core: reveille capture FILE"""

    def __init__(self):
        super().__init__("reveille capture", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        names = gdb.string_to_argv(argument)
        if len(names) != 1:
            raise gdb.GdbError("the name of a file, and nothing else")
        all_cpus = cpus()
        with kept_thread(), open(names[0], "w") as out:
            where = threads(all_cpus)
            # Memory is read as a CPU sees it that is a member of the system.
            member = next((where[cpu.number] for cpu in all_cpus if cpu.number in where), None)
            if member is None:
                raise gdb.GdbError("no CPU has got as far as the stacks of its own")
            member.switch()
            out.write("-----BEGIN REVEILLE CORE-----\n")
            lines = Lines(out)
            self.capture(lines, all_cpus, where)
            lines.end()
            out.write("-----END REVEILLE CORE-----\n")

    def capture(self, lines, all_cpus, where):
        area = layout().of_area
        start, end = linked("__image_start"), linked("__contents_end")
        owner = gate_owner()
        shape = layout().area.sizeof | area("header", "mpidr") << 16 | area("slot") << 32 | area("parked") << 48
        marks = area("evidence") | area("header", "crumbs") << 16
        about = [
            1, start, word(static("reveille::memory::image::BUILD_ID")), len(all_cpus),
            0 if owner is None else owner | 1 << 63, all_cpus[0].area, shape, marks,
        ]
        lines.words(INFO, struct.pack("<8Q", *about))
        done = set()
        for cpu in all_cpus:
            evidence = cpu.field("evidence")
            stopped = cpu.parked or cpu.mpidr == owner and evidence
            if not stopped and cpu.number in where:
                where[cpu.number].switch()
                frame = gdb.newest_frame()
                names = [f"x{n}" for n in range(31)] + ["sp", "pc", "cpsr"]
                values = [int(frame.read_register(name)) & (1 << 64) - 1 for name in names]
                lines.words(INFO + CPU_SIZE * (1 + cpu.number), struct.pack("<34Q", *values))
                self.upwards(lines, values[31], done)
            if stopped:
                self.piece(lines, evidence & ~7, FRAME)
                at = 96 if evidence & 3 in (0, 3) else 248
                with contextlib.suppress(gdb.MemoryError):
                    self.upwards(lines, word((evidence & ~3) + at), done)
            for name in ("thread_top", "exception_top", "emergency_top"):
                self.stack(lines, cpu.field("header", name), done)
        self.pages(lines, start, end, done)
        part = layout().part
        first = all_cpus[0].at("call")
        last = word(first + offset(part, "blocks")) + word(first + offset(part, "blocks") + 8) * layout().block.sizeof
        least = all_cpus[-1].area + layout().area.sizeof
        most = all_cpus[0].area + len(all_cpus) * (64 << 10)
        self.pages(lines, all_cpus[0].area, max(least, min(last, most)), done)
        with contextlib.suppress(gdb.GdbError):
            rings = Rings()
            self.pages(lines, rings.slots, rings.slots + rings.count * rings.size, done)

    @staticmethod
    def piece(lines, address, size):
        try:
            lines.words(address, read(address, size))
        except gdb.MemoryError:
            pass

    def page(self, lines, at, done):
        """The page at `at`, once; whether there is one."""
        if at in done:
            return True
        try:
            lines.words(at, read(at, PAGE))
        except gdb.MemoryError:
            return False
        done.add(at)
        return True

    def pages(self, lines, start, end, done):
        for at in range(start & -PAGE, end, PAGE):
            self.page(lines, at, done)

    def upwards(self, lines, sp, done):
        """The stack at `sp`, to the guard page behind it or as much as is shown of any."""
        for at in range(sp & -PAGE, (sp & -PAGE) + (16 << 10) + 1, PAGE):
            if not self.page(lines, at, done):
                break

    def stack(self, lines, top, done):
        """The stack that ends at `top`, to the guard page below it."""
        if not top:
            return
        at = (top - 1) & -PAGE
        while top - at <= 1 << 20 and self.page(lines, at, done):
            at -= PAGE
        self.upwards(lines, top, done)


def signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


class Code:
    """Instructions of the image (Arm ARM C4.1), and what they say of frame records; as src/backtrace/record.rs."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def has(self, address):
        return self.start <= address < self.end

    def instruction(self, address):
        return struct.unpack("<I", read(address, 4))[0] if self.has(address) else None

    @staticmethod
    def is_call(code):
        return code is not None and (code & 0xFC000000 == 0x94000000 or code & 0xFFFFFC1F == 0xD63F0000)

    def stands(self, pc):
        """Whether the function that was interrupted at `pc` has a frame record."""
        for back in range(1, 9):
            code = self.instruction(pc - 4 * back)
            if code is None or self.is_call(code):
                break
            if code & 0xFE407FFF == 0xA8407BFD:
                return False
            if code & 0xFE407FFF == 0xA8007BFD or code & 0xFF8003FF == 0x910003FD:
                break
            if code & 0xFFFFFC1F in (0xD65F0000, 0xD61F0000) or code & 0xFC000000 == 0x14000000:
                break
        ways, steps = [pc], 0
        while ways:
            at = ways.pop()
            for _ in range(32):
                code = self.instruction(at)
                steps += 1
                if code is None:
                    break
                if steps > 256 or code & 0xFE407FFF == 0xA8407BFD or self.is_call(code):
                    return True
                if code & 0xFE407FFF == 0xA8007BFD or code & 0xFF8003FF == 0x910003FD or code & 0xFFFFFC1F == 0xD65F0000:
                    return False
                if code & 0xFFFFFC1F == 0xD61F0000:
                    break
                if code & 0xFC000000 == 0x14000000:
                    at += 4 * signed(code & 0x3FFFFFF, 26)
                    continue
                if code & 0xFF000010 == 0x54000000 or code & 0x7E000000 == 0x34000000:
                    ways.append(at + 4 * signed(code >> 5 & 0x7FFFF, 19))
                elif code & 0x7E000000 == 0x36000000:
                    ways.append(at + 4 * signed(code >> 5 & 0x3FFF, 14))
                at += 4
        return True

    def saved(self, begin, pc):
        """Where the function from `begin` on, which is at `pc`, has put the registers of its caller, by their numbers: distances from its
        frame record; and the bytes from there to the end of its frame. Without what it does not say: what every record has."""
        size, stores, record = 0, {}, None
        for at in range(begin, min(pc, begin + 4096), 4):
            code = self.instruction(at)
            if code is None:
                break
            first, second, base = code & 31, code >> 10 & 31, code >> 5 & 31
            if code & 0xFF8003FF == 0xD10003FF and record is None:
                size += (code >> 10 & 0xFFF) << (12 if code >> 22 & 1 else 0)
                stores = {register: place + size for register, place in stores.items()}
            elif code & 0xFE400000 == 0xA8000000 and base == 31:
                # stp of registers by sp; bits 24:23 say whether sp moves first.
                distance = 8 * signed(code >> 15 & 0x7F, 7)
                if code >> 23 & 3 == 3:
                    size, distance = size - distance, 0
                stores.setdefault(first, distance)
                stores.setdefault(second, distance + 8)
            elif code & 0xFFC003E0 == 0xF90003E0:
                stores.setdefault(first, 8 * (code >> 10 & 0xFFF))
            elif code & 0xFF8003FF == 0x910003FD:
                record = code >> 10 & 0xFFF
                stops = at + 4 * 12
            elif record is not None and (self.is_call(code) or at > stops):
                break
        if record is None or stores.get(29) != record:
            return {}, 16
        return {register: place - record for register, place in stores.items() if 19 <= register <= 28}, size - record


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


# gdb takes a caller for a mistake whose frame is below that of what it has called, and knows of no stack but one. What is no stack of
# exceptions is above all of those, to it: so a thread is above what has interrupted it.
ABOVE = 1 << 56


class Records(gdb.unwinder.Unwinder):
    """Follows frame records (AAPCS64 6.4.6), and through interrupts (src/life/asm/vectors.s)."""

    def __init__(self):
        super().__init__("reveille")
        self.codes = {}

    def height(self, sp):
        """What is added to the stack pointer of a frame, for gdb to compare."""
        known = self.codes.setdefault("heights", {})
        page = sp & -PAGE
        if page not in known:
            known[page] = 0 if self.is_of_exceptions(sp) else ABOVE
        return known[page]

    @staticmethod
    def is_of_exceptions(sp):
        try:
            tops = [cpu.field("header", name) for cpu in cpus() for name in ("exception_top", "emergency_top")]
        except (gdb.error, gdb.GdbError):
            return False
        # The next one above, without a guard page in between.
        top = min((top for top in tops if sp <= top <= sp + (1 << 20)), default=None)
        return top is not None and all(is_readable(at) for at in range(sp, top - 7, PAGE))

    def code(self):
        start, end = linked("__image_start"), linked("__text_end")
        if start is None or end is None:
            return None
        handled = {linked(f"reveille_handled_el{level}") for level in (1, 2)}
        return Code(start, end), handled - {None}

    def __call__(self, pending):
        known = self.codes.get("now")
        if known is None:
            known = self.codes["now"] = self.code() or ()
        if not known:
            return None
        code, handled = known
        kind = pending.read_register("x29").type

        def register(name):
            return int(pending.read_register(name)) & (1 << 64) - 1

        pc = register("pc")
        if not code.has(pc) and not code.has(pc - 4):
            return None
        try:
            return self.unwind(pending, code, handled, pc, register, lambda value: gdb.Value(value).cast(kind))
        except gdb.MemoryError:
            return None

    def unwind(self, pending, code, handled, pc, register, value):
        fp, sp = register("x29"), register("sp")
        pointer = pending.read_register("pc").type

        def unwound(begin, own, frame_end, pc, fp, others):
            info = pending.create_unwind_info(FrameId(value(own + self.height(own)), value(begin)))
            info.add_saved_register("pc", gdb.Value(pc).cast(pointer))
            info.add_saved_register("x29", value(fp))
            info.add_saved_register("sp", value(frame_end))
            for name, other in others.items():
                info.add_saved_register(name, value(other))
            return info

        if pc in handled:
            # The vector itself: its record is in the frame of the interrupt, and so is what it has interrupted.
            frame = fp - 160
            others = {f"x{n}": word(frame + 8 * n) for n in range(19)}
            others["x30"] = word(frame + 152)
            return unwound(pc, fp, word(fp), word(fp + 8), word(fp), others)
        is_return = code.is_call(code.instruction(pc - 4))
        block = gdb.block_for_pc(pc - 4 if is_return else pc)
        while block is not None and block.function is None:
            block = block.superblock
        while block is not None and block.superblock is not None and block.superblock.function is not None:
            block = block.superblock
        begin = block.start if block is not None else None
        if not is_return and not code.stands(pc):
            # Nothing of its caller's is anywhere but where it was.
            if not code.has(register("x30") - 4):
                return None
            return unwound(begin or pc, sp, sp, register("x30"), fp, {})
        if fp == 0 or fp % 8:
            return None
        others, size = ({}, 16) if begin is None else code.saved(begin, pc)
        values = {f"x{number}": word(fp + distance) for number, distance in others.items()}
        back = word(fp + 8)
        values["x30"] = back
        return unwound(begin or pc, fp, fp + size, back, word(fp), values)


def name_threads():
    """In a core each thread has the name of its CPU."""
    if not is_core():
        return
    try:
        owner = gate_owner()
        for cpu in cpus():
            for thread in gdb.selected_inferior().threads():
                if thread.ptid[1] == cpu.number + 1:
                    how = PARKED[cpu.parked] if cpu.parked < len(PARKED) else "?"
                    how = "panicked" if cpu.mpidr == owner else f"parked by {how}" if how else "not parked"
                    thread.name = f"cpu {cpu.number} {cpu.state_name()} generation {cpu.generation} {how}"
    except (gdb.error, gdb.GdbError):
        # A core without memory.
        pass


UNWINDER = Records()


def forget(_event=None):
    UNWINDER.codes.clear()
    LAYOUT.clear()


def set_up():
    gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)
    gdb.events.new_objfile.connect(forget)
    gdb.events.clear_objfiles.connect(forget)
    gdb.events.cont.connect(forget)
    for command in (Reveille, Cpus, Calls, Slots, Trace, Capture):
        command()
    gdb.invalidate_cached_frames()
    name_threads()


# As a module of its own: what gdb sources shares its names with whatever else is typed there.
if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.modules.pop("reveille", None)
    __import__("reveille")
    sys.path.pop(0)
else:
    set_up()
