# shellcheck shell=bash
# From a name to an ELF and a flat image. Reads common.sh and tools.sh first, and runner.sh for flat images.

# What is to be built, as the options of a script say; empty means: not given.
opt_kind=example opt_name='' opt_target='' opt_features=''

# Take the option at the head of the arguments, which is one of these, and set SHIFT.
image_option() {
    option_value "$@"
    case $1 in
    --target*) opt_target=$VALUE ;;
    --features*) opt_features=$VALUE ;;
    --test*) choose_image 'test' "$VALUE" ;;
    esac
}

choose_image() {
    [[ -z $opt_name ]] || usage_error "one image at a time: '$opt_name' and '$2'"
    opt_kind=$1 opt_name=$2
}

# Fill in what was not given, check what was.
check_image_options() {
    opt_target=${opt_target:-$(default_target)}
    check_target "$opt_target"
    opt_features=$(normal_features "$opt_kind" "$opt_features" "$opt_name")
}

# The folders of the packages that have images of a kind: examples, on-target tests, or one of the kinds that `build_images` knows besides.
image_folders() {
    case $1 in
    example) printf '%s\n' . embassy ;;
    test) printf '%s\n' tests/target ;;
    shim) printf '%s\n' tests/shim ;;
    bench) printf '%s\n' benches ;;
    esac
}

# The folder of the package that has this image: image_folder KIND [NAME]. Without a name, or where none has it, the first.
image_folder() {
    local folder folders names
    mapfile -t folders < <(image_folders "$1")
    for folder in "${folders[@]:1}"; do
        mapfile -t names < <(folder_images "$1" "$folder")
        if among "${2:-}" "${names[@]}"; then
            printf '%s\n' "$folder"
            return
        fi
    done
    printf '%s\n' "${folders[0]}"
}

