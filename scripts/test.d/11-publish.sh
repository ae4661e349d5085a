# shellcheck shell=bash
# Checks of what users get from a registry: the packages, their documentation, and what they promise of versions and features.

readonly PUBLISHED=(reveille-build reveille-protocol reveille-machine reveille-macros reveille reveille-embassy reveille-run)

published_options() {
    local package
    for package in "${PUBLISHED[@]}"; do printf -- '-p\n%s\n' "$package"; done
}

# What is in a package is what a user needs, and is listed: sources by their folder, all else by name. The links of its README are those of all
# pages (case docs/pages).
package_contents() {
    local package list
    for package in "${PUBLISHED[@]}"; do
        list=$(run_cargo package --list --allow-dirty --offline -p "$package")
        sed -E "s,^(src|platform|examples)/.*(\.[a-z]+)\$,\1/**\2,; s,^,$package ," <<<"$list"
    done | sort -u >"$DIR/contents"
    diff -u -- "$ROOT/scripts/test.d/packages" "$DIR/contents" || fail 'the packages hold something else than scripts/test.d/packages says'
}
check publish/contents --early package_contents

# The packages are made in the order of their dependencies, each is built from its package alone, and none is large.
publish_dry_run() {
    local file size options count=0
    mapfile -t options < <(published_options)
    rm -rf -- "$TARGET_DIR/publish/package"
    run_cargo publish --dry-run --allow-dirty --target-dir "$TARGET_DIR/publish" "${options[@]}"
    # Where cargo leaves them differs from version to version, and from `package`.
    while read -r size file; do
        say "$file: $size bytes"
        ((size < 1024 * 1024)) || fail "$file is larger than a MiB"
        count=$((count + 1))
    done < <(find "$TARGET_DIR/publish/package" -name '*.crate' -printf '%s %f\n' | sort -u)
    ((count == ${#PUBLISHED[@]})) || fail "$count packages"
}
check publish/dry-run --full --double --limit 1800 publish_dry_run

# The documentation as docs.rs builds it: from the packages, outside of this checkout and so without its .cargo/config.toml, by a nightly
# compiler, with what [package.metadata.docs.rs] says; for each of its targets. Nothing private or of the tests is in it, and what needs a feature says which.
publish_docs_rs() {
    local options package version target features patches=() built core
    mapfile -t options < <(published_options)
    rm -rf -- "$TARGET_DIR/docs-rs/package"
    run_cargo package --no-verify --allow-dirty --target-dir "$TARGET_DIR/docs-rs" "${options[@]}"
    scratch_dir
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1)
    for package in "${PUBLISHED[@]}"; do
        tar -xzf "$TARGET_DIR/docs-rs/package/$package-$version.crate" -C "$SCRATCH"
        patches+=(--config "patch.crates-io.$package.path='$SCRATCH/$package-$version'")
    done
    need_extra nightly
    export CARGO_TARGET_DIR=$TARGET_DIR/docs-rs
    rm -rf -- "$CARGO_TARGET_DIR"/doc "$CARGO_TARGET_DIR"/*/doc
    for package in "${PUBLISHED[@]}"; do
        while read -r target features; do
            core=()
            # Where this nightly has not the targets of images, it makes `core` for them.
            [[ $target != *-none* ]] || has_toolchain nightly || core=(-Z 'build-std=core,alloc')
            say "+ cargo +nightly rustdoc, $package, $target, features '$features'"
            # Only patches of what a package depends on are used; of others cargo warns.
            (cd -- "$SCRATCH/$package-$version" && DOCS_RS=1 cargo +nightly "${patches[@]}" rustdoc --lib "${core[@]}" --target "$target" \
                --features "$features" -- --cfg docsrs -D warnings) || fail "docs.rs would not have built $package for $target"
            built=$CARGO_TARGET_DIR/$target/doc/${package//-/_}
            # Procedural macros are the compiler's, whatever the target.
            [[ -d $built ]] || built=$CARGO_TARGET_DIR/doc/${package//-/_}
            [[ -f $built/index.html ]] || fail "no documentation of $package for $target"
            # Where a public item comes from a private room, a page of that room leads on to it.
            [[ $package != reveille || -z $(find "$built" -path '*/arch/*.html' -exec grep -L 'http-equiv="refresh"' -- {} +) ]] \
                || fail 'it has what is private'
        done < <(run_cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        of = ((package["metadata"] or {}).get("docs") or {}).get("rs") or {}
        for target in of.get("targets", ["x86_64-unknown-linux-gnu"]):
            print(target, ",".join(of.get("features", [])))' "$package")
    done
    grep -q 'Available on <strong>crate feature <code>lock_api</code>' "$CARGO_TARGET_DIR/$DEFAULT_TARGET/doc/reveille/sync/struct.RawSpinLock.html" \
        || fail 'what needs a feature does not say so'
    say "$(find "$CARGO_TARGET_DIR" -name '*.html' -path '*/doc/*' | wc -l) pages"
}
check publish/docs-rs --full --double --limit 1800 publish_docs_rs

# The oldest compiler that Cargo.toml promises builds everything that is published: publish_msrv TARGET, where images run.
publish_msrv() {
    local options
    need_extra msrv
    mapfile -t options < <(published_options)
    export CARGO_TARGET_DIR=$TARGET_DIR/msrv
    run_cargo "+$(msrv_toolchain)" check "${options[@]}" --lib --target "$1"
    run_cargo "+$(msrv_toolchain)" check -p reveille --lib --examples --features el2,heap,critical-section,lock_api,test,trace --target "$1"
    run_cargo "+$(msrv_toolchain)" check -p reveille-run --target "$(host_triple)"
    say "built by $(in_root rustc "+$(msrv_toolchain)" --version)"
}
check publish/msrv --early --limit 900 publish_msrv "$DEFAULT_TARGET"
check publish/msrv/simd --full --limit 1800 publish_msrv aarch64-unknown-none

# Features add to each other: every set of them compiles, with no warning; on the other target each for itself, and all.
publish_features() {
    local target
    need_extra cargo-hack
    export RUSTFLAGS='-D warnings' CARGO_TARGET_DIR=$TARGET_DIR/hack
    # There is nothing in `default`: with it every set would be there twice.
    run_cargo hack check -p reveille --feature-powerset --skip default --lib --target "$DEFAULT_TARGET"
    for target in $(toolchain_key targets); do
        [[ $target == "$DEFAULT_TARGET" ]] || run_cargo hack check -p reveille --each-feature --lib --target "$target"
    done
    # embassy's messages go by one of two crates.
    run_cargo hack check -p reveille-embassy --feature-powerset --mutually-exclusive-features log,defmt --skip default --lib \
        --target "$DEFAULT_TARGET"
}
check publish/features --full --double --limit 3600 publish_features

# Licences, sources and versions of all that an image is made of; and a licence that may not be is found. Advisories, where their database is
# on this machine: nothing but the crates is fetched here.
publish_deny() {
    local rc=0
    need_extra cargo-deny
    # All that the lock file names, also what nothing that was built here so far is made of.
    run_cargo fetch --locked
    run_cargo deny --offline check bans licenses sources
    # What runs on the host.
    run_cargo deny --offline --manifest-path tools/run/Cargo.toml --target "$(host_triple)" --config "$ROOT/deny.toml" check bans licenses sources
    sed '/^exceptions/d' "$ROOT/deny.toml" >"$DIR/deny.toml"
    run_cargo deny --offline --config "$DIR/deny.toml" check licenses >"$DIR/said" 2>&1 || rc=$?
    if ((rc == 0)) || ! grep -q 'MPL-2.0' "$DIR/said"; then
        fail 'the MPL-2.0 of fdt would not be noticed'
    fi
    if compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-db*/*" >/dev/null; then
        run_cargo deny --offline check advisories
    else
        say 'no database of advisories here (cargo deny fetch): not asked'
    fi
}
check publish/deny --full --limit 1800 publish_deny

# public_api TREE PACKAGE NAME: the path of the API of a package in this checkout, as rustdoc's JSON. cargo-semver-checks would make it itself, but asks cargo
# with `--cap-lints`, which then does not learn what kinds of crates a bare target has.
public_api() {
    local features=''
    [[ $2 != reveille ]] || features=heap,critical-section,lock_api,test,trace
    (cd -- "$1" && RUSTC_BOOTSTRAP=1 cargo rustdoc -p "$2" --lib --target "$DEFAULT_TARGET" --features "$features" --target-dir "$TARGET_DIR/semver" \
        -- -Z unstable-options --output-format json --document-private-items --document-hidden-items) >&2
    cp -- "$TARGET_DIR/semver/$DEFAULT_TARGET/doc/${2//-/_}.json" "$DIR/$3-$2.json"
    printf '%s\n' "$DIR/$3-$2.json"
}

# What has been released is compared with what is here. Before the first tag it is HEAD, which finds that the tool works and what is not committed.
publish_semver() {
    local baseline package old new
    need_extra cargo-semver-checks
    baseline=$(git -C "$ROOT" describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || baseline=HEAD
    say "compared with $baseline"
    scratch_dir
    mkdir -- "$SCRATCH/baseline"
    git -C "$ROOT" archive "$baseline" | tar -x -C "$SCRATCH/baseline"
    for package in reveille-machine reveille; do
        old=$(public_api "$SCRATCH/baseline" "$package" old)
        new=$(public_api "$ROOT" "$package" new)
        run_cargo semver-checks check-release --baseline-rustdoc "$old" --current-rustdoc "$new"
    done
}
check publish/semver --full --double --limit 1800 publish_semver
