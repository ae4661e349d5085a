"""Is this the roll call of exactly these CPUs?

usage: roll_call.py CONSOLE EXIT_CODE CPUS [json] [mpidrs=M,M,..] [left-out=N] [any-order] [no-delay] [MPIDR=VERDICT[:CODE]]..

CPUS CPUs are expected, with the MPIDRs of QEMU's virt or those given, the boot CPU first, then in tree order. Those
not named are online: the boot CPU with generation 0, the others with generation 1. The form of each line, the sums, and
the exit code (0 if every CPU that is not disabled is online and none was
left out, else 1) must all fit. In JSON `us` is the time from the start to the
verdict of each CPU that was started, and 0 for the boot CPU and those never started; with `no-delay` whoever came online had
done so before anybody was given up.
"""

import json
import re
import sys

VERDICTS = ["online", "revoked", "refused", "failed", "wedged", "no-method", "disabled", "busy", "exhausted", "parked",
            "would-deadlock"]
SUMS = ["online", "revoked", "refused", "failed", "wedged"]

LINE = re.compile(
    r"cpu (?P<cpu>0|[1-9]\d*) mpidr (?P<mpidr>0x[0-9a-f]{10}) (?:"
    r"(?P<boot>online generation 0 boot)"
    r"|online generation (?P<online>[1-9]\d*) after (?P<us>0|[1-9]\d*) us"
    r"|refused (?P<refused>-?[1-9]\d*) generation (?P<refused_generation>[1-9]\d*)"
    r"|failed (?P<reason>[a-z0-9][a-z0-9 -]*) generation (?P<failed_generation>[1-9]\d*)"
    r"|(?P<timed>revoked|wedged) generation (?P<timed_generation>[1-9]\d*)"
    r"|(?P<bare>no-method|disabled|busy|exhausted|parked|would-deadlock))"
)
LAST = re.compile(
    r"roll call: (?P<possible>\d+) possible, (?P<online>\d+) online, (?P<revoked>\d+) revoked, "
    r"(?P<refused>\d+) refused, (?P<failed>\d+) failed, (?P<wedged>\d+) wedged, (?P<other>\d+) other"
    r"(?:, (?P<left_out>[1-9]\d*) left out)?"
)


def fail(text):
    sys.exit(f"failed: {text}")


def read_text(lines):
    """The CPUs and sums of the text form."""
    ends = [i for i, line in enumerate(lines) if line.startswith("roll call:")]
    if len(ends) != 1:
        fail(f"{len(ends)} lines begin with 'roll call:'")
    end = ends[0]
    if end != len(lines) - 1:
        fail(f"a line after the roll call: {lines[end + 1]!r}")
    match = LAST.fullmatch(lines[end])
    if not match:
        fail(f"last line: {lines[end]!r}")
    sums = {key: int(value or 0) for key, value in match.groupdict().items()}
    begin = end
    while begin > 0 and re.match(r"cpu \d+ mpidr ", lines[begin - 1]):
        begin -= 1
    cpus = []
    for line in lines[begin:end]:
        match = LINE.fullmatch(line)
        if not match:
            fail(f"not a line of a roll call: {line!r}")
        found = match.groupdict()
        cpu = {"cpu": int(found["cpu"]), "mpidr": int(found["mpidr"], 16), "code": 0, "generation": 0, "us": 0}
        if found["boot"]:
            cpu["verdict"] = "online"
        elif found["online"]:
            cpu |= {"verdict": "online", "generation": int(found["online"]), "us": int(found["us"])}
        elif found["refused"]:
            cpu |= {"verdict": "refused", "code": int(found["refused"]), "generation": int(found["refused_generation"])}
        elif found["reason"]:
            cpu |= {"verdict": "failed", "code": found["reason"], "generation": int(found["failed_generation"])}
        elif found["timed"]:
            cpu |= {"verdict": found["timed"], "generation": int(found["timed_generation"])}
        else:
            cpu["verdict"] = found["bare"]
        cpus.append(cpu)
    return cpus, sums


