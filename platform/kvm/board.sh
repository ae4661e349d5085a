# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# A guest of Linux's KVM: on QEMU's `virt`, entered at EL2, a Debian kernel starts a QEMU of its own, which gives the image another
# `virt` (PSCI by hvc, the virtual GIC, its timers). All of it comes out of Debian's packages. What the guest does to end the run, a
# semihosting call, is that of the QEMU outside and goes past Linux.

board_names=(kvm)

# Memory of Linux and its QEMU, MiB.
readonly KVM_OWN=1280

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-3}
    opt_el=${opt_el:-1}
    opt_cpu=${opt_cpu:-cortex-a76}
    opt_memory=${opt_memory:-256M}
}

board_check() {
    [[ $opt_el == 1 ]] || usage_error "--el: a guest of KVM is entered at 1"
    [[ -z $opt_at ]] || usage_error "--at: not with --board kvm"
    [[ -z $opt_dtb ]] || usage_error "--dtb: not with --board kvm, whose QEMU makes the tree"
    [[ $opt_icount == no ]] || usage_error "--icount: not with --board kvm"
    [[ $opt_append != *\'* ]] || usage_error "--append: no single quotes with --board kvm"
    check_cpu_model virt
    command -v python3 >/dev/null || die "python3 is missing, which --board kvm takes (scripts/setup --test installs it)"
}

board_load_address() {
    printf '0x%x\n' $((0x40000000 + $(image_offset "$2")))
}

# The first file system of Linux, as file $2: programs, the image $1, and what to do with it.
kvm_files() {
    local image=$1 files=$2 init=$2.init.$$
    cat >"$init" <<TEXT
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
export LD_LIBRARY_PATH=/lib
/bin/qemu -machine virt,accel=kvm,gic-version=host -cpu host -smp $opt_cpus -m $opt_memory -kernel /image -append '$bootargs' \\
    -nodefaults -display none -serial stdio </dev/console
code=\$?
if [ \$code != 0 ]; then
    echo "the QEMU inside ended with \$code"
    exec /bin/fail
fi
/bin/busybox poweroff -f
TEXT
    python3 "$ROOT/platform/kvm/archive.py" files "$files.$$" init="$init" image="$image"
    rm -f -- "$init"
    # Linux takes several archives, one behind the other.
    cat -- "$FIRMWARE/linux/programs.cpio" "$files.$$" >"$files.both.$$"
    rm -f -- "$files.$$"
    mv -f -- "$files.both.$$" "$files"
}

board_qemu() {
    local image=$2 files
    check_image_header "$image"
    [[ -e $FIRMWARE/linux ]] || fetching fetch_linux
    # Other options, other file: what --print prints goes on to hold.
    files=${image%.img}.kvm-$(printf '%s' "$opt_cpus $opt_memory $bootargs" | cksum | tr -dc 0-9).cpio
    kvm_files "$image" "$files"
    qemu+=(-machine "virt,virtualization=on,gic-version=$opt_gic" -cpu "$opt_cpu" -smp "$opt_cpus")
    qemu+=(-m "$(($(size_in_bytes "$opt_memory") / (1 << 20) + KVM_OWN))M")
    qemu+=(-kernel "$FIRMWARE/linux/vmlinuz" -initrd "$files")
    qemu+=(-append 'console=ttyAMA0 loglevel=1 panic=-1 nokaslr')
    # For the program that says that the QEMU inside has failed.
    qemu+=(-semihosting-config 'enable=on,target=native,userspace=on')
}
