# shellcheck shell=bash
# shellcheck disable=SC2034 # part of this is read by scripts/test and by the files of scripts/test.d
# The test cases: how they are declared, and how one of them is run. scripts/test.d/README.md explains the tables.
# Reads common.sh, tools.sh and build.sh first.

STATE=${CARGO_TARGET_DIR:-$ROOT/target}/reveille-test

# One entry per case in each of these.
case_names=() case_tiers=() case_weights=() case_limits=() case_kinds=()
# Of a check: the call. Of a boot: image, options, expectation.
case_calls=() case_images=() case_options=() case_expected=()
declare -A case_number=()

add_case() {
    local place=$1 kind=$2 name=$3 tier=$4
    [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._/+-]*$ ]] || table_error "$place" "bad case name '$name'"
    [[ -z ${case_number[$name]:-} ]] || table_error "$place" "case '$name' is there twice"
    [[ $tier == ci || $tier == full ]] || table_error "$place" "case '$name': tier '$tier' is neither ci nor full"
    case_number[$name]=${#case_names[@]}
    case_names+=("$name")
    case_tiers+=("$tier")
    case_kinds+=("$kind")
}

table_error() {
    usage_error "${1#"$ROOT"/}: $2"
}

# The highest --jobs. A case of this weight runs alone.
readonly MOST_JOBS=64

# A case that is a shell function, run under `set -e`: it passes if it gets to its end.
# check NAME [--full] [--alone] [--limit SECONDS] FUNCTION [ARGUMENT..]
check() {
    local name=$1 tier=ci weight=1 limit=600
    shift
    while [[ ${1:-} == --* ]]; do
        case $1 in
        --full) tier=full ;;
        --alone) weight=$MOST_JOBS ;;
        --limit)
            limit=$2
            shift
            ;;
        esac
        shift
    done
    add_case "${BASH_SOURCE[1]}:${BASH_LINENO[0]}" check "$name" "$tier"
    case_weights+=("$weight")
    case_limits+=("$limit")
    case_calls+=("$(quoted "$@")")
    case_images+=('') case_options+=('') case_expected+=('')
}

