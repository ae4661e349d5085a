# shellcheck shell=bash
# shellcheck disable=SC2034 # part of this is read by scripts/test and by the files of scripts/test.d
# The test cases, and how they are declared: scripts/test.d/README.md explains the tables. Reads common.sh and tables.sh first.

STATE=$TARGET_DIR/reveille-test

# One entry per case in each of these.
case_names=() case_tiers=() case_weights=() case_limits=() case_kinds=()
# Of a check: the call. Of a boot: options, expectation. Of both: the image, of a check all that it names.
case_calls=() case_images=() case_options=() case_expected=()
# Of a check that does not wait for images: early; of one that compiles besides: cargo.
case_lanes=()
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

# What scripts/test has to build, and how it went: by the words `KIND TARGET FEATURES` (`-` for none), `built` or `broken`. A build is a case of
# a kind of its own, whose call is these words and the names. Of a boot: those that it waits for, with bars between them.
declare -A group_state=() case_group=()
builds_left=0

# add_build KIND TARGET FEATURES NAME..: as many CPUs as a build can use are two for most of its time.
add_build() {
    local features=$3
    [[ $features != - ]] || features=default
    case_names+=("build/$2/$features/$1")
    case_tiers+=(ci) case_kinds+=(build) case_weights+=(2) case_limits+=(3600) case_lanes+=(build)
    case_calls+=("$*") case_images+=('') case_options+=('') case_expected+=('')
    builds_left=$((builds_left + 1))
}

# The highest --jobs. A case of this weight runs alone.
readonly MOST_JOBS=64

# A case that is a shell function, run under `set -e`: it passes if it gets to its end. scripts/test.d/README.md says what the options are for.
# check NAME [--full] [--alone | --double] [--early | --cargo] [--image IMAGE].. [--limit SECONDS] FUNCTION [ARGUMENT..]
check() {
    local name=$1 tier=ci weight=1 limit=600 lane='' images=''
    shift
    while [[ ${1:-} == --* ]]; do
        case $1 in
        --full) tier=full ;;
        --alone) weight=$MOST_JOBS ;;
        --double) weight=2 ;;
        --early | --cargo) lane=${1#--} ;;
        --image)
            images+="${images:+ }$2"
            shift
            ;;
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
    case_images+=("$images") case_options+=('') case_expected+=('') case_lanes+=("$lane")
}

# What the case of this number is, in CASE_WORDS: to read all tables takes a second, and each case is a process of its own.
words_of_case() {
    printf -v CASE_WORDS '%q ' "${case_names[$1]}" "${case_tiers[$1]}" "${case_weights[$1]}" "${case_limits[$1]}" "${case_kinds[$1]}" \
        "${case_calls[$1]}" "${case_images[$1]}" "${case_options[$1]}" "${case_expected[$1]}"
}

# The one case that these words say.
take_case() {
    case_number=(["$1"]=0)
    case_names=("$1") case_tiers=("$2") case_weights=("$3") case_limits=("$4") case_kinds=("$5")
    case_calls=("$6") case_images=("$7") case_options=("$8") case_expected=("$9")
}

# tier_of PLACE NAME WORDS: sets TIER to what the column says, where the variables have their values: `ci`, `full`, or for `ci 4=1,4 3=3` the former if
# each value is among those behind it.
tier_of() {
    local word values words
    read -ra words <<<"$3"
    TIER=${words[0]:-}
    for word in "${words[@]:1}"; do
        [[ $word == ?*=?* ]] || table_error "$1" "case '$2': '$word' is not \$variable=value,value"
        IFS=, read -ra values <<<"${word#*=}"
        among "${word%%=*}" "${values[@]}" || TIER=full
    done
}

# A row of a table of boots: a case for each combination of the values in its last column (`gic=2,3 cpus=1,2`).
boot_row() {
    (($# == 6 || $# == 7)) || table_error "$1" "$(($# - 1)) columns instead of: name | tier | image | options | expected [| for]"
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
            boot_row "$place" "${name//"\$$variable"/$value}" "${tier//"\$$variable"/$value}" \
                "${image//"\$$variable"/$value}" "${options//"\$$variable"/$value}" \
                "${expected//"\$$variable"/$value}" "$rest"
        done
        return
    fi
    tier_of "$place" "$name" "$tier"
    add_case "$place" boot "$name" "$TIER"
    if [[ ${options//\$dir/} == *\$[a-z]* || $image == *\$* ]]; then
        table_error "$place" "case '$name': a variable that the last column does not set"
    fi
    local word cpus=4 host=$CPUS_HERE timeout=120 single=no previous=''
    for word in $options; do
        case $previous in
        --cpus) cpus=$word ;;
        --host-cpus) host=$word ;;
        --timeout) timeout=$word ;;
        esac
        case $word in
        --icount | -icount | *thread=single*) single=yes ;;
        esac
        previous=$word
    done
    [[ $single == no ]] || cpus=1
    ((cpus <= host)) || cpus=$host
    case_weights+=("$cpus")
    case_limits+=($((timeout + 30)))
    case_calls+=('')
    case_images+=("$image")
    case_options+=("$options")
    case_expected+=("$expected")
    case_lanes+=('')
}

load_checks() {
    local file
    for file in "$ROOT"/scripts/test.d/*.sh; do
        # shellcheck disable=SC1090 # whatever is there
        source "$file"
    done
}

load_all_cases() {
    local file
    load_checks
    for file in "$ROOT"/scripts/test.d/*.cases "$ROOT"/tests/target/*.cases; do
        [[ ! -f $file ]] || each_row "$file" boot_row
    done
}
