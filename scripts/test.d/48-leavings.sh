# shellcheck shell=bash
# What earlier stages leave behind, one thing at a time. At random: torture/boot-states.

# stuck_e2h FEATURES IMAGE.. -- OPTIONS OF scripts/runner: tests built as if HCR_EL2.E2H were 1 for good, as it is on CPUs without
# FEAT_E2H0, of which QEMU has none; with each interrupt controller.
stuck_e2h() {
    local features=$1 target=$STATE/stuck-e2h/${1:-default} image gic command
    halves "${@:2}"
    command=(build --release -p reveille-tests --target "$DEFAULT_TARGET" --target-dir "$target"
        --config "target.'cfg(target_os = \"none\")'.rustflags = ['--cfg=stuck_e2h']")
    for image in "${BEFORE[@]}"; do command+=(--bin "$image"); done
    [[ -z $features ]] || command+=(--features "$(cargo_features 'test' "$features")")
    run_cargo "${command[@]}"
    for image in "${BEFORE[@]}"; do
        for gic in 2 3; do
            ends_with 0 "$ROOT/scripts/runner" "$target/$DEFAULT_TARGET/release/$image" --gic "$gic" --timeout 200 "${AFTER[@]}"
            cat -- "$DIR/stdout"
        done
    done
}
check leavings/stuck-e2h/left stuck_e2h '' leavings -- --el 2
check leavings/stuck-e2h/kept stuck_e2h el2 leavings -- --el 2
check leavings/stuck-e2h/left-el3 --full stuck_e2h '' leavings wakeups -- --el 3 --append rounds=200
check leavings/stuck-e2h/kept-el3 --full stuck_e2h el2 leavings wakeups keys -- --el 3 --append rounds=50
