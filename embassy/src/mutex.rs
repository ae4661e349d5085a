//! The lock under embassy's channels and signals.

use core::sync::atomic::{AtomicUsize, Ordering};
use reveille::cpu;
use reveille::irq;
use reveille::sync::SpinLock;

/// A raw mutex for `embassy-sync`: a lock of its own for each channel, signal or mutex, where `CriticalSectionRawMutex` is one for all.
///
/// Interrupts are masked while it is locked. Taken again on the CPU that has it, it lets that in, as embassy wants it.
///
/// # Panics
///
/// To lock it panics at NMI level.
///
/// # Examples
///
/// ```no_run
/// use embassy_sync::channel::Channel;
/// use reveille_embassy::SpinRawMutex;
///
/// /// For tasks of any CPUs.
/// static NUMBERS: Channel<SpinRawMutex, u32, 8> = Channel::new();
///
/// async fn send() {
///     NUMBERS.send(7).await;
/// }
/// ```
pub struct SpinRawMutex {
    lock: SpinLock<()>,
    /// The CPU that has it, its number and 1; 0: none.
    owner: AtomicUsize,
}

// SAFETY: one CPU at a time is inside, by the lock; and it stays the same CPU, and the same thread of it, as interrupts are masked. What
// interrupts it even so, at NMI level, panics.
unsafe impl embassy_sync::blocking_mutex::raw::RawMutex for SpinRawMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is to be another instance")]
    const INIT: Self = Self { lock: SpinLock::new(()), owner: AtomicUsize::new(0) };

    #[inline]
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        // Who has it is masked, and so is not moved between the two looks.
        if irq::is_masked() && self.owner.load(Ordering::Relaxed) == cpu::current().index() + 1 {
            assert!(!irq::in_nmi(), "a SpinRawMutex at NMI level");
            return f();
        }
        let guard = self.lock.lock();
        // Relaxed, here and below: the CPU itself writes its own number, and nothing else that is read there counts.
        self.owner.store(cpu::current().index() + 1, Ordering::Relaxed);
        let result = f();
        self.owner.store(0, Ordering::Relaxed);
        drop(guard);
        result
    }
}
