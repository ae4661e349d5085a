# shellcheck shell=bash
# Tests of one's own: what `cargo test` makes of the package tests/harness, whose tests end in every way in which one can.

# harness_test CODE WORD..: `cargo test` of it ends with this exit code. Without optimisation, as users have it. What it says is left in $DIR/said.
harness_test() {
    local code=$1 rc=0
    shift
    run_cargo test -p reveille-harness --profile dev --target "$DEFAULT_TARGET" "$@" >"$DIR/said" 2>&1 || rc=$?
    cat -- "$DIR/said"
    ((rc == code)) || fail "exit code $rc, expected $code"
}

# ended LINE..: just these tests are over, in any order, as `test LINE` says.
ended() {
    # Without what consoles have, which may say anything.
    diff <(sed '/^failures:$/,/^test result: /d; /^test result: /d' "$DIR/said" | sed -n 's/^test \([^ ]* .*\)$/\1/p' | sort) <(printf '%s\n' "$@" | sort) || fail 'not these verdicts'
}

# sums_up LINE..: the results of the programs, in their order, as far as they are the same each time.
sums_up() {
    diff <(sed -n 's/^test result: \(.*\); finished in [0-9.]*s$/\1/p' "$DIR/said") <(printf '%s\n' "$@") || fail 'not this result'
}

# console_of TEST REGEX..: what is shown of a test that failed has a line for each of these.
console_of() {
    local test=$1 regex
    shift
    awk -v "head=---- $test stdout ----" '$0 == head { on = 1; next } /^---- |^(failures|successes):$/ { on = 0 } on' "$DIR/said" >"$DIR/console"
    for regex; do
        grep -Eqe "$regex" -- "$DIR/console" || fail "the console of $test has no line like /$regex/"
    done
}

# Every way in which a test can end, each in a boot of its own.
# shellcheck disable=SC2016 # backticks of the message
harness_outcomes() {
    harness_test 101 --test outcomes
    ended 'fails::by_a_code ... FAILED' 'fails::by_a_panic ... FAILED' 'fails::by_a_panic_elsewhere ... FAILED' \
        'fails::by_an_error ... FAILED' 'fails::by_ending_the_machine ... FAILED' 'fails::by_hanging ... FAILED' \
        'fails::by_not_panicking - should panic ... FAILED' 'fails::by_panicking_otherwise - should panic ... FAILED' \
        'fails::by_the_code_of_a_panic - should panic ... FAILED' 'ignored::with_a_reason ... ignored, nobody has time for it' \
        'ignored::without ... ignored' 'panics::by_an_exception - should panic ... ok' 'panics::with_a_text - should panic ... ok' \
        'passes ... ok' 'passes_in_the_middle_of_a_line ... ok'
    sums_up 'FAILED. 4 passed; 9 failed; 2 ignored; 0 measured; 0 filtered out'
    console_of fails::by_a_code '^returned the exit code 7$'
    console_of fails::by_a_panic '^panic on cpu 0 at .* s: assertion `left == right` failed: so it is not$' '^  backtrace: 0x' '^end of the report: '
    console_of fails::by_a_panic_elsewhere '^panic on cpu 1 at .* s: on another CPU$'
    console_of fails::by_an_error '^returned the error "it did not work"$'
    console_of fails::by_ending_the_machine '^test fails::by_ending_the_machine \.\.\. ok$' '^note: the machine ended with the exit code 0 before it returned$'
    console_of fails::by_hanging '^note: it (was not over|had not begun) after 6 s: the machine was stopped$'
    console_of fails::by_not_panicking '^it should have panicked, and returned$'
    console_of fails::by_panicking_otherwise 'expected substring: "something else"$'
    console_of fails::by_the_code_of_a_panic '^note: test did not panic as expected: the machine ended with the exit code 101$'
    # What passed has not been shown.
    ! grep -q 'said by what passes' "$DIR/said" || fail 'the console of a test that passed'
}
check harness/outcomes --limit 900 harness_outcomes

# Beside the code of a library and of a program. And what is not chosen does not run.
harness_unit() {
    harness_test 0 --lib --bins
    ended 'a_number_is_printed ... ok' 'tests::the_larger_of_two ... ok' 'tests::the_largest_id ... ok'
    harness_test 0 --lib --bins -- largest --show-output --cpus 1
    ended 'tests::the_largest_id ... ignored, it wants 2 CPUs, and this machine has 1'
    sums_up 'ok. 0 passed; 0 failed; 1 ignored; 0 measured; 1 filtered out' 'ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out'
}
check harness/unit --full --limit 900 harness_unit

