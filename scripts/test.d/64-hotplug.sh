# shellcheck shell=bash
# shellcheck disable=SC2154 # image_stage is set by scripts/lib/case_images.sh
# What the table of stop-machine, hotplug and patching asks for beside patterns, by looking at the image and not at its run; and
# what must not compile.

# static_keys [N]: of all sites of static keys in the image none (or N) lies in code that is never patched, and each holds
# the instruction that it should. See static_keys.py.
expect_static_keys() {
    python3 "$ROOT/scripts/test.d/static_keys.py" "$image_stage" "${1:-0}" || fail 'a static key is where it must not be'
}

# key_cost: a loop that asks a key which is off is one instruction longer than the same loop without, and that is a NOP.
expect_key_cost() {
    local with without
    with=$(loop_in loop_with_key) || fail 'no loop found in loop_with_key'
    without=$(loop_in loop_without_key) || fail 'no loop found in loop_without_key'
    say "with the key:"
    say "$with"
    say "without:"
    say "$without"
    (($(wc -l <<<"$with") == $(wc -l <<<"$without") + 1)) || fail 'the key costs more than one instruction, or less'
    [[ $(grep -cw nop <<<"$with") == 1 && $(grep -cw nop <<<"$without") == 0 ]] || fail 'that instruction is no NOP'
}

# The instructions of the only loop in a function of the image, a line each: from where its last instruction branches back to
# that instruction.
loop_in() {
    "$(llvm_tools_dir)/llvm-objdump" -d --no-show-raw-insn --disassemble-symbols="$1" "$image_stage" | awk '
        # "40201234: sub  x0, x0, #1", "40201238: b.ne 0x40201230 <loop_with_key+0x10>"
        $1 ~ /^[0-9a-f]+:$/ {
            address = $1
            sub(":", "", address)
            line[++count] = $0
            at[address] = count
            if ($2 == "ret") returns = count
            if ($2 ~ /^(b(\.[a-z]+)?|cbn?z|tbn?z)$/ && match($0, /0x[0-9a-f]+ </)) {
                target = substr($0, RSTART + 2, RLENGTH - 4)
                # A way back to the end of the function is no loop.
                if (target in at && at[target] > returns) { begin = at[target]; end = count; loops++ }
            }
        }
        END {
            if (loops != 1) exit 1
            for (i = begin; i <= end; i++) print line[i]
        }'
}

# That a secondary function may be abandoned cannot be said in safe code, and where `unsafe` is forbidden not at all.
# leaving_needs_unsafe WAY MESSAGE
leaving_needs_unsafe() {
    local message=$2
    does_not_compile frames -- --cfg "entry=\"$1\""
    grep -qF "$message" "$DIR/rustc" || fail 'it does not say why'
    grep -A2 -F "$message" "$DIR/rustc" | grep -q 'frames.rs:[0-9]*:[0-9]*' || fail 'it does not say where'
}
check hotplug/leaving/unsafe leaving_needs_unsafe unsafe 'error: usage of an'
check hotplug/leaving/safe leaving_needs_unsafe safe 'error[E0133]: call to unsafe function'
