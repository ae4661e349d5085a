//! What the application has for CPUs that come and go.

use crate::masking;
use crate::percpu::CpuId;
use crate::sync::SpinLock;
use core::fmt;

/// Pairs of callbacks that can be registered.
const CAPACITY: usize = 16;

/// Why callbacks were not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// There are as many as there can be.
    Full,
    /// The caller is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have interrupted what registers them.
    Nmi,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "more than {CAPACITY} pairs of hotplug callbacks"),
            Self::Nmi => f.write_str("hotplug callbacks registered at NMI level"),
        }
    }
}

type Online = fn(CpuId) -> Result<(), ()>;
type Offline = fn(CpuId);

#[derive(Clone, Copy)]
struct Pair {
    online: Online,
    offline: Offline,
}

struct List {
    pairs: [Option<Pair>; CAPACITY],
}

static LIST: SpinLock<List> = SpinLock::new(List { pairs: [None; CAPACITY] });

/// From now on, `online` runs on each CPU that comes up, before anyone can call it, and `offline` on each that is about
/// to leave, while it still can be called. In the order of registration as they come, in the opposite order as they go.
///
/// `online` runs with interrupts masked, always. If it fails as a CPU comes up, what ran before it is undone, the CPU goes down
/// again, and the verdict is `Failed` with [`Reason::Callback`](crate::bringup::Reason::Callback). CPUs that are online already
/// are left as they are.
///
/// `offline` runs in thread context, interrupts open, on a CPU that is still online: it may send and wait, but for what
/// starts, stops or gathers CPUs, which is refused at once ([`StopError::WouldDeadlock`](crate::StopError::WouldDeadlock) and
/// the like). Timers that it finds running may run out before the CPU goes (see [`cpu_down`](crate::hotplug::cpu_down)), so
/// it is the place to tell one that sets itself anew to end. If the CPU cannot leave after all, `online` runs there again,
/// masked like any other time; one that fails then is logged, and the CPU stays.
///
/// Where `offline` undoes an `online` because a later one failed, it runs with interrupts masked, as that did. Timers that
/// callbacks have set on a CPU that does not come up are dropped, and do not run.
///
/// # Errors
///
/// [`RegisterError::Full`], [`RegisterError::Nmi`].
pub fn register(online: fn(CpuId) -> Result<(), ()>, offline: fn(CpuId)) -> Result<(), RegisterError> {
    if masking::in_nmi() {
        return Err(RegisterError::Nmi);
    }
    let mut list = LIST.lock();
    let free = list.pairs.iter_mut().find(|pair| pair.is_none()).ok_or(RegisterError::Full)?;
    *free = Some(Pair { online, offline });
    Ok(())
}

fn pair(index: usize) -> Option<Pair> {
    // Copied out: nothing is locked while a callback runs.
    LIST.lock().pairs.get(index).copied().flatten()
}

/// Runs all online callbacks on this CPU, or, if one fails, undoes those that ran. With interrupts masked.
pub(crate) fn online_all(cpu: CpuId) -> Result<(), ()> {
    let mut index = 0;
    while let Some(callbacks) = pair(index) {
        if (callbacks.online)(cpu).is_err() {
            for done in (0..index).rev() {
                if let Some(callbacks) = pair(done) {
                    (callbacks.offline)(cpu);
                }
            }
            return Err(());
        }
        index += 1;
    }
    Ok(())
}

/// Runs all offline callbacks on this CPU. In thread context, interrupts open.
pub(crate) fn offline_all(cpu: CpuId) {
    let mut count = 0;
    while pair(count).is_some() {
        count += 1;
    }
    for index in (0..count).rev() {
        if let Some(callbacks) = pair(index) {
            (callbacks.offline)(cpu);
        }
    }
}
