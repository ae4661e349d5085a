//! Static keys: conditions that cost one instruction, and are changed by patching it.

use super::text::{self, NOP, Window};
use super::{PatchError, SiteFault};
use crate::cpu::lifecycle::{self, Lifecycle};
use crate::cpu::{CpuId, area};
use crate::stop::{StopError, stop_machine_locked};
use crate::time::Deadline;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_protocol::Survey;

/// Time to gather all CPUs for a patch.
const GATHER: Duration = Duration::from_secs(10);

/// What a `static_key!` is behind its name.
#[doc(hidden)]
#[derive(Debug)]
pub struct Key {
    name: &'static str,
    enabled: AtomicBool,
}

/// One site of a key, as the section `.static_keys` lists it: distances from each field to what it means.
#[doc(hidden)]
#[repr(C)]
pub struct SiteEntry {
    site: i32,
    target: i32,
    key: i64,
}

impl SiteEntry {
    fn site(&self) -> u64 {
        (&raw const self.site as u64).wrapping_add_signed(i64::from(self.site))
    }

    fn target(&self) -> u64 {
        (&raw const self.target as u64).wrapping_add_signed(i64::from(self.target))
    }

    fn is_of(&self, key: &Key) -> bool {
        (&raw const self.key as u64).wrapping_add_signed(self.key) == core::ptr::from_ref(key) as u64
    }

    fn key(&self) -> &'static Key {
        let key = (&raw const self.key as u64).wrapping_add_signed(self.key);
        // SAFETY: the assembly of `static_key!` wrote the distance to a static `Key`.
        unsafe { &*(key as *const Key) }
    }

    /// The instruction for this state.
    fn instruction(&self, enabled: bool) -> Result<u32, PatchError> {
        if !enabled {
            return Ok(NOP);
        }
        let at = self.site();
        text::branch(at, self.target()).ok_or(PatchError::Site { at, fault: SiteFault::OutOfRange })
    }

    /// Checks everything that can be wrong with bringing the site to `enabled`.
    fn check(&self, enabled: bool) -> Result<(), PatchError> {
        let at = self.site();
        text::check_place(at)?;
        self.instruction(enabled)?;
        let expected = self.instruction(!enabled)?;
        let found = text::read(at);
        if found != expected {
            return Err(PatchError::Site { at, fault: SiteFault::Unexpected { found, expected } });
        }
        Ok(())
    }
}

fn entries() -> &'static [SiteEntry] {
    unsafe extern "C" {
        static __static_keys_start: SiteEntry;
        static __static_keys_end: SiteEntry;
    }
    let (start, end) = (&raw const __static_keys_start, &raw const __static_keys_end);
    // SAFETY: the linker script puts all entries, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

/// A place in the code that a key decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address of its instruction.
    pub address: u64,
    /// The name of its key.
    pub key: &'static str,
    /// The instruction that stands there.
    pub instruction: u32,
    /// Whether the key is enabled.
    pub enabled: bool,
}

/// Every site of the image as it stands.
pub fn sites() -> impl Iterator<Item = Site> {
    entries().iter().map(|entry| Site {
        address: entry.site(),
        key: entry.key().name,
        instruction: text::read(entry.site()),
        enabled: entry.key().is_enabled(),
    })
}

/// A key that a [`Batch`] can change: made by [`static_key!`](crate::static_key) alone.
pub trait KeyState {
    /// What is behind the name.
    #[doc(hidden)]
    fn key(&self) -> &'static Key;
}

impl Key {
    /// For `static_key!` alone.
    #[doc(hidden)]
    pub const fn new(name: &'static str, enabled: bool) -> Self {
        Self { name, enabled: AtomicBool::new(enabled) }
    }

    /// What the key was last set to. Code asks the site instead.
    pub fn is_enabled(&self) -> bool {
        // Relaxed: changed while all CPUs are gathered.
        self.enabled.load(Ordering::Relaxed)
    }

    /// Sets the key; see [`Batch::apply`].
    pub fn set(&'static self, enabled: bool) -> Result<usize, PatchError> {
        let mut batch = Batch::new();
        batch.changes[0] = Some((self, enabled));
        batch.len = 1;
        batch.apply()
    }
}

