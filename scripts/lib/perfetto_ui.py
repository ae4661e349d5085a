#!/usr/bin/env python3
"""Opens a trace in Perfetto's own UI, in a browser that nobody sees, and asks its trace processor about it.

usage: perfetto_ui.py [--browser PROGRAM] [--picture FILE] [--size WxH] [--show START END | --around SQL] [--pin NAME]..
                   [--select SQL] [--query SQL].. UI TRACE

UI is a directory with Perfetto's UI (`index.html` and what goes with it), which is served to the browser alone; no other machine is
asked for anything. The answer to each query is a line of JSON on stdout: a list of rows, each a list. `--picture` writes what the
browser shows as PNG; `--show` is the part of the trace that it shows, nanoseconds from its first event; `--around`, a query for the time and
the duration of a slice, shows that and a bit before and behind it. `--pin` moves
tracks with that name to the top; `--select` is a query for the id of the slice that is selected, whose arrows it shows then. Exit code: 0, 1 if the UI cannot be had or says that something is wrong with the trace, 2 for bad usage.
"""

import argparse
import base64
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

# For all of it, seconds: a browser on a busy machine takes ten to start.
PATIENCE = 240


class Failure(Exception):
    """What was not as expected, in words."""


class Files(http.server.SimpleHTTPRequestHandler):
    """The UI, and one file more."""

    def __init__(self, trace, *arguments, **keywords):
        self.trace = trace
        super().__init__(*arguments, **keywords)

    def translate_path(self, path):
        return self.trace if path.split("?")[0] == "/trace" else super().translate_path(path)

    def log_message(self, *_):
        pass


