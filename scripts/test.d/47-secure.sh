# shellcheck shell=bash
# Firmware at EL3, of our own, that leaves CPUs deaf, where nothing below can mend it: whoever hears nothing is not called online, and it
# is said why. platform/secure; the names of what is left are those of tests/shim/leavings.table.

# secure LEVEL FEATURES GIC EXPECTED [NAME=VALUE@CPUS..]: the roll call of 4 CPUs, entered at this level, after that was left behind.
secure() {
    local level=$1 features=$2 gic=$3 expected=$4 elf line rc=0
    elf=$(staged example roll_call '' "$features")
    line=$(write_leavings "$level" -- "${@:5}")
    "$ROOT/scripts/runner" "$elf" --board secure --el 2 --gic "$gic" --timeout 200 -- -accel tcg,thread=single \
        -device "$line" >"$DIR/console.raw" </dev/null || rc=$?
    take_console "$DIR/console.raw"
    CODE=$rc check_expectation "$expected"
}

# With nothing left everyone comes, so it is not the stage itself that makes CPUs deaf.
for gic in 2 3; do
    check "secure/open/gic$gic/el1" secure 1 '' "$gic" 'roll_call 4'
    check "secure/open/gic$gic/el2" secure 2 '' "$gic" 'roll_call 4'
    check "secure/open/gic$gic/el2-kept" secure 2 el2 "$gic" 'roll_call 4'
done

# deaf NAME GIC LEAVING WORDS: on the CPU that boots, which cannot start; and on CPU 2 of 4, which fails, and the others come. With a GICv2
# the image stays at EL2, with a GICv3 it leaves it.
deaf() {
    local features=''
    [[ $2 == 3 ]] || features=el2
    check "secure/$1/gic$2/boot" secure 2 "$features" "$2" \
        "code nonzero ; /^reveille: cannot start: interrupt controller: $4\$/ ; !/roll call:/ ; !/online/" "$3@0x1"
    check "secure/$1/gic$2/secondary" secure 2 "$features" "$2" \
        "code 1 ; /cpu 0 ERROR: cpu 2: interrupt controller: $4\$/ ; roll_call 4 2=failed:gic" "$3@0x4"
}
groups='SGIs do not reach this CPU: firmware has left them in Group 0 \(IGROUPR0\)'
mask='SGIs do not reach this CPU: firmware holds the priority mask closed \(PMR\)'
active='SGIs do not reach this CPU: an interrupt from before was never ended \(RPR\)'
timer='its timer does not reach this CPU: firmware has left that in Group 0 \(IGROUPR0\)'
deaf groups 2 s2_sgis=0 "$groups"
deaf groups 3 s_sgis=0 "$groups"
deaf mask 2 s2_mask=0 "$mask"
deaf mask 3 s_mask=0 "$mask"
deaf active 2 s2_active=1 "$active"
deaf active 3 s_active=1 "$active"
# The one for NMIs alone, and the timer alone.
deaf nmi 2 s2_sgis=0xffffff7f "$groups"
deaf nmi 3 s_sgis=0xffffff7f "$groups"
deaf timer 2 s2_ppis=0xffff "$timer"
deaf timer 3 s_ppis=0xffff "$timer"
unset groups mask active timer

# Where EL3 does not take FIQs to be its own, the mask and what is active of Group 0 are the image's to put right.
check secure/mask/gic3/without-fiq secure 2 '' 3 'roll_call 4' scr_el3=0x184008030531@0xf s_mask=0@0xf s_active=1@0xf

# A counter of which nobody knows how fast it runs. The tree does not say.
check secure/frequency/none secure 2 '' 3 'code nonzero ; /^reveille: cannot start: CNTFRQ_EL0 is 0, / ; !/roll call:/' cntfrq_0=0@0x1
check secure/frequency/one secure 2 '' 3 'code nonzero ; /^reveille: cannot start: a system counter of 1 Hz, / ; !/roll call:/' cntfrq_1=1@0x1
# Only that of the CPU that boots is read.
check secure/frequency/secondary secure 2 '' 3 'roll_call 4' cntfrq_0=0@0xe
unset gic

secure_options() {
    local run=$ROOT/scripts/run
    refused '--el: with --board secure the image is entered at 1 or 2' "$run" --board secure --el 3
    refused '--at: with --board secure the image is at 0x40200000' "$run" --board secure --at 0x40300000
    refused '--dtb: not with --board secure' "$run" --board secure --dtb "$ROOT/Cargo.toml"
    refused '--memory: with --board secure it has to be 256M' "$run" --board secure --memory 128M
    refused '124 CPUs, but --board secure knows' "$run" --board secure --cpus 124
    refused '9 CPUs with --gic 2, but a GICv2 has 8' "$run" --board secure --gic 2 --cpus 9
}
check secure/options secure_options
