# shellcheck shell=bash
# Which tools the other scripts need, and whether they are here. `scripts/setup` installs what is missing.

# As reveille-run has it.
readonly QEMU=${QEMU:-qemu-system-aarch64}
readonly QEMU_WANTED=10

# The value of a key of rust-toolchain.toml: `channel`, or the items of `targets`, `components`.
toolchain_key() {
    sed -n "s/^$1 *= *//p" "$ROOT/rust-toolchain.toml" | tr -d '[]",'
}

# The Rust version that Cargo.toml asks for.
rust_wanted() {
    sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml"
}

# Is version $1 at least $2? Numbers and dots only.
version_at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# Cargo and rustc choose their toolchain by directory, so both always run in the checkout.
in_root() (
    cd -- "$ROOT" || exit
    "$@"
)

# A toolchain that is not installed must be an error here, not a silent download; older rustups have only the list for it.
rustc_says() {
    RUSTUP_AUTO_INSTALL=0 in_root rustc "$@" 2>/dev/null
}

toolchain_installed() {
    local channel=${RUSTUP_TOOLCHAIN:-$(toolchain_key channel)}
    ! command -v rustup >/dev/null || [[ $'\n'$(rustup toolchain list 2>/dev/null) == *$'\n'"$channel"* ]]
}

# Such as 10.0.2.
qemu_version() {
    "$QEMU" --version 2>/dev/null | sed -n '1s/^.*version \([0-9.]*\).*/\1/p'
}

# The directory of llvm-objcopy and its kin.
llvm_tools_dir() {
    local dir
    for dir in "$(rustc_says --print sysroot)"/lib/rustlib/*/bin; do
        if [[ -x $dir/llvm-objcopy ]]; then
            printf '%s\n' "$dir"
            return
        fi
    done
    return 1
}

# The commands that making a card takes, each with its Debian package.
CARD_TOOLS=(
    mcopy=mtools
    mkfs.vfat=dosfstools
    sfdisk=fdisk
)

# Those that only the tests need.
TEST_TOOLS=(
    "${CARD_TOOLS[@]}"
    shellcheck=shellcheck
    dtc=device-tree-compiler
    fdtput=device-tree-compiler
    iasl=acpica-tools
    gdb-multiarch=gdb-multiarch
    addr2line=binutils
    python3=python3
)

# What is missing, a word per line: `rust` (no compiler, or too old), `target:T`, `component:C`, `cc`, `qemu`,
# `tool:COMMAND=PACKAGE`. Level `build`, `run` or `test`, of which each includes those before it; or `card`: `build`, and what
# making a card takes.
missing_tools() {
    local level=$1 version sysroot entry extra=()

    if command -v cargo >/dev/null && toolchain_installed && version=$(rustc_says --version) \
        && version=${version#rustc } && version_at_least "${version%%[!0-9.]*}" "$(rust_wanted)"; then
        sysroot=$(rustc_says --print sysroot)
        for entry in $(toolchain_key targets); do
            [[ -d $sysroot/lib/rustlib/$entry ]] || printf 'target:%s\n' "$entry"
        done
        compgen -G "$sysroot/lib/rustlib/*/bin/llvm-objcopy" >/dev/null || printf 'component:llvm-tools\n'
        if [[ $level == test ]]; then
            [[ -x $sysroot/bin/cargo-clippy ]] || printf 'component:clippy\n'
            [[ -x $sysroot/bin/cargo-fmt ]] || printf 'component:rustfmt\n'
        fi
    else
        printf 'rust\n'
    fi
    # Build scripts run on the host, and rustc links them with the C compiler.
    command -v cc >/dev/null || printf 'cc\n'
    case $level in
    build | run) ;;
    card) extra=("${CARD_TOOLS[@]}") ;;
    test) extra=("${TEST_TOOLS[@]}") ;;
    esac
    for entry in "${extra[@]}"; do
        command -v "${entry%%=*}" >/dev/null || printf 'tool:%s\n' "$entry"
    done
    [[ $level == run || $level == test ]] || return 0

    version=$(qemu_version) || version=''
    version=${version%%.*}
    ((${version:-0} >= QEMU_WANTED)) || printf 'qemu\n'
}

# Tools that only scripts/test --full and --coverage want, and only when it comes to them: cargo's own are built from source.
# shellcheck disable=SC2034 # read by scripts/setup
EXTRA_TOOLS=(
    miri
    nightly
    msrv
    cargo-mutants=27.1.0
    cargo-llvm-cov=0.9.1
    mdbook=0.5.4
    perfetto=1.1.1
    cargo-hack=0.6.46
    cargo-deny=0.20.2
    cargo-semver-checks=0.51.0
)

# The version of one of them that is wanted.
extra_tool_version() {
    local item
    for item in "${EXTRA_TOOLS[@]}"; do
        [[ ${item%%=*} != "$1" ]] || printf '%s\n' "${item#*=}"
    done
}

# Where those that cargo builds are put.
extra_tools_dir() {
    printf '%s\n' "$TARGET_DIR/tools"
}

# The directory of Perfetto's UI.
perfetto_ui() {
    printf '%s\n' "$(extra_tools_dir)/perfetto"
}

# The oldest toolchain that Cargo.toml promises, by its whole name.
msrv_toolchain() {
    printf '%s.0\n' "$(rust_wanted)"
}

# Is a toolchain here, with the targets that the images are built for?
has_toolchain() {
    local sysroot target
    sysroot=$(RUSTUP_AUTO_INSTALL=0 rustc "+$1" --print sysroot 2>/dev/null) || return
    for target in $(toolchain_key targets); do
        [[ -d $sysroot/lib/rustlib/$target ]] || return
    done
}

has_extra_tool() {
    local dir
    case $1 in
    miri)
        RUSTUP_AUTO_INSTALL=0 cargo +nightly miri --version >/dev/null 2>&1 || return
        dir=$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library
        [[ -d $dir ]]
        ;;
    perfetto) [[ -f $(perfetto_ui)/index.html ]] && command -v chromium >/dev/null ;;
    nightly) has_toolchain nightly ;;
    msrv) has_toolchain "$(msrv_toolchain)" ;;
    *) [[ -x $(extra_tools_dir)/bin/$1 ]] ;;
    esac
}

# Have one of EXTRA_TOOLS, or install it, or stop. Afterwards cargo finds it as its subcommand.
need_extra() {
    has_extra_tool "$1" || "$ROOT/scripts/setup" --extra "$1" >&2 || die "cannot go on without $1"
    PATH=$(extra_tools_dir)/bin:$PATH
}

# Have everything of this level, or install it, or stop.
need() {
    local level=$1 missing option=()
    # scripts/test has looked already, for all that it calls.
    [[ -z ${REVEILLE_TOOLS_CHECKED:-} ]] || return 0
    missing=$(missing_tools "$level")
    [[ -n $missing ]] || return 0
    case $level in
    test) option=(--test) ;;
    card) option=(--card) ;;
    build) option=(--no-qemu) ;;
    esac
    "$ROOT/scripts/setup" "${option[@]}" >&2 || die "cannot go on without: ${missing//$'\n'/, }"
    hash -r
    find_cargo
}