# The same in as few boots as there can be: after what ends one there is another.
harness_one_boot() {
    harness_test 101 --test outcomes -- --one-boot --include-ignored
    sums_up 'FAILED. 5 passed; 10 failed; 0 ignored; 0 measured; 0 filtered out'
    console_of fails::by_ending_the_machine '^note: the machine ended with the exit code 0 before it returned$'
    console_of fails::by_hanging '^note: it (was not over|had not begun) after 6 s: the machine was stopped$'
    console_of ignored::without '^panic on cpu 0 at .* s: it was asked for$'
    REVEILLE_RUN='--append log=info' harness_test 0 --test machines -- --one-boot --nocapture
    # Two of the eight want the same machine, and do not want it for themselves.
    [[ $(grep -c 'INFO: an image on Reveille ' "$DIR/said") == 7 ]] || fail 'not seven boots'
    sums_up 'ok. 8 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'
}
check harness/one-boot --full --limit 900 harness_one_boot

# Machines as the tests want them, and as the command line has them. machines_of OPTION.. -- LINE..
machines_of() {
    halves "$@"
    harness_test 0 --test machines -- "${BEFORE[@]}"
    ended "${AFTER[@]}"
}
harness_machines() {
    local cpus
    machines_of -- 'all_answer ... ok' 'alone ... ok' 'entered_at_2 ... ok' 'nobody_is_called_who_is_off ... ok' 'of_version_2 ... ok' 'of_version_3 ... ok' 'one_comes ... ok' 'sixteen ... ok'
    for cpus in 1 2 4 8 16; do
        harness_test 0 --test machines -- --cpus "$cpus" all_answer alone of_version_3
        sums_up 'ok. 3 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out'
    done
    machines_of --gic 2 -- 'all_answer ... ok' 'alone ... ok' 'entered_at_2 ... ok' 'nobody_is_called_who_is_off ... ok' 'of_version_2 ... ok' \
        'of_version_3 ... ignored, it wants a GICv3, and this machine has a GICv2' 'one_comes ... ok' \
        'sixteen ... ignored, --cpus: 16 CPUs with --gic 2, but a GICv2 has 8 at most'
    machines_of --el 3 --cpus 2 -- 'all_answer ... ok' 'alone ... ok' \
        'entered_at_2 ... ignored, it wants to be entered at EL2, and this machine enters at EL3' \
        'nobody_is_called_who_is_off ... ok' 'of_version_2 ... ok' 'of_version_3 ... ok' 'one_comes ... ok' 'sixteen ... ignored, it wants 16 CPUs, and this machine has 2'
}
check harness/machines --full --double --limit 1800 harness_machines
harness_raspi4() {
    machines_of --board raspi4 -- 'all_answer ... ok' 'alone ... ok' 'entered_at_2 ... ok' 'nobody_is_called_who_is_off ... ok' 'of_version_2 ... ok' \
        'of_version_3 ... ignored, --gic: raspi4 has a GIC-400, which is version 2' 'one_comes ... ok' \
        'sixteen ... ignored, --cpus: raspi4 has 4, no more and no less'
}
check harness/raspi4 --full --limit 900 harness_raspi4

# Sets ELF to a program of tests, without running it: harness_elf TEST
harness_elf() {
    local path
    path=$(run_cargo test -p reveille-harness --profile dev --target "$DEFAULT_TARGET" --test "$1" --no-run --message-format json 2>/dev/null \
        | sed -n "s/.*\"executable\":\"\([^\"]*\/$1-[^\"]*\)\".*/\1/p" | tail -n 1)
    [[ -f $path ]] || fail 'cargo names no executable'
    ELF=$path
    have_runner
}

