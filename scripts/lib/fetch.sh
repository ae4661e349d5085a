# shellcheck shell=bash
# shellcheck disable=SC2034 # TREES is read by the scripts and boards
# Files out of Debian's arm64 packages that are not kept here: device trees of boards, firmware. Each is fetched once, when it
# is first wanted, and stays under target/. Reads common.sh and apt.sh first.

# The suite they come from, whatever the Debian of this machine: what was tested stays what it was.
readonly FETCH_SUITE=bookworm

# Device trees, as TREES/SUITE/VENDOR/BOARD.dtb.
TREES=$TARGET_DIR/trees
# Packages, unpacked, as FIRMWARE/PACKAGE.
FIRMWARE=$TARGET_DIR/firmware

# Run a command that fetches while no other does.
fetching() {
    mkdir -p "${TREES%/*}"
    (
        flock 8
        "$@" 8>&-
    ) 8>"${TREES%/*}/fetch.lock" >&2
}

# Open an apt in directory $1 that believes to run on a machine of the architecture $4 (default arm64) with nothing installed and
# that knows the suites $2 (words), of which the component $3 (default main): neither the architectures nor the package lists of
# this system change, and no privileges are needed. Its options go to the array `apt_options`.
open_apt() {
    local dir=$1 component=${3:-main} architecture=${4:-arm64} sources tool
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null || die "$tool is missing: these files come out of Debian packages, which takes apt and dpkg"
    done
    sources=$(apt_source "$2")
    [[ -n $sources ]] || die "no Debian mirror among the sources of apt, so nothing can be fetched from $2"
    mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial
    : >"$dir/state/status"
    printf '%s\n' "${sources/Components: main/Components: $component}" >"$dir/debian.sources"
    apt_options=(
        -q -q
        -o "APT::Architecture=$architecture"
        -o "APT::Architectures=$architecture"
        -o "Dir::Etc::SourceList=$dir/debian.sources"
        -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$dir/state"
        -o "Dir::State::status=$dir/state/status"
        -o "Dir::Cache=$dir/cache"
        -o Acquire::Languages=none
        -o Acquire::Retries=3
        -o APT::Sandbox::User=
    )
    timeout -k 5 300 apt-get "${apt_options[@]}" update </dev/null || die "apt-get update failed: $2 cannot be read"
}

# Download a package into directory $1 and print the path of the file: apt_download DIR PACKAGE[=VERSION]
apt_download() {
    local files
    (cd -- "$1" && timeout -k 5 1200 apt-get "${apt_options[@]}" download "$2" </dev/null >&2) || die "cannot download $2"
    files=("$1/${2%%=*}"_*.deb)
    [[ -f ${files[0]} ]] || die "cannot download $2"
    printf '%s\n' "${files[0]}"
}

fetch_trees() {
    [[ -e $TREES/$1/PACKAGE ]] && return
    say "fetching the device trees of Debian's arm64 kernel in $1 (65 to 100 MB are downloaded, once)"
    "$ROOT/tests/trees/fetch-corpus" --into "$TREES" "$1"
}

# The path of a board's device tree, such as broadcom/bcm2711-rpi-4-b.dtb, of the suite above or of another, for boards that its kernel
# does not have: board_tree TREE [SUITE]
board_tree() {
    local suite=${2:-$FETCH_SUITE}
    [[ -e $TREES/$suite/PACKAGE ]] || fetching fetch_trees "$suite"
    [[ -f $TREES/$suite/$1 ]] || die "no $1 among the device trees of $(<"$TREES/$suite/PACKAGE")"
    printf '%s\n' "$TREES/$suite/$1"
}

# The kernel package whose trees were fetched: tree_package [SUITE]
tree_package() {
    local package
    package=$(<"$TREES/${1:-$FETCH_SUITE}/PACKAGE")
    printf '%s\n' "${package%%,*}"
}

