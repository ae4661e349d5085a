# shellcheck shell=bash
# The example monitor, talked to through a terminal: monitor.py says what is typed.

# monitor SCENE OPTION..: with the CPUs that $monitor_cpus says, or 4; of the console $monitor_console says what monitor.py is to know.
monitor_console=()
monitor() {
    local scene=$1 elf
    shift
    elf=$(staged example monitor "$DEFAULT_TARGET" "${monitor_features:-}")
    timeout -k 5 280 python3 "$ROOT/scripts/test.d/monitor.py" "${monitor_console[@]}" "$scene" "${monitor_cpus:-4}" "$ROOT/scripts/runner" "$elf" "$@" </dev/null \
        || fail 'not the conversation expected'
}
check monitor/talk/gic2 --image monitor --limit 300 monitor talk --gic 2
check monitor/talk/gic3 --image monitor --limit 300 monitor talk --gic 3
check monitor/talk/raspi4/mini --image monitor --limit 300 monitor talk --board raspi4b
check monitor/talk/raspi4/pl011 --full --image monitor --limit 300 monitor talk --board raspi4b --console pl011
check monitor/top/gic3 --image monitor --limit 300 monitor top --gic 3
check monitor/top/gic2 --full --image monitor --limit 300 monitor top --gic 2
check monitor/top/raspi3 --full --image monitor --limit 300 monitor top --board raspi3b
monitor_trace() {
    local monitor_features=trace
    monitor trace "$@"
}
check monitor/trace/gic3 --full --limit 300 monitor_trace --gic 3
check monitor/trace/raspi4 --full --limit 300 monitor_trace --board raspi4b
monitor_two() {
    local monitor_cpus=2
    monitor "$@"
}
monitor_polled() {
    local monitor_console=(--polled)
    monitor "$@"
}
# More than any buffer holds, typed before it boots: none is lost where nothing lies between.
typed_ahead() {
    local elf i
    elf=$(staged example monitor)
    for ((i = 0; i < 500; i++)); do
        printf 'call 1\r'
    done >"$DIR/typed"
    printf 'off\r' >>"$DIR/typed"
    "$ROOT/scripts/runner" "$elf" "$@" --no-interactive --timeout 200 <"$DIR/typed" >"$DIR/console.raw" 2>"$DIR/stderr" || fail "exit code $?"
    take_console "$DIR/console.raw"
    CODE=0 check_expectation 'count 500 ^cpu_1_answers_1_after_ ; !/no such command/'
}
for console in virtio virtio-legacy; do
    check "monitor/ahead/$console" --full --limit 300 typed_ahead --console "$console"
    check "monitor/talk/$console" --full --limit 300 monitor_polled talk --console "$console"
    check "monitor/panic/$console" --full --limit 300 monitor_polled panic --console "$console"
done
for board in zcu102 imx8mp; do
    check "monitor/talk/$board" --full --limit 300 monitor talk --board "$board"
done
check monitor/talk/versal --full --limit 300 monitor_two talk --board versal
check monitor/talk/raspi3/mini --full --image monitor --limit 300 monitor talk --board raspi3b
check monitor/talk/raspi3/pl011 --full --image monitor --limit 300 monitor talk --board raspi3ap --console pl011
check monitor/panic/gic3 --image monitor --limit 300 monitor panic
check monitor/panic/raspi4 --image monitor --limit 300 monitor panic --board raspi4b
check monitor/leave --image monitor --limit 300 monitor leave

# As one starts it: by the script that builds it first, which at a terminal makes it interactive by itself. What cargo has to say there
# comes before, and the cargo of another case may let it wait.
monitor_run() {
    staged example monitor >/dev/null
    timeout -k 5 580 python3 "$ROOT/scripts/test.d/monitor.py" --patience 400 leave 4 "$ROOT/scripts/run" "$@" monitor </dev/null \
        || fail 'not the conversation expected'
}
check monitor/run --image monitor monitor_run

interactive_options() {
    refused '--interactive: stdin is no terminal' "$ROOT/scripts/run" --interactive
    # Without a terminal it is an example like others: it boots, goes on, and ends when it is told to.
    local pid rc=0 up=yes
    "$ROOT/scripts/runner" "$(staged example monitor)" --timeout 200 </dev/null >"$DIR/console" 2>"$DIR/err" &
    pid=$!
    wait_for 120 grep -q '"help" lists the commands' "$DIR/console" || up=no
    kill "$pid" || fail 'it ends by itself'
    wait "$pid" || rc=$?
    cat -- "$DIR/console" "$DIR/err"
    [[ $up == yes ]] || fail 'it does not boot'
    ((rc == 143)) || fail "exit code $rc, expected 143"
}
check monitor/options interactive_options
