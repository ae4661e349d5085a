//! Patches as the tests want them.

use super::PatchError;
use super::text::{self, Window};
use crate::hook::Hook;
use crate::{memory, stop};
use core::time::Duration;

/// Where text is mapped writable while it is patched, and nothing at any other time.
pub const PATCH_WINDOW: u64 = memory::WINDOW;

static WHILE_PATCHING: Hook<fn()> = Hook::none();

/// From now on `hook` is called in every patch, after the last store and while the text is still mapped writable: all CPUs
/// are gathered, interrupts are masked.
pub fn while_patching(hook: Option<fn()>) {
    WHILE_PATCHING.set(hook);
}

pub(super) fn patching() {
    if let Some(hook) = WHILE_PATCHING.get() {
        hook();
    }
}

/// Puts `instruction` at `at`, which lies in the text, as a patch would, and asks for no leave.
///
/// # Safety
///
/// No CPU runs what stands there until it is put right again.
///
/// # Errors
///
/// As for a patch.
pub unsafe fn spoil(at: u64, instruction: u32) -> Result<(), PatchError> {
    text::check_place(at)?;
    stop::stop_machine(Duration::from_secs(10), || {
        Window::open(at).map(|window| window.write(at, instruction))
    })?
}

/// Whether a site at `at` may be patched as far as its place goes.
///
/// # Errors
///
/// [`PatchError::Site`] if not.
pub fn patch_place(at: u64) -> Result<(), PatchError> {
    text::check_place(at)
}

/// The branch from `from` to `to`, if there is one.
pub fn patch_branch(from: u64, to: u64) -> Option<u32> {
    text::branch(from, to)
}