# What fetches works in a directory of its own, and keeps what it made there: keep_firmware DIRECTORY NAME. In one step, so that
# who finds it finds all of it.
keep_firmware() {
    mkdir -p "$FIRMWARE"
    rm -rf -- "${FIRMWARE:?}/.$2"
    mv -- "$1" "$FIRMWARE/.$2"
    mv -- "$FIRMWARE/.$2" "$FIRMWARE/$2"
}

fetch_firmware() (
    local package=$1 component=$2 suite=$3 name=$4 apt_options=() file work
    [[ -e $FIRMWARE/$name ]] && return
    say "fetching Debian's $package (once)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/reveille.XXXXXX")
    trap 'rm -rf -- "$work"' EXIT
    open_apt "$work" "$suite" "$component"
    file=$(apt_download "$work" "$package")
    dpkg-deb -x "$file" "$work/files"
    basename -- "$file" .deb >"$work/files/PACKAGE"
    keep_firmware "$work/files" "$name"
)

# The path of a file of a package, which is in the component main or the one that is named, of the usual suite or the one that is named:
# firmware_file PACKAGE usr/lib/.. [COMPONENT [SUITE]]
firmware_file() {
    local suite=${4:-$FETCH_SUITE} name=$1
    [[ $suite == "$FETCH_SUITE" ]] || name+=-$suite
    [[ -e $FIRMWARE/$name ]] || fetching fetch_firmware "$1" "${3:-main}" "$suite" "$name"
    [[ -f $FIRMWARE/$name/$2 ]] || die "no $2 in $(<"$FIRMWARE/$name/PACKAGE")"
    printf '%s\n' "$FIRMWARE/$name/$2"
}

# Name and version of a package that was fetched: raspi-firmware_1.20220830+ds-1_all
firmware_version() {
    printf '%s\n' "$(<"$FIRMWARE/$1/PACKAGE")"
}

# A Linux for arm64 with a program in its first file system: FIRMWARE/NAME/vmlinuz, programs.cpio and PACKAGE. The program comes out of the
# package, and is packed as archive.py is told: fetch_linux_with NAME MEGABYTES PACKAGE [PROGRAM]
fetch_linux_with() (
    local name=$1 size=$2 with=$3 apt_options=() package file version work
    shift 3
    [[ -e $FIRMWARE/$name ]] && return
    command -v python3 >/dev/null || die 'python3 is missing, which packs the first file system of Linux (scripts/setup --test installs it)'
    say "fetching Debian's arm64 kernel and $with ($size MB are downloaded, once)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/reveille.XXXXXX")
    trap 'rm -rf -- "$work"' EXIT
    open_apt "$work" "$FETCH_SUITE"
    mkdir -- "$work/root" "$work/linux" "$work/kernel"
    timeout -k 5 1200 apt-get "${apt_options[@]}" -o Debug::NoLocking=1 -y --no-install-recommends --download-only install \
        "$with" busybox-static </dev/null >&2 || die "cannot download $with and what it depends on"
    for file in "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$file" "$work/root"
    done
    package=$(apt-cache "${apt_options[@]}" show linux-image-arm64 | awk '$1 == "Depends:" { print $2; exit }')
    file=$(apt_download "$work" "$package")
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work/kernel" --wildcards './boot/vmlinuz-*'
    mv -- "$work"/kernel/boot/vmlinuz-* "$work/linux/vmlinuz"
    python3 "$ROOT/platform/kvm/archive.py" programs "$(llvm_tools_dir)/llvm-objdump" "$work/root" "$work/linux/programs.cpio" "$@" \
        || die 'the first file system of Linux could not be packed'
    version=$(apt-cache "${apt_options[@]}" show "$with" | awk '$1 == "Version:" { print $2; exit }')
    printf '%s, %s %s\n' "$(basename -- "$file" .deb)" "$with" "$version" >"$work/linux/PACKAGE"
    keep_firmware "$work/linux" "$name"
)

# The one with QEMU, for guests of KVM.
fetch_linux() { fetch_linux_with linux 110 qemu-system-arm; }

# The one with kexec.
fetch_kexec() { fetch_linux_with kexec 80 kexec-tools sbin/kexec; }
