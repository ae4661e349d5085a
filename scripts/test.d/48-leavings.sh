# shellcheck shell=bash
# What earlier stages leave behind, one thing at a time. At random: torture/boot-states.

# left IMAGE LEVEL FEATURES [tree:EDIT] [LEAVING..] -- [OPTION..] -- EXPECTATION: entered at this level with this left behind on its CPUs, and
# this tree, the test image with these features does as is expected. The names of what is left are those of
# tests/shim/leavings.table.
left() {
    local image=$1 level=$2 features=$3 elf stub line rc=0 image_stage words=()
    halves "${@:4}"
    local leavings=("${BEFORE[@]}")
    halves "${AFTER[@]}"
    elf=$(staged test "$image" '' "$features")
    if [[ ${leavings[0]} == tree:* ]]; then
        # shellcheck disable=SC2034 # for make_tree
        image_stage=$elf
        make_tree "$DIR/tree.dtb" "${leavings[0]#tree:}" --board lying "${BEFORE[@]}"
        leavings=("${leavings[@]:1}") words=(-dtb "$DIR/tree.dtb")
    fi
    stub=$(build_images shim "$DEFAULT_TARGET" '' release reveille-shim)
    line=$(write_leavings "$level" --stub "$stub" --nm "$(llvm_tools_dir)/llvm-nm" -- "${leavings[@]}")
    set -- scripts/runner "$elf" --board lying --timeout 100 "${BEFORE[@]}" -- -device "$line" "${words[@]}"
    # shellcheck disable=SC2034 # `fail` says so
    AGAIN=$(quoted "$@")
    say "+ $AGAIN"
    "$ROOT/$1" "${@:2}" >"$DIR/console.raw" 2>"$DIR/stderr" </dev/null || rc=$?
    take_console "$DIR/console.raw"
    sed 's/^/stderr: /' "$DIR/stderr"
    CODE=$rc check_expectation "${AFTER[*]}"
}

# stuck_e2h FEATURES IMAGE.. -- OPTIONS OF scripts/runner: tests built as if HCR_EL2.E2H were 1 for good, as it is on CPUs without
# FEAT_E2H0, of which QEMU has none; with each interrupt controller.
stuck_e2h() {
    local features=$1 stage=$STATE/stuck-e2h/${1:-default} image gic
    halves "${@:2}"
    alone_with_cargo build_stuck "$stage" "$features" "${BEFORE[@]}"
    for image in "${BEFORE[@]}"; do
        for gic in 2 3; do
            ends_with 0 "$ROOT/scripts/runner" "$stage/$image" --gic "$gic" --timeout 200 "${AFTER[@]}"
            cat -- "$DIR/stdout"
        done
    done
}

# build_stuck STAGE FEATURES IMAGE..: Cargo keeps what is built with other flags apart; the programs go to STAGE.
build_stuck() {
    local stage=$1 features=$2 profile image command
    shift 2
    profile=$(image_profile 'test')
    command=(build --profile "$profile" -p reveille-tests --target "$DEFAULT_TARGET"
        --config "target.'cfg(target_os = \"none\")'.rustflags = ['--cfg=stuck_e2h']")
    for image; do command+=(--bin "$image"); done
    [[ -z $features ]] || command+=(--features "$(cargo_features 'test' "$features")")
    run_cargo "${command[@]}"
    mkdir -p -- "$stage"
    for image; do cp -- "$TARGET_DIR/$DEFAULT_TARGET/$profile/$image" "$stage/"; done
}
check leavings/stuck-e2h/left stuck_e2h '' leavings -- --el 2
check leavings/stuck-e2h/kept --full stuck_e2h el2 leavings -- --el 2
check leavings/stuck-e2h/left-el3 --full stuck_e2h '' leavings wakeups -- --el 3 --append rounds=200
check leavings/stuck-e2h/kept-el3 --full stuck_e2h el2 leavings wakeups keys -- --el 3 --append rounds=50

# left_of NAME GIC LEAVING..: on the CPU that boots, and on others; to an image entered at EL1, to one that leaves EL2, and to one that stays.
left_of() {
    local name=$1 gic=$2
    check "leavings/$name/gic$gic/el1" --image test:leavings left leavings 1 '' "${@:3}" -- --gic "$gic" --cpu max,sme_fa64=off -- \
        '/^leavings: all good, 4 CPUs at EL1$/'
    check "leavings/$name/gic$gic/el2" --full --image test:leavings left leavings 2 '' "${@:3}" -- --gic "$gic" --cpu max,sme_fa64=off -- \
        '/^leavings: all good, 4 CPUs at EL1$/'
    check "leavings/$name/gic$gic/el2-kept" --image test:leavings+el2 left leavings 2 el2 "${@:3}" -- --gic "$gic" --cpu max,sme_fa64=off -- \
        '/^leavings: all good, 4 CPUs at EL2$/'
}
# PSTATE.SM and ZA, in which SIMD is illegal; rounding, denormals and traps of arithmetic.
for gic in 2 3; do left_of streaming "$gic" svcr=3@1 svcr=1@4 fpcr=0x3c89f00@9; done
# An interrupt that was acknowledged and never ended; LPIs.
left_of active 2 gicc_apr=1@1 gicc_apr=0xff@4 v2_active=0xffffffff@5
left_of active 3 ap0r0=1@1 ap0r0=0x10000@4 ap1r0=0xffffffff@8 active=0xffffffff@5
check leavings/lpis/boot --image test:leavings left leavings 1 '' propbaser=0x4800070f@1 pendbaser=0x48020000@1 lpis=1@1 -- --gic 3 -- \
    '/LPIs were left on for 1 CPUs: turned off/ ; /^leavings: all good, 4 CPUs at EL1$/'
check leavings/lpis/others --image test:leavings+el2 left leavings 2 el2 propbaser=0x4800070f pendbaser=0x48020000 lpis=1@6 -- --gic 3 -- \
    '/^leavings: all good, 4 CPUs at EL2$/'
unset gic
# Firmware at EL3 that has one binary point for its own interrupts and ours (ICC_CTLR_EL3.CBPR_EL1NS): there is one priority.
common_binary_point() {
    local elf line rc=0
    elf=$(staged test irqs)
    line=$(write_leavings 2 -- s_icc_ctlr=0x2)
    set -- scripts/runner "$elf" --board secure --el 2 --gic 3 --timeout 200 -- -device "$line" -accel tcg,thread=single
    # shellcheck disable=SC2034 # `fail` says so
    AGAIN=$(quoted "$@")
    "$ROOT/$1" "${@:2}" >"$DIR/console.raw" 2>"$DIR/stderr" </dev/null || rc=$?
    take_console "$DIR/console.raw"
    CODE=$rc check_expectation '/^irqs: one priority$/ ; /^irqs: all good$/'
}
check irqs/common-binary-point --full common_binary_point
