"""A command at the other end of a terminal, where somebody types. A module."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time


class Failure(Exception):
    """What was not as expected, in words."""


class Terminal:
    """A command at the other end of a terminal."""

    def __init__(self, command, patience):
        self.patience = patience
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )
        self.unread = b""

    def type(self, keys):
        """Sends keys, all at once: what the guest has no room for waits until it has."""
        os.write(self.master, keys)

    def until(self, pattern, what):
        """Everything up to a match of the pattern, and the match."""
        limit = time.monotonic() + self.patience
        while True:
            found = re.search(pattern, self.unread)
            if found:
                seen, self.unread = self.unread[: found.end()], self.unread[found.end() :]
                return seen.decode("ascii", "replace"), found
            left = limit - time.monotonic()
            if left <= 0 or not self.receive(left):
                raise Failure(f"{what}: it did not come; what came last: {self.unread[-400:]!r}")

    def receive(self, seconds):
        """Waits for output. False: there will be none any more, or not in that time."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            # Asked first: what it says before it ends is there by then.
            ended = self.process.poll() is not None
            if select.select([self.master], [], [], 0.1)[0]:
                data = os.read(self.master, 4096)
                sys.stdout.write(data.decode("ascii", "replace").replace("\r", ""))
                self.unread += data
                return True
            if ended:
                return False
        return False

    def end(self):
        """Waits for the command to end, and gives back its exit code. The terminal is as it was before."""
        limit = time.monotonic() + self.patience
        while self.process.poll() is None:
            if time.monotonic() > limit:
                raise Failure("it does not end")
            self.receive(0.2)
        if termios.tcgetattr(self.slave) != self.before:
            raise Failure("the terminal is not as it was")
        return self.process.returncode

    def close(self):
        """Ends whatever is left of the command."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def hold(program, terminal, conversation):
    """Calls a function with the terminal, and ends the command. The exit code of the program that is this conversation; what was not
    as expected, it says."""
    try:
        conversation(terminal)
    except Failure as failure:
        print(f"\n{program}: {failure}", file=sys.stderr)
        return 1
    finally:
        terminal.close()
    return 0
