"""Follows the links of a book that mdBook has built: book_links.py BOOK ROOT

Each leads to a file of the book, and its anchor to an element, or to a file of the repository at ROOT. Exit code 1, and a line for each, if one
does not; the last line says how many there are.
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def main():
    book, root = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    pages = {path: Page(path) for path in book.rglob("*.html")}
    wrong, inside, outside = 0, 0, 0
    for path, page in sorted(pages.items()):
        # For a page that is not found, from anywhere.
        if path.name == "404.html":
            continue
        for link in page.links:
            name, _, anchor = link.removeprefix("file://").partition("#")
            if re.match(r"[a-z]+:", name):
                continue
            target = (path.parent / urllib.parse.unquote(name)).resolve() if name else path
            good = target.exists() and (target.is_relative_to(book) or target.is_relative_to(root))
            if target.is_relative_to(book):
                inside += 1
                if anchor and target in pages:
                    good = good and urllib.parse.unquote(anchor) in pages[target].anchors
            else:
                outside += 1
            if not good:
                wrong += 1
                print(f"{path.relative_to(book)}: {link}")
    print(f"{len(pages)} pages, {inside} links in the book, {outside} to the repository: {wrong} lead nowhere")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
