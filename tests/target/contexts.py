#!/usr/bin/env python3
"""Which public function may be called where: the image `contexts`, booted and compared with contexts.table.

usage: contexts.py check CONTEXT,.. RUNNER ELF [OPTION..]   each function in these contexts (`all`), on one machine, is as the
                                                            table says
       contexts.py measure RUNNER ELF [OPTION..]            prints a table of what happens, in the form of contexts.table
       contexts.py complete                                 each public function of src/ is in the table
       contexts.py page                                     prints the table as Markdown
       contexts.py write PAGE | agree PAGE                  puts that between two marks in a page, or sees that it is there

RUNNER is scripts/runner, ELF the image, the options are those of a boot. A boot goes on until a call ends it: by a panic, by
turning the machine off, by a hang. The next one begins with the function after that.

The table has a line `context NAME WHAT IT IS` for each context, in the order of the columns, and a block for each function:

    call::on(other)
        runs                     main launched
        refused:WouldDeadlock    masked @interrupts

The first line may go on with `says REGEX`: what the message of a panic is like. The others are outcomes, each with the contexts
where that is what happens; `*` is all that are not named. `@NAME = CONTEXT..` is a group of them. Outcomes: `runs`; `true` or
`false`, what it says; `refused:VALUE`, with the value that came back, at once; `panics`, with a message that names the function;
`ends`, the run or the caller's thread, as it should; `-`, there is nothing to call. `besides NAME..` are functions that need no
row.
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = HERE / "contexts.table"

# The longest that a boot may take, seconds.
TIMEOUT = 200
# The longest that a refusal may take, microseconds; with exceptions: what is asked of others takes the time that they have.
AT_ONCE = 2000
TAKES_TIME = {"refused:silent", "refused:running"}
OUTCOME = re.compile(r"runs|panics|ends|true|false|-|refused:[A-Za-z()]+")

BEGIN = "<!-- contexts: tests/target/contexts.py write -->"
END = "<!-- end of contexts -->"


class Wrong(Exception):
    """Something to say in one line."""


# --- the table --------------------------------------------------------------------------------------------------------


class Table:
    """contexts.table."""

    def __init__(self, path):
        self.contexts = []
        self.titles = {}
        self.groups = {}
        self.rows = {}
        self.says = {}
        self.besides = set()
        self.name = None
        blocks = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                self.line(line, blocks)
            except Wrong as error:
                raise Wrong(f"{path.name}:{number}: {error}") from None
        for name, outcomes in blocks.items():
            self.rows[name] = self.row(name, outcomes)

    def line(self, line, blocks):
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        if words[0] == "context":
            self.contexts.append(words[1])
            self.titles[words[1]] = " ".join(words[2:])
        elif words[0] == "besides":
            self.besides.update(words[1:])
        elif words[0].startswith("@"):
            if words[1:2] != ["="]:
                raise Wrong("not @GROUP = CONTEXT..")
            self.groups[words[0]] = self.named(words[2:])
        elif not line[0].isspace():
            self.name = words[0]
            if self.name in blocks:
                raise Wrong(f"{self.name} is there twice")
            if words[1:] and words[1] != "says":
                raise Wrong("not FUNCTION [says REGEX]")
            self.says[self.name] = re.compile(" ".join(words[2:]))
            blocks[self.name] = []
        elif self.name is None:
            raise Wrong("no function yet")
        else:
            if not OUTCOME.fullmatch(words[0]):
                raise Wrong(f"what is the outcome '{words[0]}'?")
            blocks[self.name].append((words[0], words[1:] if words[1:] == ["*"] else self.named(words[1:])))

    def named(self, words):
        found = []
        for word in words:
            if word in self.groups:
                found += self.groups[word]
            elif word in self.contexts:
                found.append(word)
            else:
                raise Wrong(f"no context '{word}'")
        return found

    def row(self, name, outcomes):
        cells = {}
        for outcome, contexts in outcomes:
            for context in contexts:
                if context != "*" and context in cells:
                    raise Wrong(f"{name}: {context} is there twice")
                cells[context] = outcome
        rest = cells.pop("*", None)
        for context in self.contexts:
            if context not in cells:
                if rest is None:
                    raise Wrong(f"{name}: nothing about {context}")
                cells[context] = rest
        return cells

    def page(self):
        """As Markdown. Contexts that are alike in everything share a column."""
        columns = {}
        for context in self.contexts:
            column = tuple(row[context] for row in self.rows.values())
            columns.setdefault(column, []).append(context)
        lines = [
            "| context | what it is |",
            "|---|---|",
            *(f"| `{context}` | {self.titles[context]} |" for context in self.contexts),
            "",
            "| function | " + " | ".join(" ".join(f"`{name}`" for name in names) for names in columns.values()) + " |",
            "|---|" + "---|" * len(columns),
        ]
        for index, name in enumerate(self.rows):
            cells = (shown(column[index]) for column in columns)
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def shown(outcome):
    if outcome.startswith("refused:"):
        return f"`{outcome.removeprefix('refused:')}`"
    return {"panics": "**panics**", "-": ""}.get(outcome, outcome)


# --- boots ------------------------------------------------------------------------------------------------------------

CELL = re.compile(r"cell (\d+) (\S+)")
CALLED = re.compile(r"-> (runs|true|false|-|refused:[A-Za-z()]+) (\d+) us( interrupts changed)?")
SAID = re.compile(r"-> (ends|hangs|corrupts: .*)")
PANIC = re.compile(r"panic on cpu \d+ at \d+\.\d+ s: (.*)")
NESTED = re.compile(r"panic while a panic was reported: (.*?)( at .*)?")


class Boot:
    """One run of the image: what it says, line by line."""

    def __init__(self, command, context, start, log):
        options = [*command, "--cpus", "4", "--icount", "--timeout", str(TIMEOUT)]
        append = f"nmi_ms=5 idle_ms=10 context={context} from={start}"
        if "--append" in options:
            at = options.index("--append")
            append = f"{options[at + 1]} {append}"
            del options[at : at + 2]
        self.context = context
        self.found = []
        self.open = None
        self.panic = None
        self.finished = self.begun = self.reset = False
        self.trouble = None
        process = subprocess.Popen(
            [*options, "--append", append],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            for line in process.stdout:
                line = line.replace("\r", "").rstrip("\n")
                log.append(line)
                if self.take(line):
                    break
            else:
                process.wait()
        finally:
            if process.poll() is None:
                # QEMU too, which a machine whose CPUs all stand still does not end soon when it is asked to.
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self.code = process.returncode
        if self.open is not None:
            self.found.append((*self.open, *self.end()))
        elif self.found and not self.finished and self.code not in (77, 79):
            # Not the call, but what was looked at after it.
            number, name, outcome, _ = self.found.pop()
            self.found.append((number, name, f"{outcome}, and then {self.end()[0]}", self.panic or ""))

    def take(self, line):
        """True: there is nothing more to come."""
        if line.startswith("contexts: "):
            self.reset = self.begun
            self.begun = True
            self.finished = " called" in line
            if "not done" in line:
                self.trouble = line
            return self.reset and not self.finished
        if match := CELL.fullmatch(line):
            self.open = int(match[1]), match[2]
        elif match := CALLED.fullmatch(line):
            outcome, changed = match[1], match[3] or ""
            if outcome.startswith("refused:") and int(match[2]) > AT_ONCE and outcome not in TAKES_TIME:
                changed = f" after {int(match[2]) // 1000} ms" + changed
            self.done(outcome + changed)
        elif match := SAID.fullmatch(line):
            if match[1].startswith("corrupts") and self.open is None and self.found:
                number, name, _, said = self.found.pop()
                self.found.append((number, name, match[1], said))
            else:
                self.done(match[1])
        elif match := PANIC.search(line):
            self.panic = match[1]
        elif match := NESTED.fullmatch(line):
            self.panic = match[1]
            return True
        return False

    def done(self, outcome):
        if self.open is not None:
            self.found.append((*self.open, outcome, ""))
        self.open = None

    def end(self):
        """How the last call ended that did not return."""
        # The context `hook` begins with a panic.
        if self.panic is not None and (self.context != "hook" or self.panic != "to get to the hook"):
            return "panics", self.panic
        if self.code == 78:
            return "runs", ""
        if self.code == 77 or self.reset or self.code == 0 and not self.finished:
            return "ends", ""
        if self.code == 124:
            return "hangs", ""
        return f"ends with code {self.code}", ""


def measure(context, command, log):
    """All functions in one context: [(function, outcome, message of its panic)]."""
    results = []
    start = 0
    while True:
        boot = Boot(command, context, start, log)
        results += [(name, outcome, said) for _, name, outcome, said in boot.found]
        if boot.trouble:
            results.append(("the test itself", boot.trouble, ""))
            return results
        if boot.finished and boot.code == 0:
            return results
        if not boot.found:
            why = f"comes to nothing from function {start} on, exit code {boot.code}"
            results.append(("the test itself", why, boot.panic or ""))
            return results
        start = boot.found[-1][0] + 1


# --- what to do -------------------------------------------------------------------------------------------------------


def check(contexts, command):
    table = Table(TABLE)
    contexts = table.contexts if contexts == "all" else table.named(contexts.split(","))
    called = 0
    wrong = []
    for context, results, log in measured(contexts, command):
        lines = [f"{context}: {line}" for line in differences(table, context, results)]
        called += len(results)
        wrong += lines
        if lines:
            print("\n".join(log))
        print(f"{context}: {len(results)} calls, {len(lines)} not as the table says", flush=True)
    # Last, where one looks first.
    if wrong:
        print("\n".join(wrong))
        raise Wrong(f"{len(wrong)} of {called} calls are not as contexts.table says")
    print(f"contexts: {called} calls in {len(contexts)} contexts, as the table says")


def differences(table, context, results):
    """What is not as the table says, a line each."""
    for name, outcome, said in results:
        wanted = table.rows.get(name, {}).get(context, "in the table")
        if outcome != wanted:
            yield f"{name}: {outcome}{f' ({said})' if said else ''}, not {wanted}"
        elif outcome == "panics" and not table.says[name].search(said):
            yield f"{name}: panics, but does not say so: {said}"
    names = [name for name, _, _ in results]
    yield from (f"{name}: not called" for name in table.rows if name not in names)


def measured(contexts, command):
    """For each context what happens in it, and what was on the console."""
    logs = {context: [] for context in contexts}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for context, results in zip(
            contexts, pool.map(lambda context: measure(context, command, logs[context]), contexts)
        ):
            yield context, results, logs[context]


# What the application does not get to see, or asks of the device tree alone.
PRIVATE = re.compile(r"src/(arch|gic)/|src/(bench|closure|hook)\.rs|src/(.*/)?fault\.rs")
PUBLIC = re.compile(r"\s*pub (?:const )?(?:unsafe )?fn (\w+)")
HIDDEN = re.compile(r'\s*#\[(doc\(hidden\)|cfg\(feature = "(fault-injection|bench-hooks)"\))\]')


def public_functions():
    for path in sorted((ROOT / "src").rglob("*.rs")):
        place = path.relative_to(ROOT).as_posix()
        hidden = False
        for line in [] if PRIVATE.match(place) else path.read_text().splitlines():
            if match := PUBLIC.match(line):
                if not hidden:
                    yield match[1], place
            if HIDDEN.match(line):
                hidden = True
            elif not line.lstrip().startswith(("#", "///", "//")):
                hidden = False


def complete():
    """Each public function has a row, or is said to need none; and what is said is of functions that there are."""
    table = Table(TABLE)
    named = {word for name in table.rows for word in re.findall(r"\w+", name)}
    public = dict(public_functions())
    for name, place in public.items():
        if name not in named and name not in table.besides:
            raise Wrong(f"{place}: {name} has no row in {TABLE.name}")
    for name in sorted(table.besides - public.keys()):
        raise Wrong(f"{TABLE.name}: no public function '{name}'")


def all_of(command):
    rows = {}
    for context, results, _ in measured(Table(TABLE).contexts, command):
        for name, outcome, said in results:
            rows.setdefault(name, {}).setdefault((outcome, said), []).append(context)
    for name, outcomes in rows.items():
        print(name)
        for (outcome, said), where in outcomes.items():
            print(f"    {outcome:24} {' '.join(where)}{f'    # {said}' if said else ''}")


def replaced(page):
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Wrong(f"{page}: no line '{BEGIN}' and, after it, '{END}'")
    return text, f"{before}{begin}\n{Table(TABLE).page()}{end}{after}"


def main(words):
    match words:
        case ["check", contexts, *command] if len(command) > 1:
            check(contexts, command)
        case ["measure", *command] if len(command) > 1:
            all_of(command)
        case ["complete"]:
            complete()
        case ["page"]:
            print(Table(TABLE).page(), end="")
        case ["write", page]:
            Path(page).write_text(replaced(Path(page))[1])
        case ["agree", page]:
            text, wanted = replaced(Path(page))
            if text != wanted:
                raise Wrong(f"{page} is not what contexts.table says: tests/target/contexts.py write {page}")
        case _:
            print(__doc__, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    # So that what has been started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main(sys.argv[1:])
    except (Wrong, OSError) as error:
        sys.exit(f"contexts.py: {error}")
