# shellcheck shell=bash
# Every public function called in every context: tests/target/contexts.table says what is to come of it, and the page what is
# promised of it is made from that table.

# called_in CONTEXT,.. [FEATURES] [-- OPTIONS]: in these contexts, on such a machine. Under --icount: what takes how long, and what
# hangs, is the same on every run.
called_in() {
    local contexts=$1 features=critical-section,lock_api,trace elf
    shift
    if (($#)) && [[ $1 != -- ]]; then
        features=$(normal_features 'test' "$1,$features")
        shift
    fi
    [[ ${1:-} != -- ]] || shift
    elf=$(staged 'test' contexts "$DEFAULT_TARGET" "$features")
    # shellcheck disable=SC2034 # `fail` says so
    AGAIN="tests/target/contexts.py check $contexts scripts/runner $(quoted "$elf" "$@")"
    python3 "$ROOT/tests/target/contexts.py" check "$contexts" "$ROOT/scripts/runner" "$elf" "$@" || fail 'not as the table says'
}
check contexts/gic3 --image test:contexts+critical-section,lock_api,trace --limit 1200 called_in all
check contexts/gic2 --image test:contexts+critical-section,lock_api,trace called_in lock,handler,job-each,offline-undo,leaving,nmi-in-lock -- --gic 2
check contexts/mask-daif --image test:contexts+critical-section,lock_api,trace called_in section,post,job,online,nmi-in-lock -- --append reveille.mask=daif
check contexts/el2-kept --full called_in masked,timer,offline,nmi,hook el2 -- --el 2
check contexts/full/gic2 --full --limit 1200 called_in all -- --gic 2
check contexts/full/mask-daif --full --limit 1200 called_in all -- --append reveille.mask=daif
check contexts/full/el2-kept --full --limit 1200 called_in all el2 -- --el 2
check contexts/full/cpu-cortex-a72 --full --limit 1200 called_in all -- --cpu cortex-a72

contexts_page() {
    python3 "$ROOT/tests/target/contexts.py" complete
    python3 "$ROOT/tests/target/contexts.py" agree "$ROOT/docs/guarantees.md"
}
check contexts/page contexts_page
