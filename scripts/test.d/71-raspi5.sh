# shellcheck shell=bash
# The Raspberry Pi 5 is a tree and nothing else: what the runtime reads off it.

raspi5_tree() {
    local line
    "$ROOT/scripts/run" --board raspi5 >"$DIR/description"
    cat -- "$DIR/description"
    for line in 'model: Raspberry Pi 5' 'interrupts: GICv2 at 0x107fff9000, CPU interface at 0x107fffa000' 'firmware: PSCI V1_0 by smc' \
        'timer: virtual 27, of the hypervisor 26' 'console: PL011 at 0x107d001000'; do
        grep -Eqx "$line" -- "$DIR/description" || fail "no line '$line'"
    done
    (($(grep -c '^cpu: mpidr 0x0000000[0-3]00 psci$' -- "$DIR/description") == 4)) || fail 'not four CPUs'
}
check raspi5/tree --full --limit 1500 raspi5_tree
