//! What the tests do in the middle of a stop.

use crate::gate;
use crate::hook::Hook;

static WHILE_STOPPING: Hook<fn()> = Hook::none();

/// The next CPU that stops all others calls `hook`, once, before it has stopped anybody.
pub fn while_stopping(hook: fn()) {
    WHILE_STOPPING.set(Some(hook));
}

pub(super) fn about_to_stop() {
    if let Some(hook) = WHILE_STOPPING.take() {
        hook();
    }
}

/// How many CPUs have parked at the panic gate.
pub fn parked_at_gate() -> u64 {
    gate::word().count()
}
