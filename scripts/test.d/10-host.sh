# shellcheck shell=bash
# Checks that need no QEMU. Each command is cargo's own, so that it can be typed again as it stands in the log.

check format --early run_cargo fmt --all --check -- --color never

# The runtime, the examples and the on-target tests, as they are built for the machine.
clippy_target() {
    local target=$1 features=$2 options=()
    [[ -z $features ]] || options=(--features "$features")
    run_cargo clippy -p reveille -p reveille-machine -p reveille-protocol --lib --examples --target "$target" "${options[@]}" -- -D warnings
    options=()
    [[ -z $features ]] || options=(--features "$(cargo_features 'test' "$features")")
    run_cargo clippy -p reveille-tests --bins --target "$target" "${options[@]}" -- -D warnings
}
check clippy/default --cargo clippy_target aarch64-unknown-none-softfloat ''
check clippy/el2 --full --cargo clippy_target aarch64-unknown-none-softfloat el2
check clippy/el2+fault-injection+heap+lock_api+trace --cargo clippy_target aarch64-unknown-none-softfloat el2,fault-injection,heap,lock_api,trace
check clippy/simd --full --cargo clippy_target aarch64-unknown-none ''

# With tests of the application's own, and the package that has some.
clippy_harness() {
    run_cargo clippy -p reveille --lib --features test --target "$DEFAULT_TARGET" -- -D warnings
    run_cargo clippy -p reveille-harness --lib --bins --tests --target "$DEFAULT_TARGET" -- -D warnings
}
check clippy/harness --cargo clippy_harness

# The executors, with their examples, tests and benchmarks: apart, so that no other image is built with what they want of the runtime.
clippy_embassy() {
    run_cargo clippy -p reveille-embassy --lib --examples "$@" -- -D warnings
}
clippy_async() {
    clippy_embassy --target aarch64-unknown-none-softfloat
    run_cargo clippy -p reveille-tests --bin 'async_*' --target aarch64-unknown-none-softfloat --features embassy -- -D warnings
    run_cargo clippy -p reveille-bench --bin bench-async --target aarch64-unknown-none-softfloat --features embassy -- -D warnings
}
check clippy/async --cargo clippy_async
check clippy/async/el2+defmt --full --cargo clippy_embassy --target aarch64-unknown-none --no-default-features --features el2,defmt

# What runs on the host: the protocols and the machine's description with their tests, the models, the tests of the tree reader and of the
# heap of sleepers, and tools.
clippy_host() {
    local host
    host=$(host_triple)
    run_cargo clippy -p reveille-build -p reveille-macros -p reveille-machine -p reveille-protocol -p reveille-models -p reveille-trees -p reveille-sleepers \
        -p reveille-symbolize -p reveille-core -p reveille-trace -p reveille-run --all-targets \
        --features reveille-models/mutants,reveille-trees/describe,reveille-trees/fuzz,reveille-symbolize/host,reveille-core/host,reveille-trace/host --target "$host" -- -D warnings
}
check clippy/host --cargo clippy_host

# With what is private, so that links there lead somewhere; and so not among the pages that `cargo docs` makes of what is public. docs KIND: of
# libraries (--lib) or of programs (--bins).
docs() {
    local apart=(--config "build.build-dir='$TARGET_DIR'" --target-dir "$STATE/docs" --no-deps --document-private-items)
    export RUSTDOCFLAGS='-D warnings'
    run_cargo doc "${apart[@]}" --workspace --exclude reveille-build --exclude reveille-run "$1"
    # Of those crates there is nothing on the target to link to.
    [[ $1 != --lib ]] || run_cargo doc "${apart[@]}" -p reveille-build -p reveille-run --target "$(host_triple)"
}
check docs --cargo docs --lib
# Sixty of them, with little to link to.
check docs/programs --full --cargo --limit 1200 docs --bins
# What users are shown.
public_docs() {
    RUSTDOCFLAGS='-D warnings' run_cargo docs
}
check docs/public --full --cargo public_docs

