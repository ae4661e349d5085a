"""Holds docs/soundness.md against the code: soundness.py PAGE SOURCE..

Each public function, exported macro, public trait, implementation of a trait that does something, and each unsafe impl has a
row, and each row has something in the code.
"""

import pathlib
import re
import sys

from house import House, without_generics

# Features of the tests, of which nothing is promised.
LEFT_OUT = ("/fault.rs", "src/bench.rs", "src/hook.rs")
# One row each, in exchange for there being no unsafe code.
WITHOUT_UNSAFE = {
    "machine/src/": ("machine/src/lib.rs", "reveille_machine"),
    "protocol/src/": ("protocol/src/lib.rs", "reveille_protocol"),
}
# Private rooms: what is `pub` there is so for the crate.
PRIVATE = ("src/arch/", "src/gic/", "platform/")
# Of a public type these run code of their own.
TRAITS = {"Drop", "Deref", "DerefMut", "FromIterator", "IntoIterator", "Iterator", "Add", "Sub", "From"}
FUNCTION = re.compile(r'\s*pub (?:const |unsafe |async |extern "C" )*fn (\w+)')
IMPL = re.compile(r"\s*(unsafe )?impl\b(.*)")


def doors(root):
    """Where users find what a file defines: {(path, name): module}."""
    house = House(root)
    found = {}
    for module, file in house.files.items():
        public = not module or re.search(rf"^pub mod {module[0]};", house.files[()].code, re.M)
        if len(module) > 1 or not public:
            continue
        name = module[0] if module else "reveille"
        for item in file.items:
            found[str(file.path), item] = name
        for is_public, used, _ in file.uses:
            base = house.absolute(file, used)
            defined = house.define(base) if is_public and base else None
            if defined and defined[1]:
                found[str(defined[0].path), defined[1][0]] = name
    return found


def doors_of_crate(root, folder, name):
    """The same for a crate whose first page names all that is public: what is hidden there is its own."""
    first = (pathlib.Path(root) / folder / "lib.rs").read_text()
    found = {}
    for hidden, module, names in re.findall(r"^(#\[doc\(hidden\)\]\n)?pub use (\w+)::(\{[^}]*\}|\w+);", first, re.M):
        if not hidden:
            found |= {(f"{folder}/{module}.rs", item): name for item in re.findall(r"\w+", names)}
    return found


def public_types(texts):
    return set(re.findall(r"^ *pub (?:struct|enum|trait) (\w+)", "\n".join(texts), re.M))


def items(path, text, types, modules):
    """The items of one file that need a row, as the page names them, each with the number of its line, from 0."""
    private = path.startswith(PRIVATE)
    # (indentation, type) of the impl that the line is in; the type is None if it is that of a trait.
    owner = None
    hidden = False
    test = False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if re.match(r"#\[cfg\((all\()?test", line):
            test = True
        if test:
            if line == "}":
                test = False
            continue
        if owner and line.strip() == "}" and indent == owner[0]:
            owner = None
        if match := IMPL.fullmatch(line):
            head = without_generics(match[2]).split(" where")[0].split("{")[0].strip()
            if " for " in head:
                trait, type_ = (part.strip().rsplit("::", 1)[-1].lstrip("&") for part in head.split(" for "))
                owner = (indent, None) if line.rstrip().endswith("{") else None
                if match[1]:
                    yield f"{trait} for {type_}", number
                elif trait in TRAITS and type_ in types and not private:
                    yield f"{trait} for {type_}", number
            else:
                owner = (indent, head.rsplit("::", 1)[-1]) if line.rstrip().endswith("{") else None
        elif match := FUNCTION.match(line):
            if private:
                continue
            name = match[1]
            if owner and owner[1] and not owner[1].startswith("$"):
                if owner[1] in types:
                    yield f"{owner[1]}::{name}", number
            elif owner and owner[1] is None:
                sys.exit(f"{path}:{number + 1}: a public function in the implementation of a trait")
            elif indent == 0:
                # One that no door leads to is the crate's own.
                if (path, name) in modules:
                    yield f"{modules[path, name]}::{name}", number
            else:
                # In a macro: a function of what that makes.
                yield name, number
        elif match := re.match(r" *macro_rules! (\w+)", line):
            if any("#[macro_export]" in before for before in lines[max(0, number - 3) : number]):
                yield f"{match[1]}!", number
        elif (match := re.match(r"pub (?:unsafe )?trait (\w+)", line)) and not private:
            if (path, match[1]) in modules:
                yield f"{modules[path, match[1]]}::{match[1]}", number


def main(page, root):
    rows = {}
    for number, line in enumerate(pathlib.Path(page).read_text().splitlines(), 1):
        if match := re.match(r"\| `([^`]+)` \| (.*) \|$", line):
            name = without_generics(match[1])
            if name in rows:
                sys.exit(f"{page}:{number}: `{name}` is there twice")
            if len(match[2]) < 5:
                sys.exit(f"{page}:{number}: `{name}`: no reason")
            rows[name] = number
    root = pathlib.Path(root)
    files = {
        str(path.relative_to(root)): path.read_text()
        for folder in ("src", "platform", "machine/src", "protocol/src", "embassy/src")
        for path in sorted((root / folder).rglob("*.rs"))
    }
    wanted = {}
    for prefix, (file, row) in WITHOUT_UNSAFE.items():
        if "#![forbid(unsafe_code)]" not in files[file]:
            sys.exit(f"{file}: unsafe code is not forbidden, and its functions have no rows of their own")
        wanted[row] = file
    texts = {
        path: text
        for path, text in files.items()
        if not path.endswith(LEFT_OUT) and not path.startswith(tuple(WITHOUT_UNSAFE))
    }
    types = public_types(texts.values())
    modules = doors(root) | doors_of_crate(root, "embassy/src", "reveille_embassy")
    for path, text in texts.items():
        for item, _ in items(path, text, types, modules):
            wanted.setdefault(item, path)
    bad = [f"{path}: `{item}` has no row" for item, path in wanted.items() if item not in rows]
    bad += [f"{page}:{number}: `{row}` is not in the code" for row, number in rows.items() if row not in wanted]
    print("\n".join(sorted(bad)))
    print(f"{len(rows)} rows, {len(wanted)} items")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
