//! New contexts.

use super::record::{Ready, Record};
use super::running;
use crate::memory::Stack;
use core::fmt;
use core::ptr::NonNull;

/// Bytes of a stack that a new context must have left.
const LEAST: usize = 2048;

/// Why a context was not made. The closure and the stack come back.
///
/// ```no_run
/// use reveille::{context, println};
///
/// # fn example(stack: reveille::memory::Stack) {
/// match context::new(stack, || {}) {
///     Ok(ready) => println!("{} is ready", ready.name()),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
pub struct NewError<F> {
    /// The stack.
    pub stack: Stack,
    /// The closure.
    pub f: F,
    /// Bytes that the stack would have to have.
    pub needed: usize,
}

impl<F> fmt::Debug for NewError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewError {{ needed: {} }}", self.needed)
    }
}

impl<F> fmt::Display for NewError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stack too small: {} bytes are needed for a context on it", self.needed)
    }
}

/// Makes a context that will run `f` on `stack`, on whatever CPU it is first resumed.
///
/// When `f` returns, the context ends: [`Scheduler::end`](super::Scheduler::end) says who runs next, and [`Scheduler::ended`](super::Scheduler::ended)
/// gets the stack back. The top of the stack is used for what is kept of the context, and for `f`.
///
/// # Errors
///
/// [`NewError`]: the stack has no room for both and 2 KiB more.
///
/// # Examples
///
/// ```no_run
/// use reveille::context::{self, Ready};
/// use reveille::memory::Stack;
/// use reveille::println;
///
/// # fn example() {
/// let stack = Stack::new("worker", 16 * 1024).expect("memory for a stack");
/// // It runs when the scheduler resumes it, on whatever CPU.
/// let worker: Ready = context::new(stack, || println!("a thread of its own")).expect("room on its stack");
/// # }
/// ```
pub fn new<F: FnOnce() + Send + 'static>(stack: Stack, f: F) -> Result<Ready, NewError<F>> {
    const { assert!(align_of::<Record>() <= 16) };
    let needed = size_of::<Record>() + size_of::<F>() + align_of::<F>().max(16) + LEAST;
    if stack.len() < needed {
        return Err(NewError { stack, f, needed });
    }
    let top = stack.top() & !0xf;
    let record = (top - size_of::<Record>()) as *mut Record;
    let place = (record as usize - size_of::<F>()) & !(align_of::<F>().max(16) - 1);
    // SAFETY: inside of the stack, which is ours, mapped and in use by nobody; aligned; apart from each other.
    unsafe {
        (place as *mut F).write(f);
        record.write(Record::new(false, Some(stack)));
        (*record).begin_with(running::beginning::<F>(place as u64), place as u64);
        (*record).show();
        Ok(Ready::of(NonNull::new_unchecked(record)))
    }
}
