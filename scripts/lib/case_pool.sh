# shellcheck shell=bash
# shellcheck disable=SC2154 # what a case is stands in cases.sh
# Cases beside each other, and the builds of what they boot, as many as there is room for; how each of them ended, a line. Reads common.sh,
# cases.sh, case_images.sh and counts.sh first.

passed=0 failed=0
# What there is room for, in weights of cases, and what of that is free.
room=0 free=0
# Of each case that runs, by its number; and the lanes that are taken, each by one.
declare -A running=() started=() weight_of=() process_of=() lane_taken=()

# Room for cases of this weight together; for one scripts/test with the same target directory: open_pool WEIGHT
open_pool() {
    room=$1 free=$1
    mkdir -p "$STATE"
    exec 9>"$STATE/lock"
    flock -n 9 || die "another scripts/test is running with the same target directory ($STATE)"
    rm -rf -- "${STATE:?}/log" "$STATE/ends"
    mkfifo -- "$STATE/ends"
    exec 8<>"$STATE/ends"
    trap stop_all INT TERM HUP
}

stop_all() {
    local pid
    trap '' INT TERM
    for pid in "${process_of[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait
    printf '%d passed, %d failed\n' "$passed" "$failed"
    exit 130
}

now_ms() { printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000)); }

seconds() { printf '%d.%d\n' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# How long this script has run, and what CPUs have spent on what it has waited for: on a machine where nothing waits for another thing that is as many
# times the former as there are CPUs.
print_spent() {
    # To a file: a subshell has its own count.
    times >"$STATE/times"
    awk -v seconds="$SECONDS" -v cpus="$CPUS_HERE" '{ for (i = 1; i <= 2; i++) { split($i, part, "m"); sum += part[1] * 60 + part[2] } }
        END { printf "took: %d s, and %d s of %d CPUs\n", seconds, sum, cpus }' "$STATE/times"
}

# How the case of this name ended, with this exit code, after so many milliseconds: report NAME CODE MS
report() {
    local name=$1 rc=$2 ms=$3 log=$STATE/log/$1/log
    if ((rc == 0)); then
        passed=$((passed + 1))
        count_log "$log"
        printf 'ok %s (%s s)%s\n' "$name" "$(seconds "$ms")" "${COUNTED:+ $COUNTED}"
        return
    fi
    failed=$((failed + 1))
    printf 'FAILED %s (%s s)\n' "$name" "$(seconds "$ms")"
    if [[ $rc == 124 || $rc == 137 ]]; then
        printf '    | (stopped: it took too long)\n'
    fi
    tail -n 40 -- "$log" | sed 's/^/    | /'
    printf '    the whole log: %s\n' "$log"
}

# How the build of this number ended, with this exit code, after so many milliseconds: report_build NUMBER CODE MS
report_build() {
    local kind target features names words=built
    read -r kind target features names <<<"${case_calls[$1]}"
    builds_left=$((builds_left - 1))
    group_state["$kind $target $features"]=built
    if (($2 != 0)); then
        group_state["$kind $target $features"]=broken words='cannot build'
    fi
    [[ $features != - ]] || features=''
    printf '%s %s for %s%s (%s s)\n' "$words" "$names" "$target" "${features:+ with $features}" "$(seconds "$3")"
    (($2 == 0)) || tail -n 40 -- "$STATE/log/${case_names[$1]}/log" | sed 's/^/    | /'
}

# Wait for one case to end. Each tells its number and its exit code through a pipe: on a busy machine the process id of one that
# has ended may soon be that of another child, and then the shell no longer knows how the first one ended.
reap() {
    local line='' number rc gone='' other
    until read_line line 8 5; do
        # It is being told.
        [[ -z ${REST[8]} ]] || continue
        if [[ -n $gone ]]; then
            # What it had to tell would have been read meanwhile.
            line="$gone 1"
            say 'failed: its process is gone, and has not told its exit code' >>"$STATE/log/${running[$gone]}/log" 2>&1
            break
        fi
        for other in "${!process_of[@]}"; do
            kill -0 "${process_of[$other]}" 2>/dev/null || gone=$other
        done
    done
    read -r number rc <<<"$line"
    if [[ ${case_kinds[$number]} == build ]]; then
        report_build "$number" "$rc" $(($(now_ms) - started[$number]))
    else
        report "${running[$number]}" "$rc" $(($(now_ms) - started[$number]))
    fi
    free=$((free + weight_of[$number]))
    [[ -z ${case_lanes[$number]} ]] || unset "lane_taken[${case_lanes[$number]}]"
    unset "running[$number]" "started[$number]" "weight_of[$number]" "process_of[$number]"
}

# Start the case of this number.
start() {
    local number=$1 name=${case_names[$1]} weight=${case_weights[$1]} command=(--one "${case_names[$1]}")
    ((weight <= room)) || weight=$room
    mkdir -p "$STATE/log/$name"
    if [[ ${case_kinds[$number]} == build ]]; then
        read -ra command <<<"--stage ${case_calls[$number]}"
    fi
    (
        trap 'kill -TERM "$child" 2>/dev/null || true' TERM
        words_of_case "$number"
        REVEILLE_CASE=$CASE_WORDS timeout -k 5 "${case_limits[$number]}" "$ROOT/scripts/test" "${command[@]}" \
            >"$STATE/log/$name/log" 2>&1 </dev/null 8>&- 9>&- &
        child=$! rc=0
        wait "$child" || rc=$?
        # What was passed on to it ends that wait, and not yet the case.
        ! kill -0 "$child" 2>/dev/null || wait "$child" || rc=$?
        printf '%d %d\n' "$number" "$rc" >&8
    ) 9>&- &
    process_of[$number]=$! running[$number]=$name started[$number]=$(now_ms) weight_of[$number]=$weight
    free=$((free - weight))
    [[ -z ${case_lanes[$number]} ]] || lane_taken[${case_lanes[$number]}]=yes
}

# Is there nothing that the case of this number has to wait for, but room?
may_start() {
    local lane=${case_lanes[$1]}
    # There may be many early ones at a time.
    [[ $lane == early || -z $lane || -z ${lane_taken[$lane]:-} ]] || return 1
    case ${case_kinds[$1]} in
    build) ;;
    check) [[ -n $lane ]] || ((builds_left == 0)) ;;
    boot)
        images_of "$1"
        [[ -n $IMAGES ]]
        ;;
    esac
}

