# shellcheck shell=bash
# The bar on RAM: what a CPU takes, with its stacks and whatever else there is once for each CPU, is at most 40 KiB.

readonly MOST_PER_CPU=40960

# memory_per_cpu GIC CPUS..: the free memory of machines with the same RAM and so many CPUs, compared with that of one CPU.
memory_per_cpu() {
    local gic=$1 cpus elf free alone each over=''
    shift
    elf=$(staged 'test' memory)
    for cpus in 1 "$@"; do
        "$ROOT/scripts/runner" "$elf" --icount --gic "$gic" --cpus "$cpus" --timeout 200 --append deadline_ms=60000 \
            </dev/null >"$DIR/console" 2>&1 || fail "$cpus CPUs: exit code $?: $(<"$DIR/console")"
        free=$(tr -d '\r' <"$DIR/console" | sed -n "s/^memory: $cpus CPUs, \([0-9]*\) bytes free\$/\1/p")
        [[ -n $free ]] || fail "$cpus CPUs: no line says what is free: $(<"$DIR/console")"
        if ((cpus == 1)); then
            alone=$free
            continue
        fi
        each=$(((alone - free + cpus - 2) / (cpus - 1)))
        say "GICv$gic, $cpus CPUs: $each bytes for each CPU but the first"
        ((each > 4096)) || fail "$each bytes cannot hold a stack"
        ((each <= MOST_PER_CPU)) || over+=" $cpus:$each"
    done
    # The last machine is the one that the page speaks of, if it is that large.
    ((cpus != 256)) || grep -q "^A CPU takes $(((each + 1023) / 1024)) KiB of RAM, " "$ROOT/docs/performance.md" \
        || fail "docs/performance.md does not say that a CPU takes $(((each + 1023) / 1024)) KiB of RAM"
    [[ -z $over ]] || fail "more than $MOST_PER_CPU bytes for each CPU (CPUs:bytes):$over"
}
check memory/gic2 --image test:memory memory_per_cpu 2 2 4 8
check memory/gic3 --image test:memory memory_per_cpu 3 2 4 8 256