# Those lints of clippy::pedantic that the published crates follow; the others are named with reasons.
clippy_pedantic() {
    local options=() lint reason
    while read -r lint reason; do
        [[ $lint != '#' ]] || continue
        [[ -n $reason ]] || fail "scripts/test.d/pedantic: $lint has no reason"
        options+=(-A "clippy::$lint")
    done <"$ROOT/scripts/test.d/pedantic"
    run_cargo clippy -p reveille-machine -p reveille-macros -p reveille-protocol -p reveille -p reveille-embassy --lib --features heap,lock_api,test,trace \
        --target "$DEFAULT_TARGET" -- -D warnings -W clippy::pedantic "${options[@]}"
}
check clippy/pedantic --full --cargo --limit 1800 clippy_pedantic

# Each public function and each unsafe impl has its row in the soundness review, and each row its item; and a new one without
# a row would be found, as would a row without an item.
soundness() {
    local script=$ROOT/scripts/lib/soundness.py copy=$DIR/copy rc=0
    python3 "$script" "$ROOT/docs/soundness.md" "$ROOT"
    rm -rf -- "$copy"
    mkdir -p -- "$copy/machine" "$copy/protocol" "$copy/embassy"
    cp -r -- "$ROOT/src" "$ROOT/platform" "$copy"
    cp -r -- "$ROOT/embassy/src" "$copy/embassy"
    cp -r -- "$ROOT/machine/src" "$copy/machine"
    cp -r -- "$ROOT/protocol/src" "$copy/protocol"
    printf 'pub fn fresh() {}\nunsafe impl<T> Send for Fresh<T> {}\n' >>"$copy/src/irq/mod.rs"
    # shellcheck disable=SC2016 # backticks of Markdown
    sed '/^| `call::post` |/d; s/^| `print!` |/| `stale!` |/' "$ROOT/docs/soundness.md" >"$DIR/page.md"
    python3 "$script" "$DIR/page.md" "$copy" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for a page that is not that of the code"
    # shellcheck disable=SC2016 # backticks of Markdown
    diff <(sed '$d; s/^.*: //' "$DIR/said" | sort) <(printf '%s\n' '`call::post` has no row' '`print!` has no row' \
        '`irq::fresh` has no row' '`Send for Fresh` has no row' '`stale!` is not in the code' | sort) || fail 'not what is missing'
}
check docs/soundness --early soundness

# Each public item has an example, or a reason why not; and one without either would be found, as would an example that nobody compiles, and a
# reason for what has one or is not there.
examples() {
    local script=$ROOT/scripts/lib/examples.py copy=$DIR/copy rc=0
    python3 "$script" "$ROOT/docs/examples.md" "$ROOT"
    rm -rf -- "$copy"
    mkdir -p -- "$copy/embassy"
    cp -r -- "$ROOT/src" "$ROOT/platform" "$copy"
    cp -r -- "$ROOT/embassy/src" "$copy/embassy"
    printf '/// Fresh.\npub fn fresh() {}\n' >>"$copy/src/irq/mod.rs"
    # shellcheck disable=SC2016 # backticks of Markdown
    sed -i '0,/```no_run/s//```ignore/' "$copy/src/bringup/start.rs"
    # shellcheck disable=SC2016 # backticks of Markdown
    sed '/^| `enable` |/d; s/^| `disable` |/| `call::post` | it is plain |\n| `stale` |/' "$ROOT/docs/examples.md" >"$DIR/page.md"
    python3 "$script" "$DIR/page.md" "$copy" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for a page that is not that of the code"
    # shellcheck disable=SC2016 # backticks of Markdown
    diff <(sed '$d; s/^.*: //' "$DIR/said" | sort) <(printf '%s\n' '`irq::fresh` has no example, and no row' \
        '`bringup::cpu_up` has no example, and no row' 'an example that is not compiled' '`enable` has no example, and no row' \
        '`disable` has no example, and no row' '`call::post` has an example' '`stale` is not in the code' | sort) || fail 'not what is missing'
}
check docs/examples --early examples

# All of them are compiled for the machine; and one that is wrong fails.
compiled_examples() {
    local count
    run_cargo test --doc -p reveille --features heap,lock_api,test,trace --target "$DEFAULT_TARGET" >"$DIR/runtime" || { cat -- "$DIR/runtime"; fail 'an example does not compile'; }
    run_cargo test --doc -p reveille-embassy --target "$DEFAULT_TARGET" >"$DIR/embassy" || { cat -- "$DIR/embassy"; fail 'an example does not compile'; }
    count=$(sed -nE 's/^test result: ok\. ([0-9]+) passed; 0 failed; 0 ignored;.*/\1/p' "$DIR/runtime" "$DIR/embassy" | awk '{ sum += $1 } END { print sum }')
    ((count >= 250)) || fail "only ${count:-0} examples were compiled"
    say "$count examples compiled"
}
check docs/compiled --full --double --cargo --limit 1800 compiled_examples

