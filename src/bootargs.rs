//! The kernel command line: words of the form `name` or `name=value`, separated by blanks.

/// The words of a command line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BootArgs<'a>(pub(crate) &'a str);

impl<'a> BootArgs<'a> {
    /// The value of the last word `name=value`, or `Some("")` for the word `name` alone.
    pub(crate) fn get(self, name: &str) -> Option<&'a str> {
        self.0
            .split_ascii_whitespace()
            .filter_map(|word| match word.split_once('=') {
                Some((key, value)) if key == name => Some(value),
                None if word == name => Some(""),
                _ => None,
            })
            .next_back()
    }

    /// The value of `name` as a number above 0.
    ///
    /// # Errors
    ///
    /// The value, if it is not one.
    pub(crate) fn number(self, name: &str) -> Result<Option<u64>, &'a str> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(0) | Err(_) => Err(value),
                Ok(number) => Ok(Some(number)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_and_values() {
        let args = BootArgs("  json reveille.exit=semihosting deadline_ms=20\tx=y=z json2 ");
        assert_eq!(args.get("json"), Some(""));
        assert_eq!(args.get("reveille.exit"), Some("semihosting"));
        assert_eq!(args.get("x"), Some("y=z"));
        assert_eq!(args.get("jso"), None);
        assert_eq!(args.number("deadline_ms"), Ok(Some(20)));
        assert_eq!(args.number("none"), Ok(None));
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(BootArgs("a=1 a=2").get("a"), Some("2"));
    }

    #[test]
    fn numbers_are_numbers() {
        for bad in ["n", "n=", "n=0", "n=-1", "n=1s", "n=99999999999999999999"] {
            assert!(BootArgs(bad).number("n").is_err(), "{bad}");
        }
    }
}