# The images of a kind in such a folder.
folder_images() {
    local kind=$1 folder=$ROOT/$2 section=example file
    local dir=$folder/examples manifest=$folder/Cargo.toml
    if [[ $kind == test ]]; then
        dir=$folder/src/bin section=bin
    fi
    for file in "$dir"/*.rs "$dir"/*/main.rs; do
        [[ -f $file ]] || continue
        file=${file%/main.rs}
        file=${file##*/}
        printf '%s\n' "${file%.rs}"
    done
    # Those that the manifest names because they lie elsewhere.
    [[ ! -f $manifest ]] || awk -v section="[[$section]]" '
        /^\[/ { inside = ($0 == section) }
        inside && /^name *=/ { gsub(/.*= *"|".*/, ""); print }' "$manifest"
}

# The names of examples, or of on-target tests, in order.
image_names() {
    local folder
    while read -r folder; do
        folder_images "$1" "$folder"
    done < <(image_folders "$1") | sort -u
}

check_image_name() {
    local kind=$1 name=$2 names
    mapfile -t names < <(image_names "$kind")
    among "$name" "${names[@]}" && return
    if ((${#names[@]})); then
        usage_error "no $kind '$name'; there are: $(join ', ' "${names[@]}")"
    fi
    usage_error "no $kind '$name': this checkout has none"
}

default_target() {
    local targets
    read -ra targets <<<"$(toolchain_key targets)"
    printf '%s\n' "${targets[0]}"
}

# What the compiler makes programs for that run here.
host_triple() {
    rustc_says -vV | sed -n 's/^host: //p'
}

check_target() {
    local targets
    read -ra targets <<<"$(toolchain_key targets)"
    among "$1" "${targets[@]}" || usage_error "--target: unknown '$1'; there are: $(join ', ' "${targets[@]}")"
}

check_profile() {
    among "$1" dev release || usage_error "--profile: unknown '$1'; there are: dev, release"
}

# The feature names of a manifest.
manifest_features() {
    [[ -f $1 ]] || return 0
    awk '/^\[/ { inside = ($0 == "[features]") } inside && /^[A-Za-z0-9_-]+ *=/ { sub(/ *=.*/, ""); print }' "$1"
}

# The feature names of the package of an image, if that is not the runtime itself: own_features KIND [NAME]
own_features() {
    local folder
    folder=$(image_folder "$@")
    [[ $folder == . ]] || manifest_features "$ROOT/$folder/Cargo.toml"
}

# Sort a list of features (separated by commas or spaces) and refuse one that does not exist: normal_features KIND LIST [NAME]
# An image may be built with a feature of the runtime that its own package does not name.
normal_features() {
    local list=${2//,/ } all feature out=()
    mapfile -t all < <({ manifest_features "$ROOT/Cargo.toml" && own_features "$1" "${3:-}"; } | sort -u)
    for feature in $list; do
        among "$feature" "${all[@]}" || usage_error "--features: unknown '$feature'; there are: $(join ', ' "${all[@]}")"
        out+=("$feature")
    done
    ((${#out[@]} == 0)) || printf '%s\n' "${out[@]}" | sort -u | paste -sd , -
}

# The same list as cargo wants it: cargo_features KIND LIST [NAME]
cargo_features() {
    local list=${2//,/ } own feature out=() folder
    folder=$(image_folder "$1" "${3:-}")
    mapfile -t own < <(own_features "$1" "${3:-}")
    for feature in $list; do
        if [[ $folder != . ]] && ! among "$feature" "${own[@]}"; then
            feature=reveille/$feature
        fi
        out+=("$feature")
    done
    join , "${out[@]}"
}

# In CI the lock file is the law.
cargo_locked() {
    [[ -z ${CI:-} || ! -f $ROOT/Cargo.lock ]] || printf '%s\n' --locked
}

# The path of a tool of the workspace that runs here, built if that was not done before: host_tool NAME
host_tool() {
    local host command options=()
    host=$(host_triple)
    [[ -n $host ]] || die "rustc does not run: run scripts/setup"
    # Most have such a feature, so that a build of the workspace for the bare machine passes them by.
    [[ -z $(manifest_features "$ROOT/tools/$1/Cargo.toml") ]] || options=(--features host)
    # shellcheck disable=SC2207 # one word or none
    command=(cargo build --quiet --profile model --target "$host" --package "reveille-$1" "${options[@]}" $(cargo_locked))
    in_root "${command[@]}" >&2 </dev/null || {
        say "$PROGRAM: the build failed: $(quoted "${command[@]}")"
        exit "$EXIT_BUILD"
    }
    printf '%s\n' "$TARGET_DIR/$host/model/$(tool_program "$1")"
}

# What the program of a tool is called: as [[bin]] of its manifest says, or like the package.
tool_program() {
    local name
    name=$(awk '/^\[/ { inside = ($0 == "[[bin]]") } inside && /^name *=/ { gsub(/.*= *"|".*/, ""); print }' "$ROOT/tools/$1/Cargo.toml")
    printf '%s\n' "${name:-reveille-$1}"
}

# The flat image beside an ELF, made if it is not as old as that; its path is printed.
flat_image() {
    have_runner
    runner flat "$1"
}

# alone_with_cargo COMMAND..: builds images and takes them to where they stay. Cargo puts those of other features in the same place, so
# one at a time does both.
alone_with_cargo() {
    mkdir -p -- "$TARGET_DIR" || exit "$EXIT_BUILD"
    (
        flock 9
        "$@" 9>&-
    ) 9>"$TARGET_DIR/.images.lock"
}

# keep_image ELF DESTINATION: one that has not changed keeps its date, and so its flat form.
keep_image() {
    cmp -s -- "$1" "$2" || cp -- "$1" "$2" || exit 1
}

# copy_image DESTINATION KIND TARGET FEATURES PROFILE NAME: build one, and keep it there. For alone_with_cargo.
copy_image() {
    local to=$1 elf
    shift
    elf=$(build_images "$@") || exit "$EXIT_BUILD"
    keep_image "$elf" "$to"
}

# Build images of one kind, those of one package in one call: build_images KIND TARGET FEATURES PROFILE NAME..
# Beside examples and tests there are the kinds `bench` and `shim`, each a package with programs that are called by their names.
# Prints the absolute path of each ELF, in the order of the names; cargo's own output goes to stderr.
build_images() {
    local kind=$1 target=$2 features=$3 profile=$4 folder name
    local -A names=() elves=()
    shift 4
    for name; do
        names[$(image_folder "$kind" "$name")]+=" $name"
    done
    for folder in "${!names[@]}"; do
        # shellcheck disable=SC2086 # a list
        build_in "$folder" "$kind" "$target" "$features" "$profile" ${names[$folder]}
    done
    for name; do
        printf '%s\n' "${elves[$name]}"
    done
}

# For build_images: puts the paths into its `elves`. build_in FOLDER KIND TARGET FEATURES PROFILE NAME..
build_in() {
    local folder=$1 kind=$2 target=$3 features=$4 profile=$5 sort=--bin messages path name
    shift 5
    local command=(cargo build --profile "$profile" --target "$target" --message-format=json-render-diagnostics)
    [[ $kind != example ]] || sort=--example
    # shellcheck disable=SC2207 # one word or none
    command+=($(cargo_locked))
    command+=(-p "$(package_in "$ROOT/$folder")")
    for name; do command+=("$sort" "$name"); done
    [[ -z $features ]] || command+=(--features "$(cargo_features "$kind" "$features" "$1")")
    messages=$(in_root "${command[@]}" </dev/null) || {
        say "$PROGRAM: the build failed: $(quoted "${command[@]}")"
        exit "$EXIT_BUILD"
    }
    for name; do
        path=$(sed -nE "s/^.*\"reason\":\"compiler-artifact\".*\"name\":\"$name\".*\"executable\":\"([^\"]+)\".*\$/\1/p" <<<"$messages" | tail -n 1)
        [[ -f $path ]] || die "cargo built $name but did not say where"
        elves[$name]=$path
    done
}

# The name of the package in a folder.
package_in() {
    awk '/^\[/ { inside = ($0 == "[package]") } inside && /^name *=/ { gsub(/.*= *"|".*/, ""); print }' "$1/Cargo.toml"
}
