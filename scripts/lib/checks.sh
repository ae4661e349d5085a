# shellcheck shell=bash
# What the checks of scripts/test.d call: commands that have to fail, cargo's, waiting. Reads common.sh and tools.sh first.

fail() {
    say "failed: $*"
    [[ -z ${AGAIN:-} ]] || say "again: $AGAIN"
    exit 1
}

# ends_with CODE COMMAND..: the command ends with this exit code. What it says is left in $DIR/stdout and $DIR/stderr.
ends_with() {
    local code=$1 rc=0
    shift
    say "+ $(quoted "$@")"
    timeout -k 5 200 "$@" >"$DIR/stdout" 2>"$DIR/stderr" || rc=$?
    cat -- "$DIR/stderr" >&2
    ((rc == code)) || fail "exit code $rc, expected $code"
}

# complains CODE PATTERN COMMAND..: it ends with this exit code, nothing on stdout, and one line on stderr that matches the pattern.
complains() {
    local code=$1 pattern=$2
    shift 2
    ends_with "$code" "$@"
    [[ ! -s $DIR/stdout ]] || fail "this came on stdout: $(<"$DIR/stdout")"
    (($(wc -l <"$DIR/stderr") == 1)) || fail "more or less than one line on stderr"
    grep -Eqe "$pattern" -- "$DIR/stderr" || fail "the message does not match /$pattern/"
}

# refused PATTERN COMMAND..: bad usage, and this is said of it.
refused() {
    complains 2 "$@" </dev/null
}

# failed PATTERN COMMAND..: the command ends with exit code 1, and the last line on stderr matches the pattern.
failed() {
    local pattern=$1
    shift
    ends_with 1 "$@" </dev/null
    tail -n 1 -- "$DIR/stderr" | grep -Eqe "$pattern" || fail "the last line does not match /$pattern/"
}

# Run a cargo command in the checkout and show it. In CI the lock file is the law.
run_cargo() {
    local command=(cargo "$@")
    say "+ $(quoted "${command[@]}")"
    in_root "${command[@]}"
}

# The path has the tool that boots, as if it had been installed.
user_tools() {
    have_runner
    mkdir -p -- "$DIR/bin"
    ln -sfn -- "$RUNNER" "$DIR/bin/reveille-run"
    PATH=$DIR/bin:$PATH
}

# does_not_compile BINARY [WORD..]: rustc, with these words for it, refuses this binary of tests/target, and says where. What it says
# is left in $DIR/rustc.
does_not_compile() {
    local binary=$1 rc=0
    shift
    run_cargo rustc --profile "$(image_profile test)" -p reveille-tests --bin "$binary" --target "$DEFAULT_TARGET" "$@" >"$DIR/rustc" 2>&1 || rc=$?
    cat -- "$DIR/rustc"
    ((rc != 0)) || fail 'it compiles'
    grep -q "$binary.rs:[0-9]*:[0-9]*" "$DIR/rustc" || fail 'it does not say where'
}

# Sets BEFORE to the words before the first `--`, and AFTER to those behind it.
# shellcheck disable=SC2034 # for who calls it
halves() {
    BEFORE=() AFTER=()
    while (($#)) && [[ $1 != -- ]]; do
        BEFORE+=("$1")
        shift
    done
    AFTER=("${@:2}")
}

# wait_for SECONDS COMMAND..: try the command until it succeeds. 1: it has not by then.
wait_for() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < limit)) || return 1
        sleep 0.1
    done
}
