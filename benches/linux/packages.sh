# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the script
# Files out of Debian's packages for benches/linux/run: unlike those of boards, which reveille-run fetches, they are of two architectures and go with a
# compiler. Reads common.sh and apt.sh first.

# The suite they come from, whatever the Debian of this machine: what was tested stays what it was.
readonly FETCH_SUITE=bookworm

# Packages, unpacked, as FIRMWARE/NAME.
FIRMWARE=$TARGET_DIR/firmware

# Run a command that fetches while no other does.
fetching() {
    mkdir -p "$TARGET_DIR"
    (
        flock 8
        "$@" 8>&-
    ) 8>"$TARGET_DIR/fetch.lock" >&2
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

# What fetches works in a directory of its own, and keeps what it made there: keep_firmware DIRECTORY NAME. In one step, so that
# who finds it finds all of it.
keep_firmware() {
    mkdir -p "$FIRMWARE"
    rm -rf -- "${FIRMWARE:?}/.$2"
    mv -- "$1" "$FIRMWARE/.$2"
    mv -- "$FIRMWARE/.$2" "$FIRMWARE/$2"
}
