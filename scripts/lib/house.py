"""Reads the crate of src/ as it imports itself: its files, what each defines, and which file names what of which."""

import pathlib
import re
import sys

ITEM = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|unsafe\s+|safe\s+|async\s+|extern\s+\"\w*\"\s+)*"
    r"(?:fn|struct|enum|union|trait|type|static|const)\s+(?:mut\s+)?(\w+)",
    re.M,
)
MACRO = re.compile(r"^\s*macro_rules!\s+(\w+)", re.M)
MADE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)(\w+), (?:true|false)$", re.M)
MODULE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", re.M)
USE = re.compile(r"(?<![\w])(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])((?:\$?crate|super|self|\w+)(?:::\w+)+)(!?)")
CALL = re.compile(r"(?<![\w:!])(\w+)!\s*[({\[]")
# The head of an `impl`, without what stands in angle brackets.
IMPL = re.compile(r"^\s*(?:unsafe\s+)?impl\b([^{]*)\{", re.M)
EXTERN = re.compile(r"extern\s+\"\w*\"\s*\{([^}]*)\}")


def without_comments(text, strings=False):
    """The code alone: comments and, unless `strings`, the contents of strings are blanks, lines stay lines."""
    out, at, end = [], 0, len(text)
    while at < end:
        two = text[at : at + 2]
        if two == "//":
            stop = text.find("\n", at)
            at = end if stop < 0 else stop
        elif two == "/*":
            depth, stop = 1, at + 2
            while depth and stop < end:
                if text[stop : stop + 2] == "/*":
                    depth, stop = depth + 1, stop + 2
                elif text[stop : stop + 2] == "*/":
                    depth, stop = depth - 1, stop + 2
                else:
                    stop += 1
            out.append("\n" * text.count("\n", at, stop))
            at = stop
        elif match := re.compile(r'b?r(#*)"').match(text, at):
            stop = text.find('"' + match[1], match.end())
            stop = end if stop < 0 else stop + 1 + len(match[1])
            out.append(text[at:stop] if strings else '""' + "\n" * text.count("\n", at, stop))
            at = stop
        elif text[at] == '"':
            stop = at + 1
            while stop < end and text[stop] != '"':
                stop += 2 if text[stop] == "\\" else 1
            out.append(text[at : stop + 1] if strings else '""' + "\n" * text.count("\n", at, stop))
            at = stop + 1
        elif match := re.compile(r"'(?:\\.[^']*|[^\\'])'").match(text, at):
            out.append("' '")
            at = match.end()
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def without_tests(code):
    """The code without modules for `cargo test`."""
    while match := re.search(r"#\[cfg\(test\)\]\s*mod\s+\w+\s*\{", code):
        depth, at = 1, match.end()
        while depth and at < len(code):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            at += 1
        code = code[: match.start()] + code[at:]
    return code


def leaves(tree, before=()):
    """The paths of a `use` tree, each with the name that it has here; `*` for all."""
    tree = tree.strip()
    depth, start, parts = 0, 0, []
    for at, char in enumerate(tree):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and not depth:
            parts.append(tree[start:at])
            start = at + 1
    parts.append(tree[start:])
    for part in filter(None, (part.strip() for part in parts)):
        head, brace, rest = part.partition("{")
        path = before + tuple(filter(None, head.strip().strip(":").split("::")))
        if brace:
            yield from leaves(rest.rsplit("}", 1)[0], path)
            continue
        last, _, alias = path[-1].partition(" as ")
        path = path[:-1] + (last.strip(),)
        if path[-1] == "self":
            path = path[:-1]
        yield path, alias.strip() or path[-1]


class File:
    """One source file: the module that it is, what it defines, what it re-exports, what it names."""

    def __init__(self, path, module, code):
        self.path, self.module, self.code = path, module, code
        self.items = set(ITEM.findall(code)) | set(MADE.findall(code))
        self.macros = set(MACRO.findall(code))
        self.children = set(MODULE.findall(code))
        self.uses = [
            (bool(public), path, name)
            for public, tree in USE.findall(code)
            for path, name in leaves(" ".join(tree.split()))
        ]

    def is_door(self):
        return bool(self.children)


