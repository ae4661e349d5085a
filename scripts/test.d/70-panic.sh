# shellcheck shell=bash
# What the table of panics asks for beside patterns; and checks that look at the machine from outside.

# panic_report CPUS [KEY=VALUE]..: the console holds this report, in one piece. See panic_report.py.
expect_panic_report() {
    local symbols=()
    [[ -z ${image_stage:-} ]] || symbols=(--elf "$image_stage" --nm "$(llvm_tools_dir)/llvm-nm")
    python3 "$ROOT/scripts/test.d/panic_report.py" "${symbols[@]}" "$CONSOLE" "$@" || fail "not the report expected: $*"
}

# symbolized LINE FUNCTION..: scripts/symbolize has these functions in this order behind this line (`_` stands for a blank), before one that is
# not indented. They are of the image, which is the one that the console is from.
expect_symbolized() {
    local line=${1//_/ }
    shift
    "$ROOT/scripts/symbolize" "$image_stage" "$CONSOLE" >"$DIR/named" 2>"$DIR/err" || fail 'scripts/symbolize fails'
    [[ ! -s $DIR/err ]] || fail "scripts/symbolize: $(<"$DIR/err")"
    awk -v line="$line" -v names="$*" '
        BEGIN { count = split(names, name, " "); at = 1 }
        /^[^ ]/ { inside = $0 == line }
        inside && /^    / && at <= count && index($0, " " name[at] " at ") { at++ }
        END { exit at <= count }' "$DIR/named" || {
        cat -- "$DIR/named"
        fail "not symbolized behind '$line': $*"
    }
}

# backtraces COUNT: so many, and what they have to be. See backtraces.py.
expect_backtraces() {
    python3 "$ROOT/scripts/test.d/backtraces.py" --elf "$image_stage" --nm "$(llvm_tools_dir)/llvm-nm" "$CONSOLE" "$1" ||
        fail "not the $1 backtraces expected"
}

# count N REGEX: exactly N console lines match; `_` stands for a blank.
expect_count() {
    local found
    found=$(grep -Ece "${2//_/ }" -- "$CONSOLE" || true)
    ((found == $1)) || fail "$found console lines match /${2//_/ }/, expected $1"
}

# stop_cost LIMIT: stopping all others took at most so many instructions, which under --icount are nanoseconds.
expect_stop_cost() {
    local cost
    cost=$(sed -n 's/^stop: \([0-9]*\) ns$/\1/p' "$CONSOLE")
    say "stop: $cost instructions, at most $1"
    [[ -n $cost ]] || fail 'no line says what it cost'
    ((cost > 0 && cost <= $1)) || fail "$cost instructions are more than $1"
}

# parked_in ELF [WORD..] -- OPTION..: booted with these options, its CPUs park, and stay there. The words are those of panic_parked.py.
parked_in() {
    python3 "$ROOT/scripts/test.d/panic_parked.py" --nm "$(llvm_tools_dir)/llvm-nm" --runner "$ROOT/scripts/runner" --dir "$DIR" \
        --elf "$@"
}

# Parked means parked: after the report every CPU but the ones named is in the park loop, and stays there, though all others
# send it SGIs and events. panic_parked EXCEPT OPTIONS.. With SAID set, after a line that matches it; with UNTIL, until after
# one, when the others have parked too; with FEATURES, an image that has them.
panic_parked() {
    local except=$1 elf
    shift
    elf=$(staged 'test' crash "$DEFAULT_TARGET" "${FEATURES:-}")
    parked_in "$elf" --except "$except" ${SAID:+--said "$SAID"} ${UNTIL:+--until "$UNTIL"} -- --append case=panic "$@"
}
check panic/parked/gic2 panic_parked '' --gic 2 --append reveille.panic=park
check panic/parked/gic3 panic_parked '' --gic 3 --append reveille.panic=park
check panic/parked/storm/gic2 panic_parked 0 --gic 2 --append hook=storm
check panic/parked/storm/gic3 panic_parked 0 --gic 3 --append hook=storm
check panic/parked/storm/no-feat-nmi panic_parked 0 --cpu cortex-a76 --append hook=storm
check panic/parked/storm/masked panic_parked 0 --append hook=storm --append others=masked --append stop_ms=100 --append nmi_ms=20000
check panic/parked/storm/el2 panic_parked 0 --el 2 --append hook=storm
panic_parked_el2_kept() { FEATURES=el2 panic_parked "$@" --el 2; }
check panic/parked/el2-kept/gic2 panic_parked_el2_kept '' --gic 2 --append reveille.panic=park
check panic/parked/storm/el2-kept/gic3 panic_parked_el2_kept 0 --append hook=storm
check panic/parked/raspi4 panic_parked '' --board raspi4b --append reveille.panic=park
check panic/parked/storm/raspi4 panic_parked 0 --board raspi4b --append hook=storm
check panic/parked/storm/raspi4/el3 panic_parked 0 --board raspi4b --el 3 --append hook=storm

