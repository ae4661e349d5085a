# shellcheck shell=bash
# May this disk be written over? Reads common.sh first.

# Why the disk NAME (such as sdb) must not be written over, a line; nothing if it may. SYS and PROC are where sysfs and proc are
# mounted: disk_fault SYS PROC NAME
disk_fault() {
    local dir=$1/class/block/$3 proc=$2 part number mounted
    if [[ ! -d $dir ]]; then
        say_fault "the kernel knows no disk of that name"
    elif [[ -e $dir/partition ]]; then
        say_fault "it is a partition: name the whole disk"
    elif [[ $(first_word "$dir/removable") != 1 && $(first_word "$dir/device/type") != SD ]]; then
        # A card in a reader of its own, not behind USB, does not count as removable, but says that it is one.
        say_fault "it is not removable: neither a card nor a stick"
    elif [[ $(first_word "$dir/size") == 0 ]]; then
        say_fault "there is no card in it"
    elif [[ $(first_word "$dir/ro") != 0 ]]; then
        say_fault "it is write-protected"
    else
        for part in "$dir" "$dir"/*/; do
            part=${part%/}
            [[ $part == "$dir" || -e $part/partition ]] || continue
            number=$(first_word "$part/dev")
            # Field 3 is the number of the device, 5 the mount point; after a dash come type and source, which is what names
            # the device where one file system has several.
            mounted=$(awk -v number="$number" -v source="/dev/${part##*/}" '
                { for (i = 6; i < NF && $i != "-"; i++); if ($3 == number || $(i + 2) == source) { print $5; exit } }' \
                "$proc/self/mountinfo")
            if [[ -n $mounted ]]; then
                say_fault "${part##*/} is mounted at $mounted"
                return
            fi
            if grep -q "^/dev/${part##*/}[[:space:]]" -- "$proc/swaps" 2>/dev/null; then
                say_fault "${part##*/} is in use as swap space"
                return
            fi
            if compgen -G "$part/holders/*" >/dev/null; then
                say_fault "${part##*/} is part of $(basename -- "$(compgen -G "$part/holders/*" | head -n 1)")"
                return
            fi
        done
    fi
}

# Why the image file FILE must not be written over; nothing if it may: file_fault SYS FILE
file_fault() {
    local loop
    for loop in "$1"/class/block/*/loop/backing_file; do
        if [[ -r $loop && $(<"$loop") == "$2" ]]; then
            loop=${loop%/loop/backing_file}
            say_fault "it is in use as ${loop##*/}"
            return
        fi
    done
}

# What a person knows the disk by: disk_description SYS NAME
disk_description() {
    local dir=$1/class/block/$2 text='' file
    for file in device/vendor device/model device/name; do
        [[ ! -r $dir/$file ]] || text+="$(xargs <"$dir/$file") "
    done
    printf '%s%d MiB\n' "$text" $(($(first_word "$dir/size") / 2048))
}

say_fault() { printf '%s\n' "$*"; }

# The first word of a file; nothing where there is no such file.
first_word() {
    local word=''
    [[ ! -r $1 ]] || read -r word _ <"$1" || true
    printf '%s\n' "$word"
}
