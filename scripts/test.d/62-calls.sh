# shellcheck shell=bash
# What the tables ask for about cross-calls, and what is not a boot: closures that must not compile, and the benchmarks.

# call_report: between one `scene` and the next exactly the three reports of a call from CPU 0 to CPU 1 that takes 350 ms,
# each with the function and with what the target does in that scene.
expect_call_report() {
    local expected
    expected=$(
        while read -r scene function doing; do
            printf 'call_report: scene %s\n' "$scene"
            for age in 0.050 0.100 0.200; do
                printf 'call from cpu 0 to cpu 1 takes %s s: call_report::%s::{{closure}}; the target is %s\n' \
                    "$age" "$function" "$doing"
            done
        done <<'TEXT'
masked masked_target not taking interrupts, or handling one
running long_call running it
behind behind_another running another call
broadcast broadcast not taking interrupts, or handling one
deadline with_deadline running it
TEXT
        printf 'call_report: every call came back\n'
    )
    # The address at the end of a line is that of some build.
    sed 's/ (0x[0-9a-f]*)$//' -- "$CONSOLE" | diff -u <(printf '%s\n' "$expected") - || fail 'not the reports expected'
}

# What captures too much to be stored in place does not compile, and the compiler says why and where.
too_large() {
    does_not_compile captures -- --cfg "too_large=\"$1\""
    grep -q 'the closure captures too much: it is stored in place, with room for' "$DIR/rustc" || fail 'it does not say why'
}
for way in post post_each on_deadline timer launch alignment; do
    check "captures/too-large/$way" too_large "$way"
done
unset way

# Counted instructions: exact, the same every time, and within the bars.
bench() {
    "$ROOT/scripts/bench" --jobs 1 --check --compare "$ROOT/benches/figures.json" --json "$DIR/bench.json"
    python3 - "$DIR/bench.json" <<'TEXT'
import json
import sys

data = json.load(open(sys.argv[1]))
assert data["qemu"] and data["rust"], "the figures do not say what they were counted with"
results = data["results"]
wanted = {"name": str, "gic": int, "cpus": int, "instructions": int, "floor_ratio": float}
places = set()
for result in results:
    assert {key: type(value) for key, value in result.items()} == wanted, result
    assert result["gic"] in (2, 3) and result["instructions"] > 0, result
    places.add((result["name"], result["gic"], result["cpus"]))
assert len(places) == len(results), "something is there twice"
for name in (
    "sgi_floor", "sync_call", "sync_call_value", "post", "on_each", "bringup_per_cpu", "stop_machine", "cpu_down", "cpu_up", "key_toggle", "stop_all",
    "irq_mask", "lock",
):
    for gic, cpus in ((2, 2), (2, 4), (2, 8), (3, 2), (3, 4), (3, 8), (3, 16), (3, 64)):
        assert (name, gic, cpus) in places, f"{name} on GICv{gic} with {cpus} CPUs is missing"
assert ("bringup_per_cpu", 3, 256) in places, "the bring-up of 256 CPUs is missing"
for name in (
    "async_round_trip", "async_channel_round_trip", "async_interrupt_wake", "async_spawn", "async_yield", "async_sleep_1", "async_sleep_10",
    "async_sleep_1000",
):
    assert (name, 2, 4) in places and (name, 3, 4) in places, f"{name} is missing"
assert all(("async_round_trip", 3, cpus) in places for cpus in (64, 256)), "the round trips between tasks of many CPUs are missing"
assert all(cpus <= 8 for _, gic, cpus in places if gic == 2), "a GICv2 with more than 8 CPUs"
TEXT
}
check bench/bars --limit 900 bench

# What a plugin counts besides, and that it does what docs/performance.md says: the floor is one word that comes back changed.
# bench_lines MACHINE..: on these alone.
bench_lines() {
    local machine only=()
    for machine; do only+=(--machine "$machine"); done
    "$ROOT/scripts/bench" --lines --jobs 1 "${only[@]}" --check --compare "$ROOT/benches/figures.json" --json "$DIR/lines.json"
    python3 - "$DIR/lines.json" "$@" <<'TEXT'
import json
import sys

data = json.load(open(sys.argv[1]))["lines"]
assert data["qemu"] and data["rust"], "the figures do not say what they were counted with"
columns = ("moves", "upgrades", "atomics", "dsb", "isb", "gic_accesses", "mmio")
places = {}
for result in data["results"]:
    assert set(result) - {"min", "max"} == {"name", "gic", "cpus", *columns}, result
    for bound in ("min", "max"):
        assert set(result.get(bound, columns)) == set(columns), result
    assert all(result.get("min", result)[column] <= result[column] <= result.get("max", result)[column] for column in columns), result
    place = result["name"], result["gic"], result["cpus"]
    assert place not in places, f"{place} is there twice"
    places[place] = [result[column] for column in columns]
names = "sync_call sync_call_value post on_each stop_machine stop_all cpu_down cpu_up wake doorbell key_toggle".split()
for machine in sys.argv[2:] or ["2:4", "3:2", "3:4", "3:8", "3:64"]:
    gic, cpus = map(int, machine.split(":"))
    for name in names:
        assert places[name, gic, cpus][0] > 0, f"no line moves for {name} on GICv{gic} with {cpus} CPUs"
    floor = places["sgi_floor", gic, cpus]
    assert floor == ([1, 1, 0, 1, 2, 3, 0] if gic == 3 else [1, 1, 0, 1, 0, 0, 3]), floor
assert places.get(("context_switch", 3, 1), [0] * 7) == [0] * 7, "a switch of contexts touches other than registers and its own memory"
TEXT
    "$ROOT/scripts/bench" --show sgi_floor --machine 3:2 >"$DIR/shown"
    cat -- "$DIR/shown"
    grep -Eq '^cpu 1 +upgrade +0x[0-9a-f]+\+[0-9a-f]{2} bench::ANSWERS, src/bench.rs:[0-9]+ bench::answer' "$DIR/shown" || fail 'it does not show the answer'
}
check bench/lines --limit 600 bench_lines 3:4 2:4
check bench/lines-everywhere --full --limit 900 bench_lines