# The words of libtest: what lists, what chooses, what is not there; as cargo-nextest calls it, too.
harness_words() {
    local ELF pid qemu
    harness_elf outcomes
    ends_with 0 "$RUNNER" "$ELF" --list --format terse panics
    diff "$DIR/stdout" <(printf '%s: test\n' panics::by_an_exception panics::with_a_text) || fail 'not this list'
    ends_with 0 "$RUNNER" "$ELF" --list --ignored
    diff "$DIR/stdout" <(printf '%s\n' 'ignored::with_a_reason: test' 'ignored::without: test' '' '2 tests, 0 benchmarks') || fail 'not this list'
    ends_with 0 "$RUNNER" "$ELF" --exact passes --nocapture
    diff <(sed 's/finished in .*/finished in/' "$DIR/stdout") <(printf '%s\n' '' 'running 1 test' 'said by what passes' 'test passes ... ok' '' \
        'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 14 filtered out; finished in' '') || fail 'not this output'
    ends_with 0 "$RUNNER" "$ELF" passes -q --skip middle --test-threads 2 --color always
    grep -qF $'\e[32m.\e[0m 1/1' "$DIR/stdout" || fail 'no green dot'
    ends_with 0 "$RUNNER" --cpus 1 "$ELF" --bench
    refused '--format: json is unstable in libtest' "$RUNNER" "$ELF" --format json
    refused "unknown option '--frobnicate'" "$RUNNER" "$ELF" --frobnicate
    refused '--features: the image is built already' "$RUNNER" "$ELF" passes --features el2
    refused '--shuffle: it is unstable in libtest' "$RUNNER" "$ELF" --shuffle
    refused '--test-threads: .0. is not a number' "$RUNNER" "$ELF" --test-threads 0
    refused '--gdb: one test at a time' "$RUNNER" "$ELF" --gdb
    # What is no matter of a test fails none.
    complains 2 '--cpus: 16 CPUs with --gic 2' "$RUNNER" "$ELF" --cpus 16 --gic 2
    # A signal ends the machines as well.
    "$RUNNER" "$ELF" --exact fails::by_hanging --timeout 100 </dev/null &
    pid=$!
    wait_for 60 pgrep -P "$pid" >/dev/null || fail 'no machine has begun'
    qemu=$(pgrep -P "$pid")
    kill -TERM "$pid"
    CODE=0
    wait "$pid" || CODE=$?
    ((CODE == 143)) || fail "exit code $CODE, expected 143"
    [[ ! -e /proc/$qemu ]] || fail 'its machine has stayed'
}
check harness/words --full --limit 900 harness_words

# Without a runner that names a test an image runs all of them, one after the other, as far as it can.
# shellcheck disable=SC2034 # CODE is for check_expectation
harness_by_hand() {
    local ELF command
    harness_elf machines
    command=$("$RUNNER" "$ELF" --exact alone --print)
    [[ $command == *' reveille.test=alone'* ]] || fail 'it does not name the test'
    CODE=0
    timeout -k 5 100 bash -c "${command/ reveille.test=alone/}" </dev/null >"$DIR/console.raw" || CODE=$?
    take_console "$DIR/console.raw"
    check_expectation 'code 0 ; /^test all_answer \.\.\. ok$/ ; /^test one_comes \.\.\. (ok|ignored, it wants all CPUs off but one: .*)$/ ; /^test sixteen \.\.\. ignored, it wants 16 CPUs, and this machine has 4$/ ; /^test result: ok\. [3-5] passed; 0 failed; [3-5] ignored$/'
}
check harness/by-hand --full --limit 900 harness_by_hand

# What is no test is said in one sentence each, where it stands; `//~` in the file says which.
harness_refusals() {
    local wrong file=$ROOT/tests/harness/tests/wrong.rs number text
    : >"$DIR/rustc"
    for wrong in attributes types setup; do
        ! run_cargo rustc -p reveille-harness --test wrong --profile dev --target "$DEFAULT_TARGET" --message-format short -- --cfg "wrong=\"$wrong\"" \
            >>"$DIR/rustc" 2>&1 || fail 'it compiles'
    done
    cat -- "$DIR/rustc"
    while IFS=: read -r number text; do
        text=${text##*//\~ }
        grep -E "wrong\.rs:$number:[0-9]+: error" "$DIR/rustc" | grep -qF -- "$text" || fail "line $number: not this: $text"
    done < <(grep -nF '//~ ' "$file")
    diff <(sed -nE 's/^.*wrong\.rs:([0-9]+):[0-9]+: error.*/\1/p' "$DIR/rustc" | sort -u) <(grep -nF '//~ ' "$file" | cut -d: -f1 | sort) \
        || fail 'an error elsewhere'
    # And rustc is told by `cargo test` to build a program with a harness that is not there, if nobody says otherwise.
    ! run_cargo rustc -p reveille --example roll_call --profile dev --target "$DEFAULT_TARGET" -- --test >"$DIR/rustc" 2>&1 || fail 'it compiles'
    # shellcheck disable=SC2016 # backticks of the message
    grep -q '^error: `cargo test` builds this program with the test harness of the standard library, which does not exist for this target: say `test = false`' \
        "$DIR/rustc" || fail 'it does not say what to do'
}
check harness/refusals --limit 600 harness_refusals
