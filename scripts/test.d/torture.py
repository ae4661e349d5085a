"""Checks the JSON that scripts/torture ends with, one line on stdin.

Words: `faults` or `faults=N`: each fault happened at least once, or N times; `share=P`: each operation makes up at least P
percent; `only=NAME,..`: no other operations; `wrong=NAME,..`: these counts, of the last five, are not 0 (`A|B`: one of the
two). Without `wrong` all of them are 0.
"""

import json
import sys

WRONGS = ("lost", "doubled", "reordered", "unaccounted", "hangs")


def main(words):
    run = json.loads(sys.stdin.read())
    assert list(run) == ["seed", "seconds", "operations", "by_kind", "faults", *WRONGS], list(run)
    wanted = dict(word.partition("=")[::2] for word in words)
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
    if "only" in wanted:
        others = {name for name, count in run["by_kind"].items() if count != 0} - set(wanted["only"].split(","))
        assert not others, f"others: {others}"


main(sys.argv[1:])
