"""Holds docs/barriers.md against the code: barrier_list.py PAGE ROOT

QEMU runs instructions one after the other, and so no run misses a barrier. Each function, macro and label of src/ and platform/ that
has some has a row with all of them, in their order: one that is left out or added is found, and two that have changed places, whatever they
are good for. Calls of `clean_invalidate`, which ends in a DSB, count as barriers, and so do `sev`, and the order of an access that has one.
"""

import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from house import without_comments, without_generics, without_tests

# One instruction, as it stands in a line of assembly: a barrier, or an access that may have an order of its own.
INSTRUCTION = re.compile(r"(?:[.\w]+:\s*)*(?:(isb|sb|sevl?|csdb|p?ssbb)(?:\s+sy)?|(dsb|dmb)\s+(\S+))$")
ACCESS = re.compile(r"(?:[.\w]+:\s*)*((?:ldap?r|stlr|ldaxr|stlxr|ldxr|stxr|ldadd|ldset|ldclr|cas|swp)(?:al|a|l)?[bh]?)\s")
# The functions of arch/ that are one instruction each, and the one that has its barriers around its loop.
CALL = r"(?:isb|sb|sevl?|d[sm]b_\w+|clean_invalidate(?:_value)?)"
# What stands in Rust: the first that matches counts.
TOKEN = re.compile(
    r"""(?P<raw>b?r(?P<hashes>\#*)"(?P<rawtext>.*?)"(?P=hashes))
    |(?P<string>b?"(?P<text>(?:\\.|[^"\\])*)")
    |(?P<use>\buse\s[^;]*;)
    |\bfn\s+(?P<fn>\w+)
    |\bmacro_rules!\s*(?P<macro>\w+)
    |(?P<impl>\b(?:impl|trait)\b)
    |\b(?P<fence>(?:compiler_)?fence)\s*\((?P<order>[^()]*)\)
    |\bOrdering::(?P<access>Acquire|Release|AcqRel|SeqCst)\b
    |\b(?P<call>"""
    + CALL
    + r""")\b
    |(?P<mark>[{}()\[\];])""",
    re.X | re.S,
)


def instructions(line):
    """The barriers of a line of assembly."""
    for part in line.split("//")[0].split(";"):
        if match := INSTRUCTION.match(" ".join(part.lower().split())):
            yield match[1] or f"{match[2]} {match[3]}"
        elif match := ACCESS.match(part.lower().strip() + " "):
            yield match[1]


def name_of(head):
    """What an `impl` or a `trait` is of, by its head."""
    head = re.split(r"\bwhere\b", without_generics(head))[0].split(" for ")[-1]
    return re.split(r"[:\s]", head.strip().lstrip("&").rsplit("::", 1)[-1])[0]


def in_rust(text, path):
    """Each barrier of a Rust file, with the function that it is in; and each function, with None."""
    code = without_tests(without_comments(text, strings=True))
    # What each brace is of; the one that comes next; how deep in parentheses the latter is.
    scopes, pending, depth, wanted = [], None, 0, 0

    def place():
        names = [name for name in scopes if name]
        functions = [at for at, name in enumerate(names) if name[0] in "fm"]
        if not functions:
            return "(no function)"
        last = functions[-1]
        owner = names[last - 1][1] + "::" if last and names[last - 1][0] == "i" else ""
        return owner + names[last][1]

    for token in TOKEN.finditer(code):
        if token["raw"] or token["string"]:
            for line in re.split(r"\n|\\n", token["rawtext"] or token["text"] or ""):
                for barrier in instructions(line):
                    yield place(), barrier
        elif token["fn"] or token["macro"]:
            pending = ("f", token["fn"]) if token["fn"] else ("m", token["macro"] + "!")
            wanted = depth
        elif token["impl"]:
            if not pending and not depth:
                pending, wanted = ("i", name_of(code[token.end() : code.find("{", token.end())])), depth
        elif token["fence"]:
            yield place(), f"{token['fence']}({token['order'].strip().rsplit('::', 1)[-1]})"
        elif token["access"]:
            yield place(), token["access"]
        elif token["call"]:
            call = token["call"]
            yield place(), "clean_invalidate" if call.startswith("clean") else call.replace("_", " ")
        elif token["mark"]:
            mark = token["mark"]
            if mark == "{":
                of = pending if depth == wanted else None
                scopes.append(of)
                if of:
                    pending = None
                    if of[0] in "fm":
                        yield place(), None
            elif mark == "}" and scopes:
                scopes.pop()
            elif mark == ";" and depth == wanted:
                pending = None
            elif mark in "([":
                depth += 1
            elif mark in ")]":
                depth -= 1
    if scopes or depth:
        sys.exit(f"{path}: brackets that do not close")


