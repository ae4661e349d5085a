# shellcheck shell=bash
# docs/ as a book, and what the table of exercises asks for beside patterns.

# names ADDRESS FUNCTION: of an image that was loaded there scripts/symbolize finds this function on the console.
expect_names() {
    # shellcheck disable=SC2154 # set for expectations
    "$ROOT/scripts/symbolize" --image "$1" "$image_stage" "$CONSOLE" >"$DIR/named" || fail 'scripts/symbolize fails'
    grep -qF " $2 at " "$DIR/named" || {
        cat -- "$DIR/named"
        fail "$2 is not there"
    }
}

# The links of all pages, the chapters of docs/, the code that these show and the names that they say to type; and of each of these one that
# is wrong is found.
pages() {
    local script=$ROOT/scripts/lib/pages.py copy=$DIR/copy rc=0
    python3 "$script" "$ROOT"
    (($(wc -l <"$ROOT/README.md") <= 200)) || fail 'README.md is for who comes first: what makes it longer than 200 lines belongs on a page of docs/'
    rm -rf -- "$copy"
    mkdir -p -- "$copy"
    # What the pages lead to may be left out: then each link is one that is wrong.
    (cd -- "$ROOT" && cp -r --parents -- docs README.md Cargo.toml embassy/Cargo.toml examples scripts/test.d tests/models/tests "$copy")
    python3 "$script" "$copy" >"$DIR/before" || true
    cd -- "$copy/docs" || exit
    # shellcheck disable=SC2016 # backticks of Markdown
    printf '%s\n' '[a](nowhere.md), [b](#no-such-heading), [c](memory.md#the-race), `[d](in-code.md)`' '' '# Twice' '' '# Twice' '' \
        '[e](#twice-1), [f](#twice-2), [g](https://example.org/nowhere.md).' '' '    scripts/model --mutants no_such_bug' '' \
        '    scripts/run --cpus 2 no_such_example' '' '`gate::no_such_model`, `gate::one_reporter`, `exercise/no-such-case`' \
        >page.md
    printf '[h](%s/blob/HEAD/docs/memory.md)\n' "$(sed -n 's/^repository = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")" >>page.md
    printf '[Again](memory.md)\n' >>SUMMARY.md
    sed -i 's/^    let mut sum = 0;/    let mut sum = 1;/' ../README.md
    sed -i 's/^    let posted = /    let other = /' ../examples/exercises/open_gate.rs
    sed -i '/ANCHOR: hook/d' ../examples/exercises/one_report.rs
    python3 "$script" "$copy" >"$DIR/said" || rc=$?
    diff "$DIR/before" "$DIR/said" || true
    [[ $rc == 1 ]] || fail "exit code $rc for pages that are wrong"
    # shellcheck disable=SC2016 # a backtick of Markdown
    diff <(grep -vxFf "$DIR/before" "$DIR/said" | sed '$d' | sort) <(printf '%s\n' \
        'README.md: examples/hello.rs#main: other code' \
        'docs/SUMMARY.md: memory.md is there more than once' 'docs/SUMMARY.md: page.md is not there' \
        'docs/cross-calls.md: examples/exercises/open_gate.rs#gate: other code' \
        'docs/page.md: #no-such-heading: no such heading' 'docs/page.md: #twice-2: no such heading' 'docs/page.md: nowhere.md: no such file' \
        "docs/page.md: $(sed -n 's/^repository = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml")/blob/HEAD/docs/memory.md: to be relative" \
        'docs/page.md: there is no planted bug no_such_bug' 'docs/page.md: there is no example no_such_example' \
        'docs/page.md: there is no model gate::no_such_model' 'docs/page.md: there is no case exercise/no-such-case' \
        'docs/panic-and-stop.md: examples/exercises/one_report.rs#hook: no such code' | sort) || fail 'not what is wrong'
}
check docs/pages pages

# The book, without a warning, and each link in it; with an address for files that are no pages, too.
book() {
    need_extra mdbook
    mdbook build "$ROOT/docs" --dest-dir "$DIR/book" 2>&1 | tee "$DIR/output"
    ! grep -E '(WARN|ERROR)' "$DIR/output" || fail 'mdbook warns'
    python3 "$ROOT/scripts/test.d/book_links.py" "$DIR/book" "$ROOT"
    MDBOOK_PREPROCESSOR__REPOSITORY__ADDRESS=https://example.org/files/ mdbook build "$ROOT/docs" --dest-dir "$DIR/elsewhere"
    grep -q 'href="https://example.org/files/examples/roll_call.rs"' "$DIR/elsewhere/get-started.html" \
        || fail 'links to files do not lead to the address'
    ! grep -q 'href="file:' "$DIR/elsewhere/get-started.html" || fail 'links lead to the checkout'
}
check docs/book --full --limit 1800 book
