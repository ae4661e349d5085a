# shellcheck shell=bash
# What the tables of 71-raspi4.cases cannot say.

# Fetched before the boots begin, which have little time; and they are what they should be.
raspi4_files() {
    local tree bl31 uboot
    have_runner
    tree=$(runner tree broadcom/bcm2711-rpi-4-b.dtb)
    bl31=$(runner fetch arm-trusted-firmware usr/lib/arm-trusted-firmware/rpi4/bl31.bin)
    uboot=$(runner fetch u-boot-qemu usr/lib/u-boot/qemu_arm64/u-boot.bin)
    say "$tree" "$bl31" "$uboot"
    [[ $(fdtget -t s "$tree" /cpus/cpu@3 enable-method) == spin-table ]] || fail 'cpu@3 is not at a spin table'
    # The word that says to the board's firmware that the stub wants to be told about tree and kernel.
    [[ $(od -An -t x4 -j $((0xf0)) -N 4 -- "$bl31" | tr -d ' ') == 5afe570b ]] || fail 'no magic number in bl31.bin'
}
check raspi4/files --early --limit 1500 raspi4_files

# A spin-table CPU, or one on its way to the pen, that is late because something froze it.
check raspi4/frozen/el2 --limit 900 frozen 4 '' --board raspi4b
check raspi4/frozen/el3 --limit 900 frozen 4 '' --board raspi4b --el 3

raspi4_options() {
    local run=$ROOT/scripts/run
    refused '--cpus: raspi4b has 4' "$run" --board raspi4b --cpus 2
    refused '--gic: raspi4b has a GIC-400' "$run" --board raspi4b --gic 3
    refused '--el: raspi4b enters the flat image at 2, or the ELF at 3' "$run" --board raspi4b --el 1
    refused "--memory: QEMU's raspi4b has 2G" "$run" --board raspi4b --memory 4G
    refused '--cpu: raspi4b has cortex-a72' "$run" --board raspi4b --cpu max
    refused '--at: 0x100 is not a page from' "$run" --board raspi4b --at 0x100
    refused '--at: with --el 3 the ELF is loaded' "$run" --board raspi4b --el 3 --at 0x200000
    refused "--firmware: raspi4b has no 'u-boot'; there are: tf-a" "$run" --board raspi4b --firmware u-boot
    refused "--console: raspi4b has no 'vga'; there are: mini, pl011" "$run" --board raspi4b --console vga
    refused '--console: TF-A makes pl011 the console' "$run" --board raspi4b --firmware tf-a --console mini
    refused '--el: with --firmware tf-a the flat image is entered at 2' "$run" --board raspi4b --firmware tf-a --el 3
    refused "--firmware: virt has no 'tf-a'; there are: u-boot" "$run" --firmware tf-a
    refused '--el: with --firmware the image is entered at 1 or 2' "$run" --firmware u-boot --el 3
    refused '--at: with --firmware u-boot the image is at 0x40400000' "$run" --firmware u-boot --at 0x50000000
    refused "--console: virt has no 'mini'; there are: pl011, virtio, " "$run" --console mini
    refused '--console: zcu102 has no choice of it' "$run" --board zcu102 --console pl011
    refused '--firmware: lying has no choice of it' "$run" --board lying --firmware u-boot
}
check raspi4/options raspi4_options

# A board that is a tree and nothing else: what the runtime reads off it.
tree_only() {
    "$ROOT/scripts/run" --board rockpro64 >"$DIR/description"
    cat -- "$DIR/description"
    local line
    for line in 'model: Pine64 RockPro64 .*' 'interrupts: GICv3 at 0xfee00000, redistributors .*' 'firmware: PSCI .* by smc' \
        'console: 8250, a register of 4 bytes every 4 at 0xff1a0000' 'cpu: mpidr 0x0000000101 psci'; do
        grep -Eqx "$line" -- "$DIR/description" || fail "no line '$line'"
    done
    (($(grep -c '^cpu: mpidr .* psci$' -- "$DIR/description") == 6)) || fail 'not six CPUs'
}
check raspi4/tree-only --limit 1500 tree_only
