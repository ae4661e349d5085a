# shellcheck shell=bash
# Everything at once, with faults: scripts/torture on each machine. Short here, ten minutes each with --full.

# shellcheck source=../lib/torture_record.sh
source "$ROOT/scripts/lib/torture_record.sh"

# tortured CODE [WORD..] [-- OPTIONS]: scripts/torture with these options ends with this exit code, and the last line of stdout
# and stderr together is its JSON. The words say what the numbers have to be like; see torture.py.
tortured() {
    local code=$1 rc=0
    halves "${@:2}"
    # shellcheck disable=SC2034 # `fail` says so
    AGAIN=$(quoted scripts/torture "${AFTER[@]}")
    "$ROOT/scripts/torture" "${AFTER[@]}" >"$DIR/output" 2>&1 </dev/null || rc=$?
    cat -- "$DIR/output"
    ((rc == code)) || fail "exit code $rc, expected $code"
    tail -n 1 -- "$DIR/output" | judge "${BEFORE[@]}" || fail "not the JSON expected"
}

# However few operations a busy host gets done in that time, each fault happens.
services=some=bell,alarm,context,switch,map
check torture/gic2 --image shipped:torture tortured 0 faults "$services" -- --gic 2 --cpus 8 --seconds 4 --mix faults=150 --seed 1 --append least_faults=1
check torture/gic3 --image shipped:torture tortured 0 faults "$services" -- --seconds 4 --mix faults=150 --seed 2 --append least_faults=1
# Guests too: a few instructions at EL1, on any CPU, while its host does all that.
check torture/el2-kept --image shipped:torture+el2 tortured 0 faults "$services,guest" -- --el 2 --features el2 --seconds 4 --mix faults=100 --seed 3 --append least_faults=1
# Firmware at EL3 that has Group 0 and sees priorities otherwise; CPUs come and go by its PSCI.
check torture/secure/gic2 --image shipped:torture+el2 tortured 0 -- --board secure --gic 2 --el 2 --features el2 --seconds 2 --seed 17
check torture/secure/gic3 --image shipped:torture tortured 0 -- --board secure --el 2 --seconds 2 --seed 18
check torture/el3 --image shipped:torture tortured 0 -- --el 3 --seconds 3 --seed 4
check torture/raspi4 --image shipped:torture tortured 0 faults -- --board raspi4 --seconds 4 --mix faults=100 --seed 5 --append least_faults=1
check torture/mask-daif --image shipped:torture tortured 0 faults -- --seconds 3 --mix faults=150 --seed 6 --append 'reveille.mask=daif least_faults=1'
check torture/many-cpus --image shipped:torture tortured 0 -- --cpus 24 --seconds 4 --seed 7
check torture/parallel --alone --image shipped:torture tortured 0 -- --cpus 2 --parallel --seconds 4 --seed 8
check torture/mix --image shipped:torture tortured 0 only=post,call,callback,down,leave,up -- --seconds 2 --seed 9 --no-faults --mix all=0,post=10,call=5,down=1,up=2
# The books are not closed while a handler or a callback that has begun is still to post: each of them takes long to come to that.
for kind in timer alarm handler callback; do
    check "torture/lingers/$kind" --image shipped:torture tortured 0 "only=$kind,post,callback" -- --icount --seconds 1 --seed 16 --no-faults --mix "all=0,post=1,$kind=10" \
        --append linger_ms=20
done
unset kind services

# Whatever earlier stages have left behind, every CPU comes; what no set-up can undo is said, and a CPU that it makes deaf fails.
boot_states() {
    "$ROOT/scripts/torture" --boot-states "$1" --seed "$2" </dev/null >"$DIR/output" || fail "$(<"$DIR/output")"
    cat -- "$DIR/output"
    grep -Eq "^boot states: $1 boots of seed $2, [1-9][0-9]* by EL3, [1-9][0-9]* that left CPUs deaf, 0 failed\$" "$DIR/output" || fail 'not that many boots'
}
# Of this seed 20 boots have most of the table.
check torture/boot-states --image test:leavings --image test:leavings+el2 boot_states 20 50
check torture/boot-states/many --full --limit 3600 boot_states 1000 2

# With counted instructions a seed is a run: twice the same, to the last byte; and another seed is another.
replayed() {
    local round
    for round in 1 2; do
        "$ROOT/scripts/torture" --icount --seconds 1 --seed 10 --mix faults=150 "$@" >"$DIR/run$round" </dev/null || fail "run $round failed"
    done
    cmp -- "$DIR/run1" "$DIR/run2" || fail 'the same seed gave another run'
    tail -n 1 -- "$DIR/run1" | judge faults
    "$ROOT/scripts/torture" --icount --seconds 1 --seed 11 "$@" >"$DIR/run3" </dev/null || fail 'another seed failed'
    ! cmp -s -- "$DIR/run1" "$DIR/run3" || fail 'another seed gave the same run'
}
check torture/replay/gic3 --limit 900 --image shipped:torture replayed
check torture/replay/gic2 --full --limit 900 --image shipped:torture replayed --gic 2 --cpus 8
check torture/replay/el2-kept --full --limit 900 --image shipped:torture+el2 replayed --el 2 --features el2
check torture/replay/raspi4 --full --limit 900 --image shipped:torture replayed --board raspi4

