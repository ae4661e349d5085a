"""Holds the imports of src/ against the floors that src/lib.rs names: rooms.py ROOT [--check | --picture]. See scripts/rooms.

A room is a file or a folder right under src/. The table of floors in the first comment of src/lib.rs says on which floor it
stands. An arrow leads from a file to the file that defines what it names: through whatever re-exports that.
"""

import pathlib
import re
import sys

from house import EXTERN, IMPL, PATH, USE, House, leaves, without_generics

# A row of the table of floors: `//! | 3 | `gic` `psci` | .. |`.
FLOOR = re.compile(r"//! \| (\d+) \| ((?:`\w+`(?:, )?)+) \| (.+) \|")

# The room that may implement what one room asks for with the type of another: see docs/architecture.md.
TOP = "life"
# What assembly has for the rooms below it, and the application for the one that calls it.
SYMBOLS = {
    "reveille_park",
    "reveille_last_word",
    "reveille_probe",
    "reveille_probe_counter",
    "reveille_with_registers",
    "reveille_handled_el1",
    "reveille_handled_el2",
    "reveille_handled_exception_el1",
    "reveille_handled_exception_el2",
    "reveille_has_handlers",
    "reveille_handle",
    "reveille_scheduler",
    "reveille_has_scheduler",
    "reveille_context",
    "reveille_switch_el1",
    "reveille_switch_el2",
    "reveille_enter_below_el1",
    "reveille_enter_below_el2",
    "reveille_preempted_el1",
    "reveille_preempted_el2",
    "reveille_below_el1",
    "reveille_below_el2",
    "reveille_stopped_el1",
    "reveille_stopped_el2",
    "reveille_secondary",
    "reveille_from_firmware",
    "reveille_enter_stacks",
    "reveille_leave",
    "reveille_main",
    "reveille_name",
    "reveille_options",
    "reveille_stacks",
}


def faults_of(house, floors):
    """What no arrow shows: names by way of a door above, implementations for others, symbols, what the first page defines."""
    for file in house.files.values():
        room = room_of(file.path) if file.module else ""
        if not file.module and (file.items or file.macros):
            yield f"{file.path}: defines {', '.join(sorted(file.items | file.macros))}: that stands on no floor"
        named = {path[1] for path, _ in (leaf for _, tree in USE.findall(file.code) for leaf in leaves(" ".join(tree.split())))
                 if path[0] == "crate" and len(path) > 1}
        named |= {path.split("::")[1] for path, _ in PATH.findall(USE.sub("", file.code)) if path.startswith("crate::")}
        for other in sorted(named & set(floors) - {room} if file.module else ()):
            if floors[other] >= floors.get(room, 0) and other not in house.macros:
                yield f"{file.path}: names {other}, which is not below it"
        for head in IMPL.findall(file.code):
            head = without_generics(head).split(" where")[0].strip()
            trait, _, kind = head.rpartition(" for ")
            owners = []
            for name in filter(None, (trait.lstrip("!").strip(), kind.strip().lstrip("&"))):
                base = house.absolute(file, name.split("::"))
                found = house.define(base) if base else None
                own = name in file.items or found and room_of(found[0].path) == room
                owners.append("own" if own else "other" if found and found[1] else "none")
            if "own" not in owners and "other" in owners and (not trait or owners[0] == owners[1]) and not (trait and room == TOP):
                yield f"{file.path}: impl {head}: of another room"
        for block in EXTERN.findall(file.code):
            for name in re.findall(r"\bfn\s+(\w+)", block):
                if name not in SYMBOLS:
                    yield f"{file.path}: the symbol {name}: of nobody"


def circles(arrows):
    """The sets of files that reach each other (Tarjan)."""
    after = {}
    for start, end in arrows:
        after.setdefault(start, []).append(end)
    number, low, stack, found = {}, {}, [], []

    def visit(file):
        number[file] = low[file] = len(number)
        stack.append(file)
        for other in after.get(file, ()):
            if other not in number:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], number[other])
        if low[file] == number[file]:
            at = stack.index(file)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10000)
    for file in list(after):
        if file not in number:
            visit(file)
    return found


def room_of(path):
    return "platform" if path.parts[0] == "platform" else path.with_suffix("").parts[1]


def picture(rooms, floors, about, between, for_page):
    """The floors from the top down, and what each room of them imports from."""
    width = max(map(len, rooms))
    for floor in sorted(about, reverse=True):
        here = sorted(room for room in rooms if floors.get(room) == floor)
        print(f"{floor:2}  {', '.join(here)}" + ("" if for_page else f": {about[floor]}"))
        for room in here:
            down = sorted({end for start, end in between if start == room}, key=lambda end: (-floors.get(end, 0), end))
            print(f"      {room:{width}}  {', '.join(down) or '-'}")


def main(root, *options):
    root = pathlib.Path(root)
    floors, about = {}, {}
    for line in (root / "src/lib.rs").read_text().splitlines():
        if match := FLOOR.fullmatch(line):
            for room in re.findall(r"`(\w+)`", match[2]):
                floors[room] = int(match[1])
            about[int(match[1])] = match[3]
    house = House(root)
    arrows = house.arrows()
    rooms = {room_of(file.path) for file in house.files.values()} - {"lib"}
    faults = [f"src/lib.rs: room {room} stands on no floor" for room in sorted(rooms - set(floors))]
    faults += [f"src/lib.rs: there is no room {room}" for room in sorted(set(floors) - rooms)]
    between = {}
    for (start, end), names in sorted(arrows.items()):
        ways = room_of(start), room_of(end)
        if ways[0] != ways[1] and "lib" not in ways:
            between.setdefault(ways, []).append((start, end, names))
    up = [ways for ways in between if floors.get(ways[0], 0) <= floors.get(ways[1], 0)]
    for ways in up:
        for start, end, names in between[ways]:
            faults.append(f"{start} -> {end}: {', '.join(sorted(names))}: up, or on the same floor")
    faults += faults_of(house, floors)
    for circle in circles(arrows):
        faults.append(f"a circle of {len(circle)} files: {', '.join(map(str, circle))}")
    if "--check" not in options:
        picture(rooms, floors, about, between, "--picture" in options)
    if "--picture" in options:
        return bool(faults)
    print("\n".join(faults) if faults else "every arrow runs down, and there is no circle")
    print(f"{len(rooms)} rooms, {len(between)} arrows between them, {len(up)} up, {len(circles(arrows))} circles")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
