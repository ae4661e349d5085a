# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what a case is stands in cases.sh, its image in case_images.sh; checks.sh reads AGAIN
# One case, run; and what came of it, against what is expected. Reads common.sh, runner.sh, tables.sh, cases.sh and case_images.sh first.

# Run case number $1 in this process. Its files go to $DIR.
run_case() {
    local number=$1
    DIR=$STATE/log/${case_names[$number]}
    mkdir -p "$DIR"
    if [[ ${case_kinds[$number]} == check ]]; then
        eval "${case_calls[$number]}"
        return
    fi

    local options words=() i rerun
    read_image "$number"
    have_runner
    staged "$image_kind" "$image_name" "$image_target" "$image_features" >/dev/null
    options=("${image_words[@]//\$dir/$DIR}")
    rerun=(scripts/run --target "$image_target")
    [[ -z $image_features ]] || rerun+=(--features "$image_features")
    if [[ -n $image_tree ]]; then
        make_tree "$DIR/tree.dtb" "$image_tree" "${options[@]}"
        # The boot arguments are in the tree by now.
        for ((i = 0; i < ${#options[@]}; i++)); do
            case ${options[i]} in
            --append) i=$((i + 1)) ;;
            --)
                words+=("${options[@]:i}")
                break
                ;;
            *) words+=("${options[i]}") ;;
            esac
        done
        options=(--dtb "$DIR/tree.dtb" "${words[@]}")
    fi
    if [[ $image_kind == test ]]; then
        rerun+=(--test "$image_name" "${options[@]}")
    else
        rerun+=("$image_name" "${options[@]}")
    fi
    AGAIN=$(quoted "${rerun[@]}")

    CODE=0
    if find_until "${case_expected[$number]}"; then
        run_until "$UNTIL" "$image_stage" "${options[@]}"
    else
        shim_words "${options[@]}"
        REVEILLE_PROGRAM=scripts/runner "$RUNNER" "$image_stage" "${SHIM_WORDS[@]}" "${options[@]}" \
            </dev/null >"$DIR/console.raw" 2>"$DIR/stderr" || CODE=$?
    fi
    take_console "$DIR/console.raw"
    sed 's/^/stderr: /' "$DIR/stderr"
    say "exit code $CODE"
    check_expectation "${case_expected[$number]}"
}

# What a run has left in FILE, without carriage returns, is $CONSOLE, and shown: take_console FILE
take_console() {
    CONSOLE=$DIR/console
    tr -d '\r' <"$1" >"$CONSOLE"
    cat -- "$CONSOLE"
}

# Sets UNTIL to the pattern of the item `until /REGEX/` of an expectation. 1: there is none.
find_until() {
    local item
    split "$1" ';'
    for item in "${FIELDS[@]}"; do
        if [[ $item == 'until /'*/ ]]; then
            UNTIL=${item:7:-1}
            return
        fi
    done
    return 1
}

# run_until REGEX ELF OPTION..: a run that does not end. It is stopped two seconds after such a console line has come, as if at its
# time limit.
run_until() {
    local pattern=$1 pid rc=0
    shift
    shim_words "${@:2}"
    # Directly, so that what ends it is not told to a shell.
    REVEILLE_PROGRAM=scripts/runner "$RUNNER" "$1" "${SHIM_WORDS[@]}" "${@:2}" </dev/null >"$DIR/console.raw" 2>"$DIR/stderr" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if tr -d '\r' <"$DIR/console.raw" | grep -Eqe "$pattern"; then
            sleep 2
            kill "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
    wait "$pid" || rc=$?
    # What the runner says when it is told to end.
    ((rc != 143)) || rc=$EXIT_TIMEOUT
    CODE=$rc
}

# Compare the console ($CONSOLE) and the exit code ($CODE) with an expectation, item by item.
check_expectation() {
    local item code=0 words
    split "$1" ';'
    local items=("${FIELDS[@]}")
    for item in "${items[@]}"; do
        [[ $item != code\ * ]] || code=${item#code }
    done
    case $code in
    any) ;;
    nonzero) ((CODE != 0)) || fail "exit code 0" ;;
    *) [[ $CODE == "$code" ]] || fail "exit code $CODE, expected $code" ;;
    esac
    for item in "${items[@]}"; do
        case $item in
        '' | code\ *) ;;
        'until /'*/) grep -Eqe "${item:7:-1}" -- "$CONSOLE" || fail "no console line matches /${item:7:-1}/" ;;
        '!/'*/) ! grep -Eqe "${item:2:-1}" -- "$CONSOLE" || fail "a console line matches /${item:2:-1}/" ;;
        /*/) grep -Eqe "${item:1:-1}" -- "$CONSOLE" || fail "no console line matches /${item:1:-1}/" ;;
        *)
            read -ra words <<<"$item"
            declare -F "expect_${words[0]}" >/dev/null || fail "no function expect_${words[0]} for '$item'"
            "expect_${words[0]}" "${words[@]:1}"
            ;;
        esac
    done
}
