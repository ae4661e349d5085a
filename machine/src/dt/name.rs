//! Names of nodes, and how what a tree holds is written.

use core::fmt;

/// A node's own name: `serial@7e201000` (Devicetree Specification 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The part before the `@`; `/` for the root.
    pub base: &'a str,
    /// The part after it, as written: hexadecimal without prefix, by convention.
    pub unit: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// The name that stands in the tree as `text`, where the root's is empty.
    pub(super) fn of(text: &'a str) -> Self {
        match text.split_once('@') {
            Some((base, unit)) => Self { base, unit: Some(unit) },
            None => Self { base: if text.is_empty() { "/" } else { text }, unit: None },
        }
    }

    /// True if a path may call the node `component`.
    pub(super) fn answers_to(&self, component: &str) -> bool {
        match component.split_once('@') {
            Some((base, unit)) => self.base == base && self.unit == Some(unit),
            None => self.base == component,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_printable(f, self.base)?;
        match self.unit {
            Some(unit) => {
                f.write_str("@")?;
                put_printable(f, unit)
            }
            None => Ok(()),
        }
    }
}

/// Names come from the tree and may hold anything; an error report stays one line of plain text.
pub(super) fn put_printable(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| f.write_char(if c == ' ' || c.is_ascii_graphic() { c } else { '?' }))
}
