# shellcheck shell=bash
# What an image may not be, and what may lie where it is put.

image_too_large() {
    ! run_cargo rustc --release -p reveille-tests --bin large --target "$DEFAULT_TARGET" -- --cfg too_large >"$DIR/rustc" 2>&1 \
        || fail 'it links'
    grep -qF 'text, data and .bss of the image are more than 64 MiB' "$DIR/rustc" || fail 'it does not say why'
}
check sizes/too-large --full image_too_large

# RAM behind the file of a flat image holds anything: .bss is cleared, and the early page tables are written whole.
# dirty_ram KIND NAME EXPECTATION
# shellcheck disable=SC2034 # CODE is for check_expectation
dirty_ram() {
    local elf bytes whole at=$((0x40285000))
    elf=$(staged "$1" "$2")
    bytes=$(stat -c %s -- "$elf.img")
    # image_size, at byte 16 of the header
    whole=$(od -An -tu8 -j16 -N8 -- "$elf.img")
    ((whole > bytes)) || fail "nothing of the image lies behind its file: $whole of $bytes bytes"
    head -c $((whole - bytes)) /dev/zero | tr '\0' '\377' >"$DIR/ones"
    CODE=0
    "$ROOT/scripts/runner" "$elf" --at 0x40285000 --timeout 100 -- \
        -device "loader,file=$DIR/ones,addr=$((at + bytes)),force-raw=on" >"$DIR/console.raw" 2>"$DIR/stderr" </dev/null || CODE=$?
    rm -- "$DIR/ones"
    take_console "$DIR/console.raw"
    check_expectation "$3"
}
check sizes/dirty dirty_ram 'test' sizes '/^sizes: 8 stacks filled$/'
check sizes/dirty/large --full dirty_ram 'test' large '/^large: all good on 4 CPUs$/'
