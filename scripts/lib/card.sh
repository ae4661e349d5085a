# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # part of this is read by the scripts and by the files of boards; options are those of build.sh
# What the boot partition of a card for a board holds. scripts/image makes a directory of it, scripts/flash a card. What is
# particular to a board is the function `board_card` in platform/BOARD/board.sh. Reads common.sh, tools.sh, build.sh and
# machine.sh first.

# The options. `card_firmware` is `package`, `none` or a directory.
card_example='' card_elf='' card_psci=no card_firmware=package card_append=''

# The list of what is in the card, which scripts/image writes and scripts/flash believes.
readonly MANIFEST=manifest.txt

card_help() {
    cat <<'TEXT'
  --example NAME    the example that boots (default monitor)
  --elf FILE        instead of an example a program of one's own, as cargo has built it
  --psci            raspi4: with TF-A before it, fetched from Debian's packages, which brings PSCI
  --firmware DIR    the board's own firmware from this directory
  --no-firmware     without it, for a card that has it already. With neither it is fetched from Debian's packages
  --append ARGS     boot arguments
  --target TRIPLE   aarch64-unknown-none-softfloat (default) or aarch64-unknown-none
  --features LIST   cargo features, separated by commas
TEXT
}

# Take the option at the head of the arguments if it is one of these, and set SHIFT; fail if it is not.
card_option() {
    SHIFT=1
    case $1 in
    --example | --example=*) option_value "$@" && card_example=$VALUE ;;
    --elf | --elf=*)
        option_value "$@"
        [[ -f $VALUE && -r $VALUE ]] || usage_error "--elf: cannot read the ELF '$VALUE'"
        check_elf "$VALUE" --elf
        card_elf=$(realpath -- "$VALUE")
        ;;
    --psci) card_psci=yes ;;
    --firmware | --firmware=*)
        option_value "$@"
        [[ $card_firmware == package ]] || usage_error '--firmware: once, and not with --no-firmware'
        [[ -d $VALUE && -r $VALUE ]] || usage_error "--firmware: cannot read the directory '$VALUE'"
        card_firmware=$(realpath -- "$VALUE")
        ;;
    --no-firmware)
        [[ $card_firmware == package || $card_firmware == none ]] || usage_error '--no-firmware: not with --firmware'
        card_firmware=none
        ;;
    --append | --append=*) option_value "$@" && card_append+=${card_append:+ }$VALUE ;;
    --target | --target=* | --features | --features=*) image_option "$@" ;;
    *) return 1 ;;
    esac
}

# Check what was given: card_check BOARD
card_check() {
    opt_board=$1
    board_file "$opt_board" BOARD
    declare -F board_card >/dev/null || usage_error "BOARD: $opt_board boots from no card that this could make"
    if [[ -n $card_elf ]]; then
        [[ -z $card_example$opt_target$opt_features ]] \
            || usage_error '--elf: it is built already, so not with --example, --target or --features'
    else
        card_example=${card_example:-monitor}
        check_image_name example "$card_example"
        opt_name=$card_example
        check_image_options
    fi
    ! declare -F board_card_check >/dev/null || board_card_check
    [[ $card_append != *$'\n'* ]] || usage_error '--append: more than one line'
}

# For board files: a file of the card, and where it came from: card_file NAME SOURCE ORIGIN
card_file() {
    cp -- "$2" "$CARD/$1" || die "cannot write $CARD/$1"
    chmod 644 -- "$CARD/$1"
    card_names+=("$1")
    card_origins+=("$3")
}

# For board files: a file of the board's own firmware, from where the options say: card_firmware_file NAME PACKAGE PATH COMPONENT
card_firmware_file() {
    local name=$1 package=$2 path=$3 component=$4 file
    if [[ $card_firmware == package ]]; then
        file=$(firmware_file "$package" "$path" "$component")
        card_file "$name" "$file" "$(firmware_version "$package")"
    else
        [[ -f $card_firmware/$name ]] || die "no $name in $card_firmware"
        card_file "$name" "$card_firmware/$name" "$card_firmware"
    fi
}

# What this checkout is: its version, and its commit if git knows.
card_version() {
    local version commit
    version=$(sed -n '/^\[workspace.package\]/,/^$/ s/^version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    commit=$(git -C "$ROOT" describe --always --dirty --exclude '*' 2>/dev/null) || commit=''
    printf 'Reveille %s%s\n' "$version" "${commit:+ (commit $commit)}"
}

# Put everything into the directory $1, which is empty.
fill_card() {
    local elf=$card_elf image origin i sum
    CARD=$1 card_names=() card_origins=()
    if [[ -n $elf ]]; then
        origin=$elf
        # Nothing is left beside what is somebody else's.
        image=$SCRATCH/image
        make_flat "$elf" "$image"
    else
        elf=$(build_images example "$opt_target" "$opt_features" release "$card_example")
        origin="$(card_version), example $card_example for $opt_target${opt_features:+ with $opt_features}"
        image=$(flat_image "$elf")
    fi
    check_image_header "$image"
    board_card "$image" "$origin"
    {
        printf '# The boot partition of a card for %s.\n' "$opt_board"
        printf '# Check it with: sha256sum --check %s\n' "$MANIFEST"
        for ((i = 0; i < ${#card_names[@]}; i++)); do
            sum=$(sha256sum <"$CARD/${card_names[i]}")
            printf '#\n# %s: %d bytes, from %s\n' "${card_names[i]}" "$(stat -c %s -- "$CARD/${card_names[i]}")" "${card_origins[i]}"
            printf '%s  %s\n' "${sum%% *}" "${card_names[i]}"
        done
    } >"$CARD/$MANIFEST" || die "cannot write $CARD/$MANIFEST"
    chmod 644 -- "$CARD/$MANIFEST"
}

# The names in the manifest of directory $1, which is checked against what is there, a line each.
card_contents() {
    local dir=$1 names listed
    [[ -f $dir/$MANIFEST ]] || die "$dir has no $MANIFEST: scripts/image makes one"
    names=$(sed -n 's/^[0-9a-f]\{64\}  //p' -- "$dir/$MANIFEST")
    [[ -n $names ]] || die "$dir/$MANIFEST lists nothing"
    (cd -- "$dir" && sha256sum --check --strict --quiet -- "$MANIFEST") >&2 || die "$dir is not what its $MANIFEST says"
    listed=$(printf '%s\n' "$names" "$MANIFEST" | sort)
    [[ $(find "$dir" -mindepth 1 -printf '%P\n' | sort) == "$listed" ]] || die "$dir has other files than those in its $MANIFEST"
    printf '%s\n' "$listed"
}
