#!/usr/bin/env python3
"""What the README and the pages of docs/ say to type:

    commands.py check ROOT CASES        each is what its script takes, and has a row in scripts/test.d/commands
    commands.py run ROOT PAGE DIRECTORY runs those of a page that its rows have run, as they are written, in a copy of the checkout's top

A command is a line of a block of code that is indented by four blanks, or one behind `$ ` in a block marked `console`, where output
follows it. Each line of output has to come, in this order; numbers may be others, and two dots stand for whatever comes there. What stands
in the middle of a line and begins with the name of a script has to be what that script takes as well, and needs no row.

CASES is a file with the names of all cases. That a script takes an option is looked up in its --help; what comes behind ` -- ` is not its
own. Exit code: 1, and a line for each thing, if something is wrong.
"""

import fnmatch
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pages

TABLE = "scripts/test.d/commands"
INDENTED = re.compile(r"(?:^|(?<=\n\n))((?:    [^\n]*\n)+)", re.M)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
# Of a shell and of every Debian; and what cargo has by itself.
TOOLS = {"cd", "cp", "git", "head", "mkdir", "tail", "tee"}
CARGO = {"build", "check", "clippy", "doc", "install", "package", "publish", "run", "test"}
LIMIT = 1500


class Command:
    def __init__(self, text, output):
        self.text, self.output = text, output


def blocks(text):
    """The commands of a page, in its order, each with what is to come out of it, if the page shows that."""
    found = []
    for block in CONSOLE.finditer(text):
        for line in block[1].splitlines():
            if line.startswith("$ "):
                found.append((block.start(), Command(line[2:], [])))
            elif found and found[-1][0] == block.start():
                found[-1][1].output.append(line)
    # Blocks that are marked are no indented ones, whatever is in them.
    blank = pages.FENCE.sub(lambda match: re.sub(r"[^\n]", ".", match[0]), text)
    for block in INDENTED.finditer(blank):
        for line in block[1].splitlines():
            found.append((block.start(), Command(line.strip(), None)))
    return [command for _, command in sorted(found, key=lambda item: item[0])]


def spans(text):
    """Commands of scripts in the middle of a page."""
    blank = INDENTED.sub("", pages.FENCE.sub("", text))
    return [Command(span, None) for span in re.findall(r"`(scripts/\w+(?: [^`]+)?)`", blank)]


