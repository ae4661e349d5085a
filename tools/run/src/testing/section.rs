//! The tests that an image has, read from its file.
//!
//! The section `.reveille_tests` has a record for each: its path, then fields `key` or `key=value`, each behind the character 0x1f, and a NUL at
//! the end. `src/testing/record.rs` of the runtime is the other side of this file.

use crate::error::{Error, Result};
use object::{Object, ObjectSection};

const SECTION: &str = ".reveille_tests";
const SEPARATOR: char = '\u{1f}';

/// What a test is and what it wants, as its attribute says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// Its path, without the crate.
    pub name: String,
    /// It wants so many CPUs, or more.
    pub cpus: Option<u32>,
    /// It wants this version of a GIC.
    pub gic: Option<u32>,
    /// It wants to be entered at this exception level.
    pub el: Option<u32>,
    /// It brings CPUs up itself.
    pub alone: bool,
    /// It passes by a panic, with this in the report.
    pub should_panic: Option<String>,
    /// It runs only if that is asked for, for this reason.
    pub ignore: Option<String>,
    /// It has so many seconds.
    pub timeout: Option<u64>,
}

/// The tests of an image, in the order of their names; `None` if it is no image of tests.
///
/// # Errors
///
/// The section is not as this version has it.
pub fn read(elf: &[u8]) -> Result<Option<Vec<Test>>> {
    let file = object::File::parse(elf).map_err(|_| Error::usage("the ELF is damaged"))?;
    let Some(section) = file.section_by_name(SECTION) else { return Ok(None) };
    let data =
        section.data().map_err(|_| Error::usage(format!("the section {SECTION} of the ELF is damaged")))?;
    records(data).map(Some)
}

fn records(data: &[u8]) -> Result<Vec<Test>> {
    let mut tests = data
        .split(|byte| *byte == 0)
        .filter(|record| !record.is_empty())
        .map(|record| {
            record_of(record).map_err(|what| {
                Error::usage(format!(
                    "the section {SECTION} of the ELF has {what}: `reveille` and this runner have to be of one version"
                ))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = tests.windows(2).find(|pair| pair[0].name == pair[1].name).map(|pair| &pair[0]) {
        return Err(Error::usage(format!(
            "there are two tests named {}, of which one would never run",
            twice.name
        )));
    }
    Ok(tests)
}

fn record_of(record: &[u8]) -> std::result::Result<Test, String> {
    let text = std::str::from_utf8(record).map_err(|_| "a record that is no text".to_owned())?;
    let mut fields = text.split(SEPARATOR);
    let path = fields.next().unwrap_or_default();
    let name = path.split_once("::").map_or(path, |(_, name)| name).to_owned();
    let mut test = Test { name, ..Test::default() };
    for field in fields {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let text = || value.to_owned();
        let unknown = || format!("the field '{field}', which is unknown");
        match key {
            "cpus" => test.cpus = Some(value.parse().map_err(|_| unknown())?),
            "gic" => test.gic = Some(value.parse().map_err(|_| unknown())?),
            "el" => test.el = Some(value.parse().map_err(|_| unknown())?),
            "up" => test.alone = value == "false",
            "should_panic" => test.should_panic = Some(text()),
            "ignore" => test.ignore = Some(text()),
            "timeout" => test.timeout = Some(value.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        }
    }
    Ok(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_sorted() {
        let data = b"\0demo::z\0\0demo::a::b\x1fcpus=16\x1fgic=2\x1fel=1\x1fup=false\x1ftimeout=5\0\
                     demo::m\x1fshould_panic=x = y\x1fignore\0demo::n\x1fshould_panic\x1fignore=two\nlines\0";
        let tests = records(data).unwrap();
        let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["a::b", "m", "n", "z"]);
        assert_eq!(
            tests[0],
            Test {
                name: "a::b".into(),
                cpus: Some(16),
                gic: Some(2),
                el: Some(1),
                alone: true,
                timeout: Some(5),
                ..Test::default()
            }
        );
        assert_eq!((tests[1].should_panic.as_deref(), tests[1].ignore.as_deref()), (Some("x = y"), Some("")));
        assert_eq!(
            (tests[2].should_panic.as_deref(), tests[2].ignore.as_deref()),
            (Some(""), Some("two\nlines"))
        );
        assert_eq!(tests[3], Test { name: "z".into(), ..Test::default() });
        assert_eq!(records(b"\0").unwrap(), []);
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let said = records(b"demo::t\0demo::a\0demo::t\x1fup=false\0").unwrap_err().to_string();
        assert_eq!(said, "there are two tests named t, of which one would never run");
    }

    #[test]
    fn what_another_version_wrote_is_refused() {
        for (data, what) in
            [(&b"a::b\x1fnew=1\0"[..], "'new=1'"), (b"a::b\x1fcpus=x\0", "'cpus=x'"), (b"\xff\0", "no text")]
        {
            let said = records(data).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains("one version"), "{said}");
        }
    }

    #[test]
    fn what_is_no_elf() {
        assert_eq!(read(b"\x7fELF").unwrap_err(), Error::usage("the ELF is damaged"));
    }
}
