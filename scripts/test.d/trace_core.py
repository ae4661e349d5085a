"""Takes a memory core of a machine that has come to a line.

usage: trace_core.py RUNNER ELF DIR REGEX [OPTION..]

Runs what RUNNER prints for ELF and these options, waits until a line of the console matches REGEX, and has QEMU write the memory of the
machine to the file `core` in DIR. The console is left there in the file `console`.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import guest

# Seconds for a machine to come as far, on a host that has other things to do.
PATIENCE = 200


def main():
    runner, elf, folder, pattern, *options = sys.argv[1:]
    printed = subprocess.run([runner, elf, "--print", *options], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    os.chdir(folder)
    # The path of a socket may have 107 bytes: a relative one is short enough.
    Path("qmp").unlink(missing_ok=True)
    command = ["timeout", "-k", "5", "240", *shlex.split(printed.stdout), "-qmp", "unix:qmp,server=on,wait=off"]
    with open("console", "wb") as console:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        # A console has CR LF.
        while not re.search(pattern, Path("console").read_bytes().decode(errors="replace"), re.M):
            if machine.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"failed: no line '{pattern}' on the console")
            time.sleep(0.05)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect("qmp")
            file = connection.makefile("rw")
            guest.Monitor(file, file).execute("dump-guest-memory", paging=False, protocol="file:core")
    finally:
        machine.terminate()
        machine.wait()


if __name__ == "__main__":
    main()