# Sets IMAGES to how it is with what the boot of this number waits for: `built`, `broken` if one of them is, or nothing if one is still to be built.
images_of() {
    local group groups
    IFS='|' read -ra groups <<<"${case_group[$1]}"
    IMAGES=built
    for group in "${groups[@]}"; do
        case ${group_state[$group]:-} in
        built) ;;
        broken)
            IMAGES=broken
            return
            ;;
        *) IMAGES='' ;;
        esac
    done
}

# Run the cases of these numbers: each as soon as it may start and there is room for it, and none before one that only lacks room.
run_cases() {
    local waiting=("$@") i number weight
    while ((${#waiting[@]})); do
        for i in "${!waiting[@]}"; do
            ((free > 0)) || break
            number=${waiting[i]}
            may_start "$number" || continue
            if [[ ${case_kinds[$number]} == boot && $IMAGES == broken ]]; then
                mkdir -p "$STATE/log/${case_names[$number]}"
                printf 'its image was not built, see above\n' >"$STATE/log/${case_names[$number]}/log"
                report "${case_names[$number]}" 1 0
            else
                weight=${case_weights[$number]}
                ((weight <= room)) || weight=$room
                ((weight <= free)) || break
                start "$number"
            fi
            unset "waiting[$i]"
        done
        ((${#running[@]} == 0)) || reap
    done
    while ((${#running[@]})); do
        reap
    done
}