# What nothing turns off parks, all of it. PSCI 0.1 cannot.
power_parks() {
    local elf options=(--gic "$1" --append case=power)
    elf=$(staged 'test' left_alone)
    image_stage=$elf
    make_tree "$DIR/tree.dtb" psci-0.1 "${options[@]}"
    parked_in "$elf" --silent 4 --said '^left_alone: going' -- --gic "$1" --dtb "$DIR/tree.dtb"
}
check power/parks/gic2 power_parks 2
check power/parks/gic3 power_parks 3

# The one that sends the storm fails in the end: the others do not stir, and it parks as well.
panic_parked_again() { UNTIL='^panic while a panic was reported: after the storm at' panic_parked 0 --append hook=storm-panic "$@"; }
check panic/parked/second-panic/gic2 panic_parked_again --gic 2
check panic/parked/second-panic/gic3 panic_parked_again --gic 3 --append others=masked --append stop_ms=100 --append nmi_ms=20000
check panic/parked/second-panic/raspi4 panic_parked_again --board raspi4b

# Storms of counted instructions, each another: LIVES of them with GIC and CPUS. Each in a QEMU of its own, since one that
# counts can end in a loop of its own when it resets a machine whose CPUs have masked interrupts.
panic_storms() {
    local gic=$1 cpus=$2 lives=$3 elf life rc CONSOLE=$DIR/console
    elf=$(staged 'test' panic_storm)
    : >"$CONSOLE"
    for ((life = 0; life < lives; life++)); do
        rc=0
        "$ROOT/scripts/runner" "$elf" --icount --gic "$gic" --cpus "$cpus" --timeout 200 --append "seed=$cpus$life first=$life" \
            </dev/null >"$DIR/one" || rc=$?
        tr -d '\r' <"$DIR/one" >>"$CONSOLE"
        ((rc == 101)) || {
            cat -- "$DIR/one"
            fail "life $life: exit code $rc, expected 101"
        }
    done
    expect_panic_report "$cpus" "reports=$lives" then=exit panicked=33
    say "storm: $lives lives, every CPU fails"
}
for gic in 2 3; do
    check "panic/storm/icount/gic$gic" panic_storms "$gic" 4 6
    for cpus in 2 4 8; do
        check "panic/storm/many/icount/gic$gic/$cpus" --full --limit 1800 panic_storms "$gic" "$cpus" 200
    done
done
unset gic cpus

# The report, and what becomes of its CPU: panic_ends_parked SAID KEY=VALUE.. -- OPTIONS..
panic_ends_parked() {
    local SAID=$1
    halves "${@:2}"
    panic_parked '' "${AFTER[@]}"
    CONSOLE=$DIR/console expect_panic_report 4 reporter=0 "${BEFORE[@]}"
}
check panic/action/park panic_ends_parked '' then=park -- --append reveille.panic=park --append stop_ms=20000
check panic/nested/hook panic_ends_parked '^panic while a panic was reported: in the hook at' then=hook -- \
    --append hook=panic --append stop_ms=20000
check panic/nested/hook/overflow panic_ends_parked '^panic while a panic was reported: ESR' then=hook -- \
    --append hook=overflow --append stop_ms=20000

# An exception before the MMU is on parks its CPU, and nothing else happens. An undefined instruction is planted in the
# image where a symbol is.
panic_before_mmu() {
    local who=$1 symbol=$2 elf
    shift 2
    elf=$(staged 'test' crash)
    parked_in "$elf" --plant "$symbol" --stopped "$who" -- "$@"
}
check panic/before-mmu/boot panic_before_mmu all reveille_early_tables
check panic/before-mmu/secondary panic_before_mmu others reveille_try --append deadline_ms=300 --append case=bringup \
    --append us=3000000 --append reveille.panic=park