# Each place that has barriers has its row with all of them, in their order; and one that is left out, added, or behind another
# than it was is found in Rust, in assembly within Rust, and in assembly, as are a place without a row and a row without a place.
barrier_list() {
    local script=$ROOT/scripts/test.d/barrier_list.py copy=$DIR/copy rc=0
    python3 "$script" "$ROOT/docs/barriers.md" "$ROOT"
    rm -rf -- "$copy"
    mkdir -p -- "$copy"
    cp -r -- "$ROOT/src" "$ROOT/platform" "$copy"
    sed -i '0,/^ *super::dsb_sy();$/s///' "$copy/src/arch/cache.rs"
    sed -i 's/^\( *\)\(arch::dsb_ishst();\)$/\1\/\/ \2/' "$copy/src/gic/v2.rs"
    sed -i 's/"mrs {}, S3_0_C12_C9_5", "isb"/"mrs {}, S3_0_C12_C9_5"/' "$copy/src/gic/v3_cpu.rs"
    sed -i 's/LISTENER.load(Ordering::Acquire)/LISTENER.load(Ordering::Relaxed)/' "$copy/src/console/input.rs"
    sed -i 's/^ *dsb *ish$/    dsb ishst/' "$copy/src/life/asm/secondary.s"
    sed -i 's/core::sync::atomic::fence(order)/let _ = order/' "$copy/src/sync/word.rs"
    sed -i '/arch::dsb_ishst();/d; s/^\( *\)arch::sev();/&\n\1arch::dsb_ishst();/' "$copy/src/lifecycle/lock.rs"
    printf 'fn fresh() {\n    arch::isb(); // isb\n    /* dsb sy */\n}\n' >>"$copy/src/irq/mod.rs"
    # shellcheck disable=SC2016 # backticks of Markdown
    sed '/`change_sctlr`/d; s/ `reset` / `stale` /' "$ROOT/docs/barriers.md" >"$DIR/page.md"
    python3 "$script" "$DIR/page.md" "$copy" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for a page that is not that of the code"
    # shellcheck disable=SC2016 # backticks of Markdown
    diff <(sed '$d' "$DIR/said" | sort) <(printf '%s\n' \
        'src/arch/cache.rs clean_invalidate: lacks `dsb sy`' 'src/gic/v2.rs send: lacks `dsb ishst`' \
        'src/gic/v3_cpu.rs NmiCpu::settle: lacks `isb`' 'src/console/input.rs collect: lacks `Acquire`' \
        'src/life/asm/secondary.s reveille_leave: lacks `dsb ish`' \
        'src/life/asm/secondary.s reveille_leave: has `dsb ishst`, of which the page says nothing' \
        'src/sync/word.rs HwLockWord::fence: lacks `fence(order)`' \
        'src/lifecycle/lock.rs Lifecycle::drop: has `sev` `dsb ishst`, in another order than `dsb ishst` `sev`' \
        'src/irq/mod.rs fresh: `isb` without a row' 'src/arch/regs.rs change_sctlr: `isb` `isb` without a row' \
        'platform/raspi4/mod.rs reset: `dsb sy` without a row' 'platform/raspi4/mod.rs stale: a row, and no such place' | sort) \
        || fail 'not what is missing'
}
check docs/barriers --early barrier_list

