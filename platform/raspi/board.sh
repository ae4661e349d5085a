# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # options and results are variables shared with scripts/lib/machine.sh
# One card for every Raspberry Pi that there is a board for here: its firmware chooses the tree.

# shellcheck source=common.sh
source "$ROOT/platform/raspi/common.sh"

board_names=(raspi)

board_defaults() {
    usage_error "--board: raspi is a card for several boards, and none that runs: choose raspi3, raspi4 or raspi5"
}

board_card() {
    raspi_card "$1" "$2" 3 4 5
}

board_card_check() {
    raspi_card_check 3 4 5
}
