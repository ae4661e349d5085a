# shellcheck shell=bash
# Debian's package sources, for scripts/setup, which runs where there is no Rust yet, and for benches/linux; tools/run/src/fetch/sources.rs is the
# same for boards. Never a mirror by name, always the one in use here.

debian_codename() {
    sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null | tr -d '"'
}

# Whether this is Debian itself: what is made of it has suites of its own, without Debian's packages.
is_debian() {
    grep -Eqx "ID=[\"']?debian[\"']?" /etc/os-release 2>/dev/null
}

# Source stanzas for the suites $2 (words), from the entries by which this machine reads the suite $1.
# Both ways to write sources are understood: one entry per line, and stanzas of fields.
apt_sources_like() {
    local base=$1 suite=$2 file
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -r $file ]] || continue
        awk -v base="$base" -v suite="$suite" '
            BEGIN { RS = ""; FS = "\n" }
            {
                types = ""; uris = ""; suites = ""; components = ""; key = ""; keep = 0; enabled = "yes"
                for (i = 1; i <= NF; i++) {
                    line = $i
                    if (line ~ /^#/) continue
                    # A key written out in the stanza itself goes on over indented lines.
                    if (line ~ /^[ \t]/) { if (keep) key = key "\n" line; continue }
                    name = tolower(substr(line, 1, index(line, ":") - 1))
                    value = substr(line, index(line, ":") + 1)
                    keep = 0
                    if (name == "types") types = value
                    if (name == "uris") uris = value
                    if (name == "suites") suites = value
                    if (name == "components") components = value
                    if (name == "enabled") enabled = value
                    if (name == "signed-by") { key = line; keep = 1 }
                }
                if ((types " ") !~ / deb / || enabled ~ /no/) next
                if (index(suites " ", " " base " ") && index(components " ", " main ")) {
                    printf "Types: deb\nURIs:%s\nSuites: %s\nComponents: main\n", uris, suite
                    if (key != "") print key
                    exit
                }
            }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -r $file ]] || continue
        sed -nE "s/^deb +(\[([^]]*)\] +)?([^ ]+) +$base +(.* )?main( .*)?\$/\2|\3/p" "$file" | while IFS='|' read -r options uri; do
            printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
            options=$(tr ' ' '\n' <<<"$options" | sed -n 's/^signed-by=//p')
            [[ -z $options ]] || printf 'Signed-By: %s\n' "${options//,/ }"
            break
        done
    done
}

# A source stanza for the suites $1 (words), at the mirror of this machine's own Debian; empty if that is unknown.
apt_source() {
    local name stanza
    for name in "$(! is_debian || debian_codename)" stable oldstable oldoldstable; do
        # The first alone, where several entries name the suite.
        stanza=$(apt_sources_like "$name" "$1" | awk '/^Types:/ && n++ { exit } { print }')
        if [[ -n $stanza ]]; then
            printf '%s\n' "$stanza"
            return
        fi
    done
}
