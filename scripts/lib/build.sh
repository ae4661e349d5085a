# shellcheck shell=bash
# From a name to an ELF and a flat image. Reads common.sh and tools.sh first.

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
    opt_features=$(normal_features "$opt_kind" "$opt_features")
}

# The names of examples, or of the on-target tests (the binaries of the package in tests/target), in order.
image_names() {
    local kind=$1 dir=$ROOT/examples manifest=$ROOT/Cargo.toml section=example file
    if [[ $kind == test ]]; then
        dir=$ROOT/tests/target/src/bin manifest=$ROOT/tests/target/Cargo.toml section=bin
    fi
    {
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
    } | sort -u
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

# Sort a list of features (separated by commas or spaces) and refuse one that does not exist.
# A test image may be built with a feature of the runtime that its own package does not name.
normal_features() {
    local kind=$1 list=${2//,/ } known own=() feature out=()
    mapfile -t known < <(manifest_features "$ROOT/Cargo.toml")
    [[ $kind != test ]] || mapfile -t own < <(manifest_features "$ROOT/tests/target/Cargo.toml")
    for feature in $list; do
        among "$feature" "${known[@]}" "${own[@]}" \
            || usage_error "--features: unknown '$feature'; there are: $(join ', ' "${known[@]}" "${own[@]}")"
        out+=("$feature")
    done
    ((${#out[@]} == 0)) || printf '%s\n' "${out[@]}" | sort -u | paste -sd , -
}

# The same list as cargo wants it.
cargo_features() {
    local kind=$1 list=${2//,/ } own=() feature out=()
    [[ $kind != test ]] || mapfile -t own < <(manifest_features "$ROOT/tests/target/Cargo.toml")
    for feature in $list; do
        if [[ $kind == test ]] && ! among "$feature" "${own[@]}"; then
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

# What is made from a file gets the date of that file. Newer is not enough to tell: when features change and change back,
# cargo puts an older ELF in the place of a newer one.
same_date() {
    [[ -f $2 && ! $1 -nt $2 && ! $2 -nt $1 ]]
}

# The flat image beside an ELF; its path is printed.
flat_image() {
    local elf=$1 tools
    local image=$elf.img
    if ! same_date "$elf" "$image"; then
        tools=$(llvm_tools_dir) || die "llvm-objcopy is missing from the Rust toolchain"
        "$tools/llvm-objcopy" -O binary "$elf" "$image.$$" || die "cannot make a flat image of $elf"
        touch -r "$elf" "$image.$$"
        mv -f -- "$image.$$" "$image"
    fi
    printf '%s\n' "$image"
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

# Build images of one kind in one call: build_images KIND TARGET FEATURES PROFILE NAME..
# Beside examples and tests there are the kinds `bench` and `shim`, each a package with a program of the same name.
# Prints the absolute path of each ELF, in the order of the names; cargo's own output goes to stderr.
build_images() {
    local kind=$1 target=$2 features=$3 profile=$4
    shift 4
    local command=(cargo build --profile "$profile" --target "$target" --message-format=json-render-diagnostics) name
    local package=reveille-$kind sort=--bin messages path
    case $kind in
    example) package=reveille sort=--example ;;
    test) package=reveille-tests ;;
    esac
    # shellcheck disable=SC2207 # one word or none
    command+=($(cargo_locked))
    command+=(-p "$package")
    for name; do command+=("$sort" "$name"); done
    [[ -z $features ]] || command+=(--features "$(cargo_features "$kind" "$features")")
    messages=$(in_root "${command[@]}" </dev/null) || {
        say "$PROGRAM: the build failed: $(quoted "${command[@]}")"
        exit "$EXIT_BUILD"
    }
    for name; do
        path=$(sed -nE "s/^.*\"reason\":\"compiler-artifact\".*\"name\":\"$name\".*\"executable\":\"([^\"]+)\".*\$/\1/p" <<<"$messages" | tail -n 1)
        [[ -f $path ]] || die "cargo built $name but did not say where"
        printf '%s\n' "$path"
    done
}
