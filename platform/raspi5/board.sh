# shellcheck shell=bash
# shellcheck disable=SC2034 # results are variables shared with scripts/lib/machine.sh
# Raspberry Pi 5 (BCM2712: four Cortex-A76, GIC-400, TF-A in the EEPROM): known by its tree alone. QEMU has no such machine.

# shellcheck source=../raspi/common.sh
source "$ROOT/platform/raspi/common.sh"

board_names=(raspi5)
board_tree_only=broadcom/bcm2712-rpi-5-b.dtb
board_tree_suite=$RASPI5_SUITE

board_card() {
    raspi_card "$1" "$2" 5
}

board_card_check() {
    raspi_card_check 5
}
