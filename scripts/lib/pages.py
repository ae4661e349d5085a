#!/usr/bin/env python3
"""Holds the pages of the repository against what they name: pages.py [--write] ROOT

Of every page (*.md): a link leads to a file or folder of the repository, and its anchor to a heading. None has the address of the repository,
which stands in Cargo.toml alone: where a page is read elsewhere, as READMEs of packages are, relative links are looked up there. Of docs/, which
is a book: each page is in SUMMARY.md, once, and each page there exists. Of these and the README: code behind a line `<!-- code: FILE -->` or
`<!-- code: FILE#NAME -->` is what FILE has (all of it, or what stands between `ANCHOR: NAME` and `ANCHOR_END: NAME`, or the function NAME); and
what a page says to type exists: bugs for `scripts/model --mutants`, examples for `scripts/run`, the models that it names as `file::name`, the
cases `exercise/..`.

With --write that code is copied into the pages first. Exit code: 1, and a line for each, if something is wrong.
"""

import pathlib
import re
import sys
import textwrap

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
CODE = re.compile(r"^<!-- code: (\S+?)(?:#(\w+))? -->\n```rust\n(.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^( *)(```+)[^\n]*\n.*?^ *\2`*$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?:    [^\n]*\n)+")
OUTSIDE = ("target", "node_modules")


def all_pages(root):
    """Every page, but those that are hidden or built."""
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or path.name in OUTSIDE or path.is_symlink():
            continue
        if path.is_dir():
            yield from all_pages(path)
        elif path.suffix == ".md":
            yield path


def without_code(text):
    """Without blocks and pieces of code, in which nothing is a link or a heading."""
    return re.sub(r"(`+)[^`\n].*?\1", "", FENCE.sub("", text))


def anchors(text):
    """The anchors of a page, as GitHub and mdBook make them of headings."""
    found, seen = set(), {}
    for heading in re.findall(r"^#{1,6} +(.*?)#* *$", FENCE.sub("", text), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def repository(root):
    """The address in Cargo.toml."""
    return re.search(r'^repository = "(https://[^"]+?)/?"$', (root / "Cargo.toml").read_text(), re.M)[1]


def check_links(root, page, texts):
    address = repository(root)
    for target in LINK.findall(without_code(texts[page])):
        if target.startswith(address):
            yield f"{target}: to be relative"
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.is_relative_to(root) or not path.exists():
            yield f"{target}: no such file"
        elif anchor and (path not in texts or anchor not in anchors(texts[path])):
            yield f"{target}: no such heading"


def part_of(text, name):
    """What a page shows of a file."""
    if name is None:
        return text
    marked = re.search(rf"^ *// ANCHOR: {name}\n(.*?)^ *// ANCHOR_END: {name}$", text, re.M | re.S)
    # A function, with what stands above it.
    function = re.search(rf"^( *)(?:(?:///|#\[)[^\n]*\n *)*(?:pub )?fn {name}\b.*?^\1\}}\n", text, re.M | re.S)
    found = marked and marked[1] or function and function[0]
    return textwrap.dedent(found) if found else None


def code_in(root, text):
    """Each piece of code that a page shows: where it is, of what, and what it should be; None if there is no such thing."""
    for match in CODE.finditer(text):
        file, name, _ = match.groups()
        path = root / file
        wanted = part_of(path.read_text(), name) if path.is_file() else None
        yield match, f"{file}#{name}" if name else file, wanted


def write(root, page):
    text = page.read_text()
    for match, _, wanted in reversed(list(code_in(root, text))):
        if wanted is not None:
            text = text[: match.start(3)] + wanted + text[match.end(3) :]
    page.write_text(text)


def check_summary(docs, texts):
    listed = re.findall(r"\]\(([^)]+)\)", texts[docs / "SUMMARY.md"])
    there = [page.name for page in texts if page.parent == docs and page.name != "SUMMARY.md"]
    for name in there:
        if listed.count(name) != 1:
            yield f"{name} is {'not there' if name not in listed else 'there more than once'}"


def names(root):
    """What there is that a page may say to type."""
    manifests = [root / "Cargo.toml", root / "embassy/Cargo.toml"]
    examples = {path.stem for folder in ("", "embassy/") for path in root.glob(f"{folder}examples/*.rs")}
    examples |= {path.parent.name for folder in ("", "embassy/") for path in root.glob(f"{folder}examples/*/main.rs")}
    for manifest in manifests:
        examples |= set(re.findall(r'^\[\[example\]\]\nname = "(\w+)"', manifest.read_text(), re.M))
    models = {
        f"{path.stem}::{name}"
        for path in root.glob("tests/models/tests/*.rs")
        for name in re.findall(r"^fn (\w+)\(", path.read_text(), re.M)
    }
    # A room of the runtime may have the name of a file of models.
    files = {model.split("::")[0] for model in models}
    models |= {name for name in re.findall(r"`(\w+::\w+)`", (root / "docs/soundness.md").read_text()) if name.split("::")[0] in files}
    bugs = re.findall(r"^\| (\w+) \|", (root / "docs/mutants.md").read_text(), re.M)
    cases = set()
    for path in root.glob("scripts/test.d/*.cases"):
        cases |= set(re.findall(r"^(exercise/\S+)", path.read_text(), re.M))
    return examples, models, bugs, cases


def check_names(text, known):
    examples, models, bugs, cases = known
    files = {model.split("::")[0] for model in models}
    for name in re.findall(r"scripts/model --mutants (\w+)", text):
        if not any(name in bug for bug in bugs):
            yield f"there is no planted bug {name}"
    for command in re.findall(r"(?:^    |`)scripts/run((?: [^`\n;|]+)?)", text, re.M):
        # Values of options are words, too; names of examples come last.
        last = command.split(" -- ")[0].replace("2>&1", "").split()[-1:]
        for word in last:
            if re.fullmatch(r"[a-z]\w*", word) and word not in examples and not re.search(rf"--[\w-]+ {word}\b", command):
                yield f"there is no example {word}"
    for model in re.findall(r"`([a-z_0-9]+::[a-z_0-9]+)`", text):
        if model.split("::")[0] in files and model not in models:
            yield f"there is no model {model}"
    for case in re.findall(r"`(exercise/[\w/-]+)`", text):
        if case not in cases:
            yield f"there is no case {case}"


def main():
    arguments = sys.argv[1:]
    writes = "--write" in arguments
    arguments = [argument for argument in arguments if argument != "--write"]
    if len(arguments) != 1 or not (pathlib.Path(arguments[0]) / "docs/SUMMARY.md").is_file():
        print(__doc__, file=sys.stderr, end="")
        sys.exit(2)
    root = pathlib.Path(arguments[0]).resolve()
    docs = root / "docs"
    if writes:
        for page in [root / "README.md", *docs.glob("*.md")]:
            write(root, page)
    texts = {page: page.read_text() for page in all_pages(root)}
    wrong = [f"docs/SUMMARY.md: {fault}" for fault in check_summary(docs, texts)]
    known, shown = names(root), 0
    for page, text in texts.items():
        faults = list(check_links(root, page, texts))
        if page.parent == docs or page == root / "README.md":
            for match, of, wanted in code_in(root, text):
                shown += 1
                if match[3] != wanted:
                    faults.append(f"{of}: {'no such code' if wanted is None else 'other code'}")
            faults += check_names(text, known)
        wrong += [f"{page.relative_to(root)}: {fault}" for fault in faults]
    for fault in wrong:
        print(fault)
    links = sum(len(LINK.findall(without_code(text))) for text in texts.values())
    print(f"{len(texts)} pages, {links} links, {shown} pieces of code: {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