# A panic as early as there is Rust, before the CPUs of the machine are known: a report all the same.
panic_early() {
    local elf offset command rc=0
    elf=$(staged 'test' crash)
    offset=$("$(llvm_tools_dir)/llvm-nm" -C "$elf" \
        | awk '$3 ~ /^reveille::life::carve::carve::h[0-9a-f]+$/ { a = $1 } $3 == "__image_start" { b = $1 } END { print "0x" a, "0x" b }')
    [[ $offset == '0x'?*' 0x'?* ]] || fail "no function reveille::life::carve::carve: $offset"
    cp -- "$elf.img" "$DIR/planted.img"
    patch_word "$DIR/planted.img" $((${offset% *} - ${offset#* })) 0
    command=$("$ROOT/scripts/runner" "$elf" --print)
    timeout -k 5 200 bash -c "${command//"$elf.img"/"$DIR/planted.img"}" </dev/null >"$DIR/console" || rc=$?
    cat -- "$DIR/console"
    ((rc == 101)) || fail "exit code $rc"
    grep -q '^panic on mpidr 0x0000000000 at .* exception in a thread' "$DIR/console" || fail 'no report'
    grep -q '^end of the report: 0 CPUs: 0 parked, 0 not stopped, 0 not running' "$DIR/console" || fail 'no end of the report'
}
check panic/early panic_early

# A pasted log becomes functions and lines, wherever the image was loaded.
symbolize_log() {
    local elf rc=0
    elf=$(staged 'test' crash)
    "$ROOT/scripts/runner" "$elf" --timeout 200 --append case=timer "$@" >"$DIR/console" </dev/null || rc=$?
    ((rc == 101)) || fail "exit code $rc"
    "$ROOT/scripts/symbolize" "$elf" "$DIR/console" >"$DIR/named" 2>"$DIR/err"
    cat -- "$DIR/named" "$DIR/err"
    [[ ! -s $DIR/err ]] || fail 'the build id of the ELF is not that of the log'
    # Who was called by whom, innermost first.
    local wanted=(' crash::fail::{{closure}} at ' 'reveille::time::timers::expired at src/time/timers.rs:' 'reveille_vectors_el' ' crash::main at ') line=0 next
    for pattern in "${wanted[@]}"; do
        next=$(awk -v from="$line" -v pattern="$pattern" 'NR > from && index($0, pattern) { print NR; exit }' "$DIR/named")
        [[ -n $next ]] || fail "no line with '$pattern' after line $line"
        line=$next
    done
    # Nothing of the log is lost, and it comes in through a pipe as well.
    diff <(tr -d '\r' <"$DIR/console") <(grep -v '^    ' "$DIR/named") || fail 'lines of the log are missing'
    "$ROOT/scripts/symbolize" "$elf" <"$DIR/console" | diff - "$DIR/named" || fail 'stdin is not the same as a file'
    # By its build id it is found.
    "$ROOT/scripts/symbolize" - "$DIR/console" 2>"$DIR/err" | diff - "$DIR/named" || fail 'another image was found'
    grep -qE '^scripts/symbolize: build [0-9a-f]{16} is /' "$DIR/err" || fail 'it does not say which image it has found'
}
check scripts/symbolize symbolize_log
check scripts/symbolize/at symbolize_log --at 0x60000000 --memory 1G
check scripts/symbolize/el3 symbolize_log --el 3

# A build id is one number, also of an image whose constants are relocated: without LTO over all crates there are such.
symbolize_relocated() {
    local elf=$DIR/target/aarch64-unknown-none-softfloat/release/crash at builds=()
    CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR=$DIR/target \
        run_cargo build --release --target aarch64-unknown-none-softfloat -p reveille-tests --bin crash
    for at in 0x40200000 0x60000000; do
        "$ROOT/scripts/runner" "$elf" --timeout 200 --memory 1G --at "$at" --append case=timer >"$DIR/console.$at" </dev/null || true
        "$ROOT/scripts/symbolize" "$elf" "$DIR/console.$at" >/dev/null 2>"$DIR/err"
        cat -- "$DIR/err"
        [[ ! -s $DIR/err ]] || fail "at $at the build id of the ELF is not that of the log"
        builds+=("$(grep -Eo 'build [0-9a-f]{16}' "$DIR/console.$at")")
    done
    say "${builds[*]}"
    [[ ${builds[0]} == "${builds[1]}" ]] || fail 'it depends on where the image is loaded'
    rm -rf -- "$DIR/target"
}
check scripts/symbolize/relocated --full symbolize_relocated

symbolize_errors() {
    local symbolize=$ROOT/scripts/symbolize other
    refused 'is not an ELF' "$symbolize" "$ROOT/Cargo.toml"
    refused "cannot read the log '/nonexistent'" "$symbolize" "$(staged 'test' crash)" /nonexistent
    refused "unknown option '--colour'" "$symbolize" --colour
    refused "--image: 'there' is not an address" "$symbolize" --image there
    refused 'the log names no build: name the ELF' "$symbolize"
    refused '--image wants a value' "$symbolize" --image
    refused 'There are an ELF and a log already' "$symbolize" - - -
    printf '  image 0x40200000 to 0x40300000, build 0123456789abcdef\n' >"$DIR/strange"
    refused 'no image built here has the build id 0123456789abcdef: name the ELF' "$symbolize" - "$DIR/strange"
    head -c 4096 -- "$(staged 'test' crash)" >"$DIR/cut"
    refused 'is no image of this project: ' "$symbolize" "$DIR/cut" "$DIR/strange"
    # The wrong ELF is noticed.
    other=$(staged example roll_call)
    printf '  image 0x40200000 to 0x40300000, build 0123456789abcdef\n' \
        | "$symbolize" "$other" 2>&1 >/dev/null | grep 'the log is from build 0123456789abcdef, but' || fail 'not noticed'
}
check scripts/symbolize/errors symbolize_errors