class House:
    def __init__(self, root):
        self.root = root
        self.files = {}
        self.read(root / "src/lib.rs", ())
        self.macros = {name: file for file in self.files.values() for name in file.macros}

    def read(self, path, module):
        text = path.read_text()
        file = File(path.relative_to(self.root), module, without_tests(without_comments(text)))
        self.files[module] = file
        folder = path.parent if path.name in ("lib.rs", "mod.rs") else path.with_suffix("")
        for child in sorted(file.children):
            named = re.search(rf'#\[path = "([^"]+)"\]\s*(?:pub(?:\([^)]*\))?\s+)?mod {child};', text)
            places = [path.parent / named[1]] if named else [folder / f"{child}.rs", folder / child / "mod.rs"]
            found = [place for place in places if place.exists()]
            if not found:
                sys.exit(f"{path.relative_to(self.root)}: mod {child}: no file")
            place = pathlib.Path(*found[0].parts)
            self.read(self.root / place.resolve().relative_to(self.root.resolve()), module + (child,))

    def absolutes(self, file, path):
        """The paths from the root of the crate that this may be; none for one that leads out of it."""
        head, *rest = path
        if head in ("crate", "$crate"):
            return [tuple(rest)]
        if head == "self":
            return [file.module + tuple(rest)]
        if head == "super":
            base = file.module[:-1]
            while rest and rest[0] == "super":
                base, rest = base[:-1], rest[1:]
            return [base + tuple(rest)]
        if head in file.children:
            return [file.module + tuple(path)]
        uses = [used for _, used, name in file.uses if name == head and used[0] != head]
        return [base + tuple(rest) for used in uses for base in self.absolutes(file, used)]

    def absolute(self, file, path):
        """The first of these."""
        return next(iter(self.absolutes(file, path)), None)

    def define(self, path, seen=()):
        """The file that defines what the absolute `path` names, and the rest of the path: (file, names)."""
        module = ()
        while module != path and path[len(module)] in self.files[module].children:
            module = path[: len(module) + 1]
            if module not in self.files:
                return None
        file, rest = self.files[module], path[len(module) :]
        if not rest:
            # A function may have the name of the module that it is in.
            around = self.files[module[:-1]]
            for _, used, name in around.uses if module else ():
                base = self.absolute(around, used)
                if name == module[-1] and base and base != module and base[: len(module)] == module:
                    return self.define(base, seen)
            return file, ()
        if rest[0] in file.items:
            return file, rest
        for public, used, name in file.uses:
            if name not in (rest[0], "*") or (module, used) in seen:
                continue
            base = self.absolute(file, used[:-1] if name == "*" else used)
            if base is None:
                continue
            found = self.define(base + rest if name == "*" else base + rest[1:], seen + ((module, used),))
            if found and not (name == "*" and not found[1]):
                return found
        if rest[0] in self.macros:
            return self.macros[rest[0]], rest
        return (file, rest) if module else None

    def arrows(self):
        """From file to file: {(from, to): names}."""
        arrows = {}

        def add(file, found):
            if not found or found[0] is file:
                return
            names = arrows.setdefault((file.path, found[0].path), set())
            names.add("::".join(found[1][:1]) or "itself")

        for file in self.files.values():
            for public, used, _ in file.uses:
                whole = used[-1] == "*"
                base = self.absolute(file, used[:-1] if whole else used)
                if base is None:
                    continue
                found = self.define(base)
                inside = found and found[0].module[: len(file.module)] == file.module
                # A door lets its room's own be seen; a module that is named for what is in it is not used as a whole.
                if inside and public or found and not found[1] and not whole:
                    continue
                add(file, found)
            code = USE.sub("", file.code)
            for path, bang in PATH.findall(code):
                parts = path.split("::")
                if bang and parts[-1] in self.macros:
                    add(file, (self.macros[parts[-1]], (parts[-1],)))
                    continue
                for base in self.absolutes(file, parts):
                    found = self.define(base)
                    if found and found[1]:
                        add(file, found)
            for name in CALL.findall(file.code):
                if name in self.macros and name not in file.macros:
                    add(file, (self.macros[name], (name,)))
        return arrows


def without_generics(text):
    depth, out = 0, ""
    for before, char in zip(" " + text, text):
        if char == "<":
            depth += 1
        elif char == ">" and before != "-":
            depth -= 1
        elif depth == 0:
            out += char
    return out