def in_assembly(text, _):
    """The same for a file of assembly: by macro, or by the last label that is no number."""
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
    label, macro = "(no label)", None
    for line in text.splitlines():
        line = line.strip()
        if match := re.match(r"\.macro\s+(\w+)", line):
            macro = match[1]
            yield macro, None
        elif line.startswith(".endm"):
            macro = None
        elif (match := re.match(r"([.\w]+):", line)) and not match[1].isdigit() and not macro:
            label = match[1]
            yield label, None
        for barrier in instructions(line):
            yield macro or label, barrier


def places(root):
    """{(file, function): barriers}."""
    found = {}
    for folder in ("src", "platform"):
        for path in sorted((root / folder).rglob("*")):
            read = {".rs": in_rust, ".s": in_assembly, ".S": in_assembly}.get(path.suffix)
            for name, barrier in read(path.read_text(), path) if read else ():
                barriers = found.setdefault((str(path.relative_to(root)), name), [])
                if barrier:
                    barriers.append(barrier)
    return found


def rows(page):
    """{(file, function): (line, barriers)} of the page."""
    found = {}
    for number, line in enumerate(page.read_text().splitlines(), 1):
        match = re.fullmatch(r"\| `([^`]+\.[rsS]+)` `([^`]+)` \| ([^|]*) \| (.*) \|", line)
        if not match:
            if re.match(r"\| `[^`]*\.[rsS]+`", line):
                sys.exit(f"{page}:{number}: not `file` `function` | barriers | what they order")
            continue
        place = match[1], match[2]
        if place in found:
            sys.exit(f"{page}:{number}: {' '.join(place)} is there twice")
        if len(match[4]) < 20:
            sys.exit(f"{page}:{number}: {' '.join(place)}: no reason")
        found[place] = number, re.findall(r"`([^`]+)`", match[3])
    return found


def listed(barriers):
    return " ".join(f"`{barrier}`" for barrier in barriers)


def difference(has, says):
    """What is wrong with a place that `has` these barriers, where the page `says` those."""
    lacks = collections.Counter(says) - collections.Counter(has)
    besides = collections.Counter(has) - collections.Counter(says)
    if lacks:
        yield f"lacks {listed(lacks.elements())}"
    if besides:
        yield f"has {listed(besides.elements())}, of which the page says nothing"
    if not lacks and not besides and has != says:
        yield f"has {listed(has)}, in another order than {listed(says)}"


def main(page, root):
    found, said = places(pathlib.Path(root)), rows(pathlib.Path(page))
    bad = []
    for place, barriers in found.items():
        if barriers and place not in said:
            bad.append(f"{' '.join(place)}: {listed(barriers)} without a row")
    for place, (number, barriers) in said.items():
        if place not in found:
            bad.append(f"{' '.join(place)}: a row, and no such place")
            continue
        bad += [f"{' '.join(place)}: {what}" for what in difference(found[place], barriers)]
    print("\n".join(sorted(bad)))
    print(f"{len(said)} rows, {sum(map(len, found.values()))} barriers")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