# The lines of locks that all CPUs want. bench_locks MACHINE..: on these alone.
bench_locks() {
    local machine only=()
    for machine; do only+=(--machine "$machine"); done
    "$ROOT/scripts/bench" --locks --jobs 1 "${only[@]}" --compare "$ROOT/benches/figures.json"
}
check bench/locks --limit 600 bench_locks 3:2 3:8
check bench/locks-everywhere --full --limit 900 bench_locks

# The plot and the tables of the pages are made of the committed figures.
bench_pages() {
    local figures=$ROOT/benches/figures.json script=$ROOT/scripts/lib/bench_figures.py hint='run scripts/bench --from benches/figures.json --write'
    python3 "$script" plot "$figures" | diff -- "$ROOT/docs/bench.svg" - || fail "docs/bench.svg is of other figures: $hint"
    python3 "$ROOT/scripts/lib/bench_growth.py" "$figures" | diff -- "$ROOT/docs/growth.svg" - \
        || fail "docs/growth.svg is of other figures: $hint"
    python3 "$script" readme "$figures" "$ROOT/README.md" | diff -u -- "$ROOT/README.md" - \
        || fail "the sentence in README.md is of other figures: $hint"
    python3 "$script" page "$figures" "$ROOT/docs/performance.md" | diff -u -- "$ROOT/docs/performance.md" - \
        || fail "the tables in docs/performance.md are of other figures: $hint"
}
check bench/pages bench_pages

# What --compare says of figures that are better, worse, new and missing.
bench_compare() {
    local script=$ROOT/scripts/lib/bench_figures.py rc=0
    figures_of() {
        local separator='' name value
        printf '{"qemu": "%s", "rust": "1", "results": [' "$1"
        shift
        while (($#)); do
            name=$1 value=$2 && shift 2
            printf '%s{"name": "%s", "gic": 3, "cpus": 4, "instructions": %d, "floor_ratio": 1.0}' "$separator" "$name" "$value"
            separator=', '
        done
        printf ']}\n'
    }
    figures_of 10 same 100 edge 100 worse 100 better 100 gone 100 >"$DIR/old"
    figures_of 11 same 100 edge 103 worse 104 better 96 fresh 100 >"$DIR/new"
    python3 "$script" compare "$DIR/old" "$DIR/new" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc, not 1"
    [[ $(cut -d ' ' -f 1 "$DIR/said" | sort | tr '\n' ' ') == 'better compared missing new note worse ' ]] || fail 'it says something else'
    grep -q '^worse *worse *GICv3 *4 CPUs: 100 -> 104 (+4.0%)$' "$DIR/said" || fail 'the figure that is worse is not named'
    figures_of 10 same 100 edge 103 >"$DIR/new"
    figures_of 10 same 100 edge 100 >"$DIR/old"
    python3 "$script" compare "$DIR/old" "$DIR/new" || fail 'three per cent are too much'
    # The same of lines, with a machine that is not asked for.
    script=$ROOT/scripts/lib/bench_lines.py rc=0
    printf '%s\n' 'same 3 4 4:4:4 1:1:2 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0' 'worse 3 4 4:4:4 1:1:1 2:2:2 0:0:0 0:0:0 0:0:0 0:0:0' \
        'gone 3 4 1:1:1 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0' 'same 3 8 4:4:4 1:1:1 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0' >"$DIR/rows.old"
    printf '%s\n' 'same 3 4 4:3:4 1:1:1 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0' 'worse 3 4 5:4:5 0.5:0:1 2:2:2 1:1:1 0:0:0 0:0:0 0:0:0' >"$DIR/rows.new"
    python3 "$script" table lines "$DIR/rows.old" '' 10 1 "$DIR/old" || fail 'there is no bar'
    python3 "$script" table lines "$DIR/rows.new" $'same 3 4 5\nworse 3 4 5' 10 1 "$DIR/new" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 && $(grep -c ' ok$' "$DIR/said") == 1 && $(grep -c '^worse .*  5.5 .* OVER$' "$DIR/said") == 1 ]] || fail 'not what the bars say'
    rc=0
    python3 "$script" compare lines "$DIR/old" "$DIR/new" 3:4 >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    diff <(sed '$d; s/  */ /g' "$DIR/said") <(printf '%s\n' 'worse worse GICv3 4 CPUs: moves 4 -> 5' \
        'better worse GICv3 4 CPUs: upgrades 1 -> 0.5' 'worse worse GICv3 4 CPUs: dsb 0 -> 1' \
        'missing gone GICv3 4 CPUs: counted before, not now') || fail 'not what has changed'
    [[ $rc == 1 ]] || fail "exit code $rc, not 1"
}
check bench/compare bench_compare

bench_verified() {
    "$ROOT/scripts/bench" --verify
    "$ROOT/scripts/bench" --verify --lines
    "$ROOT/scripts/bench" --verify --locks
}
check bench/repeatable --full --limit 1800 bench_verified
