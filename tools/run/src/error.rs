//! How anything here fails: one sentence that says what and where, and the exit code that goes with it.

use crate::command::say;
use std::fmt;

/// Why there is no run, or no good end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Bad usage: exit code 2.
    Usage(String),
    /// Something else is in the way: exit code 1.
    Failed(String),
    /// A build failed: exit code 101.
    Build(String),
    /// A run outlasted its time: exit code 124. The sentence may have more lines, the last ones of the console.
    Timeout(String),
}

/// What everything here returns that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Bad usage.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// Anything else.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Build(_) => 101,
            Self::Timeout(_) => 124,
        }
    }

    /// Prints it as `program` does, bad usage with a hint at its help.
    pub fn print(&self, program: &str) {
        match self {
            Self::Usage(sentence) => say(&format!("{program}: {sentence} (see {program} --help)")),
            other => say(&format!("{program}: {other}")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(sentence)
        | Self::Failed(sentence)
        | Self::Build(sentence)
        | Self::Timeout(sentence)) = self;
        f.write_str(sentence)
    }
}

impl std::error::Error for Error {}
