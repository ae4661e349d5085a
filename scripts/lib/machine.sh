# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # options are read by the scripts and boards; QEMU is set in tools.sh
# From options to a QEMU command line, and from there to a run. Reads common.sh, tools.sh and build.sh first.
# What a board is like stands in platform/BOARD/board.sh; platform/README.md says what such a file defines.

# shellcheck source=apt.sh
source "$ROOT/scripts/lib/apt.sh"
# shellcheck source=fetch.sh
source "$ROOT/scripts/lib/fetch.sh"

# The options of a run. Empty means: not given, so the board decides.
opt_board=virt opt_cpus='' opt_gic='' opt_el='' opt_cpu='' opt_memory=''
opt_target='' opt_features='' opt_append='' opt_at='' opt_dtb='' opt_timeout=''
opt_firmware='' opt_console=''
opt_gdb=no opt_print=no opt_icount=no opt_interactive=''
opt_kind=example opt_name=''
opt_qemu=()

# The machine options of `scripts/run` and of `scripts/runner`, for their help.
machine_help() {
    cat <<'TEXT'
  --board NAME      the machine: virt (default), raspi4 (or raspi4b), or another folder of platform/
  --cpus N          number of CPUs (virt: default 4)
  --gic 2|3         version of the interrupt controller (virt: default 3; a GICv2 has 8 CPUs at most)
  --el 1|2|3        exception level at entry (virt: default 1). 3 boots the ELF with all CPUs running at once, on a
                    machine that has EL2 too; `-- -machine virtualization=off` takes EL2 away
  --cpu MODEL       QEMU CPU model, with its properties (virt: default max)
  --memory SIZE     RAM, such as 512M or 6G (virt: default 512M)
  --append ARGS     more boot arguments, after `reveille.exit=semihosting`
  --at ADDRESS      load the flat image there (virt: default is what its header asks for, 0x40200000)
  --dtb FILE        hand over this device tree, exactly as it is (QEMU's own -dtb edits it, which is what raspi4 gets)
  --firmware NAME   boot through this firmware, fetched from Debian's packages when it is first wanted. virt: u-boot, whose
                    `booti` starts the image; raspi4: tf-a, which brings PSCI
  --console NAME    raspi4: mini (default), the mini UART that its tree names, or pl011
  --icount          count instructions: one per nanosecond of guest time, the same on every run
  --interactive     the guest gets every key of this terminal, Ctrl-C included; Ctrl-A X ends QEMU, Ctrl-A C switches to its own
                    monitor. The example monitor does so by itself at a terminal; --no-interactive: it does not
  --timeout S       end the run after S seconds (default 120; 0 is never; with --gdb or --interactive the default is never)
  --gdb             wait for a debugger; the command to start one is printed
  --print           print the QEMU command as one line, and do not run it
TEXT
}

# Set the options from a command line. $1 is `run`, or `runner` where cargo has built already and chosen the image.
parse_machine_options() {
    local mode=$1
    shift
    while (($#)); do
        SHIFT=1
        case $1 in
        --board | --board=*) option_value "$@" && opt_board=$VALUE ;;
        --cpus | --cpus=*)
            option_value "$@" && opt_cpus=$VALUE
            check_number --cpus "$opt_cpus" 1 512
            opt_cpus=$((10#$opt_cpus))
            ;;
        --gic | --gic=*)
            option_value "$@" && opt_gic=$VALUE
            check_number --gic "$opt_gic" 2 3
            ;;
        --el | --el=*)
            option_value "$@" && opt_el=$VALUE
            check_number --el "$opt_el" 1 3
            ;;
        --cpu | --cpu=*) option_value "$@" && opt_cpu=$VALUE ;;
        --memory | --memory=*)
            option_value "$@" && opt_memory=$VALUE
            [[ $opt_memory =~ ^[1-9][0-9]{0,5}[MG]$ ]] || usage_error "--memory: '$opt_memory' is not a size such as 512M or 6G"
            ;;
        --append | --append=*) option_value "$@" && opt_append+=${opt_append:+ }$VALUE ;;
        --at | --at=*)
            option_value "$@" && opt_at=$VALUE
            [[ $opt_at =~ ^0x[0-9a-fA-F]{1,12}$ ]] || usage_error "--at: '$opt_at' is not an address such as 0x40200000"
            ;;
        --dtb | --dtb=*)
            option_value "$@" && opt_dtb=$VALUE
            [[ -f $opt_dtb && -r $opt_dtb ]] || usage_error "--dtb: cannot read '$opt_dtb'"
            opt_dtb=$(realpath -- "$opt_dtb")
            ;;
        --firmware | --firmware=*) option_value "$@" && opt_firmware=$VALUE ;;
        --console | --console=*) option_value "$@" && opt_console=$VALUE ;;
        --timeout | --timeout=*)
            option_value "$@" && opt_timeout=$VALUE
            check_number --timeout "$opt_timeout" 0 999999
            opt_timeout=$((10#$opt_timeout))
            ;;
        --icount) opt_icount=yes ;;
        --interactive) opt_interactive=yes ;;
        --no-interactive) opt_interactive=no ;;
        --gdb) opt_gdb=yes ;;
        --print) opt_print=yes ;;
        --)
            shift
            opt_qemu+=("$@")
            break
            ;;
        --target | --target=* | --features | --features=* | --test | --test=*)
            [[ $mode == run ]] || usage_error "${1%%=*}: the image is built already; give this to cargo"
            option_value "$@"
            case $1 in
            --target*) opt_target=$VALUE ;;
            --features*) opt_features=$VALUE ;;
            --test*) choose_image 'test' "$VALUE" ;;
            esac
            ;;
        -*) usage_error "unknown option '$1'" ;;
        *)
            [[ $mode == run ]] || usage_error "what is '$1'? Options of the machine only; QEMU's own go after --"
            choose_image example "$1"
            ;;
        esac
        shift "$SHIFT"
    done
}

