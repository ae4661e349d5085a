# shellcheck shell=bash
# Cores: of a guest and of a log, as Debian's gdb opens them.

# check_core ELF CORE SETTING: gdb finds in it what core_check.py wants. The setting is Python.
check_core() {
    local rc=0
    timeout -k 5 200 gdb-multiarch -q --batch "$1" "$2" -x "$ROOT/scripts/gdb/reveille.py" -ex "python $3" \
        -x "$ROOT/scripts/test.d/core_check.py" >"$DIR/gdb" 2>&1 </dev/null || rc=$?
    cat -- "$DIR/gdb"
    ((rc == 0)) || fail 'not the core expected'
    grep -q '^core: ' "$DIR/gdb" || fail 'nobody has looked at it'
}

# Boot options and what they come to, for those below: the boot CPU panics, and all others have known registers.
CORE_WORDS=(--append 'case=panic others=registers stop_ms=20000 nmi_ms=20000')

# log_with_dump ELF CPUS OPTION..: the console of a panic, with a dump in it, is in $DIR/dump.
log_with_dump() {
    local elf=$1 cpus=$2
    shift 2
    ends_with 101 "$ROOT/scripts/runner" "$elf" "$@" --cpus "$cpus" --timeout 190 "${CORE_WORDS[@]}" --append reveille.core=console
    mv -- "$DIR/stdout" "$DIR/dump"
    say "the dump: $(sed -n '/^-----BEGIN/,/^-----END/p' "$DIR/dump" | wc -c) characters"
}

# core_of_log CPUS FEATURES OPTION..
core_of_log() {
    local cpus=$1 elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" "$2")
    shift 2
    log_with_dump "$elf" "$cpus" "$@"
    ends_with 0 "$ROOT/scripts/core" --from "$DIR/dump" --image "$elf" --output "$DIR/core"
    check_core "$elf" "$DIR/core" "CPUS = $cpus; REPORTER = 0; PLANTED = True"
}

# The same, and then what may become of a log: what is lost is said, by its line, and the rest is there.
core_of_bad_logs() {
    local elf begin end core=$ROOT/scripts/core
    core_of_log 4 '' "$@"
    elf=$(staged 'test' crash "$DEFAULT_TARGET" '')
    begin=$(grep -n '^-----BEGIN' "$DIR/dump" | cut -d : -f 1)
    end=$(grep -n '^-----END' "$DIR/dump" | cut -d : -f 1)
    # Cut off in the middle.
    head -n $(((begin + end) / 2)) "$DIR/dump" >"$DIR/cut"
    ends_with 3 "$core" --from "$DIR/cut" --image "$elf" --output "$DIR/core"
    grep -qF "$DIR/cut: the dump that begins in line $begin has no end" "$DIR/stderr" || fail 'it does not say that the end is missing'
    check_core "$elf" "$DIR/core" 'CPUS = 4; REPORTER = 0; LOST = True'
    # One letter is another.
    sed "$((end - 3))s/[A-Z]/_/" "$DIR/dump" >"$DIR/letter"
    ends_with 3 "$core" --from "$DIR/letter" --image "$elf" --output "$DIR/core"
    grep -qF "$DIR/letter:$((end - 3)): it is no line of a dump" "$DIR/stderr" || fail 'it does not name the line'
    sed "$((end - 3))y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/BCDEFGHIJKLMNOPQRSTUVWXYZA/" "$DIR/dump" >"$DIR/letter"
    ends_with 3 "$core" --from "$DIR/letter" --image "$elf" --output "$DIR/core"
    grep -qF "$DIR/letter:$((end - 3)): its checksum is wrong" "$DIR/stderr" || fail 'it does not name the line'
    # A line is missing.
    sed "$((end - 3))d" "$DIR/dump" >"$DIR/lost"
    ends_with 3 "$core" --from "$DIR/lost" --image "$elf" --output "$DIR/core"
    grep -qF "$DIR/lost:$((end - 3)): 1 lines are missing before it" "$DIR/stderr" || fail 'it does not say what is missing'
    # Without the dump there are the registers of the report; as last words, too.
    sed "$begin,${end}d; s/^/| /" "$DIR/dump" >"$DIR/words"
    ends_with 3 "$core" --from "$DIR/words" --image "$elf" --output "$DIR/core"
    check_core "$elf" "$DIR/core" 'CPUS = 4; REPORTER = 0; PLANTED = True; MEMORY = False'
    # What is no use at all.
    sed "$((begin + 1))d" "$DIR/dump" >"$DIR/first"
    refused "of the dump in line $begin of '.*' the first line is lost, which says what it is of" \
        "$core" --from "$DIR/first" --image "$elf" --output "$DIR/core"
    printf 'nothing\n' >"$DIR/nothing"
    refused "has neither a dump nor the report of a panic" "$core" --from "$DIR/nothing" --output "$DIR/core"
    refused "cannot read '/nonexistent'" "$core" --from /nonexistent
    refused "--image: '$DIR/nothing' is not an ELF" "$core" --from "$DIR/dump" --image "$DIR/nothing"
    # The same image, but for a word of its text.
    cp -- "$elf" "$DIR/other"
    printf '\0\0\0\0' | dd of="$DIR/other" bs=4 seek=$((0x20000 / 4)) conv=notrunc status=none
    refused "the machine ran build [0-9a-f]{16}, but '.*' is build" "$core" --from "$DIR/dump" --image "$DIR/other" --output "$DIR/core"
    refused "--output: '/nonexistent/core' is no place for a file" "$core" --from "$DIR/dump" --output /nonexistent/core
    refused "what is 'roll_call'\? --from makes the core of a log" "$core" --from "$DIR/dump" roll_call
    refused "no example 'no_such'" "$core" no_such
    refused "--print: not here" "$core" --print
}
check core/from-log core_of_bad_logs

