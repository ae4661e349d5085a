#!/usr/bin/env python3
"""usage: readme_links.py ROOT

The READMEs that are packaged are read on a registry's page too, which looks up their relative links in `repository` of Cargo.toml, from
the folder of the package on. So each is to lead to a file of this repository, and none is to name the address of that: it stands in
Cargo.toml alone. Says of each link that does not or does, and ends with 1.
"""

import pathlib
import posixpath
import re
import sys

LINK = re.compile(r"\]\(([^)\s]+)\)")


def published(root):
    """The folders of the packages that are published, of those in the workspace."""
    manifest = (root / "Cargo.toml").read_text()
    members = re.search(r"^members = \[(.*?)\]", manifest, re.M | re.S).group(1)
    for folder in [".", *re.findall(r'"([^"]+)"', members)]:
        if not re.search(r"^publish = false$", (root / folder / "Cargo.toml").read_text(), re.M):
            yield folder


def main():
    root = pathlib.Path(sys.argv[1])
    repository = re.search(r'^repository = "(https://[^"]+?)/?"$', (root / "Cargo.toml").read_text(), re.M).group(1)
    wrong = links = 0
    for folder in published(root):
        name = posixpath.normpath(f"{folder}/README.md")
        for target in LINK.findall((root / name).read_text()):
            if target.startswith(repository):
                print(f"{name}: {target}: to be relative")
                wrong += 1
            elif not target.startswith("#") and ":" not in target:
                links += 1
                file = posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))
                if file.startswith("..") or not (root / file).exists():
                    print(f"{name}: {target}: there is no {file}")
                    wrong += 1
    print(f"{links} links to files of the repository, {wrong} wrong")
    return 1 if wrong else 0


sys.exit(main())
