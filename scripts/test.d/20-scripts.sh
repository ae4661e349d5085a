# shellcheck shell=bash
# The scripts themselves: what they print, and what they say to input that makes no sense.

bad_options() {
    local run=$ROOT/scripts/run build=$ROOT/scripts/build test=$ROOT/scripts/test setup=$ROOT/scripts/setup
    refused '--cpus: 0 is outside 1 to 512' "$run" --cpus 0
    refused '--cpus: 513 is outside 1 to 512' "$run" --cpus 513
    refused "--cpus: 'four' is not a number" "$run" --cpus four
    refused "--cpus: '-1' is not a number" "$run" --cpus=-1
    refused '--cpus: its value is missing' "$run" --cpus
    refused '--cpus: its value is missing' "$run" --cpus --gic 2
    refused '--gic: 4 is outside 2 to 3' "$run" --gic 4
    refused '9 CPUs with --gic 2, but a GICv2 has 8' "$run" --gic 2 --cpus 9
    refused '--el: 0 is outside 1 to 3' "$run" --el 0
    refused "--cpu: QEMU has no model 'pentium'" "$run" --cpu pentium
    refused "--memory: 'lots' is not a size" "$run" --memory lots
    refused "--timeout: 'x' is not a number" "$run" --timeout x
    refused "--host-cpus: 0 is outside 1 to" "$run" --host-cpus 0
    refused "--target: unknown 'x86_64-unknown-linux-gnu'; there are: aarch64" "$run" --target x86_64-unknown-linux-gnu
    refused "--features: unknown 'el4'; there are: .*el2" "$run" --features el4
    refused "--board: unknown 'toaster'; there are: .*virt" "$run" --board toaster
    refused "--at: 'there' is not an address" "$run" --at there
    refused '--at: 0x10000 is not a page inside the RAM' "$run" --at 0x10000
    refused "--dtb: cannot read '/nonexistent.dtb'" "$run" --dtb /nonexistent.dtb
    refused "no example 'no_such'; there are: .*roll_call" "$run" no_such
    refused "no test 'no_such'" "$run" --test no_such
    refused "one image at a time: 'roll_call' and 'again'" "$run" roll_call again
    refused "unknown option '--colour'" "$run" --colour
    refused "name an example: .*roll_call" "$build"
    refused "no example 'no_such'; there are: .*roll_call" "$build" no_such
    refused "--profile: unknown 'fast'" "$build" --profile fast roll_call
    refused "unknown option '--cpus'" "$build" --cpus 4 roll_call
    refused 'name the ELF' "$ROOT/scripts/runner"
    refused "cannot read the ELF '/nonexistent'" "$ROOT/scripts/runner" /nonexistent
    refused 'is not an ELF' "$ROOT/scripts/runner" "$ROOT/Cargo.toml"
    cp -- "$(realpath -- "$(command -v ls)")" "$DIR/ls"
    # Said to be for x86-64, whatever this machine is, and for AArch64.
    printf '\x3e' | dd of="$DIR/ls" bs=1 seek=18 conv=notrunc status=none
    refused "/ls' is an ELF for another kind of CPU than AArch64" "$ROOT/scripts/runner" "$DIR/ls"
    printf '\xb7' | dd of="$DIR/ls" bs=1 seek=18 conv=notrunc status=none
    refused "/ls' has no arm64 header at its start: was it linked with reveille.ld?" "$ROOT/scripts/runner" "$DIR/ls"
    [[ ! -e $DIR/ls.img ]] || fail 'an image is made of what was refused'
    refused 'no case matches .no such case.' "$test" 'no such case'
    refused "unknown option '--all'" "$test" --all
    refused "unknown option '--all'" "$setup" --all
    refused "there is no 'kani', only miri, " "$setup" --extra kani
    refused '--coverage stands alone' "$test" --coverage --full
    refused "unknown option '--all'" "$ROOT/scripts/model" --all
    refused '--list is of models alone' "$ROOT/scripts/model" --list --mutants
    refused "no model matches 'nosuch'" "$ROOT/scripts/model" nosuch
    refused "no bug matches 'nosuch'" "$ROOT/scripts/model" --mutants nosuch
    refused "no target 'mmu', only tree, command-line" "$ROOT/scripts/fuzz" mmu
    refused '--seconds: 0 is outside' "$ROOT/scripts/fuzz" --seconds 0
    refused "cannot read the figures '/nonexistent'" "$ROOT/scripts/bench" --compare /nonexistent
    refused "--mask: 'none' is neither priority nor daif" "$ROOT/scripts/bench" --mask none
    refused 'not those of --mask' "$ROOT/scripts/bench" --mask daif --write
    refused "--cpus: '4,x' is no list of numbers" "$ROOT/scripts/crowd" --cpus 4,x
    refused '--verify measures, --from does not' "$ROOT/scripts/bench" --verify --from "$ROOT/benches/figures.json"
    refused "--show: there is no 'none', only sgi_floor, " "$ROOT/scripts/bench" --show none
    refused "--machine: '4' is not GIC:CPUS" "$ROOT/scripts/bench" --machine 4
    refused '--machine: nothing is measured on 3:5, only on ' "$ROOT/scripts/bench" --machine 3:5
    refused '--machine: a GICv2 has 1 to 8 CPUs, .* not 2:16' "$ROOT/scripts/bench" --lines --machine 2:16
    refused "--into: cannot write to the directory '/nonexistent'" "$ROOT/scripts/pictures" --into /nonexistent
    refused "unknown option '--svg'" "$ROOT/scripts/pictures" --svg
    refused '--show goes with --machine alone' "$ROOT/scripts/bench" --show post --check
    refused '--show goes with --machine alone' "$ROOT/scripts/bench" --show lock --locks
    refused '--machine: --locks takes 2 CPUs or more: not 3:1' "$ROOT/scripts/bench" --locks --machine 3:1
    refused '--trace goes with --check' "$ROOT/scripts/bench" --trace --machine 3:1
    refused "--mode: 'none' is neither overwrite nor drop" "$ROOT/scripts/trace" --mode none
    refused "cannot write '/nonexistent/file'" "$ROOT/scripts/trace" -o /nonexistent/file
    refused "cannot read '/nonexistent'" "$ROOT/scripts/trace" --log /nonexistent
    refused '--core goes with --elf' "$ROOT/scripts/trace" --core "$ROOT/Cargo.toml"
    refused "--log and --core run nothing: what is 'roll_call'" "$ROOT/scripts/trace" --log - roll_call
}
check scripts/bad-options bad_options

