# shellcheck shell=bash
# What safe programs must not do: it does not compile, and the compiler says why. The program is tests/target/src/bin/refused.rs.

# does_not_compile NAME REGEX: with this the program does not compile, for this reason and for no other.
does_not_compile() {
    local name=$1 why=$2 rc=0
    run_cargo rustc --release -p reveille-tests --bin refused --target "$DEFAULT_TARGET" -- --cfg "wrong=\"$name\"" \
        >"$DIR/rustc" 2>&1 || rc=$?
    cat -- "$DIR/rustc"
    ((rc != 0)) || fail "it compiles"
    grep -Eq "^error(\[E[0-9]+\])?: .*($why)" "$DIR/rustc" || fail "it does not say: $why"
    ! grep -E '^error' "$DIR/rustc" | grep -Eqv "($why)|could not compile" || fail 'there is another error besides'
}
while read -r name why; do
    check "compile-fail/$name" does_not_compile "$name" "$why"
done <<'TEXT'
masked_in_a_static cannot be sent between threads safely
guard_in_a_static cannot be sent between threads safely
masked_in_a_percpu cannot be sent between threads safely
cell_in_a_percpu cannot be shared between threads safely
pointer_in_a_lock cannot be sent between threads safely
masked_posted cannot be sent between threads safely
cell_posted_to_each the trait bound
masked_called cannot be sent between threads safely
masked_shared cannot be shared between threads safely
masked_shared_by_each cannot be shared between threads safely
masked_brought_back cannot be sent between threads safely
masked_launched cannot be sent between threads safely
masked_in_a_timer cannot be sent between threads safely
masked_with_deadline cannot be sent between threads safely
guard_posted cannot be sent between threads safely
mutex_guard_posted cannot be sent between threads safely
pin_posted cannot be sent between threads safely
timer_posted cannot be sent between threads safely
borrow_posted may outlive the current function
borrow_posted_to_each may outlive the current function
borrow_launched may outlive the current function
borrow_in_a_timer may outlive the current function
borrow_with_deadline may outlive the current function
cell_shared_by_each cannot be shared between threads safely
id_made is private
template_made is unsafe and requires unsafe
leaving_made is unsafe and requires unsafe
TEXT
unset name why
