# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # part of this is read by the scripts; options are those of build.sh
# What the boot partition of a card for a board holds: the tool reveille-run makes a directory of it, for scripts/image and scripts/flash. Here are
# their options, an example in the place of a program of one's own, and the list that is in such a directory. Reads common.sh, tools.sh,
# build.sh and runner.sh first.

# The options. `card_words` are those that are the tool's.
card_example='' card_elf='' card_words=()

# The list of what is in the card, which the tool writes and scripts/flash believes.
readonly MANIFEST=manifest.txt

card_help() {
    cat <<'TEXT'
  --example NAME    the example that boots (default monitor)
TEXT
    sed 's/the program that boots, as cargo has built it/instead of an example a program of one'"'"'s own, as cargo has built it/' \
        -- "$ROOT/tools/run/src/card/options.txt"
    cat <<'TEXT'
  --target TRIPLE   aarch64-unknown-none-softfloat (default) or aarch64-unknown-none
  --features LIST   cargo features, separated by commas
TEXT
}

# Take the option at the head of the arguments if it is one of these, and set SHIFT; fail if it is not.
card_option() {
    SHIFT=1
    case $1 in
    --example | --example=*) option_value "$@" && card_example=$VALUE ;;
    --elf | --elf=* | --firmware | --firmware=* | --append | --append=*)
        option_value "$@"
        card_words+=("${1%%=*}=$VALUE")
        [[ $1 != --elf* ]] || card_elf=$VALUE
        ;;
    --psci | --no-firmware) card_words+=("$1") ;;
    --target | --target=* | --features | --features=*) image_option "$@" ;;
    *) return 1 ;;
    esac
}

# Check what was given, before anything is built: card_check [BOARD [DIR..]]
card_check() {
    have_runner
    runner image "$@" "${card_words[@]}" --check || exit
    if [[ -n $card_elf ]]; then
        [[ -z $card_example$opt_target$opt_features ]] \
            || usage_error '--elf: it is built already, so not with --example, --target or --features'
    else
        card_example=${card_example:-monitor}
        check_image_name example "$card_example"
        opt_name=$card_example
        check_image_options
    fi
}

# What this checkout is: its version, and its commit if git knows.
card_version() {
    local version commit
    version=$(sed -n '/^\[workspace.package\]/,/^$/ s/^version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    commit=$(git -C "$ROOT" describe --always --dirty --exclude '*' 2>/dev/null) || commit=''
    printf 'Reveille %s%s\n' "$version" "${commit:+ (commit $commit)}"
}

# Have the program: builds the example, if it is one, and adds to `card_words` where it is and what it is.
card_program() {
    local elf
    [[ -z $card_elf ]] || return 0
    elf=$(build_images example "$opt_target" "$opt_features" release "$card_example")
    card_words+=("--elf=$elf"
        "--origin=$(card_version), example $card_example for $opt_target${opt_features:+ with $opt_features}")
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
