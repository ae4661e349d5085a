# shellcheck shell=bash
# shellcheck disable=SC2034 # results are variables shared with scripts/lib/machine.sh
# Pine64 RockPro64 (RK3399: four Cortex-A53 and two Cortex-A72, GICv3, TF-A): known by its tree alone. QEMU has no such machine.

board_names=(rockpro64)
board_tree_only=rockchip/rk3399-rockpro64.dtb
