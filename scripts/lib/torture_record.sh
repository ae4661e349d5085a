# shellcheck shell=bash
# The long runs of scripts/torture: which they are, what is kept of them, and the page of that. Reads common.sh and tools.sh first.

readonly SERIES=$ROOT/tests/target/torture.series FIGURES=$ROOT/docs/torture.json PAGE=$ROOT/docs/torture.md

# What torture_series.py says of the series: series WORD ARGUMENT..
series() {
    python3 "$ROOT/scripts/lib/torture_series.py" "$1" "$SERIES" "${@:2}"
}

# Is the JSON of a run, on stdin, as these words of torture.py say?
judge() {
    python3 "$ROOT/scripts/test.d/torture.py" "$@"
}

# What ran them: the number of CPUs and their model, and QEMU's version.
host_words() {
    printf '%d CPUs (%s), QEMU %s' "$CPUS_HERE" "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p)" "$(qemu_version)"
}

# One run after the other, each kept as soon as it is over; the first that fails ends it.
record() {
    local names=() words=() name options
    mapfile -t names < <(series list)
    for name; do
        among "$name" "${names[@]}" || usage_error "--record: no run '$name'; there are: $(join ', ' "${names[@]}")"
    done
    (($#)) || set -- "${names[@]}"
    need run
    scratch_dir
    for name; do
        mapfile -t options < <(series options "$name")
        say "$PROGRAM: $name: scripts/torture $(quoted "${options[@]}")"
        read -ra words < <(series words "$name") || true
        "$ROOT/scripts/torture" "${options[@]}" </dev/null | tee "$SCRATCH/run" || die "$name failed: nothing of it is kept"
        tail -n 1 -- "$SCRATCH/run" >"$SCRATCH/json"
        judge "${words[@]}" <"$SCRATCH/json" \
            || die "$name is not as tests/target/torture.series has it (${words[*]}): nothing of it is kept"
        series keep "$FIGURES" "$name" "$(host_words)" <"$SCRATCH/json"
    done
    # Not before the last of them.
    ! series page "$FIGURES" >"$SCRATCH/page" || cp -- "$SCRATCH/page" "$PAGE"
}
