# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# A guest of Xen without a dom0, on QEMU's `virt`: Xen, out of Debian's packages, finds the image in memory and makes the one domain of
# it, with its own device tree (PSCI by hvc, an `arm,sbsa-uart`, a virtual GIC at Xen's addresses). What the guest does to end the
# run, a semihosting call, is QEMU's and goes past Xen.

board_names=(xen)

# Where the image waits for Xen: above what QEMU and Xen load by themselves.
readonly XEN_IMAGE=0x60000000
# Memory beside the guest's, MiB.
readonly XEN_OWN=1024

board_defaults() {
    opt_cpus=${opt_cpus:-4}
    opt_gic=${opt_gic:-3}
    opt_el=${opt_el:-1}
    opt_cpu=${opt_cpu:-cortex-a57}
    opt_memory=${opt_memory:-256M}
}

board_check() {
    [[ $opt_el == 1 ]] || usage_error "--el: a guest of Xen is entered at 1"
    [[ -z $opt_at ]] || usage_error "--at: Xen decides where its guest is"
    [[ -z $opt_dtb ]] || usage_error "--dtb: Xen makes the tree of its guest"
    [[ $opt_interactive != yes ]] || usage_error "--interactive: Xen's console does not listen for its guest"
    [[ $opt_icount == no ]] || usage_error "--icount: not with --board xen"
    ((opt_cpus <= 128)) || usage_error "--cpus: a guest of Xen has 128 at most"
    check_cpu_model virt
    command -v dtc >/dev/null || die "dtc is missing, which --board xen takes: install Debian's device-tree-compiler (scripts/setup --test does)"
}

board_load_address() {
    # What Xen does with an image that may lie anywhere: the start of the guest's RAM, and its offset.
    printf '0x%x\n' $((0x40000000 + $(image_header "$2" 8 8)))
}

# Xen's tree: the one of the machine, and the domain.
xen_tree() {
    local image=$1 machine=$2 tree=$3 memory
    memory=$(($(size_in_bytes "$opt_memory") / 1024))
    [[ $bootargs != *[\"\\]* ]] || usage_error '--append: no quotes or backslashes with --board xen'
    # shellcheck disable=SC2153 # set in scripts/lib/tools.sh
    "$QEMU" -machine "$machine,dumpdtb=$tree.$$" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$((memory / 1024 + XEN_OWN))M" \
        -nodefaults -display none >/dev/null 2>&1 </dev/null || die "QEMU does not say what its machine is like: $machine"
    dtc -q -I dtb -O dts -o "$tree.$$.dts" "$tree.$$"
    cat >>"$tree.$$.dts" <<TEXT
/ {
    chosen {
        #address-cells = <2>;
        #size-cells = <2>;
        xen,xen-bootargs = "console=dtuart dtuart=/pl011@9000000 sync_console";
        domU1 {
            compatible = "xen,domain";
            #address-cells = <2>;
            #size-cells = <2>;
            cpus = <$opt_cpus>;
            memory = <0 $memory>;
            vpl011;
            module@$(printf '%x' "$XEN_IMAGE") {
                compatible = "multiboot,kernel", "multiboot,module";
                reg = <0 $XEN_IMAGE 0 $(stat -c %s -- "$image")>;
                bootargs = "$bootargs";
            };
        };
    };
};
TEXT
    dtc -q -I dts -O dtb -o "$tree.$$" "$tree.$$.dts"
    rm -f -- "$tree.$$.dts"
    mv -f -- "$tree.$$" "$tree"
}

board_qemu() {
    local image=$2 machine=virt,virtualization=on,gic-version=$opt_gic xen tree
    check_image_header "$image"
    xen=$(firmware_file xen-hypervisor-4.17-arm64 boot/xen-4.17-arm64)
    # Other options, other file: what --print prints goes on to hold.
    tree=${image%.img}.xen-$(printf '%s' "$machine $opt_cpu $opt_cpus $opt_memory $bootargs" | cksum | tr -dc 0-9).dtb
    xen_tree "$image" "$machine" "$tree" || exit
    qemu+=(-machine "$machine" -cpu "$opt_cpu" -smp "$opt_cpus" -m "$(($(size_in_bytes "$opt_memory") / (1 << 20) + XEN_OWN))M")
    qemu+=(-kernel "$xen" -dtb "$tree")
    load_file "$image" "$XEN_IMAGE"
}

# Xen puts its name before each line of its guest.
board_output() {
    sed -u 's/^(XEN) DOM1: //'
}
