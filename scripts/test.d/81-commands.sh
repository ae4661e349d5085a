# shellcheck shell=bash
# What the README and the pages of docs/ say to type.

# Each command is what its script takes, and one that is new or gone is noticed; and what is wrong is found.
commands_of_pages() {
    local script=$ROOT/scripts/lib/commands.py copy=$DIR/copy rc=0
    "$ROOT/scripts/test" --full --list >"$DIR/cases"
    python3 "$script" check "$ROOT" "$DIR/cases"
    rm -rf -- "$copy"
    mkdir -p -- "$copy"
    (cd -- "$ROOT" && cp -r --parents -- docs README.md Cargo.toml .cargo embassy/Cargo.toml tools/*/Cargo.toml tools/run/src scripts platform tests/models/tests rust-toolchain.toml "$copy")
    # shellcheck disable=SC2016 # backticks of Markdown
    printf '%s\n' '# Page' '' '    scripts/run --colour' '    scripts/nothing' '    cargo fly' '' 'Or `scripts/run --board toaster --cpus 2`, `scripts/bench --lines`.' \
        '' '```console' '$ scripts/test --full no-such-case' 'output' '```' '' '```text' '    scripts/no-command' '```' '' \
        '    scripts/run "$(scripts/build --shape roll_call)" 2>&1 | sponge log' >"$copy/docs/page.md"
    sed -i '/^consoles.md | run /d' "$copy/scripts/test.d/commands"
    cat >>"$copy/scripts/test.d/commands" <<'TEXT'
page.md | run | | scripts/run --nowhere
page.md | case | no/case | scripts/nothing
page.md | options | | scripts/run --colour
* | case | mutants | cargo ..
* | case | mutants | scripts/test --full ..
* | case | mutants | scripts/run "$(scripts/build ..
TEXT
    python3 "$script" check "$copy" "$DIR/cases" >"$DIR/said" || rc=$?
    cat -- "$DIR/said"
    [[ $rc == 1 ]] || fail "exit code $rc for pages that are wrong"
    # shellcheck disable=SC2016 # backticks of Markdown
    diff <(sed '$d; s/^\(scripts\/test\.d\/commands\):[0-9]*/\1/' "$DIR/said" | sort) <(printf '%s\n' \
        'scripts/test.d/commands: there is no case no/case' \
        'scripts/test.d/commands: why is it not run?' \
        'scripts/test.d/commands: no page says `scripts/run --nowhere`' \
        "consoles.md: \`scripts/run --append 'earlycon=pl011,0x9000000 log=info'\`: scripts/test.d/commands has no row that says how it is tried" \
        'page.md: `scripts/run --colour`: scripts/run does not take --colour' \
        'page.md: `scripts/nothing`: there is no scripts/nothing' \
        'page.md: `cargo fly`: cargo has no command fly' \
        'page.md: `scripts/run --board toaster --cpus 2`: there is no board toaster' \
        'page.md: `scripts/test --full no-such-case`: scripts/test: no case matches no-such-case' \
        'page.md: `scripts/run "$(scripts/build --shape roll_call)" 2>&1 | sponge log`: scripts/build does not take --shape' \
        'page.md: `scripts/run "$(scripts/build --shape roll_call)" 2>&1 | sponge log`: there is no command sponge (scripts/lib/commands.py knows what else there is)' \
        | sort) || fail 'not what is wrong'
}
check docs/commands commands_of_pages

# Those of a page that are to be run, as they are written: run_commands PAGE
run_commands() {
    scratch_dir
    python3 "$ROOT/scripts/lib/commands.py" run "$ROOT" "$1" "$SCRATCH"
}

# commands_row PLACE PAGE HOW ..: a case for each page that has any.
pages_that_run=()
commands_row() {
    [[ $3 == run ]] || return 0
    among "$2" "${pages_that_run[@]}" || {
        pages_that_run+=("$2")
        check "commands/${2%.md}" --full --double --limit 1800 run_commands "$2"
    }
}
each_row "$ROOT/scripts/test.d/commands" commands_row