class Browser:
    """Chromium, talked to in its DevTools protocol through a pipe: a message is JSON, and a zero ends it."""

    def __init__(self, program, size, home):
        self.limit = time.monotonic() + PATIENCE
        self.last = 0
        self.unread = b""
        from_us, self.to = os.pipe()
        self.came, to_us = os.pipe()
        # Its pipe is at 3 and 4 (`--remote-debugging-pipe`); a shell moves ours there, whatever their numbers are.
        self.process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "browser", program,
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                f"--window-size={size[0]},{size[1]}", f"--user-data-dir={home}", "--remote-debugging-pipe", "about:blank",
            ],
            pass_fds=(from_us, to_us), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(from_us)
        os.close(to_us)

    def message(self):
        """The next message."""
        while b"\0" not in self.unread:
            left = self.limit - time.monotonic()
            if left <= 0 or not select.select([self.came], [], [], left)[0]:
                raise Failure(f"the browser does not answer within {PATIENCE} s")
            data = os.read(self.came, 1 << 20)
            if not data:
                raise Failure("the browser has ended")
            self.unread += data
        text, self.unread = self.unread.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, session=None, **parameters):
        """Sends a command, and waits for the answer to it."""
        self.last += 1
        command = {"id": self.last, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        os.write(self.to, json.dumps(command).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def close(self):
        """Ends it, and what it has started."""
        try:
            self.ask("Browser.close")
            self.process.wait(20)
        except (Failure, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Page:
    """The UI in the browser."""

    def __init__(self, browser, size):
        self.browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.ask(
            "Emulation.setDeviceMetricsOverride", self.session,
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def open(self, url):
        """Goes there."""
        self.browser.ask("Page.navigate", self.session, url=url)

    def run(self, script):
        """The value of an expression of JavaScript, or of what it promises."""
        answer = self.browser.ask(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failure(details.get("exception", {}).get("description", details["text"]).split("\n")[0])
        return answer["result"].get("value")

    def wait(self, script, what):
        """Waits until an expression is true."""
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > self.browser.limit:
                raise Failure(f"{what}: not within {PATIENCE} s")
            error = self.run("document.querySelector('.pf-modal-dialog, .modal-dialog')?.innerText")
            if error:
                raise Failure(f"the UI says: {' '.join(error.split())}")
            time.sleep(0.2)

    def query(self, sql):
        """All rows that the trace processor answers with."""
        return self.run(
            "(async () => {"
            f"const answer = await app.trace.engine.query({json.dumps(sql)});"
            "const rows = [], columns = answer.columns();"
            "const plain = value => typeof value === 'bigint' ? Number(value) : value instanceof Uint8Array ? [...value] : value;"
            "for (const row = answer.iter({}); row.valid(); row.next()) rows.push(columns.map(name => plain(row.get(name))));"
            "return rows; })()"
        )

    def picture(self, file):
        """Writes what it shows."""
        data = self.browser.ask("Page.captureScreenshot", self.session, format="png")["data"]
        with open(file, "wb") as out:
            out.write(base64.b64decode(data))


def one_row(page, sql):
    """The first row of an answer, of whole numbers."""
    rows = page.query(sql)
    if not rows:
        raise Failure(f"there is nothing for: {sql}")
    return [int(value) for value in rows[0]]


def look(page, options, url):
    """Opens the trace, asks and draws."""
    page.open(url)
    page.wait("globalThis.app && app.trace && app.trace.engine", "the trace is not opened")
    page.run("waitForPerfettoIdle(500).then(() => true)")
    # What its importer could not make sense of.
    wrong = page.query("select name, value from stats where severity in ('error', 'data_loss') and value > 0")
    if wrong:
        raise Failure("; ".join(f"{name}: {value}" for name, value in wrong))
    for sql in options.query:
        print(json.dumps(page.query(sql)))
    if options.picture:
        page.run("app.sidebar.visible && (app.sidebar.toggleVisibility(), raf.scheduleFullRedraw())")
        if options.pin:
            names = json.dumps(options.pin)
            page.run(
                f"for (const name of {names}) for (const track of app.trace.workspace.flatTracks)"
                " if (track.name === name) track.pin();"
            )
        first = int(page.run("String(app.trace.traceInfo.start)"))
        shown = options.show and [first + time for time in options.show]
        if options.around:
            start, duration = one_row(page, options.around)[:2]
            shown = [start - duration // 8, start + duration * 5 // 4]
        if shown:
            page.run(f"app.trace.timeline.setViewportTime({shown[0]}n, {shown[1]}n), true")
        if options.select:
            slice_id = one_row(page, options.select)[0]
            page.run(f"app.trace.selection.selectSqlEvent('slice', {slice_id}, {{switchToCurrentSelectionTab: false}}), true")
        page.run("waitForPerfettoIdle(1000).then(() => true)")
        page.picture(options.picture)


def main():
    parser = argparse.ArgumentParser(add_help=False, usage=__doc__)
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--picture")
    parser.add_argument("--size", default="1400x700")
    parser.add_argument("--show", nargs=2, type=int, metavar="NS")
    parser.add_argument("--around")
    parser.add_argument("--pin", action="append", default=[])
    parser.add_argument("--select")
    parser.add_argument("--query", action="append", default=[])
    parser.add_argument("ui")
    parser.add_argument("trace")
    options = parser.parse_args()
    size = [int(part) for part in options.size.split("x")]
    for file in (os.path.join(options.ui, "index.html"), options.trace):
        if not os.path.isfile(file):
            print(f"perfetto_ui.py: {file}: there is no such file", file=sys.stderr)
            return 1
    handler = functools.partial(Files, os.path.abspath(options.trace), directory=options.ui)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    # What the browser has started may write for a moment longer than it runs itself.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        try:
            browser = Browser(options.browser, size, home)
        except OSError as error:
            print(f"perfetto_ui.py: {options.browser}: {error.strerror}", file=sys.stderr)
            return 1
        try:
            look(Page(browser, size), options, f"{here}/#!/?url={here}/trace")
        except Failure as failure:
            print(f"perfetto_ui.py: {options.trace}: {failure}", file=sys.stderr)
            return 1
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