trim() {
    TRIMMED=${1#"${1%%[![:space:]]*}"}
    TRIMMED=${TRIMMED%"${TRIMMED##*[![:space:]]}"}
}

# Split $1 at every separator $2, a character with a space on both sides, into the array FIELDS, each field trimmed. The
# space after one separator may be the space before the next.
split() {
    local rest=" $1 " separator=" $2 "
    FIELDS=()
    while [[ $rest == *"$separator"* ]]; do
        trim "${rest%%"$separator"*}"
        FIELDS+=("$TRIMMED")
        rest=" ${rest#*"$separator"}"
    done
    trim "$rest"
    FIELDS+=("$TRIMMED")
}

# Read a table of boots.
load_cases() {
    local file=$1 line number=0
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        trim "$line"
        [[ -n $TRIMMED && $TRIMMED != '#'* ]] || continue
        split "$line" '|'
        ((${#FIELDS[@]} == 5 || ${#FIELDS[@]} == 6)) \
            || table_error "$file:$number" "${#FIELDS[@]} columns instead of: name | tier | image | options | expected [| for]"
        expand_row "$file:$number" "${FIELDS[@]}"
    done <"$file"
}

# One row, once for each combination of the values in its last column (`gic=2,3 cpus=1,2`).
expand_row() {
    local place=$1 name=$2 tier=$3 image=$4 options=$5 expected=$6 loops=${7:-}
    local loop rest variable value values
    if [[ -n $loops ]]; then
        loop=${loops%%[[:space:]]*}
        rest=${loops#"$loop"}
        trim "$rest"
        rest=$TRIMMED
        variable=${loop%%=*}
        [[ $loop == [a-z]*=?* ]] || table_error "$place" "'$loop' is not variable=value,value"
        IFS=, read -ra values <<<"${loop#*=}"
        for value in "${values[@]}"; do
            expand_row "$place" "${name//"\$$variable"/$value}" "${tier//"\$$variable"/$value}" \
                "${image//"\$$variable"/$value}" "${options//"\$$variable"/$value}" \
                "${expected//"\$$variable"/$value}" "$rest"
        done
        return
    fi
    add_case "$place" boot "$name" "$tier"
    if [[ ${options//\$dir/} == *\$[a-z]* || $image == *\$* ]]; then
        table_error "$place" "case '$name': a variable that the last column does not set"
    fi
    local word cpus=4 timeout=120 single=no previous=''
    for word in $options; do
        case $previous in
        --cpus) cpus=$word ;;
        --timeout) timeout=$word ;;
        esac
        case $word in
        --icount | -icount | *thread=single*) single=yes ;;
        esac
        previous=$word
    done
    [[ $single == no ]] || cpus=1
    ((cpus <= CPUS_HERE)) || cpus=$CPUS_HERE
    case_weights+=("$cpus")
    case_limits+=($((timeout + 30)))
    case_calls+=('')
    case_images+=("$image")
    case_options+=("$options")
    case_expected+=("$expected")
}

load_all_cases() {
    local file
    for file in "$ROOT"/scripts/test.d/*.sh; do
        # shellcheck disable=SC1090 # whatever is there
        source "$file"
    done
    for file in "$ROOT"/scripts/test.d/*.cases "$ROOT"/tests/target/*.cases; do
        [[ ! -f $file ]] || load_cases "$file"
    done
}

# --- images -----------------------------------------------------------------------------------------------------------

# The image of case number $1: sets image_kind, image_name, image_target, image_features, image_stage (its staged ELF),
# image_tree and image_words (the options that the runner gets).
read_image() {
    local word modifiers
    read -r image_name modifiers <<<"${case_images[$1]}"
    image_kind=example image_tree='' image_words=() image_target='' image_features=''
    if [[ $image_name == test:* ]]; then
        image_kind='test' image_name=${image_name#test:}
    fi
    for word in $modifiers; do
        [[ $word == tree:?* ]] || die "case ${case_names[$1]}: what is '$word' after the image?"
        image_tree=${word#tree:}
    done
    local words=() i options=${case_options[$1]}
    if [[ $options == *[\'\"]* ]]; then
        mapfile -d '' -t words < <(xargs printf '%s\0' <<<"$options")
    else
        read -ra words <<<"$options"
    fi
    for ((i = 0; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        --target) image_target=${words[++i]} ;;
        --features) image_features=${words[++i]} ;;
        --)
            image_words+=("${words[@]:i}")
            break
            ;;
        *) image_words+=("${words[i]}") ;;
        esac
    done
    image_target=${image_target:-$DEFAULT_TARGET}
    image_stage=$STATE/images/$image_target/${image_features:-default}/$image_kind/$image_name
}

# Build images of one kind, target and feature list, and copy them to where no later build replaces them.
stage_images() {
    local kind=$1 target=$2 features=$3 stage=$STATE/images/$2/${3:-default}/$1 elf elves
    shift 3
    mkdir -p "$stage"
    elves=$(build_images "$kind" "$target" "$features" release "$@") || exit "$EXIT_BUILD"
    while read -r elf; do
        # An image that has not changed keeps its date, and so its flat form.
        if ! cmp -s -- "$elf" "$stage/${elf##*/}"; then
            cp -- "$elf" "$stage/${elf##*/}" || exit 1
        fi
        flat_image "$stage/${elf##*/}" >/dev/null || exit 1
    done <<<"$elves"
}

# The path of a staged ELF, for checks: staged KIND NAME [TARGET [FEATURES]]. Built if need be.
staged() {
    local target=${3:-$DEFAULT_TARGET} features=${4:-}
    local elf=$STATE/images/$target/${features:-default}/$1/$2
    if [[ -z ${REVEILLE_STAGED:-} || ! -f $elf.img ]]; then
        stage_images "$1" "$target" "$features" "$2" >&2
    fi
    printf '%s\n' "$elf"
}

# --- running one case -------------------------------------------------------------------------------------------------

fail() {
    say "failed: $*"
    [[ -z ${AGAIN:-} ]] || say "again: $AGAIN"
    exit 1
}

# The device tree of case number $1, made from QEMU's own for these options by the edit that its image names:
# scripts/test.d/trees/EDIT.dtsi is appended to it, or the function tree_EDIT changes the file.
make_tree() {
    local file=$1 edit=$2
    shift 2
    local options=() machine=()
    while (($#)); do
        if [[ $1 == -- ]]; then
            shift
            machine=("$@")
            break
        fi
        options+=("$1")
        shift
    done
    "$ROOT/scripts/runner" "$image_stage" "${options[@]}" -- "${machine[@]}" -machine "dumpdtb=$file.0" >/dev/null
    dtc -q -I dtb -O dts -o "$file.dts" "$file.0"
    if [[ -f $ROOT/scripts/test.d/trees/$edit.dtsi ]]; then
        cat -- "$ROOT/scripts/test.d/trees/$edit.dtsi" >>"$file.dts"
    fi
    dtc -q -I dts -O dtb -o "$file" "$file.dts"
    if declare -F "tree_$edit" >/dev/null; then
        "tree_$edit" "$file"
    elif [[ ! -f $ROOT/scripts/test.d/trees/$edit.dtsi ]]; then
        fail "no tree edit '$edit': neither scripts/test.d/trees/$edit.dtsi nor a function tree_$edit"
    fi
}

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
        "$ROOT/scripts/runner" "$image_stage" "${options[@]}" </dev/null >"$DIR/console.raw" 2>"$DIR/stderr" || CODE=$?
    fi
    tr -d '\r' <"$DIR/console.raw" >"$DIR/console"
    CONSOLE=$DIR/console
    cat -- "$CONSOLE"
    sed 's/^/stderr: /' "$DIR/stderr"
    say "exit code $CODE"
    check_expectation "${case_expected[$number]}"
}

# Sets UNTIL to the pattern of the item `until /REGEX/` of an expectation. 1: there is none.
find_until() {
    local item
    split "$1" ';'
    for item in "${FIELDS[@]}"; do
        if [[ $item == 'until /'*/ ]]; then
            UNTIL=${item#until /}
            UNTIL=${UNTIL%/}
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
    "$ROOT/scripts/runner" "$@" </dev/null >"$DIR/console.raw" 2>"$DIR/stderr" &
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
    local item code=0 pattern words
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
        '!/'*/)
            pattern=${item#!/}
            pattern=${pattern%/}
            ! grep -Eqe "$pattern" -- "$CONSOLE" || fail "a console line matches /$pattern/"
            ;;
        /*/)
            pattern=${item#/}
            pattern=${pattern%/}
            grep -Eqe "$pattern" -- "$CONSOLE" || fail "no console line matches /$pattern/"
            ;;
        *)
            read -ra words <<<"$item"
            declare -F "expect_${words[0]}" >/dev/null || fail "no function expect_${words[0]} for '$item'"
            "expect_${words[0]}" "${words[@]:1}"
            ;;
        esac
    done
}
