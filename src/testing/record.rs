//! What a test is, as the image and the runner know it.
//!
//! A record is the full name, then a field for each key, `key` or `key=value`, each behind the character 0x1f, and a NUL at the end. All records lie in
//! the section `.reveille_tests`, one behind the other, and empty ones between them; the runner reads them from there, and `tools/run/src/testing/section.rs` is its side of this file.

use crate::System;
use core::fmt;

/// Between the fields.
const SEPARATOR: char = '\u{1f}';

/// A test: what [`test`](macro@crate::test) has put down.
#[doc(hidden)]
#[repr(C)]
pub struct Test {
    record: &'static [u8],
    run: fn(&'static System) -> bool,
}

impl Test {
    /// For `__test!`.
    #[must_use]
    pub const fn new(record: &'static [u8], run: fn(&'static System) -> bool) -> Self {
        Self { record, run }
    }

    /// Its full name, in which the crate is left out: it is the same for all.
    pub(super) fn name(&self) -> &'static str {
        let path = self.fields().next().unwrap_or_default();
        path.split_once("::").map_or(path, |(_, name)| name)
    }

    /// The value of a key, empty if it has none.
    pub(super) fn value(&self, key: &str) -> Option<&'static str> {
        self.fields().skip(1).find_map(|field| match field.split_once('=') {
            Some((name, value)) => (name == key).then_some(value),
            None => (field == key).then_some(""),
        })
    }

    /// The same as a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }

    /// Runs it. Whether it says that it has passed.
    pub(super) fn run(&self, system: &'static System) -> bool {
        (self.run)(system)
    }

    fn fields(&self) -> impl Iterator<Item = &'static str> {
        let text = core::str::from_utf8(self.record).unwrap_or_default();
        text.trim_end_matches('\0').split(SEPARATOR)
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record as an array, so that it can be given a section.
#[doc(hidden)]
#[must_use]
pub const fn bytes<const N: usize>(record: &str) -> [u8; N] {
    match record.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => panic!("not as long as the record"),
    }
}

/// All tests of the image, in the order in which they were linked.
pub(super) fn all() -> &'static [Test] {
    unsafe extern "C" {
        static __tests_start: u8;
        static __tests_end: u8;
    }
    let start = (&raw const __tests_start).cast::<Test>();
    let end = (&raw const __tests_end).cast::<Test>();
    // SAFETY: the linker script puts what `__test!` makes, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}
