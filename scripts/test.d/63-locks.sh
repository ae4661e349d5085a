# shellcheck shell=bash
# What the tables ask for about locks.

# lock_named WORD LOCK FUNCTION..: the line that says `is taken WORD` has the address of this lock, and the functions are in the backtrace of the
# CPU that says so, innermost first.
expect_lock_named() {
    local word=$1 lock=$2 address function from=0 at
    shift 2
    "$ROOT/scripts/symbolize" "${image_stage:?}" "$CONSOLE" >"$DIR/named" 2>"$DIR/err" || fail 'scripts/symbolize fails'
    address=$(grep -oEm 1 "the lock at 0x[0-9a-f]+ is taken $word" "$DIR/named" | grep -oE '0x[0-9a-f]+') || fail 'no lock is named'
    grep -qE "^    $address +$lock\$" "$DIR/named" || fail "$address is not named $lock"
    for function in "$@"; do
        at=$(grep -nE " $function at " "$DIR/named" | cut -d: -f1 | awk -v from="$from" '$1 > from { print; exit }')
        [[ -n $at ]] || fail "no $function behind line $from"
        from=$at
    done
}

# lock_reports: in each of the first two scenes of `waits` exactly three reports, of a lock that CPU 1 has for 350 ms, with where both
# CPUs are; then some past the console's own lock, which CPU 1 has; then one of each of the others at least.
expect_lock_reports() {
    local scene cpu
    for scene in masked mutex; do
        diff -u <(for age in 0.050 0.100 0.200; do
            printf 'cpu 0 waits for the lock at A for %s s, taken on cpu 1 %s s ago or before\n  backtrace:\ncpu 1 is here:\n  pc A lr A sp A spsr A\n  backtrace:\n' $age $age
        done) <(sed -n "/^deadlocks: scene $scene\$/,/^deadlocks: scene/p" "$CONSOLE" | sed -E '/^deadlocks:/d; s/backtrace: .*/backtrace:/; s/0x[0-9a-f]+/A/g') \
            || fail "scene $scene: not the reports expected"
    done
    sed -n '/^deadlocks: scene console$/,/^deadlocks: the console came$/p' "$CONSOLE" >"$DIR/scene"
    grep -qE '^cpu 0 waits for the lock at 0x[0-9a-f]+ for 0\.[0-9]+ s, taken on cpu 1 ' "$DIR/scene" || fail 'no report past the lock of the console'
    sed -n '/^deadlocks: scene many$/,$p' "$CONSOLE" >"$DIR/scene"
    for cpu in 0 2 3; do
        grep -qE "^cpu $cpu waits for the lock at 0x[0-9a-f]+ for 0\.[0-9]+ s, taken on cpu 1 " "$DIR/scene" || fail "no report of cpu $cpu"
    done
}

# lock_circle: the report says of CPUs 1 and 2 that each waits for what the other took, and of CPU 0 that it waits for what CPU 1 took.
expect_lock_circle() {
    diff -u - <(sed -n '/^panic on cpu/,/^end of the report/p' "$CONSOLE" | awk '
        /^panic on cpu|^cpu [0-9]+ / { cpu = $1 == "panic" ? $4 : $2 }
        /^  waits for the lock at/ { lines[cpu] = lines[cpu] " waits:" $NF; lock[cpu] = $6 }
        /^  took what is waited for by/ { lines[cpu] = lines[cpu] " took:" $NF }
        END { for (cpu = 0; cpu < 4; cpu++) print cpu lines[cpu]; print lock[0] == lock[2] && lock[0] != lock[1] ? "two locks" : "other locks" }') <<'TEXT' || fail 'not who waits for whom'
0 waits:1
1 waits:2 took:{0,2}
2 waits:1 took:{1}
3
two locks
TEXT
}
