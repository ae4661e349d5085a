//! Changing static keys.

use super::text::{self, NOP, Window};
use super::{PatchError, SiteFault};
use crate::clock::Deadline;
use crate::key::{Key, KeyState, SiteEntry, entries};
use crate::lifecycle::{self, Lifecycle};
use crate::note::note;
use crate::percpu::{CpuId, area};
use crate::stop::{StopError, stop_machine_locked};
use crate::{memory, nmi};
use core::time::Duration;
use reveille_protocol::Survey;

/// Time to gather all CPUs for a patch.
const GATHER: Duration = Duration::from_secs(10);

/// A place in the code that a key decides about.
///
/// ```no_run
/// use reveille::{patch, println};
///
/// # fn example() {
/// for site in patch::sites() {
///     println!("{site:?}");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address of its instruction.
    pub address: u64,
    /// The name of its key.
    pub key: &'static str,
    /// The instruction that stands there; 0, which is none, if that is no place in the text, where nothing is patched.
    pub instruction: u32,
    /// Whether the key is enabled.
    pub enabled: bool,
}

/// Every site of the image as it stands.
///
/// ```no_run
/// use reveille::{patch, println};
///
/// # fn example() {
/// println!("{} places of the code can be patched", patch::sites().count());
/// # }
/// ```
pub fn sites() -> impl Iterator<Item = Site> {
    entries().iter().map(|entry| Site {
        address: entry.site(),
        key: entry.key().name,
        instruction: memory::instruction(entry.site()).unwrap_or(0),
        enabled: entry.key().is_enabled(),
    })
}

/// The instruction of `entry` for this state.
fn instruction(entry: &SiteEntry, enabled: bool) -> Result<u32, PatchError> {
    if !enabled {
        return Ok(NOP);
    }
    let at = entry.site();
    text::branch(at, entry.target()).ok_or(PatchError::Site { at, fault: SiteFault::OutOfRange })
}

/// Checks everything that can be wrong with bringing the site of `entry` to `enabled`.
fn check(entry: &SiteEntry, enabled: bool) -> Result<(), PatchError> {
    let at = entry.site();
    text::check_place(at)?;
    instruction(entry, enabled)?;
    let expected = instruction(entry, !enabled)?;
    let found = memory::instruction(at).ok_or(PatchError::Site { at, fault: SiteFault::NotText })?;
    if found != expected {
        return Err(PatchError::Site { at, fault: SiteFault::Unexpected { found, expected } });
    }
    Ok(())
}

