# shellcheck shell=bash
# Programs that scripts/new makes of template/: built, run, tested, linted and put on a card, away from this clone.

# new_program DIR OPTION..: makes one there, as a user would, with the versions that everything else here is tested with, and goes there. What it
# builds lies in a place that programs of one kind share.
new_program() {
    local dir=$1 kind=program word
    user_tools
    "$ROOT/scripts/new" "$@"
    for word in "${@:2}"; do
        [[ ! $word =~ ^--(kernel|hypervisor|async)$ ]] || kind=${word#--}
    done
    cd -- "$dir" || exit
    cp -- "$ROOT/Cargo.lock" .
    export CARGO_TARGET_DIR=$STATE/new-target/$kind
}

# An empty folder with a blank in its name, outside of this workspace: sets NEW.
new_folder() {
    NEW=$(mktemp -d)
    # shellcheck disable=SC2064 # this folder
    trap "rm -rf -- '$NEW'" EXIT
    NEW="$NEW/my projects"
    mkdir -- "$NEW"
}

# prints LINE COMMAND..: it succeeds, and this is among the lines that it prints.
prints() {
    local line=$1 rc=0
    shift
    say "+ $(quoted "$@")"
    "$@" >"$DIR/console" <&- || rc=$?
    cat -- "$DIR/console"
    ((rc == 0)) || fail "exit code $rc"
    tr -d '\r' <"$DIR/console" | grep -qxFe "$line" || fail "it does not print: $line"
}

# new_runs KIND LINE PASSED [OPTION..]: it boots and prints this, its tests boot and as many of them pass.
new_runs() {
    local kind=$1 line=$2 passed=$3
    shift 3
    new_folder
    new_program "$NEW/hello-there" "--$kind"
    prints "$line" cargo run "$@"
    prints "test result: ok. $passed passed; 0 failed; 0 ignored; 0 measured; 0 filtered out" cargo_test_result "$@"
}

# The result of `cargo test` without its time.
cargo_test_result() {
    cargo test "$@" | sed 's/; finished in .*//'
}

# The same with flags from outside, and each step that a program may lack in turn, in the place of one that has just been built.
# shellcheck disable=SC2016 # backticks of what is said
new_forgotten() {
    export RUSTFLAGS=-Cdebuginfo=1
    new_runs program 'the ids of the CPUs online add up to 6' 1
    local step
    step='error: entry!: the build script of this package has to call `reveille_build::image()`: have `reveille-build` in the .build-dependencies.'
    lacks "$step" 'rm build.rs'
    lacks "$step" 'echo "fn main() {}" >build.rs'
    lacks 'unlinked crate `reveille_build`' 'sed -i "/^.build-dependencies/,\$d" Cargo.toml'
    lacks 'rust-lld: error: this program has no `reveille::entry!(main);`, which says where it begins' 'sed -i "/entry!/d" src/main.rs'
    lacks 'reveille_build: there is no linker script .*/own.ld' 'echo "fn main() { reveille_build::Image::new().linker_script(\"own.ld\").build() }" >build.rs'
    lacks 'reveille_build::image() is told by `reveille` how to link, which is not among the \[dependencies\] of this package' \
        'sed -i "/^reveille = /d" Cargo.toml'
}

# lacks PATTERN COMMAND: after the command in the folder of a program, which is this one, it is not built, and this is said, in one line.
lacks() {
    local here=$PWD rc=0
    rm -rf -- "$here.kept"
    cp -r -- "$here" "$here.kept"
    (eval "$2" && cargo build) >"$DIR/said" 2>&1 <&- || rc=$?
    say "after $2:"
    cat -- "$DIR/said"
    cd .. || exit
    rm -rf -- "$here"
    mv -- "$here.kept" "$here"
    cd -- "$here" || exit
    ((rc != 0)) || fail "after $2: it is built"
    grep -q -- "$1" "$DIR/said" || fail "after $2: not a word of: $1"
}

# What a user's editor and CI ask for.
new_lints() {
    new_folder
    new_program "$NEW/hello" "--$1"
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings
}

# A member of somebody's workspace: there the target and the runner are the workspace's.
new_member() {
    new_folder
    mkdir -- "$NEW/all"
    new_program "$NEW/all/hello"
    mv -- .cargo rust-toolchain.toml Cargo.lock ..
    sed -i '/^# Images are loaded whole/,$d' Cargo.toml
    cd ..
    printf '[workspace]\nmembers = ["hello"]\nresolver = "3"\n\n[profile.dev]\npanic = "abort"\n' >Cargo.toml
    prints 'the ids of the CPUs online add up to 6' cargo run
    prints 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' cargo_test_result
}

# From a git repository: what has been committed here.
new_git() {
    new_folder
    new_program "$NEW/hello" --git "file://$ROOT"
    prints 'the ids of the CPUs online add up to 6' cargo run
}

# Everything in the folder of the project, Reveille as well, and no network.
new_vendored() {
    new_folder
    # Cargo takes no blank in an address.
    git clone -q -- "$ROOT" "${NEW%/*}/clone"
    new_program "$NEW/hello" --git "file://${NEW%/*}/clone"
    cargo vendor >>.cargo/config.toml
    rm -rf -- "${NEW%/*}/clone"
    prints 'the ids of the CPUs online add up to 6' cargo run --offline --locked
}

# The same as cargo-generate makes of the template.
new_generated() {
    local kind
    new_folder
    mkdir -- "$NEW/other"
    need_extra cargo-generate
    for kind in program kernel hypervisor async; do
        "$ROOT/scripts/new" "$NEW/hello-$kind" "--$kind"
        cargo generate --path "$ROOT" template --name "hello-$kind" --define "kind=$kind" --define "source=$ROOT" --silent --vcs none \
            --destination "$NEW/other"
        diff -r -- "$NEW/hello-$kind" "$NEW/other/hello-$kind"
    done
}

# A card with it, by the tool alone, and what the board then boots.
new_card() {
    local elf=$STATE/new-target/program/$DEFAULT_TARGET/release/hello
    new_folder
    new_program "$NEW/hello"
    cargo build --release
    reveille-run image raspi4 "$NEW/card" --elf "$elf"
    (cd -- "$NEW/card" && sha256sum --check --strict --quiet manifest.txt)
    [[ -s $NEW/card/kernel8.img && -s $NEW/card/bcm2711-rpi-4-b.dtb ]] || fail "what is on it: $(ls -- "$NEW/card")"
    prints 'the ids of the CPUs online add up to 6' reveille-run --board raspi4 --dtb "$NEW/card/bcm2711-rpi-4-b.dtb" "$elf"
}

# What is no name, or is there already, or makes no sense: nothing is made.
new_refusals() {
    local new=$ROOT/scripts/new word
    new_folder
    cd -- "$NEW" || exit
    refused 'name the directory' "$new"
    refused "one directory: 'a' and 'b'" "$new" a b
    refused 'one kind: --kernel and --async' "$new" --kernel --async a
    refused "unknown option '--rtos'" "$new" --rtos a
    refused '--git, --registry: one of them' "$new" --registry --git https://example.org/x a
    refused "--git: 'x' is not an address" "$new" --git x a
    for word in Hello 1st 'a b' -- a.b é; do
        refused "is no name for a package|name the directory|unknown option" "$new" "$word"
    done
    for word in test match core reveille proc-macro embassy_time; do
        refused "'$word' is taken" "$new" "$word"
    done
    refused 'is too long' "$new" "$(printf 'a%.0s' {1..65})"
    failed 'nowhere is no directory' "$new" nowhere/a
    mkdir there
    : >file
    failed 'there is there already' "$new" there
    failed 'would lie in this clone' "$new" "$ROOT/scripts/hello"
    failed 'file is there already' "$new" file
    [[ $(find . -mindepth 1 | sort | paste -sd ' ') == './file ./there' ]] || fail "left behind: $(find .)"
    # The toolchain is this repository's.
    grep -qxF "$(grep '^channel' "$ROOT/rust-toolchain.toml")" "$ROOT/template/rust-toolchain.toml" || fail 'another toolchain than here'
}

# From nothing: a Debian with no more than a compiler in it, and rustup without a toolchain. Everything that the README says from there on, timed.
new_from_nothing() {
    local jail rustup
    ((EUID == 0)) || fail 'only root can do that'
    need_extra mmdebstrap
    jail=$(mktemp -d)
    # shellcheck disable=SC2064 # this folder
    trap "rm -rf --one-file-system -- '$jail'" EXIT
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm "$jail"
    git clone -q -- "$ROOT" "$jail/reveille"
    cp -- /etc/resolv.conf "$jail/etc/"
    cp -- /etc/ssl/certs/ca-certificates.crt "$jail/etc/ssl/certs/"
    rustup=$(command -v rustup)
    mkdir -p -- "$jail/root/.cargo/bin"
    cp -L -- "$rustup" "$jail/root/.cargo/bin/rustup"
    for tool in cargo rustc rustfmt cargo-fmt cargo-clippy clippy-driver rustdoc; do
        ln -s rustup "$jail/root/.cargo/bin/$tool"
    done
    cat >"$jail/root/all" <<'TEXT'
set -e
timed() {
    begun=$SECONDS
    "$@"
    echo "took $((SECONDS - begun)) s: $*"
}
cd /reveille
timed scripts/setup
timed cargo install --quiet --locked --path tools/run
timed scripts/new /root/hello
cd /root/hello
timed cargo run
timed cargo test
timed cargo build --release
timed reveille-run image raspi4 card --no-firmware --elf target/aarch64-unknown-none-softfloat/release/hello
TEXT
    # Whatever is mounted there goes with the namespace.
    # shellcheck disable=SC2016 # for the shell there
    prints 'the ids of the CPUs online add up to 6' unshare --mount --propagation private sh -c '
        mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" || exit
        exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin bash /root/all' sh "$jail"
    grep -q 'test result: ok. 1 passed' "$DIR/console" || fail 'its test has not passed'
    grep '^took' "$DIR/console"
}

check new/refusals --early new_refusals
check new/program --cargo --limit 900 new_forgotten
check new/kernel --full --cargo --limit 900 new_runs kernel 'roll call: 4 possible, 4 online, 0 revoked, 0 refused, 0 failed, 0 wedged, 0 other' 2
check new/hypervisor --full --cargo --limit 900 new_runs hypervisor '4 of 4 vCPUs have done what they were to do' 4
check new/async --full --cargo --limit 900 new_runs async 'hello from cpu 3' 1
new_cases() {
    local kind
    for kind in program kernel hypervisor async; do
        check "new/$kind/release" --full --cargo --limit 900 new_runs "$kind" \
            'roll call: 4 possible, 4 online, 0 revoked, 0 refused, 0 failed, 0 wedged, 0 other' \
            "$(case $kind in kernel) echo 2 ;; hypervisor) echo 4 ;; *) echo 1 ;; esac)" --release
        check "new/$kind/lints" --full --cargo --limit 900 new_lints "$kind"
    done
}
new_cases
check new/workspace-member --full --cargo --limit 900 new_member
check new/git --full --cargo --limit 900 new_git
check new/vendored --full --cargo --limit 900 new_vendored
check new/cargo-generate --full --cargo --limit 900 new_generated
check new/card --full --cargo --limit 900 new_card
check new/from-nothing --full --limit 3000 new_from_nothing