/// Several keys changed in one gathering: no CPU sees some of them changed and others not.
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
    pub const fn new() -> Self {
        Self { changes: [None; Self::CAPACITY], len: 0 }
    }

    /// Enables `key` too.
    ///
    /// # Panics
    ///
    /// If the batch holds [`Batch::CAPACITY`] changes.
    pub fn enable(self, key: &impl KeyState) -> Self {
        self.with(key.key(), true)
    }

    /// Disables `key` too.
    ///
    /// # Panics
    ///
    /// If the batch holds [`Batch::CAPACITY`] changes.
    pub fn disable(self, key: &impl KeyState) -> Self {
        self.with(key.key(), false)
    }

    fn with(mut self, key: &'static Key, enabled: bool) -> Self {
        // The last word on a key counts.
        let changes = self.changes[..self.len].iter_mut();
        let same = changes.flatten().find(|(other, _)| core::ptr::eq(*other, key));
        if let Some(change) = same {
            change.1 = enabled;
            return self;
        }
        assert!(self.len < Self::CAPACITY, "more changes than a patch batch has room for");
        self.changes[self.len] = Some((key, enabled));
        self.len += 1;
        self
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
    /// When it returns, no CPU will take the old branch any more. Keys that have their value already are left alone.
    ///
    /// # Errors
    ///
    /// A [`PatchError`]; nothing has changed then. In a context where one cannot wait for others, as in
    /// [`stop_machine`](crate::stop_machine), it is [`StopError::WouldDeadlock`].
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
        stop_machine_locked(lock, deadline, || self.write())?
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
            entry.check(enabled)?;
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
                window.write(at, entry.instruction(enabled)?);
            }
        }
        #[cfg(feature = "fault-injection")]
        crate::fault::patching();
        drop(window);
        self.note();
        Ok(sites)
    }

    fn note(&self) {
        for (key, enabled) in self.changes() {
            key.enabled.store(enabled, Ordering::Relaxed);
        }
    }
}

/// Defines a condition that costs one instruction where it is asked, and nothing else: no load, no compare.
///
/// ```ignore
/// reveille::static_key!(TRACING, false);
///
/// if TRACING.is_enabled() {
///     trace();
/// }
/// TRACING.enable()?;
/// ```
///
/// `is_enabled()` compiles to a NOP while the key is off and to a branch while it is on. `enable()` and `disable()`
/// gather all CPUs, patch every site, and say how many there were; see
/// [`Batch::apply`](crate::patch::Batch::apply). Several keys can be changed in one gathering by a
/// [`Batch`].
#[macro_export]
macro_rules! static_key {
    ($(#[$attribute:meta])* $visibility:vis $name:ident, $default:tt) => {
        $(#[$attribute])*
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "a key is named like the static that it stands for")]
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;
        const _: () = {
            static KEY: $crate::patch::Key = $crate::patch::Key::new(::core::stringify!($name), $default);

            impl $crate::patch::KeyState for $name {
                fn key(&self) -> &'static $crate::patch::Key {
                    &KEY
                }
            }

            #[allow(dead_code, reason = "not every key is used in every way")]
            impl $name {
                /// Whether the key is on: one NOP, or one branch.
                #[inline(always)]
                pub fn is_enabled(self) -> bool {
                    // SAFETY: the instruction falls through or goes to the label, both of which Rust knows, and the runtime
                    // patches it from one to the other only while no CPU can be executing it. The section gets one entry,
                    // as `SiteEntry` has it, of the `Key` above, which begins as the site does.
                    unsafe { $crate::static_key!(@site $default, KEY) }
                }

                /// Turns the key on, everywhere and for every CPU at once. Says how many sites were patched.
                ///
                /// # Errors
                ///
                /// A [`PatchError`]($crate::patch::PatchError); nothing has changed then.
                pub fn enable(self) -> ::core::result::Result<usize, $crate::patch::PatchError> {
                    KEY.set(true)
                }

                /// Turns the key off. As `enable`.
                ///
                /// # Errors
                ///
                /// A [`PatchError`]($crate::patch::PatchError); nothing has changed then.
                pub fn disable(self) -> ::core::result::Result<usize, $crate::patch::PatchError> {
                    KEY.set(false)
                }
            }
        };
    };
    (@site false, $key:ident) => { $crate::static_key!(@asm "nop", $key) };
    (@site true, $key:ident) => { $crate::static_key!(@asm "b {target}", $key) };
    // Not `unsafe` here: whoever names these rules has to say so. Not `pure`, so that each use is a site of its own.
    (@asm $initial:literal, $key:ident) => {{
        ::core::arch::asm!(
            ::core::concat!("2: ", $initial),
            ".pushsection .static_keys, \"a\"",
            ".balign 8",
            ".long 2b - .",
            ".long {target} - .",
            ".quad {key} - .",
            ".popsection",
            key = sym $key,
            target = label { return true },
            options(nomem, nostack, preserves_flags)
        );
        false
    }};
}
