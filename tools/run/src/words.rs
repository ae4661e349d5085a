//! Words of a shell, to and fro.

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// One line that a shell reads back as exactly these words. Bytes that are no UTF-8 are replaced: such a line is for people.
pub fn quoted<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&quoted_word(word.as_ref()));
    }
    line
}

fn quoted_word(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_/.,:=@%+-".contains(byte);
    let text = word.to_string_lossy();
    if !word.is_empty() && word.as_bytes().iter().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The words of a line as a shell would split it: by blanks, with quotes and backslashes.
///
/// # Errors
///
/// A quote that is not closed; `of` says what the line is.
pub fn split(line: &str, of: &str) -> Result<Vec<String>> {
    // To shlex a line without anything but blanks is no words, which is right.
    shlex::split(line).ok_or_else(|| Error::usage(format!("{of}: a quote is not closed in: {line}")))
}

/// `a, b, c`.
pub fn listed<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let mut list = String::new();
    for word in words {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(word.as_ref());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for words in [vec!["a", "it's", "two words", "", "x=y,z"], vec!["\"", "\\", "$HOME", "`ls`", "#"]] {
            assert_eq!(split(&quoted(&words), "a line").unwrap(), words);
        }
        assert_eq!(quoted(["-append", "a b", "it's"]), "-append 'a b' 'it'\\''s'");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_said() {
        let error = split("--append 'a b", "REVEILLE_RUN").unwrap_err();
        assert_eq!(error, Error::Usage("REVEILLE_RUN: a quote is not closed in: --append 'a b".into()));
    }
}