choose_image() {
    [[ -z $opt_name ]] || usage_error "one image at a time: '$opt_name' and '$2'"
    opt_kind=$1 opt_name=$2
}

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
    board_firmware=() board_consoles=() board_tree_only=''
    # shellcheck disable=SC1091 # any of the boards
    source "$found/board.sh"
}

# Read the file of the board, fill in what was not given, check what was.
choose_board() {
    board_file "$opt_board" --board
    [[ -z $board_tree_only ]] || describe_board
    one_of --firmware "$opt_firmware" "${board_firmware[@]}"
    one_of --console "$opt_console" "${board_consoles[@]}"
    board_defaults
    board_check
    if ((opt_gic == 2 && opt_cpus > 8)); then
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
    tree=$(board_tree "$board_tree_only")
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

# For board files: is the model among those that QEMU knows for the machine type $1?
check_cpu_model() {
    local models
    mapfile -t models < <("$QEMU" -machine "$1" -cpu help 2>/dev/null | sed -n 's/^  *\([^ ]*\).*/\1/p')
    among "${opt_cpu%%,*}" "${models[@]}" || usage_error "--cpu: QEMU has no model '${opt_cpu%%,*}' (qemu-system-aarch64 -cpu help lists them)"
}

# For board files: a size such as 512M in bytes.
size_in_bytes() {
    case $1 in
    *G) printf '%d\n' $((${1%G} << 30)) ;;
    *M) printf '%d\n' $((${1%M} << 20)) ;;
    esac
}

# For board files: the bytes of numbers, least significant first, written to stdout: little_endian BYTES NUMBER..
little_endian() {
    local bytes=$1 number i out=''
    shift
    for number; do
        for ((i = 0; i < bytes; i++)); do
            out+=$(printf '\\x%02x' $((number >> 8 * i & 0xff)))
        done
    done
    # shellcheck disable=SC2059 # the escapes are the point
    printf "$out"
}

# For board files: a field of the arm64 header of a flat image, as a decimal number: image_header FILE OFFSET BYTES
image_header() {
    od -An -v -t "u$3" -j "$2" -N "$3" -- "$1" | tr -d ' '
}

# For board files: the path of the same image with another text offset in its header, which is how far from the start of RAM
# QEMU puts it: image_at IMAGE OFFSET
image_at() {
    local image=$1 offset=$2 copy
    copy=${image%.img}+$(printf '0x%x' "$offset").img
    if ! same_date "$image" "$copy"; then
        {
            head -c 8 -- "$image"
            little_endian 8 "$offset"
            tail -c +17 -- "$image"
        } >"$copy.$$"
        touch -r "$image" "$copy.$$"
        mv -f -- "$copy.$$" "$copy"
    fi
    printf '%s\n' "$copy"
}

# For board files: how far from the start of RAM QEMU puts a flat image. It follows the header, but stays clear of the first
# 2 MiB if that asks for less than a page.
image_offset() {
    local offset
    offset=$(image_header "$1" 8 8)
    ((offset >= 4096)) || offset=$((offset + 0x200000))
    printf '0x%x\n' "$offset"
}

# For board files: stop unless the file begins with an arm64 header.
check_image_header() {
    [[ $(image_header "$1" 56 4) == $((0x644d5241)) ]] \
        || die "no arm64 header at the start of $1: was it linked with the linker script?"
}