# What must not be is found, and says so: the count, the traces, the backtraces, and how to have it again.
planted() {
    local plant=$1 wrong=$2 append=plant=$1
    # What takes that long hangs; but not where that is not the point, on a host that is busy. What takes longer to succeed there
    # hangs too, and is not unaccounted for.
    [[ $wrong != hangs ]] || append+=' hang_ms=3000 long_ms=30000'
    tortured 1 "wrong=$wrong" -- --seconds 3 --seed 12 --timeout 40 --append "$append"
    grep -q '^scripts/torture: failed: .*; seed 12$' "$DIR/output" || fail 'the seed is not named'
    grep -q '^again: scripts/torture --seed 12 --seconds 3 ' "$DIR/output" || fail 'it does not say how to have it again'
    python3 "$ROOT/scripts/test.d/torture_traces.py" 4 <"$DIR/output" || fail 'not the traces and backtraces of all CPUs'
}
# A call that comes before an earlier post has run cannot tell whether that is late or lost.
check torture/finds/lost --image shipped:torture planted lost 'lost|reordered'
for plant in doubled reordered unaccounted; do
    check "torture/finds/$plant" --image shipped:torture planted "$plant" "$plant"
done
unset plant
check torture/finds/hang --image shipped:torture planted hang hangs
check torture/finds/masked --image shipped:torture planted masked hangs

# Every CPU masks everything and says nothing any more: what they did, and where they are, is read out of their memory. No CPU is off
# at that moment, because none ever leaves, not for a start that is to go wrong either; and each runs its
# home, from whose first function its backtrace comes.
silent() {
    tortured 1 wrong=unaccounted,hangs -- --seconds 3 --seed 14 --timeout 12 --mix down=0,leave=0,alone=0,up_short=0,context=0,faults=0,freeze=30,lost_sgi=60 \
        --append plant=silent "$@"
    grep -q '^scripts/torture: nothing heard for 12 s; ' "$DIR/output" || fail 'it does not say what is wrong'
    python3 "$ROOT/scripts/test.d/torture_traces.py" 4 silent <"$DIR/output" || fail 'not the traces and backtraces of all CPUs'
}
check torture/finds/silent/gic3 --image shipped:torture silent
check torture/finds/silent/raspi4 --full --image shipped:torture silent --board raspi4
check torture/finds/silent/el2-kept --full --image shipped:torture+el2 silent --el 2 --features el2 --gic 2

# What it says is how to have the same again: with the board that was named, not with the one that faults would take.
torture_again() {
    local again
    tortured 1 wrong=doubled -- --board lying --no-faults --seconds 3 --seed 15 --timeout 60 --append plant=doubled
    again=$(sed -n 's/^again: //p' "$DIR/output")
    [[ $again == *' --no-faults --board lying '*' --timeout 60' ]] || fail "not that board, or not that time: $again"
    # The shim is there again, though nothing is asked of it.
    again=${again#scripts/torture }
    eval "tortured 1 wrong=doubled -- $again"
    [[ $(sed -n 's/^again: scripts.torture //p' "$DIR/output") == "$again" ]] || fail 'the second time it says something else'
    grep -q '^torture: seed 15, 4 CPUs, 3 s, firmware lies; ' "$DIR/output" || fail 'another board'
}
check torture/again --image shipped:torture torture_again

# The last line is JSON, too, if the image cannot be built, or QEMU does not start, or says nothing.
torture_without_guest() {
    CARGO_TARGET_DIR=/dev/null/none tortured 101 wrong=unaccounted -- --seed 13
    TMPDIR=/dev/null/none tortured 1 wrong=unaccounted -- --seed 13
    tortured 1 wrong=unaccounted -- --seed 13 -- -device no-such-device
    tortured 1 wrong=unaccounted,hangs -- --seed 13 --timeout 3 -- -S
    grep -q '^cpu 3 as QEMU sees it: pc ' "$DIR/output" || fail 'not what QEMU sees'
    grep -qx 'no traces: the guest has not begun, or has lost them' "$DIR/output" || fail 'it does not say that there are no traces'
}
check torture/no-guest torture_without_guest

torture_options() {
    local torture=$ROOT/scripts/torture
    refused "--mix: unknown 'nonsense'; there are: all, faults, call, " "$torture" --mix post=1,nonsense=2
    refused "--mix: 'post' is not NAME=WEIGHT" "$torture" --mix post
    refused "--mix: post: 'x' is not a number" "$torture" --mix post=x
    refused '--mix: its value is missing' "$torture" --mix
    refused '--seconds: 0 is outside 1 to 999999' "$torture" --seconds 0
    refused "--seed: 'one' is not a number" "$torture" --seed one
    refused '--cpus: torture has room for 64' "$torture" --cpus 65
    refused '--parallel: not with --icount' "$torture" --parallel --icount
    refused "what is 'roll_call'" "$torture" roll_call
    refused "--record: no run 'gic9'; there are: gic2, " "$torture" --record gic9
    refused '--page stands alone' "$torture" --page gic2
    refused "unknown option '--secnods'" "$torture" --secnods 5
    refused '--gdb: not with torture' "$torture" --gdb
    refused '--interactive: not with torture' "$torture" --interactive
}
check torture/options torture_options

# The long runs: every kind of operation has its share, every kind of fault happens often enough.
torture_series() {
    local options words
    mapfile -t options < <(series options "$1")
    read -ra words < <(series words "$1") || true
    tortured 0 "${words[@]}" -- "${options[@]}"
}
while read -r name; do
    check "torture/full/$name" --full --alone --limit 1500 torture_series "$name"
    # Not by Python, which each case would wait for.
done < <(sed -n 's/^\([^#| ][^| ]*\) *|.*/\1/p' "$SERIES")
unset name

# The page is what the figures say, and each run in it is as it has to be.
torture_page() {
    local name words
    "$ROOT/scripts/torture" --page | diff -u -- "$PAGE" - || fail 'docs/torture.md is not what docs/torture.json has: scripts/torture --page'
    for name in $(series list); do
        read -ra words < <(series words "$name") || true
        python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))[sys.argv[2]]["run"]))' "$FIGURES" "$name" \
            | judge "${words[@]}"
    done
}
check torture/page torture_page

