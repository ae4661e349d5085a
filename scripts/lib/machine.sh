# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # options are read by the boards; QEMU is set in tools.sh
# From options to a QEMU command line, and from there to a run. Reads common.sh, tools.sh and build.sh first.

# shellcheck source=apt.sh
source "$ROOT/scripts/lib/apt.sh"
# shellcheck source=fetch.sh
source "$ROOT/scripts/lib/fetch.sh"
# shellcheck source=machine_options.sh
source "$ROOT/scripts/lib/machine_options.sh"
# shellcheck source=boards.sh
source "$ROOT/scripts/lib/boards.sh"
# shellcheck source=efi.sh
source "$ROOT/scripts/lib/efi.sh"
# shellcheck source=board_functions.sh
source "$ROOT/scripts/lib/board_functions.sh"

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

# N of the host's CPUs that this process may use, for taskset; which, goes by the number of the process: host_cpus N
host_cpus() {
    local allowed first last part cpu list=()
    allowed=$(taskset -cp "$BASHPID") || die "cannot tell the CPUs of this host"
    for part in $(tr ',' ' ' <<<"${allowed##*: }"); do
        first=${part%-*} last=${part#*-}
        for ((cpu = first; cpu <= last; cpu++)); do
            list+=("$cpu")
        done
    done
    first=$(($$ % ${#list[@]}))
    list=("${list[@]:first}" "${list[@]:0:first}")
    join , "${list[@]:0:$1}"
}

# Fill the array `qemu` with the command: compose ELF IMAGE [LOG]
compose() {
    local elf=$1 image=$2 log=${3:-} console=stdio,id=console uart
    bootargs="reveille.exit=semihosting${opt_append:+ $opt_append}"
    [[ $opt_interactive != yes ]] || console+=,mux=on,signal=off
    [[ -z $log ]] || console+=,logfile=${log//,/,,}
    qemu=("$QEMU")
    [[ -z $opt_host_cpus ]] || qemu=(taskset -c "$(host_cpus "$opt_host_cpus")" "$QEMU")
    board_serial=0 board_console=(-serial chardev:console)
    board_qemu "$elf" "$image"
    # No default devices: the machine is the board alone, and QEMU asks for no ROM files of network cards.
    qemu+=(-nodefaults -display none -chardev "$console")
    for ((uart = 0; uart < board_serial; uart++)); do
        qemu+=(-serial null)
    done
    qemu+=("${board_console[@]}")
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
    elif [[ -n ${gdb_socket:-} ]]; then
        qemu+=(-chardev "socket,path=${gdb_socket//,/,,},server=on,wait=off,id=gdb" -gdb chardev:gdb)
    fi
    qemu+=("${opt_qemu[@]}")
}

# Do with the image what the options say: start_machine ELF IMAGE. Ends the script.
start_machine() {
    local elf=$1 image=$2 log rc=0 pid started terminal='' limit=${opt_timeout:-120} symbols
    local qemu=() gdb_port=''

    # What one talks to.
    if [[ -z $opt_interactive && ${elf##*/} =~ ^(monitor|async_server)$ && -t 0 && -t 1 && $opt_icount == no ]]; then
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
            -ex "add-symbol-file $elf -o $symbols" -x "$ROOT/scripts/gdb/reveille.py" -ex "target remote 127.0.0.1:$gdb_port")"
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
