//! The words behind the name of a subcommand: options, and others.

use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::vec::IntoIter;

/// Words that are being read.
#[derive(Debug)]
pub struct Arguments {
    words: Peekable<IntoIter<OsString>>,
    /// The option that was read last, and its value if that stood behind a `=`.
    option: String,
    value: Option<OsString>,
}

/// A word.
#[derive(Debug, PartialEq, Eq)]
pub enum Argument {
    /// An option, by its name; [`Arguments::value`] has its value.
    Option(String),
    /// Another word.
    Word(OsString),
}

impl Arguments {
    /// These words.
    pub fn new(words: Vec<OsString>) -> Self {
        Self { words: words.into_iter().peekable(), option: String::new(), value: None }
    }

    /// The next option or word.
    ///
    /// # Errors
    ///
    /// The option before had a value behind a `=`, and wants none.
    pub fn next_argument(&mut self) -> Result<Option<Argument>> {
        if let Some(value) = self.value.take() {
            return Err(self.unknown(&value));
        }
        let Some(word) = self.words.next() else { return Ok(None) };
        let Some(text) = word.to_str().filter(|text| text.starts_with('-')) else {
            return Ok(Some(Argument::Word(word)));
        };
        (self.option, self.value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
            _ => (text.to_owned(), None),
        };
        Ok(Some(Argument::Option(self.option.clone())))
    }

    fn unknown(&self, value: &OsStr) -> Error {
        Error::usage(format!("unknown option '{}={}'", self.option, value.display()))
    }

    /// The value of the option that was read last: behind a `=`, or the next word.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn value(&mut self) -> Result<OsString> {
        let is_value = |next: &OsString| !next.as_encoded_bytes().starts_with(b"--");
        self.value
            .take()
            .or_else(|| self.words.next_if(is_value))
            .ok_or_else(|| Error::usage(format!("{}: its value is missing", self.option)))
    }

    /// The same as text.
    ///
    /// # Errors
    ///
    /// There is none, or it is none.
    pub fn text(&mut self) -> Result<String> {
        self.value()?
            .into_string()
            .map_err(|value| Error::usage(format!("{}: '{}' is not UTF-8", self.option, value.display())))
    }

    /// That there is no such option as the one that was read last.
    pub fn unknown_option(&mut self) -> Error {
        match self.value.take() {
            Some(value) => self.unknown(&value),
            None => Error::usage(format!("unknown option '{}'", self.option)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::new(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn options_and_words() {
        let mut read = arguments(&["one", "--a=1", "--b", "2", "--c"]);
        let option = |name: &str| Ok(Some(Argument::Option(name.to_owned())));
        assert_eq!(read.next_argument(), Ok(Some(Argument::Word("one".into()))));
        assert_eq!(read.next_argument(), option("--a"));
        assert_eq!(read.text().as_deref(), Ok("1"));
        assert_eq!(read.next_argument(), option("--b"));
        assert_eq!(read.text().as_deref(), Ok("2"));
        assert_eq!(read.next_argument(), option("--c"));
        assert_eq!(read.text(), Err(Error::usage("--c: its value is missing")));
        assert_eq!(read.next_argument(), Ok(None));
    }

    #[test]
    fn a_value_that_nobody_takes() {
        let mut read = arguments(&["--flag=1", "--next"]);
        let _ = read.next_argument();
        assert_eq!(read.next_argument(), Err(Error::usage("unknown option '--flag=1'")));
        let mut read = arguments(&["--what=1"]);
        let _ = read.next_argument();
        assert_eq!(read.unknown_option(), Error::usage("unknown option '--what=1'"));
    }
}