# Every script has help, which begins with how it is called.
help_texts() {
    local script
    for script in "$ROOT"/scripts/*; do
        [[ -f $script && -x $script ]] || continue
        say "+ $script --help"
        "$script" --help >"$DIR/help" </dev/null
        [[ $(head -n 1 -- "$DIR/help") == "usage: scripts/${script##*/}"* ]] || fail "no usage line"
        (($(wc -l <"$DIR/help") > 3)) || fail "it explains nothing"
    done
}
check scripts/help help_texts

# With everything in place, setup says nothing and takes no time: of the processors, since a busy host lets everybody wait.
setup_again() {
    local out spent TIMEFORMAT='%0U %0S'
    out=$("$ROOT/scripts/setup" 2>&1)
    [[ -z $out ]] || fail "setup did something: $out"
    { time "$ROOT/scripts/setup" --test >&2; } 2>"$DIR/spent"
    cat -- "$DIR/spent"
    read -ra spent < <(tail -n 1 -- "$DIR/spent")
    ((spent[0] + spent[1] <= 2)) || fail "it took ${spent[0]} and ${spent[1]} s of the processors"
}
check scripts/setup-again setup_again

build_two_lines() {
    local lines
    mapfile -t lines < <(cd / && "$ROOT/scripts/build" roll_call)
    ((${#lines[@]} == 2)) || fail "${#lines[@]} lines on stdout"
    [[ ${lines[0]} == /* && ${lines[1]} == /* ]] || fail "not absolute: ${lines[*]}"
    [[ $(head -c 4 -- "${lines[0]}" | tail -c 3) == ELF ]] || fail "${lines[0]} is not an ELF"
    [[ $(head -c 59 -- "${lines[1]}" | tail -c 3) == ARM ]] || fail "${lines[1]} has no arm64 header"
}
check scripts/build build_two_lines

# What --print prints must be one line, and do the same as the run when a shell reads it.
print_runs() {
    local lines rc=0
    mapfile -t lines < <("$ROOT/scripts/run" --print --cpus 2 --append 'json  spaced')
    ((${#lines[@]} == 1)) || fail "${#lines[@]} lines on stdout"
    say "${lines[0]}"
    timeout -k 5 200 bash -c "${lines[0]}" >"$DIR/console.raw" </dev/null || rc=$?
    take_console "$DIR/console.raw"
    CODE=$rc check_expectation 'roll_call 2 json'
}
check scripts/print print_runs

# A run that outlasts its time ends with 124, and repeats the end of the console on stderr. With the CPUs stopped from
# the start there is nothing to repeat but the run outlasts any time.
timeout_code() {
    local rc=0
    "$ROOT/scripts/run" --timeout 2 --cpus 1 -- -S >"$DIR/out" 2>"$DIR/err" </dev/null || rc=$?
    cat -- "$DIR/err"
    ((rc == 124)) || fail "exit code $rc, expected 124"
    grep -q 'stopped after 2 s (--timeout); the last console lines:' "$DIR/err" || fail 'it does not say why it ended'
}
check scripts/timeout timeout_code

# As cargo calls it, from a directory that is not the root, without any stdin.
cargo_run() {
    local rc=0
    (cd "$ROOT/src" && REVEILLE_RUN="--cpus 2 --append 'json'" cargo run --example roll_call -- --gic 2 --timeout 200) \
        >"$DIR/console.raw" <&- || rc=$?
    take_console "$DIR/console.raw"
    CODE=$rc check_expectation 'roll_call 2 json'
}
check scripts/cargo-run --cargo cargo_run

# page_file SECTION FILE: a file that docs/your-own-program.md shows below the heading SECTION: the first block of code behind the paragraph that begins
# with its name.
page_file() {
    awk -v section="$1" -v name="\`$2\`" '
        /^```/ && !code { code = 1; copies = here && named; named = 0; next }
        /^```/ { if (copies) exit; code = 0; next }
        copies
        code { next }
        /^#+ / { here = $0 ~ "^#+ " section "$"; named = 0 }
        index($0, name) == 1 { named = 1 }' "$ROOT/docs/your-own-program.md"
}

# own_program SECTION: the files of a program of that page, as a reader would copy them, in a new folder `$OWN/hello` beside a clone. It is outside of this
# workspace, as theirs is, and has a blank in its name. What the section does not show is as above it.
own_program() {
    local file
    OWN=$(mktemp -d)
    # shellcheck disable=SC2064 # this folder
    trap "rm -rf -- '$OWN'" EXIT
    OWN="$OWN/my projects"
    mkdir -p -- "$OWN/hello/src" "$OWN/hello/.cargo"
    ln -s -- "$ROOT" "$OWN/reveille"
    for file in Cargo.toml build.rs .cargo/config.toml rust-toolchain.toml src/main.rs; do
        page_file "$1" "$file" >"$OWN/hello/$file"
        [[ -s $OWN/hello/$file ]] || page_file 'The files' "$file" >"$OWN/hello/$file"
        [[ -s $OWN/hello/$file ]] || fail "docs/your-own-program.md has no $file"
    done
    # The versions that everything else here is tested with.
    cp -- "$ROOT/Cargo.lock" "$OWN/hello/"
}

# The program, and what its last line says, with flags from outside: readme_program SECTION LINE RUSTFLAGS OPTION.. of cargo run.
readme_program() {
    local line=$2 flags=$3 rc=0
    # What both are made of is compiled once, for programs of scripts/new as well.
    user_tools
    export CARGO_TARGET_DIR=$STATE/new-target/${1// /-}
    [[ $1 != 'The files' ]] || CARGO_TARGET_DIR=$STATE/new-target/program
    own_program "$1"
    shift 3
    [[ -z $flags ]] || export RUSTFLAGS=$flags
    (cd "$OWN/hello" && cargo run "$@" -- --gic 2 --el 2 --timeout 200) >"$DIR/console" <&- || rc=$?
    cat -- "$DIR/console"
    ((rc == 0)) || fail "exit code $rc"
    [[ $(tr -d '\r' <"$DIR/console" | tail -n 1) == "$line" ]] || fail 'not what the page says'
}

# The program, and what is said where it lacks a step that has Cargo begin with everything anew; `lacks` is in 82-new.sh.
# shellcheck disable=SC2016 # backticks of what is said
readme_forgotten_flags() {
    readme_program 'The files' 'the ids of the CPUs online add up to 6' ''
    cd -- "$OWN/hello" || exit
    lacks 'images of Reveille are built for aarch64-unknown-none-softfloat or aarch64-unknown-none, and not for ' 'sed -i "/^target = /d" .cargo/config.toml'
    lacks 'the rustflags of this build have `-Clink-arg=-Treveille.ld`' \
        'printf "rustflags = [\"-Clink-arg=-Treveille.ld\"]\n" >>.cargo/config.toml'
}

check scripts/readme-program --full --cargo --limit 900 readme_program 'The files' 'the ids of the CPUs online add up to 6' '-Cdebuginfo=1'
check scripts/readme-program/forgotten-flags --full --cargo --limit 1800 readme_forgotten_flags
check scripts/readme-program/async --full --cargo --limit 900 readme_program 'The same with async' 'hello from cpu 3' '' --release
check scripts/readme-program/release --full --cargo --limit 900 readme_program 'The files' 'the ids of the CPUs online add up to 6' '' --release
check scripts/readme-program/async/dev --full --cargo --limit 900 readme_program 'The same with async' 'hello from cpu 3' ''

# The debugger finds the code where the image was loaded: it stops in a function of the runtime.
debugger() {
    local command pid port
    "$ROOT/scripts/run" --gdb --cpus 2 --timeout 200 >"$DIR/console" 2>"$DIR/err" </dev/null &
    pid=$!
    wait_for 60 grep -q 'target remote' "$DIR/err" || true
    cat -- "$DIR/err"
    command=$(sed -n 's/^  *gdb-multiarch/gdb-multiarch/p' "$DIR/err")
    # Said before QEMU listens there. Not by trying: the first who comes is the debugger.
    port=$(sed -n 's/.*target remote 127.0.0.1:\([0-9]*\).*/\1/p' "$DIR/err")
    wait_for 60 grep -q "$(printf ':%04X 00000000:0000 0A ' "$port")" /proc/net/tcp || true
    timeout -k 5 200 bash -c "$command --batch -ex 'hbreak roll_call::main' -ex continue -ex bt -ex kill" \
        >"$DIR/gdb" 2>&1 </dev/null || true
    cat -- "$DIR/gdb"
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
    grep -Eq '(Breakpoint|hit).* roll_call::main' "$DIR/gdb" || fail 'the debugger did not stop in main'
}
check scripts/gdb debugger

# The bar on size: text and read-only data of the release image. 160 KiB of it are the runtime and the reader of device trees; the rest is what makes
# one image do everywhere: ACPI, UEFI, the table of UARTs, the console by hand, the controllers of a BCM2836.
image_size() {
    local elf total
    elf=$(staged example roll_call)
    total=$("$(llvm_tools_dir)/llvm-readobj" --sections --elf-output-style=GNU "$elf" \
        | sed 's/^ *\[ *[0-9]*\]//' | awk '$2 ~ /^[A-Z_]+$/ && $7 ~ /A/ && $7 !~ /W/ && $2 != "NOBITS" {
            n = 0; hex = tolower($5)
            for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
            total += n } END { print total + 0 }')
    say "text and read-only data: $total bytes"
    ((total > 0 && total <= 200 * 1024)) || fail "$total bytes are more than 204800"
}
check size/roll-call image_size

# tests_apart DIR: makes a tree with scripts/test and no case.
tests_apart() {
    rm -rf -- "$1"
    mkdir -p -- "$1/scripts/test.d" "$1/tests/target"
    ln -s -- "$ROOT/scripts/lib" "$1/scripts/lib"
    ln -s -- "$ROOT/rust-toolchain.toml" "$1/rust-toolchain.toml"
    cp -- "$ROOT/scripts/test" "$1/scripts/test"
}

# What scripts/test counts, in a tree of its own with two cases: behind each case, in total, and against what is promised.
test_totals() {
    local copy=$DIR/copy rc=0
    tests_apart "$copy"
    cat >"$copy/scripts/test.d/10.sh" <<'TEXT'
check one printf '%s\n' 'x: 1234000 rounds, 0 lost' 'x: 5 rounds, 1 lost' 'y: seen' 'y: seen'
check two printf '%s\n' 'x: 66 rounds, 0 lost'
check three false
TEXT
    # shellcheck disable=SC2016 # a regular expression
    printf '# x\nx | rounds | ^x: ([0-9]+) rounds, 0 lost$ | 1234067\ny | sights | ^y: seen$ | 2\nz | bars | ^z$ |\n' >"$copy/scripts/test.d/totals"
    in_copy() {
        rc=0
        CARGO_TARGET_DIR=$copy/target REVEILLE_TOOLS_CHECKED=yes "$copy/scripts/test" --jobs 1 "$@" >"$DIR/said" 2>&1 </dev/null || rc=$?
        cat -- "$DIR/said"
    }
    in_copy --full
    ((rc == 1)) || fail "exit code $rc"
    sed -E 's/\([0-9.]+ s\)/(s)/; s/^took: [0-9]+ s, and [0-9]+ s of [0-9]+ CPUs$/took/' "$DIR/said" | grep -v '^    ' | diff -u - <(printf '%s\n' 'ok one (s) 1 234 000 rounds, 2 sights' \
        'ok two (s) 66 rounds' 'FAILED three (s)' 'FAILED totals/x (s)' 'ok totals/y (s)' took \
        'total: x 1 234 066 rounds in 2 cases' 'total: y 2 sights in 1 case' '3 passed, 2 failed') || fail 'not these lines'
    grep -qxF '    | x: 1 234 066 rounds, promised are 1 234 067' "$DIR/said" || fail 'it does not say what is missing'
    # What is enough is enough, and only a run of everything is held to it.
    sed -i 's/1234067/1234066/' "$copy/scripts/test.d/totals"
    in_copy --full
    grep -q '^ok totals/x ' "$DIR/said" || fail 'just enough is not enough'
    in_copy --full two
    ((rc == 0)) || fail 'a part is held to the whole'
    [[ $(tail -n 2 -- "$DIR/said") == $'total: x 66 rounds in 1 case\n1 passed, 0 failed' ]] || fail 'not the total of the part'
    in_copy --list --full
    grep -qx totals/x "$DIR/said" || fail 'not in the list'
    in_copy --list
    ! grep -q totals "$DIR/said" || fail 'in the list of the ci tier'
    printf 'x | rounds | ^x$ | 1\n' >>"$copy/scripts/test.d/totals"
    refused "scripts/test.d/totals:5: group 'x' is there twice" "$copy/scripts/test" --list
    printf 'x | rounds | ^(x$ | 1\n' >"$copy/scripts/test.d/totals"
    refused 'scripts/test.d/totals:1: .* is no regular expression' "$copy/scripts/test" --list
    printf 'x | rounds | ^x$ | many\n' >"$copy/scripts/test.d/totals"
    refused "scripts/test.d/totals:1: promised: 'many' is not a number" "$copy/scripts/test" --list
}
check scripts/totals test_totals

# In which order cases run, in a tree of its own, where nothing can be built: checks that want no image do not wait for that, of those that compile
# there is one at a time, what stands alone comes last, and a boot without its image has failed.
test_order() {
    local copy=$DIR/copy rc=0
    tests_apart "$copy"
    : >"$copy/scripts/test.d/totals"
    cat >"$copy/scripts/test.d/10.sh" <<'TEXT'
note() { printf '%s\n' "$1" >>"$ROOT/notes"; }
# What compiles goes on until the build has ended, which so goes on beside it.
compiles() {
    note 'a compiler begins'
    [[ -e $ROOT/single ]] || wait_for 100 [ -s "$STATE/log/boot/1/log" ]
    note 'a compiler ends'
}
check late note late
check long --limit 900 note long
check alone --alone note alone
check one --cargo compiles
check two --cargo compiles
check early --early note early
TEXT
    # shellcheck disable=SC2016 # variables of a table
    printf 'boot/$n | ci $n=1,3 | roll_call | --cpus $n | | n=1,2\n' >"$copy/scripts/test.d/10.cases"
    export CARGO_TARGET_DIR=$copy/target REVEILLE_TOOLS_CHECKED=yes REVEILLE_RUNNER=/nonexistent
    "$copy/scripts/test" >"$DIR/said" 2>&1 </dev/null || rc=$?
    cat -- "$DIR/said"
    ((rc == 1)) || fail "exit code $rc"
    grep -q '^cannot build roll_call for ' "$DIR/said" || fail 'it does not say what cannot be built'
    [[ $(grep '^FAILED' "$DIR/said") == 'FAILED boot/1 (0.0 s)' ]] || fail 'not that boot alone has failed'
    [[ $(tail -n 1 -- "$DIR/said") == '6 passed, 1 failed' ]] || fail 'another number of cases'
    [[ $(grep compiler "$copy/notes" | uniq | wc -l) == 4 ]] || fail 'two compile at a time'
    [[ $(tail -n 1 -- "$copy/notes") == alone ]] || fail 'what stands alone is not the last'
    rm -- "$copy/notes"
    : >"$copy/single"
    "$copy/scripts/test" --jobs 1 >"$DIR/said" 2>&1 </dev/null || true
    [[ $(grep -v compiler "$copy/notes" | paste -sd ' ') == 'early long late alone' ]] || fail 'not in this order'
    "$copy/scripts/test" --full --list | grep -qx boot/2 || fail 'what is not in the one tier is not in the other'
    # shellcheck disable=SC2016 # variables of a table
    printf 'boot/$n | ci $n | roll_call | --cpus $n | | n=1,2\n' >"$copy/scripts/test.d/10.cases"
    refused "scripts/test.d/10.cases:1: case 'boot/1': '1' is not .variable=value,value" "$copy/scripts/test" --list
}
check scripts/order test_order

# The barriers of the image, which no run in QEMU misses; and a copy without its ISBs, in which each kind that needs one lacks it.
barriers() {
    local elf objdump rc=0
    elf=$(staged example "$1")
    objdump=$(llvm_tools_dir)/llvm-objdump
    python3 "$ROOT/scripts/test.d/barriers.py" "$objdump" "$elf"
    LC_ALL=C sed 's/\xdf\x3f\x03\xd5/\x1f\x20\x03\xd5/g' "$elf" >"$DIR/bare"
    python3 "$ROOT/scripts/test.d/barriers.py" "$objdump" "$DIR/bare" >"$DIR/said" || rc=$?
    [[ $rc == 1 ]] || fail "exit code $rc for an image without ISBs"
    for kind in 'an SGI of GICv3' 'an acknowledgement' 'a setting of the timer' 'a change of the translation regime'; do
        grep -q ": $kind without \`isb\` after it$" "$DIR/said" || fail "$kind: nothing is missed"
    done
    grep -q '^reveille::stop::gather::participate: no .isb.: ' "$DIR/said" || fail 'nothing is missed in participate'
}
check barriers/roll-call barriers roll_call

# What comes of a line while somebody waits for it is not lost when his time is up.
whole_lines() {
    local line='' got=0
    rm -f -- "$DIR/pipe"
    mkfifo -- "$DIR/pipe"
    exec 5<>"$DIR/pipe"
    printf '12' >&5
    read_line line 5 1 || got=$?
    [[ $got -gt 128 && -z $line && ${REST[5]} == 12 ]] || fail "exit code $got, '$line', '${REST[5]}' in the middle of a line"
    printf '3 0\nwhole\n' >&5
    read_line line 5 60
    [[ $line == '123 0' && -z ${REST[5]} ]] || fail "'$line' for a line in two pieces"
    read_line line 5 60
    [[ $line == whole ]] || fail "'$line' for a line in one"
    got=0
    exec 5< <(printf 'the end')
    read_line line 5 60 || got=$?
    [[ $got == 1 && ${REST[5]} == 'the end' ]] || fail "exit code $got, '${REST[5]}' at the end of the file"
    exec 5<&-
}
check scripts/whole-lines whole_lines
