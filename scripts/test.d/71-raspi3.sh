# shellcheck shell=bash
# What the table of 71-raspi3.cases cannot say.

raspi3_options() {
    local run=$ROOT/scripts/run
    refused '--cpus: raspi3b has 4' "$run" --board raspi3b --cpus 2
    refused '--gic: raspi3 has none' "$run" --board raspi3 --gic 2
    refused '--el: zero2w enters the flat image at 2' "$run" --board zero2w --el 3
    refused '--memory: raspi3ap has 512M' "$run" --board raspi3ap --memory 1G
    refused '--cpu: raspi3b has cortex-a53' "$run" --board raspi3b --cpu max
    refused '--at: 0x100 is not a page from' "$run" --board raspi3b --at 0x100
    refused '--firmware: raspi3b has no choice of it' "$run" --board raspi3b --firmware tf-a
    refused "--console: raspi3b has no 'vga'; there are: mini, pl011" "$run" --board raspi3b --console vga
}
check raspi3/options raspi3_options

# A CPU on its way from the spin table, or to the pen, that is late because something froze it.
check raspi3/frozen --full --limit 900 frozen 4 '' --board raspi3b