# core_of_guest CPUS FEATURES OPTION..: through QEMU's stub.
core_of_guest() {
    local cpus=$1 elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" "$2")
    shift 2
    ends_with 0 "$ROOT/scripts/core" --image "$elf" --output "$DIR/core" "$@" --cpus "$cpus" --timeout 190 "${CORE_WORDS[@]}"
    check_core "$elf" "$DIR/core" "CPUS = $cpus; REPORTER = 0; PLANTED = True"
}
check core/from-guest core_of_guest 4 ''
check core/from-guest/gic2/8 --full core_of_guest 8 '' --gic 2
check core/from-guest/alone --full core_of_guest 1 ''
check core/from-guest/64 --full core_of_guest 64 '' --append deadline_ms=60000
check core/from-guest/el2 --full core_of_guest 4 '' --el 2 --gic 2
check core/from-guest/el2-kept --full core_of_guest 4 el2 --el 2
check core/from-guest/raspi4 --full core_of_guest 4 '' --board raspi4
check core/from-guest/edk2 --full core_of_guest 2 '' --firmware edk2
check core/from-log/gic2/8 --full core_of_log 8 '' --gic 2
check core/from-log/alone --full core_of_log 1 ''
check core/from-log/64 --full core_of_log 64 '' --append deadline_ms=60000
check core/from-log/el2 --full core_of_log 4 '' --el 2
check core/from-log/el2-kept --full core_of_log 4 el2 --el 2 --gic 2
check core/from-log/raspi4 --full core_of_log 4 '' --board raspi4

# Panics everywhere, each with a dump: the backtrace of the one that has panicked goes through the function, to where its CPU began.
# core_from CASE REPORTER FUNCTION FEATURES OPTION..
core_from() {
    local elf case=$1 reporter=$2 function=$3
    elf=$(staged 'test' crash "$DEFAULT_TARGET" "$4")
    shift 4
    ends_with 101 "$ROOT/scripts/runner" "$elf" "$@" --timeout 190 --append "case=$case stop_ms=20000 reveille.core=console"
    mv -- "$DIR/stdout" "$DIR/dump"
    ends_with 0 "$ROOT/scripts/core" --from "$DIR/dump" --image "$elf" --output "$DIR/core"
    timeout -k 5 200 gdb-multiarch -q --batch "$elf" "$DIR/core" -x "$ROOT/scripts/gdb/reveille.py" -ex 'info threads' -ex bt \
        >"$DIR/gdb" 2>&1 </dev/null || true
    cat -- "$DIR/gdb"
    grep -qE "^\\* 1 +LWP $((reporter + 1)) \"cpu $reporter " "$DIR/gdb" || fail 'it begins with another CPU'
    grep -qE "^#[0-9]+ +(0x[0-9a-f]+ in )?$function" "$DIR/gdb" || fail "the backtrace has no $function"
    grep -qE '^#[0-9]+ .*(boot_on_own_stacks|arrival::secondary) ' "$DIR/gdb" || fail 'the backtrace does not go to where a CPU begins'
}
check core/panic/timer/gic2 --full core_from timer 0 crash::fail '' --gic 2
check core/panic/timer/gic3 --full core_from timer 0 reveille_vectors_el1 ''
check core/panic/timer/el2-kept --full core_from timer 0 reveille_vectors_el2 el2 --el 2
check core/panic/nmi --full core_from nmi 3 reveille_vectors_el1 ''
check core/panic/sync-call --full core_from sync-call 0 crash::fail ''
check core/panic/exception --full core_from read 0 crash::fail ''
check core/panic/overflow --full core_from secondary-overflow 3 crash::overflow ''
check core/panic/masked --full core_from masked 0 crash::main ''

