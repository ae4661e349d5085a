//! What every CPU does for itself when something is new.

use crate::{irq, watchdog};

/// What there is to do for news: each line is idempotent.
pub(super) fn apply_news() {
    irq::enable_private();
    watchdog::apply();
}
