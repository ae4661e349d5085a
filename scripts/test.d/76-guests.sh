# shellcheck shell=bash
# shellcheck disable=SC2034 # CODE is for check_expectation
# The example hypervisor with images of this project as its guests, which know nothing of it.

# hypervisor_run EXPECTED OPTION..: with the guest in $GUEST, if there is one.
hypervisor_run() {
    local expected=$1 host initrd=()
    shift
    host=$(staged example hypervisor '' el2)
    [[ -z ${GUEST:-} ]] || initrd=(-- -initrd "$GUEST")
    CODE=0
    "$ROOT/scripts/runner" "$host" --el 2 "$@" "${initrd[@]}" </dev/null >"$DIR/console.raw" || CODE=$?
    take_console "$DIR/console.raw"
    check_expectation "$expected"
}

# guests GUESTS VCPUS OPTION..: roll_call in each.
guests() {
    local guests=$1 vcpus=$2 guest expected='' GUEST
    shift 2
    GUEST=$(staged example roll_call).img
    for ((guest = 0; guest < guests; guest++)); do
        expected+="/^\[guest $guest\] roll call: $vcpus possible, $vcpus online, 0 revoked, .* 0 other$/ ; "
        expected+="/^hypervisor: guest $guest: off after [1-9][0-9]* exits$/ ; "
    done
    hypervisor_run "$expected code 0" --timeout 120 --append "guests=$guests vcpus=$vcpus" "$@"
}
check guests/gic3/4 --limit 200 guests 1 4 --gic 3
check guests/gic3/two --limit 200 guests 2 4 --gic 3
check guests/gic2/2 --limit 200 guests 1 2 --gic 2
check guests/gic2/two --full --limit 200 guests 2 4 --gic 2
for gic in 2 3; do
    for cpus in 1 2 8; do
        check "guests/gic$gic/on-$cpus" --full --limit 200 guests 2 4 --gic "$gic" --cpus "$cpus"
    done
    check "guests/gic$gic/cortex-a72" --full --limit 200 guests 2 3 --gic "$gic" --cpu cortex-a72
    # While CPUs come and go under them.
    check "guests/gic$gic/drill" --full --limit 200 guests 2 4 --gic "$gic" --append drill
done

check guests/raspi4 --full --limit 200 guests 2 4 --board raspi4b

# A guest that has everything masked and never leaves by itself keeps nothing from its CPU.
guests_spin() {
    local rounds=3 gic=$1
    local did="$((3 * rounds)) calls, $((3 * rounds)) posts, $rounds stops, $rounds CPUs down and up"
    hypervisor_run "/^hypervisor: $rounds rounds: $did$/ ; /^hypervisor: guest 1: stopped after 0 exits$/ ; code 0" \
        --timeout 120 --gic "$gic" --append "guest=spin guests=2 vcpus=3 drill=$rounds"
    # Nor a panic: all are stopped, those that have not just been called where the guest is.
    hypervisor_run 'code 101 ; panic_report 4 reporter=0 all=sgi message=^with_guests ; /^  pc 0x4000000[48] / ; count 3 ^__guest_0_vcpu_[0-2]$' \
        --timeout 120 --gic "$gic" --append 'guest=spin vcpus=3 drill=1 panic stop_ms=20000'
}
check guests/gic3/spin --limit 200 guests_spin 3
check guests/gic2/spin --full --limit 200 guests_spin 2

# What goes wrong in a guest is the guest's, and told.
guests_fail() {
    local GUEST
    GUEST=$(staged 'test' crash).img
    hypervisor_run '/^\[guest 0\] panic on cpu 0 .*: on purpose$/ ; /^hypervisor: guest 0: reset after/ ; code 1' \
        --timeout 120 --append 'vcpus=2 -- case=panic reveille.panic=reset'
    hypervisor_run '/^hypervisor: not a flat arm64 image$/ ; code 1' --append kernel=16 --timeout 120
    GUEST='' hypervisor_run '/^hypervisor: no image: give QEMU one with -initrd$/ ; code 1' --timeout 120
    GUEST='' hypervisor_run '/^hypervisor: bootargs: vcpus=, guests= or ram= makes no sense$/ ; code 1' --append vcpus=5 --timeout 120
}
check guests/fail --full --limit 400 guests_fail

# With the physical timer alone, which has to fire.
guests_physical() {
    local GUEST
    GUEST=$(staged 'test' captures).img
    hypervisor_run '/^\[guest 0\] captures: [0-9]+ closures, all of the largest size$/ ; /^hypervisor: guest 0: off after/ ; code 0' \
        --timeout 120 --gic "$1" --append 'vcpus=2 timer=physical'
}
check guests/gic3/timer-physical --limit 200 guests_physical 3
check guests/gic2/timer-physical --full --limit 200 guests_physical 2

# Images that do more than to come up: calls, stop-machine, CPUs that go and come back, interrupts of their own.
guests_image() {
    local image=$1 gic=$2 args=$3 GUEST
    GUEST=$(staged 'test' "$image").img
    hypervisor_run "/^\[guest 0\] $image: all good$/ ; /^hypervisor: guest 0: off after/ ; code 0" \
        --timeout 300 --gic "$gic" --append "vcpus=4 ram=64 -- deadline_ms=20000 $args"
}
for gic in 2 3; do
    check "guests/gic$gic/calls" --full --limit 400 guests_image calls "$gic" ''
    check "guests/gic$gic/stop" --full --limit 400 guests_image stop "$gic" 'rounds=20 short_ms=1000'
    check "guests/gic$gic/hotplug" --full --limit 400 guests_image hotplug "$gic" short_ms=1000
done

# Linux as Debian has it, to its init.
guests_linux() {
    local gic=$1 cpu=$2 linux programs kernel GUEST=$DIR/linux
    have_runner
    linux=$(runner fetch linux vmlinuz)
    programs=$(runner fetch linux programs.cpio)
    kernel=$(stat -c %s -- "$linux")
    cat >"$DIR/init" <<'TEXT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
/bin/busybox echo "init on $(/bin/busybox nproc) CPUs"
/bin/busybox poweroff -f
TEXT
    runner archive "$DIR/files.cpio" init="$DIR/init"
    # The kernel, and Linux takes several archives, one behind the other.
    cat -- "$linux" "$programs" "$DIR/files.cpio" >"$GUEST"
    hypervisor_run '/^\[guest 0\] init on 4 CPUs$/ ; /^\[guest 1\] init on 4 CPUs$/ ; count 2 ^hypervisor:_guest_.:_off_after ; code 0' \
        --timeout 300 --gic "$gic" --cpu "$cpu" --memory 2G \
        --append "guests=2 vcpus=4 ram=400 kernel=$kernel -- console=ttyAMA0 panic=-1"
}
for gic in 2 3; do
    check "guests/linux/gic$gic" --full --limit 1500 guests_linux "$gic" max
    check "guests/linux/gic$gic/cortex-a72" --full --limit 1500 guests_linux "$gic" cortex-a72
done
