# shellcheck shell=bash
# Device trees where no boot loader should put them.

# tree_at SKEW FEATURES OPTION..: a complete roll call with the tree so many bytes behind a page, which x0 says. The boot protocol asks for
# 8 bytes' alignment, and not everybody keeps to it.
# shellcheck disable=SC2034 # CODE is for check_expectation
tree_at() {
    local skew=$1 word words=() tree='' code='' changed=()
    image_stage=$(staged example roll_call "$DEFAULT_TARGET" "$2")
    shift 2
    make_tree "$DIR/tree.dtb" as-is "$@"
    eval "words=($("$ROOT/scripts/runner" "$image_stage" "$@" --dtb "$DIR/tree.dtb" --print))"
    for word in "${words[@]}"; do
        case $word in
        loader,file="$DIR/tree.dtb",addr=0x*,*)
            tree=${word#*,addr=} tree=${tree%%,*}
            word=${word/addr=$tree/addr=$(printf '0x%x' $((tree + skew)))}
            ;;
        loader,file=*.enter-*.bin,*)
            # Its last 16 bytes are what x0 is to be, and where to go.
            code=${word#*file=} code=${code%%,*}
            cp -- "$code" "$DIR/enter.bin"
            patch_little "$DIR/enter.bin" $(($(stat -c %s -- "$code") - 16)) $((tree + skew))
            word=${word/"$code"/"$DIR/enter.bin"}
            ;;
        esac
        changed+=("$word")
    done
    [[ -n $tree && -n $code ]] || fail "no tree and no code in: ${words[*]}"
    say "+ $(quoted "${changed[@]}")"
    CODE=0
    timeout -k 5 100 "${changed[@]}" >"$DIR/console.raw" </dev/null || CODE=$?
    take_console "$DIR/console.raw"
    check_expectation 'roll_call 4'
}

# patch_little FILE OFFSET VALUE: a little-endian word of 32 bits.
patch_little() {
    patch_word "$1" "$2" $((($3 & 255) << 24 | ($3 >> 8 & 255) << 16 | ($3 >> 16 & 255) << 8 | ($3 >> 24 & 255)))
}

check tree/at+1 tree_at 1 '' --gic 3
check tree/at+4/el2 tree_at 4 '' --gic 2 --el 2
# The header, and with the second one the word that holds its size, go on in the next page.
check tree/at+4076 --full tree_at 4076 '' --gic 3
check tree/at+4091/el2-kept tree_at 4091 el2 --el 2
check tree/at+4/gic2 --full tree_at 4 '' --gic 2
check tree/at+7 --full tree_at 7 '' --gic 3
check tree/at+1/el2-kept --full tree_at 1 el2 --gic 2 --el 2
