# shellcheck shell=bash
# Which disks must not be written over.

# Disks of made-up machines: sysfs and proc are directories.
card_disks() {
    # shellcheck source=../lib/disk.sh
    source "$ROOT/scripts/lib/disk.sh"
    local sys=sys proc=proc fault
    card_room
    mkdir -p proc/self
    printf 'Filename\tType\tSize\tUsed\tPriority\n/dev/sdd1 partition 1000 0 -2\n' >proc/swaps
    {
        printf '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n'
        printf '40 22 8:17 / /media/my\\040card rw shared:2 - vfat /dev/sdb1 rw\n'
        printf '41 22 0:33 /@ /mnt/pool rw - btrfs /dev/sdc2 rw\n'
    } >proc/self/mountinfo

    # fake NAME DEV REMOVABLE SIZE RO [PARTITION DEV]..
    fake() {
        local dir=sys/class/block/$1 name=$1
        mkdir -p "$dir/holders" "$dir/device"
        printf '%s\n' "$2" >"$dir/dev"
        printf '%s\n' "$3" >"$dir/removable"
        printf '%s\n' "$4" >"$dir/size"
        printf '%s\n' "$5" >"$dir/ro"
        shift 5
        while (($#)); do
            mkdir -p "$dir/$1/holders"
            printf '%s\n' "$2" >"$dir/$1/dev"
            printf '1\n' >"$dir/$1/partition"
            # Partitions stand beside the disks too.
            ln -s "$name/$1" "sys/class/block/$1"
            shift 2
        done
    }
    # fault NAME PATTERN
    fault() {
        fault=$(disk_fault "$sys" "$proc" "$1")
        say "$1: ${fault:-may be written}"
        if [[ -z $2 ]]; then
            [[ -z $fault ]] || fail "$1 is refused"
        else
            grep -Eqx "$2" <<<"$fault" || fail "not refused as /$2/"
        fi
    }
    fake sda 8:0 1 60000000 0 sda1 8:1 sda2 8:2
    fault sda ''
    fault sda1 'it is a partition: name the whole disk'
    fault sdz 'the kernel knows no disk of that name'
    fake sdb 8:16 1 60000000 0 sdb1 8:17
    fault sdb 'sdb1 is mounted at /media/my\\040card'
    fake sdc 8:32 1 60000000 0 sdc1 8:33 sdc2 8:34
    fault sdc 'sdc2 is mounted at /mnt/pool'
    fake sdd 8:48 1 60000000 0 sdd1 8:49
    fault sdd 'sdd1 is in use as swap space'
    fake sde 8:64 1 60000000 0 sde1 8:65
    : >sys/class/block/sde/sde1/holders/dm-0
    fault sde 'sde1 is part of dm-0'
    fake sdf 8:80 1 60000000 1
    fault sdf 'it is write-protected'
    fake sdg 8:96 1 0 0
    fault sdg 'there is no card in it'
    fake sdh 8:112 0 60000000 0
    fault sdh 'it is not removable: neither a card nor a stick'
    fake vda 254:0 1 60000000 0
    fault vda 'vda is mounted at /'
    # A reader without USB: the card says what it is, and so does soldered memory.
    fake mmcblk0 179:0 0 60000000 0 mmcblk0p1 179:1
    printf 'SD\n' >sys/class/block/mmcblk0/device/type
    printf 'SC32G\n' >sys/class/block/mmcblk0/device/name
    fault mmcblk0 ''
    [[ $(disk_description sys mmcblk0) == 'SC32G 29296 MiB' ]] || fail "not its name: $(disk_description sys mmcblk0)"
    fake mmcblk1 179:8 0 60000000 0
    printf 'MMC\n' >sys/class/block/mmcblk1/device/type
    fault mmcblk1 'it is not removable: neither a card nor a stick'

    fake loop3 7:3 0 60000000 0
    mkdir sys/class/block/loop3/loop
    printf '/srv/card.img\n' >sys/class/block/loop3/loop/backing_file
    [[ $(file_fault sys /srv/card.img) == 'it is in use as loop3' ]] || fail 'a file that is a loop device is not refused'
    [[ -z $(file_fault sys /srv/other.img) ]] || fail 'a file is refused'
}
check card/disks card_disks
