#!/usr/bin/env python3
"""Runs a QEMU command with one vCPU frozen, and lets it go when the console says so.

usage: frozen.py [--timeout S] [--until REGEX] VCPU COMMAND..

VCPU counts from 1, as QEMU's gdb stub does. The command is a QEMU command with its console on stdout, as
`scripts/run --print` prints it. The vCPU does not run a single instruction until a line of the console matches REGEX
(default: the one that the image `frozen` prints). The exit code is the guest's; 124 after S seconds (default 60), 1 if
the gdb stub does not do what it should.

The gdb stub stops and resumes vCPUs one by one: `vCont;c:p1.1;c:p1.3` leaves p1.2 where it is. Only that much of the
remote serial protocol is spoken here.
"""

import argparse
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    """What went wrong, in words."""


class Stub:
    """QEMU's gdb stub at the other end of a socket."""

    def __init__(self, path, deadline):
        self.deadline = deadline
        self.buffer = b""
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                return
            except OSError:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise Failure("QEMU does not listen for a debugger") from None
                time.sleep(0.02)

    def send(self, text):
        """Sends a packet; the stub acknowledges it with a plus sign, which `receive` skips."""
        checksum = sum(text.encode()) & 0xFF
        self.socket.sendall(b"$%s#%02x" % (text.encode(), checksum))

    def receive(self):
        """The next packet."""
        while True:
            packet = re.search(rb"\$([^#]*)#[0-9a-f]{2}", self.buffer)
            if packet:
                self.buffer = self.buffer[packet.end():]
                self.socket.sendall(b"+")
                return packet[1].decode("latin-1")
            self.socket.settimeout(max(0.01, self.deadline - time.monotonic()))
            try:
                data = self.socket.recv(4096)
            except TimeoutError:
                raise Failure("the gdb stub does not answer") from None
            if not data:
                raise Failure("the gdb stub hung up")
            self.buffer += data

    def ask(self, text):
        """Sends a packet and returns the answer."""
        self.send(text)
        return self.receive()

    def threads(self):
        """The names of all vCPUs."""
        names = []
        answer = self.ask("qfThreadInfo")
        while answer.startswith("m"):
            names += answer[1:].split(",")
            answer = self.ask("qsThreadInfo")
        return names

    def interrupt(self):
        """Stops what runs."""
        self.socket.sendall(b"\x03")
        answer = self.receive()
        if not answer.startswith("T"):
            raise Failure(f"the machine did not stop, but: {answer}")


def number(name):
    """The number of a vCPU: p1.0a is 10."""
    return int(name.rpartition(".")[2], 16)


def run(arguments):
    deadline = time.monotonic() + arguments.timeout
    with tempfile.TemporaryDirectory(prefix="reveille-frozen.") as folder:
        path = os.path.join(folder, "gdb")
        command = arguments.command + ["-S", "-gdb", f"unix:{path},server=on,wait=off"]
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            return watch(arguments, qemu, Stub(path, deadline), deadline)
        finally:
            # QEMU has been seen to ignore SIGTERM.
            qemu.kill()
            qemu.wait()


def watch(arguments, qemu, stub, deadline):
    stub.ask("qSupported:multiprocess+;vContSupported+")
    if "c" not in stub.ask("vCont?").split(";"):
        raise Failure("the gdb stub cannot resume vCPUs one by one")
    names = stub.threads()
    others = [name for name in names if number(name) != arguments.vcpu]
    if len(others) != len(names) - 1:
        raise Failure(f"no vCPU {arguments.vcpu} among {', '.join(names)}")
    stub.send("vCont;" + ";".join(f"c:{name}" for name in others))

    frozen, line = True, b""
    with selectors.DefaultSelector() as selector:
        selector.register(qemu.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                print(f"frozen.py: stopped after {arguments.timeout} s", file=sys.stderr)
                return 124
            if not selector.select(left):
                continue
            data = os.read(qemu.stdout.fileno(), 4096)
            if not data:
                break
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            *lines, line = (line + data).split(b"\n")
            if frozen and any(arguments.until.search(text.decode("utf-8", "replace")) for text in lines):
                frozen = False
                stub.interrupt()
                stub.send("vCont;c")
    if frozen:
        print("frozen.py: the guest ended before the vCPU was let go", file=sys.stderr)
    return qemu.wait(max(1, deadline - time.monotonic()))


def main():
    parser = argparse.ArgumentParser(add_help=True, usage=__doc__.split("\n")[2].removeprefix("usage: "))
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--until", type=re.compile, default=re.compile("^frozen: .* was called off"))
    parser.add_argument("vcpu", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("no command")
    try:
        sys.exit(run(arguments))
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        print(f"frozen.py: {failure}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
