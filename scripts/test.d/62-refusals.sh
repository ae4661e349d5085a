# shellcheck shell=bash
# What must not compile, one thing at a time: the errors are of the kind that tests/target/src/bin/refusals.rs has behind its
# name, and say what stands there.

# refusal NAME FEATURES CODE TEXT
refusal() {
    local name=$1 features=$2 code=$3 text=$4 options=() errors
    [[ -z $features ]] || options=(--features "$features")
    does_not_compile refusals "${options[@]}" -- --cfg refused --cfg "refused=\"$name\""
    # The last error is cargo's; all others are of this kind.
    errors=$(grep -E '^error(\[|: )' "$DIR/rustc" | grep -v '^error: could not compile')
    [[ -n $errors ]] || fail 'the compiler says no reason'
    ! grep -vE "^error${code:+\\[$code\\]}: " <<<"$errors" || fail "an error of another kind than expected: $code"
    grep -qE -- "$text" "$DIR/rustc" || fail "it does not say: $text"
}

while IFS= read -r line; do
    split "${line#'//= '}" '|'
    ((${#FIELDS[@]} == 3)) || table_error tests/target/src/bin/refusals.rs "bad line '$line'"
    read -r name _ features <<<"${FIELDS[0]}"
    check "refusals/$name" refusal "$name" "$features" "${FIELDS[1]}" "${FIELDS[2]}"
done < <(grep '^//= ' "$ROOT/tests/target/src/bin/refusals.rs")
unset line name features
