# shellcheck shell=bash
# What the table of 75-hypervisors.cases cannot say.

hypervisor_options() {
    local run=$ROOT/scripts/run
    refused '--el: a guest of Xen is entered at 1' "$run" --board xen --el 2
    refused '--at: Xen decides where its guest is' "$run" --board xen --at 0x40000000
    refused '--dtb: Xen makes the tree of its guest' "$run" --board xen --dtb "$ROOT/Cargo.toml"
    refused '--icount: not with --board xen' "$run" --board xen --icount
    refused '9 CPUs with --gic 2, but a GICv2 has 8' "$run" --board xen --gic 2 --cpus 9
    refused '--cpus: a guest of Xen has 128 at most' "$run" --board xen --cpus 129
    refused '--el: a guest of KVM is entered at 1' "$run" --board kvm --el 3
    refused '--at: not with --board kvm' "$run" --board kvm --at 0x40000000
    refused '--icount: not with --board kvm' "$run" --board kvm --icount
    refused '--append: no single quotes with --board kvm' "$run" --board kvm --append "it's"
    refused "--cpu: QEMU has no model 'pentium'" "$run" --board kvm --cpu pentium
}
check hypervisors/options hypervisor_options

# If the QEMU inside fails, so does the run.
kvm_fails() {
    local rc=0
    "$ROOT/scripts/runner" "$(staged example roll_call)" --board kvm --memory 1M --timeout 200 </dev/null >"$DIR/console" || rc=$?
    cat -- "$DIR/console"
    ((rc == 1)) || fail "exit code $rc, expected 1"
    grep -q 'the QEMU inside ended with 1' "$DIR/console" || fail 'it does not say why'
}
check kvm/fails --full --limit 1500 kvm_fails
