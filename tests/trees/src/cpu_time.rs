//! Time that was spent computing: what a test may compare with a limit, however busy the machine is.

use std::fs::read_to_string;
use std::time::Duration;

/// Ticks of a second in `/proc` (`USER_HZ`, which user space of every architecture that this is built for knows as 100).
const TICKS: u64 = 100;

/// What the calling thread has computed, user and system time, to a hundredth of a second.
///
/// # Panics
///
/// Without `/proc` as Linux has it.
pub fn of_thread() -> Duration {
    read("/proc/thread-self/stat")
}

/// The same of all threads of this process.
///
/// # Panics
///
/// As [`of_thread`].
pub fn of_process() -> Duration {
    read("/proc/self/stat")
}

fn read(path: &str) -> Duration {
    let stat = read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // proc(5): the second field is a name in parentheses, which may hold anything; utime and stime are the 14th and the 15th.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
    let ticks = fields.into_iter().flatten().skip(11).take(2).map(|field| field.parse::<u64>().ok());
    let ticks: Option<u64> = ticks.sum();
    Duration::from_millis(ticks.unwrap_or_else(|| panic!("{path}: no times in {stat:?}")) * 1000 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::thread;

    #[test]
    fn counts_what_is_computed_and_nothing_else() {
        let before = of_thread();
        thread::sleep(Duration::from_millis(300));
        assert!(of_thread() - before < Duration::from_millis(200));
        // It ends: the time goes on while this computes.
        while of_thread() - before < Duration::from_millis(300) {
            (0..100_000_u64).for_each(|number| _ = black_box(number));
        }
        let thread = of_thread();
        // A tick of each kind may be cut off.
        assert!(of_process() + Duration::from_millis(20) >= thread);
    }
}
