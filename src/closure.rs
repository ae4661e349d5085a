//! A closure stored in place: what takes one never allocates.

use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, align_of, offset_of, size_of};

/// Alignment of the storage, bytes.
const ALIGN: usize = 16;

/// Takes the closure out of its storage and runs it, or with `false` only drops it.
type Consume = unsafe fn(*mut (), bool);

/// Room for one `FnOnce` of at most `N` bytes.
///
/// It does not know whether it is full: its owner's protocol does. All zeros is an empty cell.
#[repr(C, align(16))]
pub(crate) struct ClosureCell<const N: usize> {
    // First, so that it is aligned like the cell.
    storage: UnsafeCell<MaybeUninit<[u8; N]>>,
    call: UnsafeCell<Option<Consume>>,
}

// SAFETY: all methods are unsafe and ask for exclusive access, which the owner's protocol hands out.
unsafe impl<const N: usize> Sync for ClosureCell<N> {}

impl<const N: usize> ClosureCell<N> {
    /// An empty cell.
    pub(crate) const fn new() -> Self {
        Self { storage: UnsafeCell::new(MaybeUninit::uninit()), call: UnsafeCell::new(None) }
    }

    /// Puts `f` in.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access, and the cell is empty (else the old closure is leaked).
    pub(crate) unsafe fn put<F: FnOnce() + Send>(&self, f: F) {
        const {
            assert!(offset_of!(Self, storage).is_multiple_of(ALIGN) && align_of::<Self>() == ALIGN);
            assert!(
                size_of::<F>() <= N && align_of::<F>() <= ALIGN,
                "the closure captures too much: it is stored in place, with room for POST_BYTES, LAUNCH_BYTES or TIMER_BYTES; \
                 capture a reference to a static instead"
            );
        }
        unsafe fn consume<F: FnOnce()>(storage: *mut (), run: bool) {
            // SAFETY: `storage` holds an `F` put there by `put`, read once; the caller never uses it again.
            let f = unsafe { storage.cast::<F>().read() };
            if run {
                f();
            }
        }
        // SAFETY: exclusive (the caller's), large and aligned enough (asserted above).
        unsafe {
            self.storage.get().cast::<F>().write(f);
            *self.call.get() = Some(consume::<F>);
        }
    }

    /// Moves the closure of `self` into `other`.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access to both, and `other` is empty.
    pub(crate) unsafe fn move_to(&self, other: &Self) {
        // SAFETY: exclusive; a bitwise copy is a move, and `call` of the source is taken so it cannot run twice.
        unsafe {
            core::ptr::copy_nonoverlapping(self.storage.get(), other.storage.get(), 1);
            *other.call.get() = (*self.call.get()).take();
        }
    }

    /// Takes the closure out again.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access, and the cell holds an `F`.
    pub(crate) unsafe fn take<F>(&self) -> F {
        // SAFETY: the caller's; `call` is cleared, so it is not consumed again.
        unsafe {
            *self.call.get() = None;
            self.storage.get().cast::<F>().read()
        }
    }

    /// Address of the code that consumes the closure; 0 on an empty cell. For reports.
    pub(crate) fn function(&self) -> u64 {
        // SAFETY: only the owner of the cell asks.
        unsafe { (*self.call.get()).map_or(0, |call| call as usize as u64) }
    }

    /// Runs the closure and leaves the cell empty; does nothing on an empty one.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access until the closure returns.
    pub(crate) unsafe fn run(&self) {
        // SAFETY: the caller's.
        unsafe { self.consume(true) }
    }

    /// Drops the closure without running it.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access.
    pub(crate) unsafe fn discard(&self) {
        // SAFETY: the caller's.
        unsafe { self.consume(false) }
    }

    unsafe fn consume(&self, run: bool) {
        // SAFETY: exclusive (the callers'); `call` was set with the closure it fits, and is taken so that the
        // closure is consumed once.
        unsafe {
            if let Some(call) = (*self.call.get()).take() {
                call(self.storage.get().cast(), run);
            }
        }
    }
}
