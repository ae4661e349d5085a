# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what a case is stands in cases.sh; part of this is read by who runs one
# What a case boots: its image, built and staged, and its device tree. Reads common.sh, tools.sh, build.sh and cases.sh first.

# The image of case number $1: sets image_kind, image_name, image_target, image_features, image_stage (its staged ELF),
# image_tree and image_words (the options that the runner gets).
read_image() {
    local word modifiers
    read -r image_name modifiers <<<"${case_images[$1]}"
    image_kind=example image_tree='' image_words=() image_target='' image_features=''
    if [[ $image_name == test:* ]]; then
        image_kind='test' image_name=${image_name#test:}
    fi
    for word in $modifiers; do
        [[ $word == tree:?* ]] || die "case ${case_names[$1]}: what is '$word' after the image?"
        image_tree=${word#tree:}
    done
    local words=() i options=${case_options[$1]}
    if [[ $options == *[\'\"]* ]]; then
        mapfile -d '' -t words < <(xargs printf '%s\0' <<<"$options")
    else
        read -ra words <<<"$options"
    fi
    for ((i = 0; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        --target) image_target=${words[++i]} ;;
        --features) image_features=${words[++i]} ;;
        --)
            image_words+=("${words[@]:i}")
            break
            ;;
        *) image_words+=("${words[i]}") ;;
        esac
    done
    image_target=${image_target:-$DEFAULT_TARGET}
    image_stage=$STATE/images/$image_target/${image_features:-default}/$image_kind/$image_name
}

# The profile of such images: image_profile KIND [TARGET]. On-target tests are many, and are optimised as what is shipped is only where that is asked
# for: by --full, or by the kind `shipped`. So is the little that is built for another target than the first.
image_profile() {
    if [[ $1 == test || ${2:-$DEFAULT_TARGET} != "$DEFAULT_TARGET" ]]; then printf '%s\n' "${REVEILLE_TEST_PROFILE:-tested}"; else printf 'release\n'; fi
}

# Build images of one kind, target and feature list, and copy them to where no later build replaces them.
stage_images() {
    alone_with_cargo build_and_stage "$@"
}

build_and_stage() {
    local kind=$1 target=$2 features=$3 stage=$STATE/images/$2/${3:-default}/$1 elf elves
    shift 3
    mkdir -p "$stage"
    elves=$(build_images "${kind/shipped/test}" "$target" "$features" "$(image_profile "$kind" "$target")" "$@") || exit "$EXIT_BUILD"
    while read -r elf; do
        keep_image "$elf" "$stage/${elf##*/}"
        flat_image "$stage/${elf##*/}" >/dev/null || exit 1
        [[ -z ${REVEILLE_STAGED:-} ]] || printf '%s\n' "$stage/${elf##*/}" >>"$REVEILLE_STAGED"
    done <<<"$elves"
}

# The path of a staged ELF, for checks: staged KIND NAME [TARGET [FEATURES]]. Built if need be: in a run of scripts/test once, which notes it
# in the file $REVEILLE_STAGED.
staged() {
    local target=${3:-$DEFAULT_TARGET} features=${4:-}
    local elf=$STATE/images/$target/${features:-default}/$1/$2
    if [[ -z ${REVEILLE_STAGED:-} ]] || ! grep -qxF -- "$elf" "$REVEILLE_STAGED"; then
        stage_images "$1" "$target" "$features" "$2" >&2
    fi
    printf '%s\n' "$elf"
}

# A device tree for the image $image_stage, made from QEMU's own for these options: scripts/test.d/trees/EDIT.dtsi is appended to it,
# or the function tree_EDIT changes the file: make_tree FILE EDIT OPTION..
make_tree() {
    local file=$1 edit=$2
    shift 2
    among -- "$@" || set -- "$@" --
    "$ROOT/scripts/runner" "$image_stage" "$@" -machine "dumpdtb=$file.0" >/dev/null
    dtc -q -I dtb -O dts -o "$file.dts" "$file.0"
    if [[ -f $ROOT/scripts/test.d/trees/$edit.dtsi ]]; then
        cat -- "$ROOT/scripts/test.d/trees/$edit.dtsi" >>"$file.dts"
    fi
    dtc -q -I dts -O dtb -o "$file" "$file.dts"
    if declare -F "tree_$edit" >/dev/null; then
        "tree_$edit" "$file"
    elif [[ ! -f $ROOT/scripts/test.d/trees/$edit.dtsi ]]; then
        fail "no tree edit '$edit': neither scripts/test.d/trees/$edit.dtsi nor a function tree_$edit"
    fi
}
