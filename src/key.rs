//! Static keys: conditions that cost one instruction where they are asked. What changes them is in `patch/`.

use core::sync::atomic::{AtomicBool, Ordering};

/// What a `static_key!` is behind its name.
#[doc(hidden)]
#[derive(Debug)]
pub struct Key {
    pub(crate) name: &'static str,
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
    pub(crate) fn site(&self) -> u64 {
        (&raw const self.site as u64).wrapping_add_signed(i64::from(self.site))
    }

    pub(crate) fn target(&self) -> u64 {
        (&raw const self.target as u64).wrapping_add_signed(i64::from(self.target))
    }

    pub(crate) fn is_of(&self, key: &Key) -> bool {
        (&raw const self.key as u64).wrapping_add_signed(self.key) == core::ptr::from_ref(key) as u64
    }

    pub(crate) fn key(&self) -> &'static Key {
        let key = (&raw const self.key as u64).wrapping_add_signed(self.key);
        // SAFETY: the assembly of `static_key!` wrote the distance to a static `Key`.
        unsafe { &*(key as *const Key) }
    }
}

/// All sites of the image.
pub(crate) fn entries() -> &'static [SiteEntry] {
    unsafe extern "C" {
        static __static_keys_start: SiteEntry;
        static __static_keys_end: SiteEntry;
    }
    let (start, end) = (&raw const __static_keys_start, &raw const __static_keys_end);
    // SAFETY: the linker script puts all entries, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

/// A key that a [`Batch`](crate::patch::Batch) can change: made by [`static_key!`](crate::static_key) alone.
///
/// ```no_run
/// use reveille::patch::{self, KeyState, PatchError};
///
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// reveille::static_key!(TRACING, false);
///
/// fn toggle(key: &impl KeyState, on: bool) -> Result<(), PatchError> {
///     patch::set(key, on).map(|_sites| ())
/// }
///
/// toggle(&TRACING, true)?;
/// # Ok(()) }
/// ```
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

    /// All sites are those of this value now, if there are any. Whoever has the lifecycle lock says so: while all other CPUs are gathered if
    /// sites were patched.
    pub(crate) fn note(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }
}

/// The part of [`static_key!`](crate::static_key) that asks: a key that only the runtime changes.
#[doc(hidden)]
#[macro_export]
macro_rules! __static_key {
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
                    unsafe { $crate::__static_key!(@site $default, KEY) }
                }
            }
        };
    };
    (@site false, $key:ident) => { $crate::__static_key!(@asm "nop", $key) };
    (@site true, $key:ident) => { $crate::__static_key!(@asm "b {target}", $key) };
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
