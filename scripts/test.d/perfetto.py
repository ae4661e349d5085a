"""Reads a file of Perfetto's by the wire format alone, without the program that wrote it, and says whether it is one.

usage: perfetto.py FILE CPUS [NAME..]

CPUS tracks with their names below one of the machine; every slice ends that is ended, inside of what it was begun in; times do not go
back on a track; each arrow leads from one event to one other, not to an earlier time, and not to the same track unless it is an SGI of
a CPU's own. Each NAME is that of an event (a regular expression of the whole), or, after `->`, of one that an arrow leads to. Prints how
much there is.
"""

import re
import struct
import sys


def fields(data):
    """(number, value) of a message: an int, or the bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        elif kind == 1:
            value = struct.unpack_from("<Q", data, at)[0]
            at += 8
        elif kind == 2:
            size = varint()
            value = data[at : at + size]
            assert len(value) == size, "a message is cut off"
            at += size
        else:
            raise AssertionError(f"wire type {kind}")
        yield key >> 3, value


def message(data):
    out = {}
    for number, value in fields(data):
        out.setdefault(number, []).append(value)
    return out


def main():
    path, cpus, *wanted = sys.argv[1:]
    with open(path, "rb") as file:
        packets = [message(value) for number, value in fields(file.read()) if number == 1]
    tracks, names, events, arrows = {}, {}, 0, {}
    for packet in packets:
        assert packet[10][0], "a packet without its sequence"
        if 60 in packet:
            track = message(packet[60][0])
            tracks[track[1][0]] = track
            names[track[1][0]] = track[2][0].decode()
    roots = [uuid for uuid, track in tracks.items() if 5 not in track]
    assert len(roots) == 1 and 3 in tracks[roots[0]], "one track of a process, above all"
    own = [uuid for uuid in tracks if uuid not in roots]
    assert all(tracks[uuid][5] == roots for uuid in own), "tracks that are not below it"
    assert [names[uuid].split(" (")[0] for uuid in own] == [f"CPU {cpu}" for cpu in range(int(cpus))], names
    open_slices, last, seen = {uuid: [] for uuid in own}, {uuid: 0 for uuid in own}, []
    for packet in packets:
        if 11 not in packet:
            continue
        event, time = message(packet[11][0]), packet[8][0]
        track, kind = event[11][0], event[9][0]
        assert track in own, "an event on no track"
        assert time >= last[track], f"{names[track]} goes back from {last[track]} to {time}"
        last[track] = time
        events += 1
        if kind == 2:
            assert open_slices[track], "a slice that was not begun ends"
            open_slices[track].pop()
            continue
        name = event[23][0].decode()
        assert event[22][0] in (b"runtime", b"application")
        if kind == 1:
            open_slices[track].append(name)
        else:
            assert kind == 3, kind
        seen.append(name)
        for arrow in event.get(47, []):
            arrows.setdefault(arrow, []).append((time, track, name))
    led_to = []
    for arrow, ends in arrows.items():
        assert arrow and len(ends) == 2, f"arrow {arrow} has {len(ends)} ends"
        (_, sender, what), (_, receiver, name) = sorted(ends, key=lambda end: end[0])
        assert sender != receiver or "sgi" in what + name, ends
        led_to.append(name)
    for name in wanted:
        pattern, among = (name[2:], led_to) if name.startswith("->") else (name, seen)
        assert any(re.fullmatch(pattern, other) for other in among), f"no event '{name}' among {sorted(set(among))}"
    print(f"{len(own)} tracks, {events} events, {len(arrows)} arrows")


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, IndexError, KeyError, struct.error) as error:
        sys.exit(f"perfetto.py: not as it should be: {error!r}")