class Script:
    """What a script says that it takes."""

    texts = {}

    def __init__(self, root, name):
        if name not in self.texts:
            path = root / name
            runs = path.is_file() and os.access(path, os.X_OK)
            self.texts[name] = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60).stdout if runs else None
        self.help = self.texts[name]

    def takes(self, option):
        return option in ("--help", "-h") or bool(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", self.help))


def simple_commands(text):
    """The words of each command in a line for the shell, what stands in `$( )` included."""
    inner = []
    text = re.sub(r"\$\(([^()]*)\)", lambda match: inner.append(match[1]) or "VALUE", text)
    for part in inner:
        yield from simple_commands(part)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if re.fullmatch(r"[;&|()]+", word):
            if words:
                yield words
            words = []
        elif re.fullmatch(r"[<>&]+\d?", word):
            # `2>&1` comes in pieces, and a file that something goes to is no argument.
            while words and words[-1].isdigit():
                words.pop()
        else:
            words.append(word)
    if words:
        yield words


class Checker:
    def __init__(self, root, cases):
        self.root = root
        self.cases = cases
        _, self.models, *_ = pages.names(root)
        self.boards = set()
        for path in root.glob("tools/run/src/board/*.rs"):
            for names in re.findall(r"fn names\(&self\) -> [^{]*\{\s*&\[([^\]]*)\]", path.read_text()):
                self.boards |= set(re.findall(r'"([^"]+)"', names))
        aliases = (root / ".cargo/config.toml").read_text()
        self.cargo = CARGO | set(re.findall(r"^(\w+) = ", aliases.partition("[alias]")[2], re.M))
        # Programs for the host, which `cargo install --path tools/NAME` installs.
        self.tools = set(TOOLS)
        for path in root.glob("tools/*/Cargo.toml"):
            self.tools |= set(re.findall(r'^\[(?:package|\[bin\])\]\nname = "([\w-]+)"', path.read_text(), re.M))

    def faults(self, text):
        """What is wrong with a line."""
        try:
            commands = list(simple_commands(text))
        except ValueError as error:
            yield f"no line for a shell: {error}"
            return
        for words in commands:
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if not words:
                continue
            name, arguments = words[0], words[1:]
            if name.startswith("scripts/"):
                yield from self.script_faults(name, arguments)
            elif name == "cargo":
                known = [word for word in arguments if not word.startswith("+")][:1]
                if not known or known[0] not in self.cargo:
                    yield f"cargo has no command {' '.join(known)}"
            elif name.startswith("target/tools/bin/"):
                help_text = Script(self.root, "scripts/setup").help
                if not re.search(rf"\b{re.escape(os.path.basename(name))}\b", help_text):
                    yield f"scripts/setup --extra does not make {name}"
            elif name not in self.tools:
                yield f"there is no command {name} (scripts/lib/commands.py knows what else there is)"

    def script_faults(self, name, arguments):
        script = Script(self.root, name)
        if script.help is None:
            yield f"there is no {name}"
            return
        if "--" in arguments:
            arguments = arguments[: arguments.index("--")]
        values = dict(zip(arguments, arguments[1:]))
        for word in arguments:
            option, _, value = word.partition("=")
            if re.match(r"--?[a-zA-Z]", option):
                if not script.takes(option):
                    yield f"{name} does not take {option}"
                if option == "--board" and (value or values.get(word, "NAME")) not in self.boards | {"NAME"}:
                    yield f"there is no board {value or values[word]}"
        # What is in capitals stands for something.
        patterns = [word for word in arguments if not word.startswith("-") and not re.fullmatch(r"[A-Z.]+", word)]
        if name == "scripts/test":
            for pattern in patterns:
                if not any(matches(case, pattern) for case in self.cases):
                    yield f"scripts/test: no case matches {pattern}"
        if name == "scripts/model" and not {"--mutants", "--table"} & set(arguments):
            for pattern in patterns:
                if not any(pattern in model for model in self.models):
                    yield f"scripts/model: no model matches {pattern}"


def matches(case, pattern):
    """As scripts/test has it."""
    return fnmatch.fnmatchcase(case, pattern) if re.search(r"[*?]", pattern) else pattern in case


class Row:
    def __init__(self, place, page, how, why, command):
        self.place, self.page, self.how, self.why, self.command = place, page, how, why, command
        self.used = False

    def is_of(self, page, text):
        beginning = self.command.removesuffix(" ..")
        same = text == self.command or beginning != self.command and (text + " ").startswith(beginning + " ")
        return same and self.page in (page, "*")


def rows(root):
    for number, line in enumerate((root / TABLE).read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = [field.strip() for field in re.split(r"\s\|(?=\s)", line, maxsplit=3)]
            if len(fields) != 4:
                sys.exit(f"{TABLE}:{number}: it has {len(fields)} columns, not 4")
            yield Row(f"{TABLE}:{number}", *fields)


def pages_of(root):
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def check(root, cases_file):
    cases = pathlib.Path(cases_file).read_text().split()
    checker, table = Checker(root, cases), list(rows(root))
    wrong, in_blocks, in_text = [], 0, 0
    for row in table:
        if row.how not in ("run", "case", "options"):
            wrong.append(f"{row.place}: '{row.how}' is neither run, case nor options")
        elif row.how == "run" and not re.fullmatch(r"(code \d+)?", row.why):
            wrong.append(f"{row.place}: '{row.why}' is not `code N`, nor nothing")
        elif row.how == "run" and "*" == row.page:
            wrong.append(f"{row.place}: what is run is run for a page")
        elif row.how == "case" and row.why not in cases:
            wrong.append(f"{row.place}: there is no case {row.why}")
        elif row.how == "options" and not row.why:
            wrong.append(f"{row.place}: why is it not run?")
    for path in pages_of(root):
        page, text = path.name, path.read_text()
        for command in blocks(text):
            in_blocks += 1
            wrong += [f"{page}: `{command.text}`: {fault}" for fault in checker.faults(command.text)]
            row = next((row for row in table if row.is_of(page, command.text)), None)
            if row is None:
                wrong.append(f"{page}: `{command.text}`: {TABLE} has no row that says how it is tried")
            else:
                row.used = True
        for command in spans(text):
            in_text += 1
            wrong += [f"{page}: `{command.text}`: {fault}" for fault in checker.faults(command.text)]
    wrong += [f"{row.place}: no page says `{row.command}`" for row in table if not row.used]
    for fault in wrong:
        print(fault)
    print(f"{in_blocks} commands in blocks, {in_text} in text: {len(wrong)} wrong")
    return 1 if wrong else 0


def expected(line):
    """A line of a page as a regular expression for what comes: numbers are others, and where two dots are, anything is."""
    parts = []
    for part in re.split(r"(\.\.|0x[0-9a-f]+(?:\+[0-9a-f]+)?|\d+\.\d+s|\d+)", line.strip()):
        if part == "..":
            parts.append(".*")
        elif part.endswith("s") and part[0].isdigit():
            # As cargo says how long it took.
            parts.append(r"(?:\d+m )?\d+(?:\.\d+)?s")
        elif part.startswith("0x"):
            parts.append(r"0x[0-9a-f]+(?:\+[0-9a-f]+)?")
        elif part.isdigit():
            parts.append(r"\d+")
        else:
            parts.append(re.sub(r"(\\ )+", " +", re.escape(part)))
    return re.compile("".join(parts))


def missing(command, output):
    """The first line that the page shows and that did not come, in this order."""
    lines = iter(output.replace("\r", "").splitlines())
    for line in command.output or []:
        pattern = expected(line)
        if line.strip() and not any(pattern.search(come) for come in lines):
            return line
    return None


def run(root, page, directory):
    # The top of a checkout of its own: what a command writes into the folder that it is called in does not come into this one.
    top = pathlib.Path(directory) / "checkout"
    top.mkdir()
    for entry in root.iterdir():
        if entry.name != ".git":
            (top / entry.name).symlink_to(entry)
    table = [row for row in rows(root) if row.how == "run"]
    path = root / page if page == "README.md" else root / "docs" / page
    count = 0
    for command in blocks(path.read_text()):
        row = next((row for row in table if row.is_of(page, command.text)), None)
        if row is None:
            continue
        print(f"$ {command.text}", flush=True)
        # What one of a pipe ends with counts, too.
        result = subprocess.run(
            ["timeout", "-k", "5", str(LIMIT), "bash", "-o", "pipefail", "-c", command.text],
            cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        print(result.stdout, end="", flush=True)
        code = int(row.why.removeprefix("code ") or 0)
        if result.returncode != code:
            sys.exit(f"{page}: `{command.text}` ended with {result.returncode}, not {code}")
        line = missing(command, result.stdout)
        if line is not None:
            sys.exit(f"{page}: `{command.text}`: this does not come: {line}")
        count += 1
    print(f"{count} commands of {page} do what it says")
    return 0 if count else 1


def main():
    match sys.argv[1:]:
        case ["check", root, cases]:
            sys.exit(check(pathlib.Path(root).resolve(), cases))
        case ["run", root, page, directory]:
            sys.exit(run(pathlib.Path(root).resolve(), page, directory))
        case _:
            print(__doc__, file=sys.stderr, end="")
            sys.exit(2)


if __name__ == "__main__":
    main()