# Imports run down the floors of the house, and what does not is found: an arrow up, one along a floor, a circle inside a room, a room
# without a floor, and a floor without its room. The page shows the floors as they are.
rooms() {
    local script=$ROOT/scripts/lib/rooms.py copy=$DIR/copy rc=0
    "$ROOT/scripts/rooms" --check
    # shellcheck disable=SC2016 # backticks of Markdown
    diff <(sed -n '/^<!-- scripts\/rooms --picture -->$/,/^<!-- end -->$/p' "$ROOT/docs/architecture.md" | sed '1,2d' | sed '/^```$/,$d') \
        <("$ROOT/scripts/rooms" --picture) || fail 'docs/architecture.md shows other floors: scripts/rooms --picture'
    rm -rf -- "$copy"
    mkdir -p -- "$copy"
    cp -r -- "$ROOT/src" "$ROOT/platform" "$copy"
    printf 'use super::line::print_raw;\n' >>"$copy/src/console/device.rs"
    python3 "$script" "$copy" --check >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for a circle in a room"
    [[ $(sed '$d' "$DIR/said") == 'a circle of 2 files: src/console/device.rs, src/console/line.rs' ]] || fail 'not that circle'
    printf 'fn up() {\n    use crate::cpu as there;\n    there::idle();\n    crate::life::wake;\n}\n' >>"$copy/src/arch/cache.rs"
    printf 'use crate::nmi;\nfn along() {\n    nmi::backtrace;\n}\n' >>"$copy/src/launch.rs"
    printf 'fn made() {\n    crate::percpu! { static X: u8 = 0; }\n}\n' >>"$copy/src/arch/mmio.rs"
    printf 'fn all() { use crate::life::*; }\n' >>"$copy/src/clock.rs"
    printf 'fn by_a_door() {\n    crate::cpu::current();\n}\n' >>"$copy/src/masking/depth.rs"
    printf 'impl crate::key::Key {\n    fn of_another() {}\n}\n' >>"$copy/src/bringup/start.rs"
    printf 'unsafe extern "C" {\n    fn elsewhere();\n}\n' >>"$copy/src/gate.rs"
    printf 'fn on_no_floor() {}\n' >>"$copy/src/lib.rs"
    # shellcheck disable=SC2016 # backticks of Markdown
    sed -i 's/^mod ending;$/mod ending;\nmod attic;/; s/, .ending./&, `cellar`/' "$copy/src/lib.rs"
    printf '//! A room.\n' >"$copy/src/attic.rs"
    rc=0
    python3 "$script" "$copy" --check >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for a house that is not in order"
    diff <(sed '$d; s/: up, or .*//; s/^a circle of .*/a large circle/' "$DIR/said" | sort) <(printf '%s\n' \
        'src/lib.rs: room attic stands on no floor' 'src/lib.rs: there is no room cellar' \
        'src/arch/cache.rs -> src/life/idle.rs: idle, wake' 'src/arch/mmio.rs -> src/percpu/local.rs: percpu' \
        'src/launch.rs -> src/nmi/mod.rs: backtrace' 'src/clock.rs -> src/life/mod.rs: itself' \
        'src/arch/cache.rs: names cpu, which is not below it' 'src/arch/cache.rs: names life, which is not below it' \
        'src/launch.rs: names nmi, which is not below it' 'src/clock.rs: names life, which is not below it' \
        'src/masking/depth.rs: names cpu, which is not below it' 'src/lib.rs: defines on_no_floor: that stands on no floor' \
        'src/bringup/start.rs: impl crate::key::Key: of another room' 'src/gate.rs: the symbol elsewhere: of nobody' \
        'a large circle' | sort) || fail 'not what is wrong'
}
check docs/rooms --early rooms

