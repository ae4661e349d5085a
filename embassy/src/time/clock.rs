//! Ticks of the counter and ticks of embassy's.

use embassy_time_driver::TICK_HZ;
use reveille::time::{Instant, frequency};

/// The time, in embassy's ticks, rounded down.
#[inline]
pub(super) fn now() -> u64 {
    from_counter(Instant::now().ticks(), frequency())
}

/// The first moment at which embassy's clock shows `at`, or the last of all.
pub(super) fn instant(at: u64) -> Instant {
    Instant::from_ticks(to_counter(at, frequency()))
}

#[inline]
fn from_counter(ticks: u64, frequency: u64) -> u64 {
    if frequency == TICK_HZ {
        return ticks;
    }
    // The rest is less than the frequency: its product fits as long as frequency and rate have 64 bits together, as a GHz and a GHz have.
    (ticks / frequency).saturating_mul(TICK_HZ).saturating_add(ticks % frequency * TICK_HZ / frequency)
}

fn to_counter(at: u64, frequency: u64) -> u64 {
    if frequency == TICK_HZ {
        return at;
    }
    // Rounded up: not a tick too early.
    (at / TICK_HZ).saturating_mul(frequency).saturating_add((at % TICK_HZ * frequency).div_ceil(TICK_HZ))
}
