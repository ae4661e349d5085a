# shellcheck shell=bash
# Images as `cargo run` builds them, without optimisation: every frame is several times as large, and nothing says what is wrong with
# a program that ends before it begins.

# unoptimised KIND NAME [FEATURES]: the path of such an image, kept apart from what cargo builds next.
unoptimised() {
    local stage=$STATE/unoptimised/${3:-default}/$1
    mkdir -p -- "$stage"
    CARGO_PROFILE_DEV_OPT_LEVEL=0 alone_with_cargo copy_image "$stage/$2" "$1" "$DEFAULT_TARGET" "${3:-}" dev "$2"
    printf '%s\n' "$stage/$2"
}

# unoptimised_run KIND NAME FEATURES EXPECTATION OPTION..
# shellcheck disable=SC2034 # CODE is for check_expectation
unoptimised_run() {
    local expected=$4
    image_stage=$(unoptimised "$1" "$2" "$3")
    shift 4
    CODE=0
    if find_until "$expected"; then
        run_until "$UNTIL" "$image_stage" --timeout 100 "$@"
    else
        "$ROOT/scripts/runner" "$image_stage" --timeout 100 "$@" >"$DIR/console.raw" 2>"$DIR/stderr" </dev/null || CODE=$?
    fi
    take_console "$DIR/console.raw"
    check_expectation "$expected"
}
check unoptimised/roll-call unoptimised_run example roll_call '' 'roll_call 4'
check unoptimised/panic unoptimised_run 'test' crash '' \
    'code 101 ; panic_report 4 reporter=3 all=sgi,gate frames=3 message=^on_a_secondary' --gic 2 --append case=secondary --append stop_ms=20000
check unoptimised/roll-call/gic3/64 --full unoptimised_run example roll_call '' 'roll_call 64' --cpus 64 --append deadline_ms=60000
check unoptimised/roll-call/gic2/8 --full unoptimised_run example roll_call '' 'roll_call 8' --gic 2 --cpus 8 --el 2
check unoptimised/roll-call/el3 --full unoptimised_run example roll_call '' 'roll_call 4' --el 3
check unoptimised/roll-call/el2-kept/gic2 --full unoptimised_run example roll_call el2 'roll_call 8' --gic 2 --cpus 8 --el 2
check unoptimised/roll-call/el2-kept/gic3 --full unoptimised_run example roll_call el2 'roll_call 64' --cpus 64 --el 2 --append deadline_ms=60000
check unoptimised/roll-call/raspi4 --full unoptimised_run example roll_call '' 'roll_call 4' --board raspi4b
check unoptimised/hotplug --full unoptimised_run example hotplug '' '/^60 times down, 60 times up$/'
check unoptimised/static-key --full unoptimised_run example static_key '' '/^0 turns took the old way$/'
check unoptimised/sizes --full unoptimised_run 'test' sizes '' 'code 101 ; /^sizes: 8 stacks filled$/ ; /guard page of the thread stack of cpu 3: stack overflow/' --append case=thread
check unoptimised/least --full unoptimised_run 'test' least '' 'code 101 ; /^least: all good$/'
check unoptimised/large --full unoptimised_run 'test' large '' '/^large: all good on 4 CPUs$/'
check unoptimised/calls --full unoptimised_run 'test' calls '' 'code 0'
for unoptimised_case in overflow secondary-overflow timer timer-overflow nmi stop-machine; do
    check "unoptimised/panic/$unoptimised_case" --full unoptimised_run 'test' crash '' \
        'code 101 ; panic_report 4 all=sgi,nmi,gate' --append "case=$unoptimised_case" --append stop_ms=20000
done
unset unoptimised_case
