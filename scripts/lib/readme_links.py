#!/usr/bin/env python3
"""usage: readme_links.py [--write] ROOT

The READMEs that are packaged are read where the files beside them are not: on a registry's page, and in the documentation. So each of
their links to a file of this repository is absolute: `repository` of Cargo.toml, `/blob/HEAD/`, and a path that is there. Says of each
link that is not, and ends with 1; with --write it makes them so, also those to an address that `repository` had before.
"""

import pathlib
import posixpath
import re
import sys

LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
OF_A_REPOSITORY = re.compile(r"(https://[^\s/]+/[^\s/]+/[^\s/]+)/(?:blob|tree|raw)/HEAD/(.*)")


def published(root):
    """The folders of the packages that are published, of those in the workspace."""
    manifest = (root / "Cargo.toml").read_text()
    members = re.search(r"^members = \[(.*?)\]", manifest, re.M | re.S).group(1)
    for folder in [".", *re.findall(r'"([^"]+)"', members)]:
        if not re.search(r"^publish = false$", (root / folder / "Cargo.toml").read_text(), re.M):
            yield folder


def main():
    write = "--write" in sys.argv[1:]
    (root,) = (pathlib.Path(word) for word in sys.argv[1:] if word != "--write")
    repository = re.search(r'^repository = "(https://[^"]+?)/?"$', (root / "Cargo.toml").read_text(), re.M).group(1)
    wrong = links = 0
    for folder in published(root):
        readme = root / folder / "README.md"
        name = posixpath.normpath(f"{folder}/README.md")
        text = readme.read_text()

        def checked(match, folder=folder, name=name):
            nonlocal wrong, links
            target = match.group(1)
            absolute = OF_A_REPOSITORY.fullmatch(target)
            if target.startswith("#") or (":" in target and not absolute):
                return target
            links += 1
            path = absolute.group(2) if absolute else posixpath.normpath(posixpath.join(folder, target))
            file, _, part = path.partition("#")
            # A picture is fetched, not looked at.
            kind = "raw" if file.endswith((".svg", ".png")) else "blob"
            right = f"{repository}/{kind}/HEAD/{file}" + (f"#{part}" if part else "")
            if not (root / file).exists():
                print(f"{name}: {target}: there is no {file}")
                wrong += 1
                return target
            if right != target and not write:
                print(f"{name}: {target}: to be {right}")
                wrong += 1
            return right

        changed = LINK.sub(checked, text)
        if write and changed != text:
            readme.write_text(changed)
    print(f"{links} links to files of the repository, {wrong} wrong")
    return 1 if wrong else 0


sys.exit(main())
