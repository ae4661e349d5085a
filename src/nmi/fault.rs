//! What the tests do in the middle of a note.

use crate::hook::Hook;

static WHILE_NOTING: Hook<fn()> = Hook::none();

/// The next CPU that notes down what it is doing calls `hook`, once, in the middle of it. At NMI level.
pub fn while_noting(hook: fn()) {
    WHILE_NOTING.set(Some(hook));
}

pub(super) fn in_the_middle() {
    if let Some(hook) = WHILE_NOTING.take() {
        hook();
    }
}