# A report that fails, and one whose console is not there any more, leave a dump or none, and end as without one.
nested_dump() {
    local elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" '')
    ends_with 101 "$ROOT/scripts/runner" "$elf" --icount --timeout 190 --append 'case=twice reveille.core=console'
    grep -q '^panic while a panic was reported: ' "$DIR/stdout" || fail 'it did not fail twice'
    mv -- "$DIR/stdout" "$DIR/dump"
    ends_with 0 "$ROOT/scripts/core" --from "$DIR/dump" --image "$elf" --output "$DIR/core"
}
check core/panic/twice --full nested_dump

# What the bootarg may be, and that without it there is no dump.
dump_bootarg() {
    local elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" '')
    ends_with 101 "$ROOT/scripts/runner" "$elf" --icount --timeout 190 --append 'case=panic reveille.core=disk'
    grep -q 'bootargs: reveille.core=disk: neither off nor console; it stays off' "$DIR/stdout" || fail 'nothing is said of it'
    ! grep -q '^-----' "$DIR/stdout" || fail 'there is a dump'
}
check core/bootarg --full dump_bootarg

# gdb_session ELF OPTION.. -- COMMAND..: the debugger does this with a guest that has not begun, and the code of the run is CODE.
gdb_session() {
    local elf=$1 command pid port rc=0 words=() word
    halves "${@:2}"
    "$ROOT/scripts/runner" "$elf" --gdb --timeout 200 "${BEFORE[@]}" >"$DIR/console" 2>"$DIR/err" </dev/null &
    pid=$!
    wait_for 60 grep -q 'target remote' "$DIR/err" || true
    cat -- "$DIR/err"
    command=$(sed -n 's/^  *gdb-multiarch/gdb-multiarch/p' "$DIR/err")
    port=$(sed -n 's/.*target remote 127.0.0.1:\([0-9]*\).*/\1/p' "$DIR/err")
    wait_for 60 grep -q "$(printf ':%04X 00000000:0000 0A ' "$port")" /proc/net/tcp || true
    for word in "${AFTER[@]}"; do
        words+=(-ex "$word")
    done
    timeout -k 5 200 bash -c "$command --batch $(quoted "${words[@]}")" >"$DIR/gdb" 2>&1 </dev/null || true
    cat -- "$DIR/gdb"
    [[ ${CODE:-} ]] || kill "$pid" 2>/dev/null || true
    wait "$pid" || rc=$?
    cat -- "$DIR/console"
    [[ -z ${CODE:-} ]] || ((rc == CODE)) || fail "exit code $rc"
}

# A break on one CPU stops all, which say where they are; then hotplug goes on, with CPUs that come and go.
gdb_hotplug() {
    CODE=0 gdb_session "$(staged example hotplug)" "$@" -- 'hbreak reveille_leave' continue 'info threads' 'reveille cpus' \
        'reveille slots' 'reveille calls' 'delete' continue
    grep -Eq '^Thread [0-9]+ .*hit Breakpoint 1' "$DIR/gdb" || fail 'nothing hit the breakpoint'
    ! grep -q '(running)' "$DIR/gdb" || fail 'a CPU runs on'
    grep -Eq '^[0-9]+ +0x[0-9a-f]+ +(dying|gone) +[0-9]+ +- +[0-9]+ +reveille_leave' "$DIR/gdb" || fail 'no CPU is leaving'
}
check gdb/hotplug/gic2 --full --alone gdb_hotplug --gic 2
check gdb/hotplug/gic3 --full --alone gdb_hotplug --cpus 8

# In the middle of a report.
mid_panic() {
    local elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" '')
    gdb_session "$elf" --cpus 4 "${CORE_WORDS[@]}" -- 'hbreak reveille::panic::report::other' continue "reveille capture $DIR/capture" kill
    ends_with 0 "$ROOT/scripts/core" --from "$DIR/capture" --image "$elf" --output "$DIR/core"
    check_core "$elf" "$DIR/core" 'CPUS = 4; REPORTER = 0; PLANTED = True'
}
check core/mid-panic --full --alone mid_panic

