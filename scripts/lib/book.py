#!/usr/bin/env python3
"""mdBook's preprocessor of docs/book.toml: leads links out of the book to where the repository's files are.

Called by mdBook, as `book.py supports RENDERER` and as `book.py`, with the book on stdin and stdout. Links to pages of the book, and to files
beside them, which mdBook copies, stay as they are.
"""

import json
import os
import pathlib
import re
import sys

from pages import FENCE, LINK


def led_out(target, page, docs, root, address):
    """Where a link of a page of the book leads."""
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return target
    file = os.path.normpath(os.path.join(docs, os.path.dirname(page), path))
    if os.path.commonpath([docs, file]) == docs:
        return target
    anchor = f"#{anchor}" if anchor else ""
    if address:
        return f"{address.rstrip('/')}/{os.path.relpath(file, root)}{anchor}"
    # Not relative: mdBook takes what ends in .md for a page of its own.
    return pathlib.Path(file).as_uri() + anchor


def convert(text, change):
    """The same page with other links. Blocks of code stay as they are."""
    out, at = [], 0
    for block in FENCE.finditer(text):
        out += [LINK.sub(change, text[at : block.start()]), block[0]]
        at = block.end()
    return "".join(out) + LINK.sub(change, text[at:])


def chapters(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            yield chapter
            yield from chapters(chapter["sub_items"])


def main():
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    context, book = json.load(sys.stdin)
    config = context["config"]
    docs = os.path.normpath(os.path.join(context["root"], config["book"].get("src", "src")))
    root = os.path.dirname(docs)
    address = config["preprocessor"]["repository"].get("address", "")
    for chapter in chapters(book.get("items") or book["sections"]):
        page = chapter["path"]
        if page:

            def change(link, page=page):
                target = led_out(link[1], page, docs, root, address)
                return link[0][: link.start(1) - link.start()] + target + link[0][link.end(1) - link.start() :]

            chapter["content"] = convert(chapter["content"], change)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
