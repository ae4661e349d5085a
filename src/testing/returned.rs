//! What a test may return.

use crate::ExitCode;
use core::fmt::Debug;

/// What a test may return: nothing, an [`ExitCode`], or a `Result` of these whose error can be printed by `{:?}`. A code other than 0 is a failure, as is an
/// error, and both are printed.
///
/// ```no_run
/// use reveille::call::{self, CallError};
/// use reveille::{ExitCode, cpu};
///
/// #[reveille::test]
/// fn all_answer() -> Result<(), CallError> {
///     cpu::online().iter().try_for_each(|cpu| call::on(cpu, || ()))
/// }
///
/// #[reveille::test]
/// fn several_are_there() -> ExitCode {
///     (cpu::online().len() > 1).into()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a test returns nothing, an `ExitCode`, or a `Result<(), E>` with `E: Debug`, and not `{Self}`",
    label = "this is returned"
)]
pub trait Returned {
    /// Whether the test has passed; if it has not, why is printed.
    #[doc(hidden)]
    fn passed(self) -> bool;
}

impl Returned for () {
    fn passed(self) -> bool {
        true
    }
}

impl Returned for ExitCode {
    fn passed(self) -> bool {
        if self != Self::SUCCESS {
            crate::println!("returned the exit code {}", self.get());
        }
        self == Self::SUCCESS
    }
}

impl<T: Returned, E: Debug> Returned for Result<T, E> {
    fn passed(self) -> bool {
        match self {
            Ok(value) => value.passed(),
            Err(error) => {
                crate::println!("returned the error {error:?}");
                false
            }
        }
    }
}