# Nobody has panicked: the machine as it runs.
running_core() {
    local elf
    elf=$(staged example monitor)
    ends_with 0 "$ROOT/scripts/core" --image "$elf" --cpus 3 --timeout 30 --output "$DIR/core"
    timeout -k 5 200 gdb-multiarch -q --batch "$elf" "$DIR/core" -x "$ROOT/scripts/gdb/reveille.py" -ex 'reveille cpus' -ex 'thread apply all bt' \
        >"$DIR/gdb" 2>&1 </dev/null || true
    cat -- "$DIR/gdb"
    (($(grep -cE '^[0-2] +0x[0-2] +online +[01] +- +[1-3] +\S' "$DIR/gdb") == 3)) || fail 'not three CPUs that run'
    grep -q '^#.* monitor::main ' "$DIR/gdb" || fail 'main is nowhere'
    failed 'the guest has ended with code 0 before there was a panic' "$ROOT/scripts/core" --image "$(staged example roll_call)" --output "$DIR/core"
}
check core/running --full running_core

# What the CPUs have noted is in a core, and the debugger shows it in the order of time.
traced_core() {
    local elf
    elf=$(staged 'test' crash "$DEFAULT_TARGET" trace)
    ends_with 0 "$ROOT/scripts/core" --image "$elf" "${CORE_WORDS[@]}" --append reveille.trace=overwrite "$@" --output "$DIR/core"
    timeout -k 5 200 gdb-multiarch -q --batch "$elf" "$DIR/core" -x "$ROOT/scripts/gdb/reveille.py" -ex 'reveille trace 1000' \
        -ex 'reveille trace 1 1' -ex 'reveille trace now' -ex 'reveille trace 1 9' >"$DIR/gdb" 2>&1 </dev/null || true
    cat -- "$DIR/gdb"
    grep -Eq '^[0-9.]+ +0 +panic$' "$DIR/gdb" || fail 'the panic is not there'
    (($(grep -cE '^[0-9.]+ +[123] +stopped$' "$DIR/gdb") >= 3)) || fail 'not that the others were stopped'
    (($(grep -cE '^[0-9.]+ +[123] +arrive +1$' "$DIR/gdb") == 3)) || fail 'not that they had come'
    awk '/^[0-9]+\.[0-9]+ / { if ($1 < last) exit 1; last = $1 } / records; / { exit }' "$DIR/gdb" || fail 'not in order'
    grep -q '^1 of ' "$DIR/gdb" || fail 'not as many as were asked for'
    grep -q 'the number of records, and of a CPU, and nothing else' "$DIR/gdb" || fail 'it takes nonsense'
    grep -q 'there is no cpu 9; the last one is 3' "$DIR/gdb" || fail 'it takes a CPU that there is not'
    elf=$(staged 'test' crash "$DEFAULT_TARGET" '')
    timeout -k 5 200 gdb-multiarch -q --batch "$elf" -x "$ROOT/scripts/gdb/reveille.py" -ex 'reveille trace' >"$DIR/gdb" 2>&1 </dev/null || true
    grep -q 'the image was built without the feature .trace.' "$DIR/gdb" || fail 'it does not say why there is nothing'
}
check core/trace --full traced_core
check core/trace/raspi4 --full traced_core --board raspi4b

# A ring that something has written over: what is in it is counted as not whole, by the debugger and by the machine itself, which goes on.
spoilt_ring() {
    CODE=0 gdb_session "$(staged example hotplug "$DEFAULT_TARGET" trace)" --append reveille.trace=overwrite -- 'hbreak reveille_leave' continue \
        'reveille trace 5' 'python import reveille; rings = reveille.Rings()' \
        'python gdb.selected_inferior().write_memory(rings.slots, b"\xa5" * rings.size)' 'reveille trace 5 0' delete continue
    grep -Eq '^5 of [0-9]+ records; ' "$DIR/gdb" || fail 'there are no records'
    grep -Eq '^0 of 0 records; [1-9][0-9]* more are no longer there, or not whole$' "$DIR/gdb" || fail 'it takes what is none'
    "$(host_tool trace)" --log "$DIR/console" --perfetto "$DIR/hotplug.pftrace" 2>&1 | tee "$DIR/said"
    grep -Eq '[0-9]+ unfinished' "$DIR/said" || fail 'the trace is not whole'
}
check gdb/trace/spoilt --full --alone spoilt_ring