/// Several keys changed in one gathering: no CPU sees some of them changed and others not.
///
/// ```no_run
/// use reveille::patch::Batch;
///
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// reveille::static_key!(READING, true);
/// reveille::static_key!(WRITING, false);
///
/// // Both or none, in one gathering of all CPUs.
/// let sites = Batch::new().disable(&READING).enable(&WRITING).apply()?;
/// # Ok(()) }
/// ```
pub struct Batch {
    changes: [Option<(&'static Key, bool)>; Self::CAPACITY],
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// The most changes of one batch.
    pub const CAPACITY: usize = 32;

    /// No change.
    ///
    /// ```no_run
    /// use reveille::patch::Batch;
    ///
    /// # fn example() -> Result<(), reveille::patch::PatchError> {
    /// let nothing = Batch::new().apply()?;
    /// # Ok(()) }
    /// ```
    pub const fn new() -> Self {
        Self { changes: [None; Self::CAPACITY], len: 0 }
    }

    /// Enables `key` too.
    ///
    /// # Panics
    ///
    /// If the batch holds [`Batch::CAPACITY`] changes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::patch::Batch;
    ///
    /// # fn example() -> Result<(), reveille::patch::PatchError> {
    /// reveille::static_key!(TRACING, false);
    ///
    /// Batch::new().enable(&TRACING).apply()?;
    /// # Ok(()) }
    /// ```
    pub fn enable(self, key: &impl KeyState) -> Self {
        self.with(key.key(), true)
    }

    /// Disables `key` too.
    ///
    /// # Panics
    ///
    /// If the batch holds [`Batch::CAPACITY`] changes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::patch::Batch;
    ///
    /// # fn example() -> Result<(), reveille::patch::PatchError> {
    /// reveille::static_key!(TRACING, true);
    ///
    /// Batch::new().disable(&TRACING).apply()?;
    /// # Ok(()) }
    /// ```
    pub fn disable(self, key: &impl KeyState) -> Self {
        self.with(key.key(), false)
    }

    fn with(mut self, key: &'static Key, enabled: bool) -> Self {
        self.add(key, enabled);
        self
    }

    fn add(&mut self, key: &'static Key, enabled: bool) {
        // The last word on a key counts.
        let changes = self.changes[..self.len].iter_mut();
        let same = changes.flatten().find(|(other, _)| core::ptr::eq(*other, key));
        if let Some(change) = same {
            change.1 = enabled;
            return;
        }
        assert!(self.len < Self::CAPACITY, "more changes than a patch batch has room for");
        self.changes[self.len] = Some((key, enabled));
        self.len += 1;
    }

    #[inline(always)]
    fn changes(&self) -> impl Iterator<Item = (&'static Key, bool)> + '_ {
        self.changes[..self.len].iter().flatten().copied()
    }

    /// The sites that have to change, and to what.
    #[inline(always)]
    fn pending(&self) -> impl Iterator<Item = (&'static SiteEntry, bool)> + '_ {
        let changes = self.changes().filter(|(key, enabled)| key.is_enabled() != *enabled);
        changes.flat_map(|(key, enabled)| {
            entries().iter().filter(|entry| entry.is_of(key)).map(move |entry| (entry, enabled))
        })
    }

    /// Makes all changes, and says how many sites were patched. From thread context, interrupts open.
    ///
    /// When it returns, no CPU will take the old branch any more, nor is it in what an NMI-level function did there. Keys that have their value already are left alone.
    ///
    /// # Errors
    ///
    /// A [`PatchError`]; nothing has changed then. In a context where one cannot wait for others, as in
    /// [`stop_machine`](crate::stop_machine), it is [`StopError::WouldDeadlock`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(batch: &reveille::patch::Batch) {
    /// match batch.apply() {
    ///     Ok(sites) => println!("{sites} places are patched"),
    ///     // No key has changed.
    ///     Err(error) => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn apply(&self) -> Result<usize, PatchError> {
        let deadline = Deadline::after(GATHER);
        let lock = Lifecycle::lock(deadline).map_err(StopError::from)?;
        self.apply_locked(&lock, deadline)
    }

    /// The same for who has the lock already.
    pub(crate) fn apply_locked(&self, lock: &Lifecycle, deadline: Deadline) -> Result<usize, PatchError> {
        if self.pending().next().is_none() {
            self.note();
            return Ok(0);
        }
        let sites = stop_machine_locked(lock, deadline, || self.write())??;
        // Those at NMI level were not gathered: they came in between.
        nmi::await_begun(GATHER);
        note!(KEYS, sites as u64);
        Ok(sites)
    }

    /// Checks, then writes. All other CPUs are gathered.
    #[unsafe(link_section = ".never_patch")]
    #[inline(never)]
    fn write(&self) -> Result<usize, PatchError> {
        if let Survey::Busy(cpu) = Survey::of(area::areas().iter().map(lifecycle::slot_of)) {
            return Err(PatchError::Busy(CpuId::from_index(cpu)));
        }
        let mut sites = 0;
        for (entry, enabled) in self.pending() {
            check(entry, enabled)?;
            sites += 1;
        }
        let mut window: Option<Window> = None;
        for (entry, enabled) in self.pending() {
            let at = entry.site();
            if !window.as_ref().is_some_and(|window| window.covers(at)) {
                // One at a time: they are all at the same address.
                drop(window.take());
                // It does not fail: the tables that lead there are made at boot, and whatever is mapped they stay its own.
                window = Some(Window::open(at)?);
            }
            if let Some(window) = &window {
                window.write(at, instruction(entry, enabled)?);
            }
        }
        #[cfg(feature = "fault-injection")]
        super::fault::patching();
        drop(window);
        self.note();
        Ok(sites)
    }

    fn note(&self) {
        for (key, enabled) in self.changes() {
            key.note(enabled);
        }
    }
}

/// Sets one key, as a [`Batch`] of it alone, which is not moved about. For [`static_key!`](crate::static_key).
///
/// # Errors
///
/// See [`Batch::apply`].
///
/// # Examples
///
/// ```no_run
/// use reveille::patch;
///
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// reveille::static_key!(TRACING, false);
///
/// patch::set(&TRACING, true)?;
/// assert!(TRACING.is_enabled());
/// # Ok(()) }
/// ```
#[doc(hidden)]
pub fn set(key: &impl KeyState, enabled: bool) -> Result<usize, PatchError> {
    let mut batch = Batch::new();
    batch.add(key.key(), enabled);
    batch.apply()
}

/// Defines a condition that costs one instruction where it is asked, and nothing else: no load, no compare.
///
/// ```no_run
/// reveille::static_key!(TRACING, false);
///
/// # fn example(trace: fn()) -> Result<(), reveille::patch::PatchError> {
/// if TRACING.is_enabled() {
///     trace();
/// }
/// TRACING.enable()?;
/// # Ok(()) }
/// ```
///
/// `is_enabled()` compiles to a NOP while the key is off and to a branch while it is on. `enable()` and `disable()`
/// gather all CPUs, patch every site, and say how many there were; see
/// [`Batch::apply`](crate::patch::Batch::apply). Several keys can be changed in one gathering by a
/// [`Batch`].
#[macro_export]
macro_rules! static_key {
    ($(#[$attribute:meta])* $visibility:vis $name:ident, $default:tt) => {
        $crate::__static_key! { $(#[$attribute])* $visibility $name, $default }

        #[allow(dead_code, reason = "not every key is used in every way")]
        impl $name {
            /// Turns the key on, everywhere and for every CPU at once. Says how many sites were patched.
            ///
            /// # Errors
            ///
            /// A [`PatchError`]($crate::patch::PatchError); nothing has changed then.
            pub fn enable(self) -> ::core::result::Result<usize, $crate::patch::PatchError> {
                $crate::patch::set(&self, true)
            }

            /// Turns the key off. As `enable`.
            ///
            /// # Errors
            ///
            /// A [`PatchError`]($crate::patch::PatchError); nothing has changed then.
            pub fn disable(self) -> ::core::result::Result<usize, $crate::patch::PatchError> {
                $crate::patch::set(&self, false)
            }
        }
    };
}
