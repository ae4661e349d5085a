"""Answers the question that a command asks at a terminal.

usage: question.py QUESTION ANSWER CODE REGEX COMMAND..

The command must ask QUESTION, say something after the answer that matches REGEX, and end with this exit code, each of these
within a minute. The exit code is 1 if something was not as expected.
"""

import re
import sys

from terminal import Failure, Terminal, hold


def main():
    if len(sys.argv) < 6:
        print(__doc__, file=sys.stderr)
        return 2
    question, answer, code, pattern, *command = sys.argv[1:]

    def conversation(terminal):
        terminal.until(re.escape(question.encode()), "the question")
        terminal.type(answer.encode() + b"\n")
        terminal.until(pattern.encode(), "what comes of it")
        ended = terminal.end()
        if ended != int(code):
            raise Failure(f"exit code {ended}, expected {code}")

    return hold("question.py", Terminal(command, 60), conversation)


if __name__ == "__main__":
    sys.exit(main())
