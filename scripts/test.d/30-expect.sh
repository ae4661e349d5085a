# shellcheck shell=bash
# What the tables of boots may ask for in their last column, beside patterns and exit codes; and the edits of trees
# that a fragment in trees/ cannot express.

# roll_call CPUS ..: the console ends with exactly this roll call. See roll_call.py.
expect_roll_call() {
    python3 "$ROOT/scripts/test.d/roll_call.py" "$CONSOLE" "$CODE" "$@" || fail "not the roll call expected: $*"
}

# write_leavings LEVEL [OPTION..] -- [NAME=VALUE[@CPUS]..]: the file $DIR/leavings, and QEMU's `-device` for it. See boot_states.py.
write_leavings() {
    python3 "$ROOT/scripts/lib/boot_states.py" --table "$ROOT/tests/shim/leavings.table" --write "$DIR/leavings" --level "$@"
}

# no_abort: the run, with `-- -d int -D $dir/int`, took no exception but interrupts, calls to firmware and semihosting.
expect_no_abort() {
    [[ -f $DIR/int ]] || fail "no exception log: the options lack -- -d int -D \$dir/int"
    ! grep -E '^Taking exception .*\[(Data Abort|Prefetch Abort|Undefined Instruction)\]' "$DIR/int" | head -n 5 | grep . \
        || fail "the machine took an abort"
}

# last_line REGEX: the last console line matches; `_` stands for a blank.
expect_last_line() {
    tail -n 1 -- "$CONSOLE" | grep -Eqe "${1//_/ }" || fail "the last console line is not /${1//_/ }/"
}

# The file ends in the middle, and its header does not know.
tree_cut() {
    truncate -s $(($(stat -c %s -- "$1") / 2)) -- "$1"
}

# The same, but only the names of properties that come late in the tree are lost: the console stands before them.
tree_cut_names() {
    truncate -s -$(($(header_word "$1" 32) / 4)) -- "$1"
}

# A tree as other tools than dtc lay it out, the names before the nodes, which ends among its last nodes.
tree_cut_nodes() {
    local file=$1.laid_out structs strings structs_size strings_size end
    structs=$(header_word "$1" 8) structs_size=$(header_word "$1" 36)
    strings=$(header_word "$1" 12) strings_size=$(header_word "$1" 32)
    {
        head -c "$structs" -- "$1"
        tail -c +$((strings + 1)) -- "$1" | head -c "$strings_size"
        head -c $((-strings_size & 3)) /dev/zero
        tail -c +$((structs + 1)) -- "$1" | head -c "$structs_size"
    } >"$file"
    end=$((structs + (strings_size + 3) / 4 * 4))
    patch_word "$file" 4 $((end + structs_size))
    patch_word "$file" 8 "$end"
    patch_word "$file" 12 "$structs"
    truncate -s $((end + structs_size * 7 / 8)) -- "$file"
    mv -f -- "$file" "$1"
}

# The header says that the blob is half as long as it is.
tree_short() {
    local size
    size=$(($(stat -c %s -- "$1") / 2))
    patch_word "$1" 4 "$size"
}

# A word in the structure block that is no token: the last but one, so that all nodes stand before it.
tree_garbled() {
    local begin size
    begin=$(header_word "$1" 8)
    size=$(header_word "$1" 36)
    patch_word "$1" $((begin + size - 8)) $((0x77777777))
}

# The structure block begins far outside.
tree_far() {
    patch_word "$1" 8 $((0x7ffffff0))
}

# Nothing that looks like a tree at all.
tree_magic() {
    patch_word "$1" 0 $((0x12345678))
}

# 600 CPUs in the tree: more than the runtime takes.
# RAM in many pieces: reservations of a page each, every 128 KiB, whose middle one is not to be mapped.
tree_many_pieces() {
    local i at file=$1.many
    {
        cat -- "$1.dts"
        printf '/ {\n\treserved-memory {\n\t\t#address-cells = <2>;\n\t\t#size-cells = <2>;\n\t\tranges;\n'
        for ((i = 0; i < 200; i++)); do
            at=$((0x44000000 + i * 0x20000))
            printf '\t\tr@%x { reg = <0 0x%x 0 0x1000>; %s };\n' $at $at "$( ((i % 2)) || printf 'no-map;')"
        done
        printf '\t};\n};\n'
    } >"$file.dts"
    dtc -q -I dts -O dtb -o "$1" "$file.dts"
}

tree_many_cpus() {
    local i file=$1.many
    {
        cat -- "$1.dts"
        printf '/ {\n\tcpus {\n'
        for ((i = 4; i < 600; i++)); do
            printf '\t\tcpu@%x { device_type = "cpu"; compatible = "arm,armv8"; enable-method = "psci"; reg = <0x%x>; };\n' \
                $((i / 16 << 8 | i % 16)) $((i / 16 << 8 | i % 16))
        done
        printf '\t};\n};\n'
    } >"$file.dts"
    dtc -q -I dts -O dtb -o "$1" "$file.dts"
}

# header_word FILE OFFSET: a big-endian word of 32 bits, in decimal.
header_word() {
    printf '%d\n' "0x$(od -An -v -t x1 -j "$2" -N 4 -- "$1" | tr -d ' ')"
}

# patch_word FILE OFFSET VALUE: a big-endian word of 32 bits.
patch_word() {
    local bytes
    bytes=$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($3 >> 24 & 255)) $(($3 >> 16 & 255)) $(($3 >> 8 & 255)) $(($3 & 255)))
    # shellcheck disable=SC2059 # the escapes are the point
    printf "$bytes" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# in_file FILE REGEX: a line of $DIR/FILE matches; `_` stands for a blank.
expect_in_file() {
    grep -Eqe "${2//_/ }" -- "$DIR/$1" || fail "no line of $1 matches /${2//_/ }/"
}

# No console at all; and that, garbled.
tree_no_console() {
    printf '/delete-node/ &{/pl011@9000000};\n' >>"$1.dts"
    dtc -q -I dts -O dtb -o "$1" "$1.dts"
}
tree_no_console_garbled() {
    tree_no_console "$1"
    tree_garbled "$1"
}
