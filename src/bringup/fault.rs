//! Limits as the tests want them.

use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::Limits;

/// 0: nothing to adjust; else one more than the limit.
static ONLINE_LIMIT: AtomicU64 = AtomicU64::new(0);

/// From now on a CPU that has arrived gets so many ticks to come online, whatever its booter's deadline; with `None` as
/// much as that says.
pub fn limit_online(ticks: Option<u64>) {
    ONLINE_LIMIT.store(ticks.map_or(0, |ticks| ticks.saturating_add(1)), Ordering::Relaxed);
}

pub(super) fn adjusted(limits: Limits) -> Limits {
    match ONLINE_LIMIT.load(Ordering::Relaxed).checked_sub(1) {
        Some(online) => Limits { online, ..limits },
        None => limits,
    }
}
