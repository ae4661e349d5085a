//! Who may start CPUs, take them down, or gather them: one CPU at a time.

use super::area::{self, Area};
use crate::arch::{self, Hw, HwWord};
use crate::time::Deadline;
use crate::{hotplug, panic};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::{Holder, LifecycleLock, Tenure};

static LOCK: LifecycleLock<Hw> = LifecycleLock::from_parts(HwWord::with(LifecycleLock::<Hw>::FREE));

/// The index of the CPU that had the right last. Relaxed, like all that is about turns: who is mistaken waits a little, or not.
static LAST: AtomicU64 = AtomicU64::new(u64::MAX);

/// How many CPUs wait for it.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The CPU of `own`, which is the calling one, waits for the right, or does no longer: also if it leaves while it waits.
pub(crate) fn set_waiting(own: &Area, waits: bool) {
    if !own.holds.set_waiting(waits) {
        return;
    }
    if waits {
        WAITING.fetch_add(1, Ordering::Relaxed);
    } else {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The longest that a CPU lets others go first. They are awake, and need a few instructions.
const TURN: Duration = Duration::from_millis(1);

/// Whoever had the right last lets those have it first that wait for it: a CPU that asks again and again, perhaps because
/// one of those will not leave before it had its turn, must not keep it from all others. `false` at the deadline, or if
/// `meanwhile` says so.
fn give_turn(own: &'static Area, deadline: Deadline, meanwhile: &mut impl FnMut() -> bool) -> bool {
    let is_ours =
        || LAST.load(Ordering::Relaxed) == own.id.index() as u64 && WAITING.load(Ordering::Relaxed) != 0;
    if !is_ours() {
        return true;
    }
    let until = Deadline::after(TURN);
    while is_ours() && !until.has_passed() {
        panic::poll_gate();
        if deadline.has_passed() || !meanwhile() {
            return false;
        }
        arch::yield_now();
    }
    true
}

/// The right to change which CPUs there are.
pub(crate) struct Lifecycle(Option<Tenure<'static, Hw>>);

impl Lifecycle {
    /// Waits for the right until `deadline`, interrupts as the caller has them: open, or it could not take part in
    /// the round of the CPU that it waits for.
    pub(crate) fn lock(deadline: Deadline) -> Option<Self> {
        let own = area::current();
        Self::lock_with(deadline, || {
            hotplug::decline(own);
            true
        })
    }

    /// The same; `meanwhile` is called between looks, and says whether to go on waiting.
    pub(crate) fn lock_with(deadline: Deadline, mut meanwhile: impl FnMut() -> bool) -> Option<Self> {
        let own = area::current();
        let me = Holder { cpu: own.id.index() as u32, generation: own.slot.0.read().generation };
        if !give_turn(own, deadline, &mut meanwhile) {
            return None;
        }
        let lock = loop {
            let slot = |cpu: u32| area::areas()[cpu as usize].slot.0.read();
            if let Ok(tenure) = LOCK.try_acquire(me, slot) {
                LAST.store(u64::from(me.cpu), Ordering::Relaxed);
                break Some(Self(Some(tenure)));
            }
            set_waiting(own, true);
            panic::poll_gate();
            if deadline.has_passed() || !meanwhile() {
                break None;
            }
            arch::wfe();
        };
        set_waiting(own, false);
        lock
    }

    /// For a CPU that leaves: others take the right over once its slot says that it is gone.
    pub(crate) fn keep_to_the_end(mut self) {
        if let Some(tenure) = self.0.take() {
            tenure.keep_to_the_end();
        }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.0 = None;
        // Partner of the WFE in `lock`: the store is visible first.
        arch::dsb_ishst();
        arch::sev();
    }
}
