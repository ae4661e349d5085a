# shellcheck shell=bash
# Linux beside Reveille: what can be looked at without Linux. benches/linux/run itself is not run here: it fetches too much.

linux_usage() {
    local run=$ROOT/benches/linux/run
    "$run" --help >"$DIR/help"
    [[ $(head -n 1 -- "$DIR/help") == 'usage: benches/linux/run '* ]] || fail 'no usage line'
    refused "unknown option '--lines'" "$run" --lines
    refused "what is '4'\\?" "$run" 4
    refused '--cpus: 1 is outside 2 to 64' "$run" --cpus 1
    refused '--json: its value is missing' "$run" --json
    refused "--json: cannot write '/nonexistent/file'" "$run" --json /nonexistent/file
    refused "--from: cannot read the figures '/nonexistent'" "$run" --from /nonexistent
    refused '--verify measures, --from does not' "$run" --verify --from "$ROOT/benches/linux/figures.json"
    refused '--cpus measures, --from does not' "$run" --cpus 4 --from "$ROOT/benches/linux/figures.json"
    refused 'not those of --cpus' "$run" --cpus 4 --write
    failed 'does not hold figures as benches/linux/run' "$run" --from "$ROOT/benches/figures.json"
}
check linux/usage linux_usage

# The tables of the page are made of the figures that are kept, Linux's and Reveille's; there is a place for them.
linux_page() {
    local report=$ROOT/benches/linux/report.py kept=$ROOT/benches/linux/figures.json page=$ROOT/docs/performance.md
    python3 "$report" page "$kept" "$ROOT/benches/figures.json" "$page" | diff -u -- "$page" - \
        || fail 'docs/performance.md is of other figures: run benches/linux/run --from benches/linux/figures.json --write'
    sed 's/^<!-- linux: .*//' -- "$page" >"$DIR/page.md"
    failed 'has no place for the tables' python3 "$report" page "$kept" "$ROOT/benches/figures.json" "$DIR/page.md"
}
check linux/page linux_page

# listing TICKS: of all operations of a boot with 3 CPUs, what the plugin writes and the module prints; the latter of `on_each`, TICKS.
listing() {
    local number=0 name run
    : >"$DIR/listing"
    printf 'bench on_each %s\nbench irq_mask 4\nbench lock 11\n' "$1" >"$DIR/console"
    while IFS= read -r name; do
        for run in 2 0 1; do
            printf 'sample %d 0 1%d 2 3 4 5 6 7 %d 1 0 0 0 0 0\ninstructions %d 10%d\n' "$number" "$run" "$run" "$number" "$((run + 1))"
        done >>"$DIR/listing"
        case $name in
        sync_call | sync_call_value | post | stop_machine) printf 'bench %s 100\n' "$name" ;;
        key_toggle) printf 'bench %s 50\n' "$name" ;;
        esac >>"$DIR/console"
        number=$((number + 1))
    done < <(sed -n 's/^OPERATION(\(.*\))$/\1/p' "$ROOT/benches/lines/operations.h")
    echo end >>"$DIR/listing"
}

# The least of the instructions without the mark, the median of the others; of the caller, of one of two, of one CPU of those that came; as
# printed where a loop was counted.
linux_figures() {
    local rows=(python3 "$ROOT/benches/linux/report.py" rows 3 "$DIR/listing" "$DIR/console") missing
    listing 102
    "${rows[@]}" >"$DIR/rows"
    cat -- "$DIR/rows"
    (($(wc -l <"$DIR/rows") == 12)) || fail 'not every operation is there, or more'
    grep -qx 'on_each 3 100 11:10:12 2:2:2 3:3:3 4:4:4 5:5:5 6:6:6 7:7:7' "$DIR/rows" || fail 'on_each'
    grep -qx 'post 3 100 1:0:2 1:1:1 0:0:0 0:0:0 0:0:0 0:0:0 0:0:0' "$DIR/rows" || fail 'post is not of the caller'
    grep -qx 'key_toggle 3 50 5.5:5:6 1:1:1 1.5:1.5:1.5 2:2:2 2.5:2.5:2.5 3:3:3 3.5:3.5:3.5' "$DIR/rows" || fail 'key_toggle is not one of two'
    grep -q '^bringup_per_cpu 3 50 5.5:5:6 ' "$DIR/rows" || fail 'bringup_per_cpu is not of one CPU'
    grep -q '^lock 3 11 11:10:12 ' "$DIR/rows" || fail 'lock is not what was printed'
    python3 "$ROOT/benches/linux/report.py" json "$DIR/rows" kernel qemu host >"$DIR/json"
    python3 "$ROOT/benches/linux/report.py" list "$DIR/json" >"$DIR/list"
    grep -Eq '^on_each +3 +100 +11 +2 +3 +4 +5 +6 +7$' "$DIR/list" || fail 'it is listed otherwise'

    listing 103
    failed 'on_each with 3 CPUs: 100 instructions by the plugin, 103 by the counter' "${rows[@]}"
    listing 100
    missing=$(python3 "$ROOT/benches/linux/report.py" number bringup_per_cpu)
    sed -i "/^sample $missing /d" "$DIR/listing"
    failed 'with 3 CPUs nothing was counted of bringup_per_cpu$' "${rows[@]}"
    sed -i '$d' "$DIR/listing"
    failed "the plugin has not ended" "${rows[@]}"
}
check linux/figures linux_figures

# Linux itself: what is kept comes again, from the same kernel in the same QEMU; from others, the calls at least about as much.
linux_run() {
    "$ROOT/benches/linux/run" --cpus 2 --json "$DIR/linux.json"
    python3 - "$ROOT/benches/linux/figures.json" "$DIR/linux.json" <<'TEXT'
import json
import sys

kept, new = (json.load(open(path)) for path in sys.argv[1:])
of_kept, of_new = ({result["name"]: result for result in data["results"] if result["cpus"] == 2} for data in (kept, new))
assert of_kept.keys() == of_new.keys(), of_new.keys()
if all(kept[key] == new[key] for key in ("linux", "qemu", "host")):
    assert of_kept == of_new, "the figures are not those that are kept: keep these, with benches/linux/run --write"
else:
    print(f"kept are figures of {kept['linux']}, QEMU {kept['qemu']}: these are of others")
    for name in ("sync_call", "post", "on_each"):
        assert 0.5 <= of_new[name]["instructions"] / of_kept[name]["instructions"] <= 2, name
TEXT
}
check linux/run --full --limit 1500 linux_run
