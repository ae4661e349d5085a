# shellcheck shell=bash
# What earlier stages may have done to the counter, by the shim at EL2 (tests/shim): offsets, one for each CPU, and a counter that
# stands.

# offset_cases GIC [--full]: the cases of offsets with this GIC, in this tier.
offset_cases() {
    local gic=$1
    # One CPU under an offset of its own: it is said of that one, and by how much; nobody else is spoken of. (QEMU's timer never fires
    # under an offset that is less than 0: no alarms then.)
    check "time/offset/ahead/gic$gic" "${@:2}" left clocks 1 '' cntvoff_el2=-100000000000@4 -- --gic "$gic" --append apart=1 -- \
        '/ERROR: cpu 2: its counter is at least [0-9]{6,} us ahead: / ; count 1 its_counter_is ; /^clocks: cpu 2 is [0-9]+ ticks ahead$/ ; /^clocks: 1 CPUs tell another time$/'
    check "time/offset/behind/gic$gic" "${@:2}" left clocks 1 '' cntvoff_el2=-100000000000@7 -- --gic "$gic" --append apart=1 -- \
        '/ERROR: cpu 3: its counter is at least [0-9]{6,} us behind: / ; count 1 its_counter_is ; /^clocks: cpu 3 is -[0-9]+ ticks ahead$/ ; /^clocks: 1 CPUs tell another time$/'
    # The boot CPU itself: all others differ from it.
    check "time/offset/boot/gic$gic" "${@:2}" left clocks 1 '' cntvoff_el2=-100000000000@1 -- --gic "$gic" --append apart=1 -- \
        'count 3 its_counter_is_at_least_[0-9]{6,}_us_behind: ; /^clocks: 3 CPUs tell another time$/'
    # The same for all is the hypervisor's right.
    check "time/offset/same/gic$gic" "${@:2}" left clocks 1 '' cntvoff_el2=5000000 -- --gic "$gic" -- '!/counter/ ; /^clocks: all good, 4 CPUs$/'
    # CPU 2 comes in above the offset that the boot CPU is under, and sets its own to the same.
    check "time/offset/mixed/gic$gic" "${@:2}" left clocks 1 '' cntvoff_el2=5000000@0xb -- --gic "$gic" --append at_el2=2 -- \
        '!/counter/ ; /^clocks: all good, 4 CPUs$/'
    # Where EL2 is the image's, what was left there is put right.
    check "time/offset/el2/gic$gic" "${@:2}" left clocks 2 '' cntvoff_el2=-1000000000@1 cntvoff_el2=5000000@4 -- --gic "$gic" -- \
        '!/counter/ ; /^clocks: all good, 4 CPUs$/'
    # A counter that stands for CPU 2 alone: that CPU is refused, and nobody waits for it.
    check "time/stands/secondary/gic$gic" "${@:2}" left clocks 1 '' cnthctl_el2=0x4003@4 -- --cpu max --gic "$gic" --append stands=2 -- \
        '/^clocks: cpu 2 has no counter$/ ; /^clocks: all good, 3 CPUs$/'
}
offset_cases 3
offset_cases 2 --full
check time/offset/el2-kept left clocks 2 el2 cntvoff_el2=-1000000000@1 cntvoff_el2=5000000@4 -- -- '!/counter/ ; /^clocks: all good, 4 CPUs$/'

# The physical timer of EL1 has no offset, and what it is set for has.
check time/offset/timer-physical left clocks 1 '' tree:timer-physical cntvoff_el2=-1000000000 -- --icount --append late_ms=300 -- '!/counter/ ; /^clocks: all good, 4 CPUs$/'

# A counter that stands, as firmware leaves one that it has not started: CNTHCTL_EL2.EL1TVCT traps the virtual one (FEAT_ECV), and the shim
# has one answer. That is the end, in words, and in time.
check time/stands left clocks 1 '' cnthctl_el2=0x4003 -- --cpu max -- \
    'code 1 ; /^reveille: cannot start: the system counter does not count, it stays at 305419776: firmware has not started it$/'
# EL1 may not read the physical counter: an offset of the virtual one cannot be found out, and is the same for all anyway.
check time/physical-forbidden left clocks 1 '' cnthctl_el2=2 -- -- '!/counter/ ; /^clocks: all good, 4 CPUs$/'
