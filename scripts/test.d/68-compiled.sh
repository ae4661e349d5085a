# shellcheck shell=bash
# Images for CPUs that have more than others. On one without it they end in one line, and not in the first instruction that it
# does not know.

# built_with FLAGS PROFILE: image_stage is a roll call that rustc has built with `-C FLAGS` besides the flags of all images. `dev` is the
# profile of others, too; any other gets a place of its own, where everything is built once more.
built_with() {
    image_stage=$STATE/compiled/$2-${1//[=+,]/_}
    mkdir -p -- "${image_stage%/*}"
    alone_with_cargo build_with "$@"
}

build_with() {
    local flags=(--config "target.'cfg(target_os = \"none\")'.rustflags=['-C$1']") profile=$2 place=debug
    local build=(build -p reveille --example roll_call --target "$DEFAULT_TARGET")
    if [[ $profile != dev ]]; then
        place=compiled-${1//[=+,]/_}
        flags+=(--config "profile.$place.inherits='$profile'" --profile "$place")
    fi
    run_cargo "${build[@]}" "${flags[@]}"
    cp -- "$TARGET_DIR/$DEFAULT_TARGET/$place/examples/roll_call" "$image_stage"
}

# runs_on CPU GIC EXPECTATION [OPTION..]
# shellcheck disable=SC2034 # CODE is for check_expectation
runs_on() {
    local expected=$3 cpu=$1 gic=$2
    shift 3
    CODE=0
    "$ROOT/scripts/runner" "$image_stage" --cpu "$cpu" --gic "$gic" --timeout 60 "$@" >"$DIR/console.raw" </dev/null || CODE=$?
    take_console "$DIR/console.raw"
    check_expectation "$expected"
}

# compiled_for FLAGS PROFILE LACKING: fine on a CPU that has it all; the words on those that lack LACKING.
compiled_for() {
    local line="/^reveille: cannot start: this image is built for a CPU with $3, which this one \\(MIDR 0x4[0-9a-f]+\\) does not have\$/"
    built_with "$1" "$2"
    runs_on cortex-a72 2 "code 1 ; count 1 . ; $line"
    runs_on cortex-a53 3 "code 1 ; count 1 . ; $line"
    runs_on cortex-a53 3 "code 1 ; count 1 . ; $line" --el 2
    # Started by UEFI firmware, Rust comes before that.
    runs_on cortex-a53 3 "code 1 ; $line" --firmware edk2
    runs_on max 2 'roll_call 4'
    runs_on max 3 'roll_call 4'
}
check compiled/lse+rcpc --limit 900 compiled_for target-feature=+lse,+rcpc dev 'FEAT_LSE, FEAT_LRCPC'
check compiled/lse --full --limit 900 compiled_for target-feature=+lse release FEAT_LSE
check compiled/rcpc --full --limit 900 compiled_for target-feature=+rcpc release FEAT_LRCPC
check compiled/neoverse-v1 --full --limit 900 compiled_for target-cpu=neoverse-v1 release \
    'FEAT_DIT, FEAT_LSE, FEAT_FlagM, FEAT_RNG, FEAT_LRCPC, FEAT_LRCPC2'

# The registers of SVE are nothing that an interrupt saves: no such image is built.
no_sve() {
    local rc=0
    run_cargo check -p reveille --target aarch64-unknown-none \
        --config "target.'cfg(target_os = \"none\")'.rustflags=['-Ctarget-feature=+sve']" >"$DIR/rustc" 2>&1 || rc=$?
    cat -- "$DIR/rustc"
    ((rc != 0)) || fail 'it compiles'
    grep -q '^error: an image of Reveille cannot be built with SVE or SME: interrupts do not save their registers' "$DIR/rustc" || fail 'not for this reason'
}
check compiled/sve --full no_sve
