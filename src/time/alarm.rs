//! Alarms: deadlines that their CPU moves as often as it likes.

use crate::arch::{Hw, HwWord};
use crate::clock::Instant;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use reveille_protocol::AlarmDue;

/// One deadline of a CPU, with a handler.
///
/// For a [`percpu!`](crate::percpu!) variable, of which there may be any number:
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::time::Alarm;
///
/// reveille::percpu! {
///     static TICK: Alarm = Alarm::new(tick);
/// }
///
/// fn tick() {
///     // ..
///     let _ = TICK.after(Duration::from_millis(1));
/// }
/// ```
///
/// Each belongs to the CPU that sets it first, which is the only one that can set it or take it away, in any context but NMI level, any
/// number of times (a [context](crate::context) that may be preempted masks interrupts first, or it may do so from the next CPU); it takes up no entry of [`after`](super::after()). To set it costs a few instructions more for each further alarm that
/// the CPU has ever set. The handler runs in interrupt context (normal interrupts masked, NMI-class ones open), once for each deadline
/// that was not moved or taken away before: not earlier than that, and later by as long as interrupts are masked.
///
/// # When the CPU leaves
///
/// An alarm does not keep its CPU from leaving, however often its handler sets it anew. It may fire while the offline callbacks
/// run, and until the CPU has left; then it is taken away, and does not fire in a later life. An online callback
/// ([`hotplug::register`](crate::hotplug::register)) sets it again.
pub struct Alarm {
    handler: fn(),
    /// The CPU that it belongs to, its index and one more; 0: to none yet.
    owner: AtomicU32,
    due: AlarmDue<Hw>,
    /// The alarm that its CPU had set first before it first set this one.
    next: Cell<Option<&'static Alarm>>,
}

// SAFETY: `next` is touched by the CPU that `owner` names alone, with interrupts masked: by `own`, which has looked, and by
// those of `Alarms`, which come by the list of the calling CPU. All else is atomic or constant.
unsafe impl Sync for Alarm {}

impl Alarm {
    /// One that belongs to no CPU yet, and is not set.
    ///
    /// ```no_run
    /// use reveille::time::Alarm;
    ///
    /// reveille::percpu! {
    ///     /// Of each CPU, for its own end of a time slice.
    ///     static SLICE: Alarm = Alarm::new(|| { /* in interrupt context */ });
    /// }
    /// ```
    pub const fn new(handler: fn()) -> Self {
        Self {
            handler,
            owner: AtomicU32::new(0),
            due: AlarmDue::from_parts(HwWord::with(AlarmDue::<Hw>::NEVER)),
            next: Cell::new(None),
        }
    }

    /// What it is set for; `None`: it is not. Certain on its CPU; from elsewhere good for a report.
    ///
    /// ```no_run
    /// # fn example(alarm: &reveille::time::Alarm, at: reveille::time::Instant) {
    /// let is_earlier = alarm.due().is_none_or(|due| at < due);
    /// # }
    /// ```
    pub fn due(&self) -> Option<Instant> {
        let due = self.due.due();
        (due != AlarmDue::<Hw>::NEVER).then_some(Instant::from_ticks(due))
    }

    /// Makes sure that it belongs to the CPU with this index, which is the calling one, and has these alarms. With interrupts masked.
    pub(super) fn own(&'static self, alarms: &Alarms, index: usize) -> bool {
        let own = index as u32 + 1;
        // Relaxed: nothing is handed over, as no other CPU touches what is this one's.
        match self.owner.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.next.set(alarms.list.replace(Some(self)));
                alarms.fire.set(Some(fire));
                true
            }
            Err(owner) => owner == own,
        }
    }

    /// When it is due; for its own CPU.
    pub(super) fn deadline(&self) -> &AlarmDue<Hw> {
        &self.due
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("due", &self.due()).finish_non_exhaustive()
    }
}

/// What fires alarms: see [`fire`].
type Fire = fn(&Alarms, Option<u64>);

/// The alarms that one CPU has ever set. For that CPU alone, with interrupts masked.
pub(super) struct Alarms {
    /// When the first is due, ticks.
    first: Cell<u64>,
    /// The last one that was set for the first time.
    list: Cell<Option<&'static Alarm>>,
    /// [`fire`], once there is one: it is linked into images that have any.
    fire: Cell<Option<Fire>>,
}

impl Alarms {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(AlarmDue::<Hw>::NEVER), list: Cell::new(None), fire: Cell::new(None) }
    }

    /// When the first is due, ticks; `u64::MAX`: none is.
    pub(super) fn first(&self) -> u64 {
        self.first.get()
    }

    fn all(&self) -> impl Iterator<Item = &'static Alarm> {
        core::iter::successors(self.list.get(), |alarm| alarm.next.get())
    }

    /// Finds out anew which is the first. Whether that has changed.
    pub(super) fn plan(&self) -> bool {
        let first = self.all().map(|alarm| alarm.due.due()).min().unwrap_or(AlarmDue::<Hw>::NEVER);
        self.first.replace(first) != first
    }

    /// Runs the handlers of those that are due by `now`, each once: one that sets its alarm anew has the next interrupt. In the timer's
    /// interrupt, before that programs the timer.
    #[inline(always)]
    pub(super) fn fire(&self, now: u64) {
        if self.first.get() <= now
            && let Some(fire) = self.fire.get()
        {
            fire(self, Some(now));
        }
    }

    /// Takes them all away: their CPU leaves.
    #[inline(always)]
    pub(super) fn disarm(&self) {
        if let Some(fire) = self.fire.get() {
            fire(self, None);
        }
    }
}

/// Fires the alarms that are due by `now`; without, takes all away.
fn fire(alarms: &Alarms, now: Option<u64>) {
    for alarm in alarms.all() {
        match now {
            Some(now) => _ = alarm.due.fire(now, alarm.handler),
            None => _ = alarm.due.cancel(),
        }
    }
    alarms.plan();
}
