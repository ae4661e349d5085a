//! The kernel command line: words of the form `name` or `name=value`, separated by blanks.

use core::time::Duration;

/// The words of a command line.
///
/// ```
/// use reveille_machine::BootArgs;
/// use std::time::Duration;
///
/// let args = BootArgs("console=ttyAMA0 quiet idle_ms=50 mask=daif");
/// assert_eq!(args.get("console"), Some("ttyAMA0"));
/// assert_eq!(args.get("quiet"), Some(""));
/// assert_eq!(args.number("cpus"), Ok(None));
/// assert_eq!(args.number("mask"), Err("daif"));
/// assert_eq!(args.milliseconds("idle_ms", Duration::from_secs(1)), Duration::from_millis(50));
/// assert!(args.chooses("mask", "priority", "daif"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BootArgs<'a>(pub &'a str);

impl<'a> BootArgs<'a> {
    /// The value of the last word `name=value`, or `Some("")` for the word `name` alone.
    pub fn get(self, name: &str) -> Option<&'a str> {
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
    pub fn number(self, name: &str) -> Result<Option<u64>, &'a str> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(0) | Err(_) => Err(value),
                Ok(number) => Ok(Some(number)),
            },
        }
    }

    /// The value of `name` as a number of milliseconds above 0; `default` if there is none, and also, which is said, if it
    /// is not one.
    pub fn milliseconds(self, name: &str, default: Duration) -> Duration {
        let whole = default.as_secs().saturating_mul(1000).saturating_add(default.subsec_millis().into());
        match self.milliseconds_or(name, whole) {
            ms if ms == whole => default,
            ms => Duration::from_millis(ms),
        }
    }

    /// The value of `name` as a number of milliseconds above 0, as a number; `current` if there is none, and also, which is said, if it
    /// is not one.
    pub fn milliseconds_or(self, name: &str, current: u64) -> u64 {
        match self.number(name) {
            Ok(ms) => ms.unwrap_or(current),
            Err(value) => {
                log::error!("bootargs: {name}={value}: not a number of milliseconds; it stays {current}");
                current
            }
        }
    }

    /// Whether the value of `name` is `other`, and not `default`. It is `default` if there is none, and also, which is said,
    /// if it is neither.
    pub fn chooses(self, name: &str, default: &str, other: &str) -> bool {
        let Some(value) = self.get(name).filter(|value| *value != default) else { return false };
        if value != other {
            log::error!("bootargs: {name}={value}: neither {default} nor {other}; it stays {default}");
        }
        value == other
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
    fn what_makes_no_sense_leaves_the_default() {
        const DEFAULT: Duration = Duration::from_secs(1);
        assert_eq!(BootArgs("").milliseconds("ms", DEFAULT), DEFAULT);
        assert_eq!(BootArgs("ms=20").milliseconds("ms", DEFAULT), Duration::from_millis(20));
        assert_eq!(BootArgs("ms=soon").milliseconds("ms", DEFAULT), DEFAULT);
        for (args, chosen) in
            [("", false), ("how=a", false), ("how=b", true), ("how=c", false), ("how", false)]
        {
            assert_eq!(BootArgs(args).chooses("how", "a", "b"), chosen, "{args}");
        }
    }

    #[test]
    fn numbers_are_numbers() {
        for bad in ["n", "n=", "n=0", "n=-1", "n=1s", "n=99999999999999999999"] {
            assert!(BootArgs(bad).number("n").is_err(), "{bad}");
        }
    }
}