def read_json(lines):
    """The CPUs and sums of the JSON form."""
    if any(line.startswith("roll call:") or LINE.fullmatch(line) for line in lines):
        fail("the text form is there as well")
    objects = [line for line in lines if line.startswith("{")]
    if len(objects) != 1:
        fail(f"{len(objects)} lines begin with '{{'")
    try:
        record = json.loads(objects[0])
    except ValueError as error:
        fail(f"not JSON ({error}): {objects[0]!r}")
    cpus = record.pop("cpus", None)
    if set(record) != {"possible", "other", "left_out", *SUMS}:
        fail(f"keys beside cpus: {sorted(record)}")
    for cpu in cpus:
        if set(cpu) != {"cpu", "mpidr", "verdict", "code", "generation", "us"}:
            fail(f"keys of a CPU: {sorted(cpu)}")
        for key, value in cpu.items():
            if not isinstance(value, str if key == "verdict" else int):
                fail(f"{key} of a CPU is {value!r}")
    return cpus, record


def main(path, code, count, *words):
    with open(path, encoding="utf-8", errors="replace") as console:
        lines = [line for line in console.read().splitlines() if line.strip()]
    as_json = any_order = no_delay = False
    order = [(i // 16) << 8 | i % 16 for i in range(int(count))]
    left_out = 0
    verdicts = {}
    for word in words:
        key, _, value = word.partition("=")
        if word == "json":
            as_json = True
        elif word == "any-order":
            any_order = True
        elif word == "no-delay":
            no_delay = True
        elif key == "mpidrs":
            order = [int(item, 0) for item in value.split(",")]
        elif key == "left-out":
            left_out = int(value)
        elif key.isdigit() or key.startswith("0x"):
            verdicts[int(key, 0)] = value
        else:
            fail(f"what is {word!r}?")

    cpus, sums = read_json(lines) if as_json else read_text(lines)
    if [cpu["cpu"] for cpu in cpus] != list(range(len(cpus))):
        fail(f"ids: {[cpu['cpu'] for cpu in cpus]}")
    mpidrs = [cpu["mpidr"] for cpu in cpus]
    if (sorted(mpidrs) if any_order else mpidrs) != (sorted(order) if any_order else order):
        fail(f"MPIDRs {[hex(m) for m in mpidrs]}, expected {[hex(m) for m in order]}")

    for cpu in cpus:
        where = f"cpu {cpu['cpu']} mpidr {cpu['mpidr']:#x}"
        if cpu["verdict"] not in VERDICTS:
            fail(f"{where}: verdict {cpu['verdict']!r}")
        wanted, _, wanted_code = verdicts.get(cpu["mpidr"], "online").partition(":")
        if cpu["verdict"] != wanted:
            fail(f"{where}: {cpu['verdict']}, expected {wanted}")
        if wanted_code and str(cpu["code"]) != wanted_code:
            fail(f"{where}: code {cpu['code']}, expected {wanted_code}")
        if cpu["verdict"] not in ("refused", "failed") and cpu["code"] != 0:
            fail(f"{where}: code {cpu['code']} of a CPU that is {cpu['verdict']}")
        started = cpu["cpu"] > 0 and cpu["verdict"] in SUMS
        if cpu["generation"] != (1 if started else 0):
            fail(f"{where}: generation {cpu['generation']}")
        # The lines of text have it for those alone that are online.
        timed = started and (as_json or cpu["verdict"] == "online")
        if cpu["us"] < 0 or cpu["us"] > 600e6 or (cpu["us"] and not timed):
            fail(f"{where}: {cpu['us']} us")
        # A deadline had to pass.
        if as_json and cpu["verdict"] in ("revoked", "wedged") and cpu["us"] == 0:
            fail(f"{where}: {cpu['verdict']} at once")
    if no_delay:
        came = [cpu["us"] for cpu in cpus if cpu["verdict"] == "online"]
        given_up = [cpu["us"] for cpu in cpus if cpu["verdict"] in ("revoked", "wedged")]
        if not as_json or not given_up or max(came) >= min(given_up):
            fail(f"online after {max(came)} us, given up after {given_up} us")

    counted = {key: sum(cpu["verdict"] == key for cpu in cpus) for key in SUMS}
    counted["possible"] = len(cpus)
    counted["left_out"] = left_out
    counted["other"] = len(cpus) - sum(counted[key] for key in SUMS)
    if sums != counted:
        fail(f"the sums are {sums}, the CPUs make {counted}")

    right = 0 if all(cpu["verdict"] in ("online", "disabled") for cpu in cpus) and not left_out else 1
    if code != "any" and int(code) != right:
        fail(f"exit code {code} where this roll call means {right}")


main(*sys.argv[1:])