# Every script, found by its first line or its suffix.
shell_scripts() {
    local files=() file twice
    while IFS= read -r -d '' file; do
        case $file in
        *.sh) files+=("$file") ;;
        *) [[ $(head -n 1 -- "$file" | tr -d '\0') != '#!'*sh ]] || files+=("$file") ;;
        esac
    done < <(find "$ROOT/scripts" "$ROOT/platform" "$ROOT/tests" "$ROOT/benches" "$ROOT/.ci" -name target -prune -o -type f \
        \( -name '*.sh' -o ! -name '*.*' \) -print0 | sort -z)
    say "${#files[@]} scripts"
    # All of these are read into one shell, where the last one of a name counts.
    twice=$(grep -hoE '^[a-z_]+\(\)' -- "$ROOT"/scripts/test.d/*.sh "$ROOT"/scripts/lib/*.sh | sort | uniq -d)
    [[ -z $twice ]] || fail "defined twice: $twice"
    shellcheck -x -P SCRIPTDIR "${files[@]}"
}
check shellcheck --early shell_scripts

host_tests() {
    local host
    host=$(host_triple)
    run_cargo test -p reveille-build --target "$host"
    run_cargo test -p reveille-protocol --target "$host"
    run_cargo test -p reveille-machine --target "$host"
    run_cargo test -p reveille-sleepers --target "$host"
    run_cargo test -p reveille-symbolize --features host --profile model --target "$host"
    run_cargo test -p reveille-core --features host --profile model --target "$host"
    run_cargo test -p reveille-trace --features host --profile model --target "$host"
    run_cargo test -p reveille-run --profile model --target "$host"
}
check host-tests --cargo --limit 1200 host_tests

# All of them in under ten minutes on two cores, whatever else the machine has to do meanwhile.
models() {
    local spent
    "$ROOT/scripts/model" | tee "$DIR/output"
    spent=$(sed -nE 's/^[0-9]+ models, [0-9]+ executions, [0-9]+ s, ([0-9]+) s of CPU time$/\1/p' "$DIR/output")
    [[ -n $spent ]] || fail 'it does not say what it took'
    ((spent < 2 * 600)) || fail "$spent s of CPU time are more than ten minutes on two cores"
}
check models --double --early --limit 2700 models

# Each planted fault must be caught by a model.
mutants() {
    "$ROOT/scripts/model" --mutants
}
check mutants --full --alone --limit 2400 mutants

# The protocols of calls, and of stopping and leaving, with threads under Miri: each seed is another order of steps, and
# weak memory as C11 allows it. Miri also sees what the tests do with memory that only the protocol guards.
miri_seeds() {
    local seeds=$1 test=$2
    need_extra miri
    say "+ export MIRIFLAGS=-Zmiri-many-seeds=0..$seeds"
    MIRIFLAGS=-Zmiri-many-seeds=0..$seeds CARGO_TARGET_DIR=$TARGET_DIR/miri \
        run_cargo +nightly miri test -p reveille-protocol --target "$(host_triple)" --test "$test"
}
check miri/calls --full --alone --limit 1800 miri_seeds 64 call_threads
check miri/stops --full --alone --limit 1800 miri_seeds 64 stop_threads

# Every operator, return value and match arm of the protocols changed by cargo mutants, one at a time: the unit tests have to
# notice, but for those changes of which the page says why they make no difference. It changes no memory ordering; that
# is what the planted faults are for.
mutation() {
    local rc=0
    need_extra cargo-mutants
    # In a copy of the checkout, never in this one's target directory. 2: some survived; 3: some did not end.
    unset CARGO_TARGET_DIR
    CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_TEST_DEBUG=false \
        run_cargo mutants -p reveille-protocol --test-package reveille-protocol --cargo-arg=--target="$(host_triple)" \
        --cargo-test-arg=--lib -j2 --timeout 20 --build-timeout 300 --no-shuffle --colors never --no-times -o "$DIR" || rc=$?
    [[ $rc == [023] ]] || fail "cargo mutants: exit code $rc"
    python3 "$ROOT/scripts/lib/survivors.py" "$ROOT/docs/survivors.md" "$DIR/mutants.out/outcomes.json"
}
check mutation --full --alone --limit 7200 mutation

# The page of planted faults is the list of those that are planted.
mutants_page() {
    "$ROOT/scripts/model" --table | diff -u -- "$ROOT/docs/mutants.md" - \
        || die "docs/mutants.md is not what the models have: run scripts/model --table >docs/mutants.md"
}
check models/page --early mutants_page

# The device-tree reader: small trees, QEMU's own, mutated ones. In the dev profile: an overflow is a panic there.
trees() {
    run_cargo test -p reveille-trees --target "$(host_triple)"
}
check trees/reader --cargo --limit 900 trees

# New inputs for the reader and the command line, beside those that were kept, which `trees/reader` tries.
fuzz() {
    "$ROOT/scripts/fuzz" --seconds 120
}
check fuzz --full --limit 900 fuzz

# The same reader over the trees of real boards, which are fetched, not kept here; and how many of these can speak.
trees_corpus() {
    have_runner
    runner trees
    REVEILLE_TREES=$REVEILLE_CACHE/trees run_cargo test -p reveille-trees --profile model --target "$(host_triple)" --test corpus \
        -- --include-ignored --nocapture --skip sid
}
check trees/corpus --early --limit 1500 trees_corpus

# The newest boards, of a suite that changes.
trees_sid() {
    have_runner
    runner trees --refresh sid
    REVEILLE_TREES=$REVEILLE_CACHE/trees run_cargo test -p reveille-trees --profile model --target "$(host_triple)" --test corpus \
        -- --include-ignored --nocapture sid
}
check trees/sid --full --limit 1500 trees_sid
