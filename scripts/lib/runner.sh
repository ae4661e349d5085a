# shellcheck shell=bash
# shellcheck disable=SC2034 # part of this is read by the scripts
# The tool that boots images, `reveille-run` (tools/run): built if need be, and called. Reads common.sh, tools.sh and build.sh first.

# What `read_options` reads.
opt_board='' opt_cpus='' opt_gic='' opt_el='' opt_cpu='' opt_memory='' opt_append='' opt_at='' opt_dtb='' opt_timeout='' opt_host_cpus=''
opt_firmware='' opt_acpi='' opt_console='' opt_gdb='' opt_print='' opt_icount='' opt_interactive='' opt_tree='' opt_qemu=()
MACHINE_WORDS=() RUN_WORDS=() image_linked='' image_loaded=''

# What it is told by everything here: where files are kept.
export REVEILLE_CACHE=$TARGET_DIR

# Have the tool, in RUNNER: that of $REVEILLE_RUNNER, which scripts/test has built for all that it calls, or one that is as new as its
# sources. Cargo is asked only if there is a newer file among those; it takes longer than most of what the tool does.
have_runner() {
    local host stamp
    RUNNER=${REVEILLE_RUNNER:-}
    [[ -z $RUNNER ]] || return 0
    host=$(host_triple)
    RUNNER=$TARGET_DIR/$host/model/reveille-run stamp=$TARGET_DIR/$host/model/.reveille-run.checked
    if [[ ! -x $RUNNER || ! -f $stamp || -n $(find "$ROOT/tools/run" "$ROOT/Cargo.toml" "$ROOT/Cargo.lock" -newer "$stamp" -print -quit) ]]; then
        mkdir -p -- "${stamp%/*}"
        # As it is when cargo looks.
        touch -- "$stamp.$$"
        RUNNER=$(host_tool run) || exit
        mv -f -- "$stamp.$$" "$stamp"
    fi
}

# The tool, as this script: its messages begin with this script's name, and it has no options but the script's.
runner() {
    REVEILLE_RUN='' REVEILLE_PROGRAM=$PROGRAM "$RUNNER" "$@"
}

# The help text of the options of a machine.
machine_help() {
    cat -- "$ROOT/tools/run/src/options.txt"
}

# Sets the variables `opt_..` to what these options, and names of images, come to on their board, and checks them: read_options WORD..
# MACHINE_WORDS are the words by which it is the same machine, RUN_WORDS those that were given; what is behind `--` is in opt_qemu. Of a board
# that QEMU does not have there is its tree in opt_tree, and nothing else.
read_options() {
    local assignments
    opt_tree=''
    assignments=$(runner options --build "$@") || exit
    eval "$assignments"
}

# Firmware of ours, for the tests.
readonly SHIMS='reveille-shim reveille-stage'

# Whether the board among these words boots firmware of ours; SHIM is that: board_has_shim WORD..
board_has_shim() {
    local word previous='' board=''
    for word; do
        case $previous$word in
        --) break ;;
        --board=*) board=${word#*=} ;;
        --board) ;;
        --board*) board=$word ;;
        esac
        previous=''
        [[ $word != --board ]] || previous=--board
    done
    case $board in
    lying) SHIM=${SHIMS% *} ;;
    secure) SHIM=${SHIMS#* } ;;
    *) return 1 ;;
    esac
}

# Sets SHIM_WORDS to what names the firmware of the board among these words, if it is one of ours. It is built, or was by scripts/test, for all
# that it calls: shim_words WORD..
shim_words() {
    local SHIM elf
    SHIM_WORDS=()
    board_has_shim "$@" || return 0
    elf=${REVEILLE_SHIMS:-}/$SHIM
    [[ -n ${REVEILLE_SHIMS:-} ]] || elf=$(CARGO_TERM_QUIET=true build_images shim "$(default_target)" '' release "$SHIM") || exit
    SHIM_WORDS=(--shim "$elf")
}
