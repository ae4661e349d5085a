# shellcheck shell=bash
# Tables: a row a line, its fields separated by bars with spaces around them, and comments. Reads common.sh first.

# table_error PLACE TEXT: what is wrong in the file and line PLACE; ends the script.
table_error() {
    usage_error "${1#"$ROOT"/}: $2"
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

# Call a function for each row of FILE, with the place of the row and its fields: each_row FILE FUNCTION
each_row() {
    local file=$1 line number=0
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        trim "$line"
        [[ -n $TRIMMED && $TRIMMED != '#'* ]] || continue
        split "$line" '|'
        "$2" "$file:$number" "${FIELDS[@]}"
    done <"$file"
}
