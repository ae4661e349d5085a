//! What the application has for CPUs that come and go, and are asked to.

use crate::masking;
use crate::percpu::CpuId;
use crate::sync::SpinLock;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// Sets of callbacks that can be registered.
const CAPACITY: usize = 16;

/// Why callbacks were not registered.
///
/// ```no_run
/// use reveille::hotplug::{self, RegisterError};
///
/// # fn example() {
/// match hotplug::register(|_| Ok(()), |_| {}) {
///     Ok(()) => {}
///     Err(RegisterError::Full) => panic!("too many callbacks"),
///     Err(error) => panic!("{error}"),
/// }
/// # }
/// ```
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
            Self::Full => write!(f, "more than {CAPACITY} sets of hotplug callbacks"),
            Self::Nmi => f.write_str("hotplug callbacks registered at NMI level"),
        }
    }
}

type Asked = fn(CpuId) -> Result<(), &'static str>;

/// What the application has for CPUs that come and go: see [`register`] and [`register_callbacks`].
///
/// ```no_run
/// use reveille::hotplug::{self, Callbacks};
/// use reveille::println;
///
/// # fn example() -> Result<(), reveille::hotplug::RegisterError> {
/// hotplug::register_callbacks(Callbacks {
///     online: |cpu| {
///         println!("cpu {cpu} comes");
///         Ok(())
///     },
///     offline: |cpu| println!("cpu {cpu} goes"),
///     asked: |_cpu| Ok(()),
/// })?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Callbacks {
    /// Runs on each CPU that comes up.
    pub online: fn(CpuId) -> Result<(), ()>,
    /// Runs on each CPU that is about to leave.
    pub offline: fn(CpuId),
    /// Runs on each CPU that is asked to leave, and may say why it does not, yet.
    pub asked: Asked,
}

#[derive(Clone, Copy)]
struct Pair {
    online: fn(CpuId) -> Result<(), ()>,
    offline: fn(CpuId),
}

struct List {
    pairs: [Option<Pair>; CAPACITY],
}

static LIST: SpinLock<List> = SpinLock::new(List { pairs: [None; CAPACITY] });

/// Those of the pair with the same number that are asked. Apart, so that an image that has none does without them.
static ASKED: SpinLock<[Option<Asked>; CAPACITY]> = SpinLock::new([None; CAPACITY]);
/// Whether there are any. Relaxed: what there is to be called is found with the lock held.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

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
///
/// # Examples
///
/// ```no_run
/// use reveille::{hotplug, println};
///
/// # fn example() -> Result<(), reveille::hotplug::RegisterError> {
/// // On the CPU itself, before it is online and after it has left.
/// hotplug::register(
///     |cpu| {
///         println!("cpu {cpu} comes");
///         Ok(())
///     },
///     |cpu| println!("cpu {cpu} goes"),
/// )?;
/// # Ok(()) }
/// ```
pub fn register(online: fn(CpuId) -> Result<(), ()>, offline: fn(CpuId)) -> Result<(), RegisterError> {
    add(Pair { online, offline }, |_| ())
}

/// As [`register`], with one callback more: `asked` runs on a CPU as soon as somebody asks it to leave, whatever its thread does, in
/// interrupt context, or in a masked section of its own if it asks itself ([`cpu_down`](crate::hotplug::cpu_down) of the calling CPU).
/// So that is where a scheduler begins to send its threads elsewhere, and ceases to set its tick anew.
///
/// It may say `Err` with a reason: not yet. The CPU stays for now, is not held up, and whoever asked asks again, every millisecond until
/// its deadline, which the reason then goes back to it with: [`Hold::Application`](crate::hotplug::Hold::Application). A CPU that asks itself is told
/// at once. All `asked` callbacks are called each time, in the order of registration; the first reason counts.
///
/// `Ok` is no promise that the CPU leaves: it may be kept by something else until the deadline is over, and then nobody is told but
/// whoever asked. Nor does it bind the application: what is not to be left alone between `asked` and `offline`
/// is [`pin`](crate::hotplug::pin)ned. A CPU whose frames may not be given up is not asked.
///
/// The callback is given the CPU, and may do what a posted closure may. One that does not come back keeps the CPU until the deadline:
/// [`Hold::Callback`](crate::hotplug::Hold::Callback).
///
/// # Errors
///
/// As [`register`].
///
/// # Examples
///
/// ```no_run
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use reveille::hotplug::{self, Callbacks};
///
/// # fn example() -> Result<(), reveille::hotplug::RegisterError> {
/// static BUSY: AtomicBool = AtomicBool::new(false);
///
/// hotplug::register_callbacks(Callbacks {
///     online: |_| Ok(()),
///     offline: |_| {},
///     asked: |_| if BUSY.load(Ordering::Relaxed) { Err("a transfer is under way") } else { Ok(()) },
/// })?;
/// # Ok(()) }
/// ```
pub fn register_callbacks(callbacks: Callbacks) -> Result<(), RegisterError> {
    let Callbacks { online, offline, asked } = callbacks;
    add(Pair { online, offline }, |index| {
        ASKED.lock()[index] = Some(asked);
        IS_ASKED.store(true, Ordering::Relaxed);
    })
}

/// `added` is told its number.
fn add(pair: Pair, added: impl FnOnce(usize)) -> Result<(), RegisterError> {
    if masking::in_nmi() {
        return Err(RegisterError::Nmi);
    }
    let mut list = LIST.lock();
    let (index, free) =
        list.pairs.iter_mut().enumerate().find(|(_, pair)| pair.is_none()).ok_or(RegisterError::Full)?;
    *free = Some(pair);
    added(index);
    list.end();
    Ok(())
}

fn pair(index: usize) -> Option<Pair> {
    // Copied out: nothing is locked while a callback runs.
    let list = LIST.lock();
    let pair = list.pairs.get(index).copied().flatten();
    list.end();
    pair
}

/// Whether anybody wants to know when a CPU is asked to leave.
pub(super) fn wants_to_be_asked() -> bool {
    IS_ASKED.load(Ordering::Relaxed)
}

/// Asks the application on this CPU whether that may leave: the first reason why not. With interrupts masked.
pub(super) fn asked_all(cpu: CpuId) -> Result<(), &'static str> {
    let mut answer = Ok(());
    for index in 0..CAPACITY {
        // Copied out, as in `pair`.
        let asked = ASKED.lock()[index];
        if let Some(asked) = asked {
            // Each is asked, whatever the others say.
            let own = asked(cpu);
            answer = answer.and(own);
        }
    }
    answer
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
