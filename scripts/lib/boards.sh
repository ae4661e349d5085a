# shellcheck shell=bash
# shellcheck disable=SC2154 # the options are those of machine_options.sh
# Which boards there are, and the choice of one. Reads common.sh, tools.sh, build.sh, fetch.sh and machine_options.sh first.
# What a board is like stands in platform/BOARD/board.sh; platform/README.md says what such a file defines.

# Every board and its other names, a line each: FOLDER NAME..
board_list() {
    local board
    for board in "$ROOT"/platform/*/; do
        board=${board%/}
        [[ -f $board/board.sh ]] || continue
        # shellcheck disable=SC1091,SC2154 # a board's own file, which sets board_names
        (source "$board/board.sh" && printf '%s %s\n' "$board" "${board_names[*]}")
    done
}

# Read the file of the board that has the name $1, which came from the option $2.
board_file() {
    local folder names found='' known=() entry
    while read -r folder names; do
        read -ra entry <<<"$names"
        known+=("${entry[@]}")
        ! among "$1" "${entry[@]}" || found=$folder
    done < <(board_list)
    [[ -n $found ]] || usage_error "$2: unknown '$1'; there are: $(join ', ' "${known[@]}")"
    board_firmware=() board_consoles=() board_acpi=no board_tree_only='' board_tree_suite=''
    # shellcheck disable=SC1091 # any of the boards
    source "$found/board.sh"
}

# Read the file of the board, fill in what was not given, check what was.
choose_board() {
    board_file "$opt_board" --board
    [[ -z $board_tree_only ]] || describe_board
    one_of --firmware "$opt_firmware" "${board_firmware[@]}"
    one_of --console "$opt_console" "${board_consoles[@]}"
    [[ $opt_acpi == no || $board_acpi == yes ]] || usage_error "--acpi: $opt_board has no firmware with ACPI tables"
    board_defaults
    board_check
    if [[ $opt_gic == 2 ]] && ((opt_cpus > 8)); then
        usage_error "--cpus: $opt_cpus CPUs with --gic 2, but a GICv2 has 8 at most"
    fi
    if [[ $opt_interactive == yes ]]; then
        [[ -t 0 ]] || usage_error '--interactive: stdin is no terminal'
        [[ $opt_icount == no ]] || usage_error '--interactive: not with --icount, where time flies while the guest waits for a key'
    fi
}

# A board that QEMU does not have: say what the runtime reads off its tree, and end the script.
describe_board() {
    local tree host
    tree=$(board_tree "$board_tree_only" "$board_tree_suite")
    host=$(host_triple)
    say "QEMU has no $opt_board; this is what its tree says:"
    # shellcheck disable=SC2046 # one word or none
    in_root cargo run --quiet $(cargo_locked) -p reveille-trees --features describe --bin describe --target "$host" -- "$tree" \
        </dev/null
    exit
}

# Refuse the value of an option, if it was given, that is not among those that this board has: one_of OPTION VALUE NAME..
one_of() {
    local option=$1 value=$2
    shift 2
    if [[ -z $value ]] || among "$value" "$@"; then
        return
    fi
    (($#)) || usage_error "$option: $opt_board has no choice of it"
    usage_error "$option: $opt_board has no '$value'; there are: $(join ', ' "$@")"
}
