# shellcheck shell=bash
# The examples of embassy/: what the table of the same name cannot say.

# The example async_server, talked to through a terminal: async_server.py says what is typed. async_server CPUS [FEATURES] -- OPTION..
async_server() {
    local elf
    halves "$@"
    elf=$(staged example async_server "$DEFAULT_TARGET" "${BEFORE[1]:-}")
    timeout -k 5 280 python3 "$ROOT/scripts/test.d/async_server.py" "${BEFORE[0]}" "$ROOT/scripts/runner" "$elf" --cpus "${BEFORE[0]}" "${AFTER[@]}" </dev/null \
        || fail 'not the conversation expected'
}
check async-server/gic3 --image async_server --limit 300 async_server 4
check async-server/raspi4 --image async_server --limit 300 async_server 4 -- --board raspi4b
check async-server/gic2 --full --limit 300 async_server 8 -- --gic 2
# Of two CPUs there is none that has nothing to do with it.
check async-server/two --full --limit 300 async_server 2
check async-server/el2-kept --full --limit 300 async_server 4 el2 -- --el 2
check async-server/raspi4/pl011 --full --limit 300 async_server 4 -- --board raspi4b --console pl011

# Scripts find them like the others, with the features of their own package and of the runtime.
async_builds() {
    local lines
    mapfile -t lines < <(cd / && "$ROOT/scripts/build" --features el2 async_hello)
    ((${#lines[@]} == 2)) || fail "${#lines[@]} lines on stdout"
    [[ ${lines[0]} == */release/examples/async_hello ]] || fail "not the example: ${lines[0]}"
    refused "--features: unknown 'el4'; there are: .*el2, .*heap, .*log" "$ROOT/scripts/build" --features el4 async_hello
    refused "--features: unknown 'defmt'; there are: .*el2, .*heap" "$ROOT/scripts/build" --features defmt roll_call
    refused "no example 'async'; there are: async_hello, .*roll_call" "$ROOT/scripts/build" async
}
check scripts/async-examples async_builds
