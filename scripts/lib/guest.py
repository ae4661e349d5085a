"""A guest of QEMU, seen from outside: QEMU's machine protocol, and the symbols of an image. A module."""

import json
import re
import subprocess


class Refused(Exception):
    """QEMU does not do that; its words."""


class Monitor:
    """QEMU's machine protocol, over a file that it writes and one that it reads."""

    def __init__(self, answers, commands):
        self.answers = answers
        self.commands = commands
        # The greeting.
        self.answers.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        """The answer. Raises `Refused`."""
        json.dump({"execute": command, "arguments": arguments}, self.commands)
        self.commands.write("\n")
        self.commands.flush()
        while True:
            answer = json.loads(self.answers.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Refused(f"{command}: {answer['error']}")

    def registers(self):
        """Of each CPU: name to value."""
        text = self.execute("human-monitor-command", **{"command-line": "info registers -a"})
        cpus = {}
        for part in re.split(r"^CPU#", text.replace("\r", ""), flags=re.M)[1:]:
            number, _, rest = part.partition("\n")
            found = re.findall(r"\b(PC|SP|PSTATE|X\d\d)=([0-9a-f]+)", rest)
            cpus[int(number)] = {name: int(value, 16) for name, value in found}
        return cpus


def symbols(nm, elf):
    """Name to address."""
    listing = subprocess.run([nm, elf], check=True, capture_output=True, text=True).stdout
    return {line.split()[2]: int(line.split()[0], 16) for line in listing.splitlines() if len(line.split()) == 3}