# For board files: the lowest address that an ELF was linked for.
link_address() {
    "$(llvm_tools_dir)/llvm-objdump" -p "$1" | awk '$1 == "LOAD" { print $5; exit }'
}

# A free TCP port for the debugger.
free_port() {
    local port
    for ((port = 1234; port < 1334; port++)); do
        if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free port from 1234 to 1333 for the debugger"
}

# Fill the array `qemu` with the command: compose ELF IMAGE [LOG]
compose() {
    local elf=$1 image=$2 log=${3:-} console=stdio,id=console uart
    bootargs="reveille.exit=semihosting${opt_append:+ $opt_append}"
    [[ $opt_interactive != yes ]] || console+=,mux=on,signal=off
    [[ -z $log ]] || console+=,logfile=${log//,/,,}
    qemu=("$QEMU")
    board_serial=0
    board_qemu "$elf" "$image"
    # No default devices: the machine is the board alone, and QEMU asks for no ROM files of network cards.
    qemu+=(-nodefaults -display none -chardev "$console")
    for ((uart = 0; uart < board_serial; uart++)); do
        qemu+=(-serial null)
    done
    qemu+=(-serial chardev:console)
    [[ $opt_interactive != yes ]] || qemu+=(-mon 'chardev=console,mode=readline')
    qemu+=(-semihosting-config 'enable=on,target=native')
    if [[ $opt_icount == yes ]]; then
        qemu+=(-icount 'shift=0,sleep=off')
    elif ! among -accel "${opt_qemu[@]}" && ! among -icount "${opt_qemu[@]}"; then
        qemu+=(-accel 'tcg,thread=multi')
    fi
    if [[ $opt_gdb == yes ]]; then
        gdb_port=$(free_port)
        qemu+=(-S -gdb "tcp:127.0.0.1:$gdb_port")
    fi
    qemu+=("${opt_qemu[@]}")
}

# Do with the image what the options say: start_machine ELF IMAGE. Ends the script.
start_machine() {
    local elf=$1 image=$2 log rc=0 pid started terminal='' limit=${opt_timeout:-120} symbols
    local qemu=() gdb_port=''

    # What one talks to.
    if [[ -z $opt_interactive && ${elf##*/} == monitor && -t 0 && -t 1 && $opt_icount == no ]]; then
        opt_interactive=yes
    fi

    if [[ $opt_print == yes ]]; then
        compose "$elf" "$image"
        quoted "${qemu[@]}"
        exit
    fi

    scratch_dir
    log=$SCRATCH/console
    compose "$elf" "$image" "$log"

    if [[ $opt_gdb == yes ]]; then
        limit=${opt_timeout:-0}
        symbols=$(printf '0x%x' $(($(board_load_address "$elf" "$image") - $(link_address "$elf"))))
        say "waiting for a debugger; in another terminal:"
        say "  $(quoted gdb-multiarch -q -ex 'set confirm off' -ex 'set architecture aarch64' \
            -ex "add-symbol-file $elf -o $symbols" -ex "target remote 127.0.0.1:$gdb_port")"
    fi

    if [[ $opt_interactive == yes ]]; then
        limit=${opt_timeout:-0}
        say "$PROGRAM: the console has this terminal; Ctrl-A X ends QEMU"
    fi
    if [[ -t 0 ]]; then
        terminal=$(stty -g)
    fi
    started=$SECONDS
    # What the board makes of the console, if anything.
    local output=1 filter=''
    if declare -F board_output >/dev/null; then
        exec {output}> >(board_output)
        filter=$!
    fi
    # In the background, so that a signal to this script ends QEMU as well.
    timeout --foreground -k 5 "$limit" "${qemu[@]}" <&0 >&"$output" &
    pid=$!
    [[ -z $filter ]] || exec {output}>&-
    local ended=0
    trap 'ended=130; kill -TERM "$pid" 2>/dev/null || true' INT
    trap 'ended=143; kill -TERM "$pid" 2>/dev/null || true' TERM HUP
    wait "$pid" || rc=$?
    while kill -0 "$pid" 2>/dev/null; do
        rc=0
        wait "$pid" || rc=$?
    done
    [[ -z $filter ]] || wait "$filter" || true
    trap - INT TERM HUP
    [[ -z $terminal ]] || stty "$terminal"
    ((ended == 0)) || exit "$ended"

    if ((limit > 0 && SECONDS - started >= limit && (rc == 124 || rc == 137))); then
        say "$PROGRAM: stopped after $limit s (--timeout); the last console lines:"
        tail -n 20 -- "$log" | sed 's/^/  /' >&2
        exit "$EXIT_TIMEOUT"
    fi
    exit "$rc"
}
