//! What the tests do as a CPU lets calls in.

use crate::hook::Hook;
use crate::percpu::CpuId;

static BEFORE_OPENING: Hook<fn(CpuId)> = Hook::none();

/// From now on each CPU that comes online calls `hook` before it opens a queue for calls, for each of its queues. Interrupts are
/// masked there.
pub fn before_opening(hook: Option<fn(CpuId)>) {
    BEFORE_OPENING.set(hook);
}

pub(super) fn about_to_open(cpu: CpuId) {
    if let Some(hook) = BEFORE_OPENING.get() {
        hook(cpu);
    }
}
