#!/usr/bin/env python3
"""usage: examples.py PAGE ROOT

Each public function, type, trait and macro of the runtime and of its executors has an example in its documentation that is compiled
(marked `no_run`), or a row in PAGE that says why not; and each row has such an item.
"""

import pathlib
import re
import sys

import soundness

FOLDERS = ("src", "embassy/src")
TYPE = re.compile(r"pub (?:struct|enum|type|union) (\w+)")


def documentation(lines, number):
    """The lines of documentation above an item, and whether it is hidden."""
    found = []
    hidden = False
    number -= 1
    attribute = False
    while number >= 0:
        line = lines[number].strip()
        if line.startswith("///"):
            found.append(line[3:].strip())
        elif line.startswith(("#[", "// ")) or attribute or line.endswith(")]") or line == "]":
            hidden |= "doc(hidden)" in line
            attribute = not line.startswith(("#[", "// "))
        else:
            break
        number -= 1
    return found[::-1], hidden


def main(page, root):
    root = pathlib.Path(root)
    rows = {}
    for number, line in enumerate(pathlib.Path(page).read_text().splitlines(), 1):
        if match := re.match(r"\| `([^`]+)` \| (.{5,}) \|$", line):
            rows[match[1]] = number
    texts = {
        str(path.relative_to(root)): path.read_text()
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.rs"))
        if not str(path).endswith(soundness.LEFT_OUT)
    }
    types = soundness.public_types(texts.values())
    modules = soundness.doors(root) | soundness.doors_of_crate(root, "embassy/src", "reveille_embassy")
    bad, lacking, hidden_types = [], {}, set()
    count = shown = 0
    for text in texts.values():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if (match := TYPE.match(line)) and documentation(lines, number)[1]:
                hidden_types.add(match[1])
    for path, text in texts.items():
        lines = text.splitlines()
        found = [(number, item) for item, number in soundness.items(path, text, types, modules) if " for " not in item]
        for number, line in enumerate(lines):
            if (match := TYPE.match(line)) and (path, match[1]) in modules:
                found.append((number, f"{modules[path, match[1]]}::{match[1]}"))
            if re.match(r"//[/!] ```\S*ignore", line.strip()):
                bad.append(f"{path}:{number + 1}: an example that is not compiled")
        for number, item in sorted(found):
            if "macro_rules!" in lines[number]:
                while not lines[number].startswith("#[macro_export]"):
                    number -= 1
            says, hidden = documentation(lines, number)
            if hidden or item.split("::")[0] in hidden_types:
                continue
            count += 1
            if "```no_run" in says:
                shown += 1
                if item in rows:
                    bad.append(f"{page}:{rows[item]}: `{item}` has an example")
            else:
                lacking[item] = path
    bad += [f"{path}: `{item}` has no example, and no row" for item, path in lacking.items() if item not in rows]
    bad += [f"{page}:{number}: `{item}` is not in the code" for item, number in rows.items()
            if item not in lacking and not any(f"`{item}` has" in line for line in bad)]
    print("\n".join(sorted(bad)))
    print(f"{count} items, {shown} with an example, {len(rows)} with a reason")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
