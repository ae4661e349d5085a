"""Checks the JSON that scripts/torture ends with, one line on stdin.

Words: `faults` or `faults=N`: each fault happened at least once, or N times; `share=P`: each operation makes up at least P
percent; `some=NAME,..`: each of these operations was done; `rate=N`: at least N operations a second; `only=NAME,..`: no other operations; `wrong=NAME,..`: these counts, of the
last five, are not 0 (`A|B`: one of the two). Without `wrong` all of them are 0. Exit code 1, and a line that says why, if the
numbers are not like that; 2 for a word that is not among these.
"""

import json
import sys

WRONGS = ("lost", "doubled", "reordered", "unaccounted", "hangs")
WORDS = ("faults", "share", "some", "rate", "only", "wrong")


def check(run, wanted):
    assert isinstance(run, dict) and list(run) == ["seed", "seconds", "operations", "by_kind", "faults", *WRONGS], run
    wrong = {name for name in WRONGS if run[name] != 0}
    if "wrong" in wanted:
        for names in wanted["wrong"].split(","):
            assert wrong.intersection(names.split("|")), f"wrong are {wrong}, none of them {names}"
        return
    assert not wrong, f"wrong are {wrong}"
    operations = run["operations"]
    assert operations > 0 and run["seconds"] > 0, "nothing was done"
    assert sum(run["by_kind"].values()) == operations, "the kinds do not add up"
    if "faults" in wanted:
        least = int(wanted["faults"] or 1)
        few = {name: count for name, count in run["faults"].items() if count < least}
        assert run["faults"] and not few, f"faults that happened less than {least} times: {few}"
    if "share" in wanted:
        least = operations * float(wanted["share"]) / 100
        few = {name: count for name, count in run["by_kind"].items() if count < least}
        assert not few, f"less than {wanted['share']} % of {operations}: {few}"
    if "some" in wanted:
        none = [name for name in wanted["some"].split(",") if not run["by_kind"].get(name)]
        assert not none, f"not done: {none}"
    if "rate" in wanted:
        rate = operations / run["seconds"]
        assert rate >= float(wanted["rate"]), f"{rate:.0f} operations a second, fewer than {wanted['rate']}"
    if "only" in wanted:
        others = {name for name, count in run["by_kind"].items() if count != 0} - set(wanted["only"].split(","))
        assert not others, f"others: {others}"


def main(words):
    wanted = dict(word.partition("=")[::2] for word in words)
    unknown = wanted.keys() - set(WORDS)
    if unknown:
        print(f"torture.py: unknown word '{unknown.pop()}'; there are: {', '.join(WORDS)}", file=sys.stderr)
        sys.exit(2)
    try:
        check(json.loads(sys.stdin.read()), wanted)
    except ValueError as error:
        sys.exit(f"torture.py: not JSON, or a word without its number: {error}")
    except AssertionError as error:
        sys.exit(f"torture.py: {error}")


main(sys.argv[1:])
