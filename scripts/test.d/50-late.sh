# shellcheck shell=bash
# A CPU that is frozen from outside, which takes more than a boot: see tests/target/late.cases for the rest of its kind.

check clippy/shim --cargo run_cargo clippy -p reveille-shim --target aarch64-unknown-none-softfloat -- -D warnings

# frozen CPUS [FEATURES] OPTION..: QEMU's gdb stub keeps the last CPU from running a single instruction until it was called
# off; then it goes on, loses, and comes online the next time.
frozen() {
    local cpus=$1 features=$2 elf line command=() rc=0
    shift 2
    elf=$(staged test frozen '' "$features")
    line=$("$ROOT/scripts/runner" "$elf" --print --cpus "$cpus" --append deadline_ms=500 "$@")
    say "+ tests/target/frozen.py $cpus $line"
    # The line is made to be read by a shell.
    eval "command=($line)"
    python3 "$ROOT/tests/target/frozen.py" --timeout 200 "$cpus" "${command[@]}" >"$DIR/console.raw" || rc=$?
    take_console "$DIR/console.raw"
    CODE=$rc check_expectation "/^cpu $((cpus - 1)) .* revoked generation 1\$/ ; /online with generation 2\$/"
}
check frozen/gic2 --image test:frozen --limit 900 frozen 4 '' --gic 2
check frozen/gic3 --image test:frozen --limit 900 frozen 4 '' --gic 3
check frozen/el2-kept --image test:frozen+el2 --limit 900 frozen 4 el2 --el 2
check frozen/cpus-2 --image test:frozen --limit 900 frozen 2 ''
