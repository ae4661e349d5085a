# shellcheck shell=bash
# How much the cases did, by what they say of it themselves: which lines count, and how much --full has to come to, stands in
# scripts/test.d/totals. Reads common.sh and tables.sh first.

# One entry per row of the table in each of these; of a row, how much the cases that passed have done, and how many they are.
count_groups=() count_patterns=() count_units=() count_promised=()
count_sums=() count_cases=()

# A row of that table.
count_row() {
    local place=$1 group=$2 unit=${3:-} pattern=${4:-} promised=${5:-0} rc=0
    (($# == 4 || $# == 5)) || table_error "$place" "$(($# - 1)) columns instead of: group | what it counts | line [| promised]"
    [[ $group =~ ^[a-z0-9][a-z0-9_/-]*$ ]] || table_error "$place" "bad group '$group'"
    ! among "$group" "${count_groups[@]}" || table_error "$place" "group '$group' is there twice"
    [[ $promised =~ ^[0-9]{1,12}$ ]] || table_error "$place" "promised: '$promised' is not a number"
    grep -qEe "$pattern" <<<'' 2>/dev/null || rc=$?
    ((rc == 1)) || table_error "$place" "'$pattern' is no regular expression, or matches an empty line"
    count_groups+=("$group") count_units+=("$unit") count_patterns+=("$pattern")
    count_promised+=("$((10#$promised))") count_sums+=(0) count_cases+=(0)
}

# 1234567 as 1 234 567.
grouped() {
    local rest=$1 out=''
    while ((${#rest} > 3)); do
        out=" ${rest: -3}$out" rest=${rest:0:-3}
    done
    printf '%s%s\n' "$rest" "$out"
}

# A case has passed with this log: adds to the sums what it has counted, and sets COUNTED to that in words, or to nothing.
count_log() {
    local log=$1 line i pattern all='' sums=()
    COUNTED=''
    for pattern in "${count_patterns[@]}"; do
        all+=${all:+|}$pattern
    done
    while IFS= read -r line; do
        for i in "${!count_patterns[@]}"; do
            if [[ $line =~ ${count_patterns[i]} ]]; then
                # Without a number in parentheses the line itself counts.
                sums[i]=$((${sums[i]:-0} + 10#${BASH_REMATCH[1]:-1}))
            fi
        done
    done < <(grep -Ee "${all:-^\$}" -- "$log" || true)
    for i in "${!sums[@]}"; do
        count_sums[i]=$((count_sums[i] + sums[i]))
        count_cases[i]=$((count_cases[i] + 1))
        COUNTED+="${COUNTED:+, }$(grouped "${sums[i]}") ${count_units[i]}"
    done
}

# A line for each group of which there was a case.
print_totals() {
    local i
    for i in "${!count_groups[@]}"; do
        ((count_cases[i] == 0)) || printf 'total: %s %s %s in %d case%s\n' "${count_groups[i]}" "$(grouped "${count_sums[i]}")" \
            "${count_units[i]}" "${count_cases[i]}" "$( ((count_cases[i] == 1)) || printf s)"
    done
}

# The numbers of the groups that a whole --full run has promised something of.
promised_totals() {
    local i
    for i in "${!count_groups[@]}"; do
        ((count_promised[i] == 0)) || printf '%d\n' "$i"
    done
}

# Has the group of number $1 come to what is promised? Says so.
total_is_kept() {
    printf '%s: %s %s, promised are %s\n' "${count_groups[$1]}" "$(grouped "${count_sums[$1]}")" "${count_units[$1]}" \
        "$(grouped "${count_promised[$1]}")"
    ((count_sums[$1] >= count_promised[$1]))
}