# What is kept of runs, and the page of them: what is damaged or missing is said, and nothing of it gets in.
# shellcheck disable=SC2016 # the backquotes are Markdown
torture_kept() {
    local tool=$ROOT/scripts/lib/torture_series.py judge=$ROOT/scripts/test.d/torture.py series=$DIR/series figures=$DIR/figures.json run
    printf '# a comment\n\none | a run | --seconds 2 | share=1 rate=50\ntwo | another | --seconds 3 |\n' >"$series"
    rm -f -- "$figures"
    run='{"seed":1,"seconds":2,"operations":100,"by_kind":{"post":60,"call":40},"faults":{"freeze":3},"lost":0,"doubled":0,"reordered":0,"unaccounted":0,"hangs":0}'
    [[ $(python3 "$tool" words "$series" one) == 'share=1 rate=50' ]] || fail 'not the words of the series'
    judge share=1 rate=50 faults=3 <<<"$run"
    complains 1 'torture.py: 50 operations a second, fewer than 51' python3 "$judge" rate=51 <<<"$run"
    complains 1 'torture.py: faults that happened less than 4 times' python3 "$judge" faults=4 <<<"$run"
    complains 1 "torture.py: wrong are .'lost'." python3 "$judge" <<<"${run/\"lost\":0/\"lost\":1}"
    complains 1 'torture.py: not JSON' python3 "$judge" <<<"${run%?}"
    refused "torture.py: unknown word 'rates'" python3 "$judge" rates=5
    python3 "$tool" keep "$series" "$figures" two 'a host' <<<"$run"
    complains 1 'no figures of one: scripts/torture --record one' python3 "$tool" page "$series" "$figures"
    complains 1 'one: its last line is not JSON' python3 "$tool" keep "$series" "$figures" one 'a host' <<<"${run%?}"
    complains 1 'one: its last line is not the JSON of a run' python3 "$tool" keep "$series" "$figures" one 'a host' <<<'{"seed":1}'
    complains 1 'no figures of one' python3 "$tool" page "$series" "$figures"
    python3 "$tool" keep "$series" "$figures" one 'a host' <<<"$run"
    python3 "$tool" page "$series" "$figures" >"$DIR/page"
    grep -qxF '| one: a run | `--seconds 2` | 2 | 100 | 50 | 3 | 0 | 0 | 0 | 0 | 0 |' "$DIR/page" || fail 'not the row of a run'
    grep -qxF '| `post` | 60 | 60 |' "$DIR/page" || fail 'not the counts of both runs'
    complains 1 "no run 'three'; there are: one, two" python3 "$tool" words "$series" three
    sed -i 's/"operations"/"operators"/' "$figures"
    complains 1 "figures.json: 'one' is not a run as scripts/torture --record keeps it" python3 "$tool" page "$series" "$figures"
    truncate -s -5 "$figures"
    complains 1 'figures.json: not JSON' python3 "$tool" keep "$series" "$figures" one 'a host' <<<"$run"
    printf 'one | a run | --seconds 2\n' >>"$series"
    complains 1 'series:5: not NAME \| WHAT \| OPTIONS \| WORDS, or that name again' python3 "$tool" list "$series"
}
check torture/kept torture_kept
