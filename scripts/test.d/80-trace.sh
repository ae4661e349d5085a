# shellcheck shell=bash
# What is made of a trace: the file for Perfetto, the picture of a bring-up, and what is said of a trace that is not whole.

# The image that notes everything.
trace_image() {
    staged 'test' tracing "$DEFAULT_TARGET" trace
}

# The kinds of events, as perfetto.py has them. The last CPU is called, leaves and comes back.
KINDS=('kick CPU 3' '->arrive' arrive online 'settled CPU 1' 'sgi \d+ to CPU \d.*' 'interrupt SGI \d+' '->interrupt SGI \d+' 'interrupt \d+'
    'call CPU 3' '->run call' 'call each' 'call to CPU 1' 'post CPU 3' '->run post' idle 'stop machine' gathered job attend 'cpu_down CPU 3'
    leave gone keys 'the switch is on' largest signed nmi)

# looks_right FILE [NAME..]: what was made for Perfetto, read by another decoder than the one that goes with its encoder.
looks_right() {
    python3 "$ROOT/scripts/test.d/perfetto.py" "$1" 4 "${@:2}" || fail "$1 is not as it should be"
}

# Everything happens once, and is in the file; and a log that is not whole is told from one that is.
trace_kinds() {
    local elf tool rc=0 line
    elf=$(trace_image)
    tool=$(host_tool trace)
    "$ROOT/scripts/runner" "$elf" --timeout 200 --append 'case=kinds nmi_ms=20000 reveille.trace=overwrite' >"$DIR/console" </dev/null || rc=$?
    ((rc == 101)) || fail "exit code $rc"
    "$tool" --log "$DIR/console" --perfetto "$DIR/kinds.pftrace" --svg "$DIR/bring-up.svg"
    looks_right "$DIR/kinds.pftrace" "${KINDS[@]}" stopped panic
    grep -q 'CPU 3</text>.*>kicked [0-9.]* by CPU 0, arrived [0-9.]*, online [0-9.]*<' "$DIR/bring-up.svg" || fail 'CPU 3 is not in the picture'
    python3 -c 'import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])' "$DIR/bring-up.svg" || fail 'the picture is no XML'
    # One character is another one, a line is missing, the end is, there is none.
    line=$(grep -n '^~R 0' "$DIR/console" | head -n 1 | cut -d : -f 1)
    sed "${line}s/,/;/" "$DIR/console" >"$DIR/spoilt"
    failed "spoilt': line $line: the checksum is [0-9a-f]{8}, that of the line [0-9a-f]{8}" \
        "$tool" --log "$DIR/spoilt" --perfetto "$DIR/none"
    sed "${line}d" "$DIR/console" >"$DIR/missing"
    failed "missing': line [0-9]+: CPU 0 has written [0-9]+ records, and [0-9]+ are here" "$tool" --log "$DIR/missing" --perfetto "$DIR/none"
    head -n "$line" "$DIR/console" >"$DIR/cut"
    failed "cut': line $line: the trace ends here, without its last line" "$tool" --log "$DIR/cut" --perfetto "$DIR/none"
    grep -v '^~' "$DIR/console" >"$DIR/without" || true
    failed 'no trace in these [0-9]+ lines' "$tool" --log "$DIR/without" --perfetto "$DIR/none"
    [[ ! -e $DIR/none ]] || fail 'a file was written of what is not whole'
    "$tool" --log "$DIR/spoilt" --partial --perfetto "$DIR/partial.pftrace" 2>"$DIR/said"
    grep -q "line $line: the checksum is .*: left out" "$DIR/said" || fail 'it does not say what is left out'
    looks_right "$DIR/partial.pftrace"
}
check trace/kinds trace_kinds

# The same by the script, with its own words.
trace_script() {
    "$ROOT/scripts/trace" -o "$DIR/roll_call.pftrace" --svg "$DIR/roll_call.svg" --mode drop "$@" --timeout 200 >"$DIR/console"
    looks_right "$DIR/roll_call.pftrace" '->arrive' online idle
    grep -q '^roll call: 4 possible, 4 online' "$DIR/console" || fail 'the console is not there'
    ! grep -q '^~' "$DIR/console" || fail 'the trace is on the console'
}
check trace/script --full trace_script roll_call
check trace/script/el2-kept --full trace_script --features el2 --el 2 --gic 2 roll_call
check trace/script/raspi4 --full trace_script --board raspi4b roll_call

# Out of a memory core.
trace_core() {
    local elf
    elf=$(trace_image)
    python3 "$ROOT/scripts/test.d/trace_core.py" "$ROOT/scripts/runner" "$elf" "$DIR" '^trace: here it stays' --timeout 0 \
        --append 'case=stay nmi_ms=20000 reveille.trace=overwrite' "$@"
    "$ROOT/scripts/trace" --core "$DIR/core" --elf "$elf" -o "$DIR/core.pftrace"
    looks_right "$DIR/core.pftrace" "${KINDS[@]}"
    head -c 100000 "$DIR/core" >"$DIR/short"
    failed 'cut off|not in the core|no memory core' "$ROOT/scripts/trace" --core "$DIR/short" --elf "$elf" -o "$DIR/none"
    failed "no symbol 'reveille_trace'" "$ROOT/scripts/trace" --core "$DIR/core" --elf "$(staged example roll_call)" -o "$DIR/none"
    rm -f -- "$DIR/core"
}
check trace/core --full trace_core

# Perfetto's own UI opens it, and its trace processor finds in it what there is: tracks, slices, arrows, and nothing that it could not read.
trace_perfetto() {
    local query
    need_extra perfetto
    "$ROOT/scripts/trace" -o "$DIR/hotplug.pftrace" --timeout 200 "$@" hotplug >"$DIR/console"
    query=(--query "select count(*) from track where name like 'CPU %'"
        --query "select count(*) from slice where name = 'stop machine' and dur > 0"
        --query "select count(*) from flow join slice i on i.id = slice_in join slice o on o.id = slice_out
                 where o.name like 'sgi %' and i.name like 'interrupt SGI %' and i.track_id <> o.track_id and i.ts >= o.ts"
        --query "select count(*) from slice where name = 'leave' and dur < 0")
    python3 "$ROOT/scripts/lib/perfetto_ui.py" --picture "$DIR/picture.png" "${query[@]}" "$(perfetto_ui)" "$DIR/hotplug.pftrace" | tee "$DIR/answers"
    python3 - "$DIR/answers" <<'TEXT' || fail 'not what is in it'
import json
import sys

tracks, rounds, arrows, leaving = (json.loads(line)[0][0] for line in open(sys.argv[1]))
assert tracks == 4, tracks
assert rounds > 0 and arrows > 0, (rounds, arrows)
assert leaving == 0, leaving
TEXT
    [[ $(head -c 4 -- "$DIR/picture.png" | tail -c 3) == PNG ]] || fail 'no picture'
    head -c 1000 /dev/urandom >"$DIR/noise"
    failed 'the UI says: Cannot open this file' python3 "$ROOT/scripts/lib/perfetto_ui.py" "$(perfetto_ui)" "$DIR/noise"
}
check trace/perfetto --full --double --limit 900 trace_perfetto

# A record costs what it may, and a site nothing but its NOP.
bench_trace() {
    "$ROOT/scripts/bench" --trace --jobs 1 --check
}
check bench/trace --full --limit 900 bench_trace
