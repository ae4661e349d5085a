//! Where this machine's own apt gets Debian from: never a mirror by name, always the one in use here. `scripts/lib/apt.sh` has the same for
//! `scripts/setup`, which has no Rust yet.

use std::fs;
use std::path::{Path, PathBuf};

/// The name of this system's release, if it is one of Debian: what is made of Debian has suites of its own, without its packages.
fn codename(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.replace(['"', '\''], ""))
    };
    field("ID")
        .filter(|id| id == "debian")
        .and_then(|_| field("VERSION_CODENAME"))
        .filter(|name| !name.is_empty())
}

/// A mirror of Debian.
#[derive(Debug, PartialEq)]
pub struct Source {
    uris: String,
    /// The field `Signed-By` with its name, over several lines where the key itself is written there.
    key: Option<String>,
}

impl Source {
    /// That of this machine's own Debian; nothing if that is unknown. `etc` is `/etc`.
    pub fn of_system(etc: &Path) -> Option<Self> {
        let files = Files::read(&etc.join("apt"));
        let own = codename(&fs::read_to_string(etc.join("os-release")).unwrap_or_default());
        own.iter()
            .map(String::as_str)
            .chain(["stable", "oldstable", "oldoldstable"])
            .find_map(|base| files.like(base))
    }

    /// A stanza in the form of apt's `debian.sources` for these suites (words) and this component.
    pub fn stanza(&self, suites: &str, component: &str) -> String {
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {component}\n", self.uris);
        if let Some(key) = &self.key {
            text.push_str(key);
            text.push('\n');
        }
        text
    }
}

/// The texts of apt's lists of sources, in the order in which they are asked.
struct Files {
    /// Stanzas of fields.
    stanzas: Vec<String>,
    /// One entry per line.
    lines: Vec<String>,
}

impl Files {
    fn read(apt: &Path) -> Self {
        let parts = apt.join("sources.list.d");
        let read = |paths: Vec<PathBuf>| {
            paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>()
        };
        let mut lines = vec![apt.join("sources.list")];
        lines.extend(files_in(&parts, "list"));
        Self { stanzas: read(files_in(&parts, "sources")), lines: read(lines) }
    }

    /// The entry by which the component `main` of this suite is read.
    fn like(&self, suite: &str) -> Option<Source> {
        let stanza = self.stanzas.iter().find_map(|text| from_stanzas(text, suite));
        stanza.or_else(|| self.lines.iter().find_map(|text| from_lines(text, suite)))
    }
}

/// The files of a directory whose names end so, in the order of the names.
pub(super) fn files_in(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn has_word(words: &str, wanted: &str) -> bool {
    words.split_whitespace().any(|word| word == wanted)
}

/// The first of these stanzas that has the suite and `main`.
fn from_stanzas(text: &str, suite: &str) -> Option<Source> {
    let lines: Vec<_> = text.lines().collect();
    lines.split(|line| line.trim().is_empty()).find_map(|stanza| {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.iter().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |wanted: &str| {
            fields.iter().rev().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str())
        };
        let is_it = has_word(field("types"), "deb")
            && !field("enabled").contains("no")
            && has_word(field("suites"), suite)
            && has_word(field("components"), "main");
        let key = field("signed-by");
        is_it.then(|| Source {
            uris: field("uris").split_whitespace().collect::<Vec<_>>().join(" "),
            key: (!key.is_empty()).then(|| format!("Signed-By: {key}")),
        })
    })
}

/// The first of these entries that has the suite and `main`.
fn from_lines(text: &str, suite: &str) -> Option<Source> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        if words.next()? != suite || !words.any(|word| word == "main") {
            return None;
        }
        let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        Some(Source {
            uris: uri.to_owned(),
            key: key.map(|key| format!("Signed-By: {}", key.replace(',', " "))),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb-src
URIs: http://mirror.test/source
Suites: bookworm
Components: main

# A comment
Types: deb
Enabled: no
URIs: http://mirror.test/off
Suites: bookworm
Components: main

Types: deb deb-src
# http://mirror.test/comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 key
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.test/backports
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian.gpg
";

    const LINES: &str = "\
# deb http://mirror.test/off bookworm main
deb-src http://mirror.test/source bookworm main
deb http://mirror.test/contrib bookworm contrib
deb [arch=arm64 signed-by=/a.gpg,/b.gpg] http://mirror.test/debian bookworm contrib main non-free
deb http://mirror.test/plain bookworm-updates main
";

    #[test]
    fn stanzas_are_understood() {
        let source = from_stanzas(STANZAS, "bookworm").unwrap();
        assert_eq!(source.uris, "http://mirror.test/debian");
        assert_eq!(
            source.stanza("trixie sid", "main"),
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie sid\nComponents: main\nSigned-By: \n \
             -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n key\n -----END PGP PUBLIC KEY BLOCK-----\n"
        );
        let source = from_stanzas(STANZAS, "bookworm-backports").unwrap();
        assert_eq!(source.key.as_deref(), Some("Signed-By: /usr/share/keyrings/debian.gpg"));
        assert_eq!(from_stanzas(STANZAS, "trixie"), None);
    }

    #[test]
    fn lines_are_understood() {
        assert_eq!(
            from_lines(LINES, "bookworm"),
            Some(Source {
                uris: "http://mirror.test/debian".to_owned(),
                key: Some("Signed-By: /a.gpg /b.gpg".to_owned())
            })
        );
        assert_eq!(
            from_lines(LINES, "bookworm-updates"),
            Some(Source { uris: "http://mirror.test/plain".to_owned(), key: None })
        );
        assert_eq!(from_lines(LINES, "bookworm-backports"), None);
    }

    #[test]
    fn the_release_has_a_name() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\nID='debian'\n").as_deref(), Some("trixie"));
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=\n"), None);
        assert_eq!(codename("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(codename("VERSION_CODENAME=bookworm\n"), None);
    }
}
