//! The slots of a CPU's trace in memory: by the instructions that move two words at once.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{TraceMemory, TraceRing, TraceWords};

use super::{Hw, HwWord};

/// Slots of a ring: 1 << this.
pub(crate) const LOG: u32 = 10;
/// Bytes of a ring's slots. They lie at a multiple of that.
pub(crate) const RING_SIZE: usize = size_of::<TraceWords>() << LOG;

/// The ring of a real CPU.
pub(crate) type HwRing = TraceRing<Hw, RingMemory, LOG>;

/// One whose CPU has no slots yet: what is noted is dropped.
pub(crate) const fn closed() -> HwRing {
    let memory = RingMemory { limit: AtomicU64::new(HwRing::CLOSED), slots: AtomicU64::new(0) };
    HwRing::from_parts(HwWord::with(HwRing::CLOSED), memory, HwWord::with(HwRing::CLOSED))
}

/// The limit of a ring, and where its slots are. The two are read by one instruction.
#[repr(C, align(8))]
pub(crate) struct RingMemory {
    limit: AtomicU64,
    /// Where the slots are. Before the ring is opened for the first time, and never again.
    slots: AtomicU64,
}

impl RingMemory {
    /// The slots are here from now on.
    ///
    /// # Safety
    ///
    /// [`RING_SIZE`] bytes of memory that is mapped and nobody else's, at a multiple of that.
    pub(crate) unsafe fn set_slots(&mut self, slots: u64) {
        *self.slots.get_mut() = slots;
    }

    /// Where the slots are; 0: nowhere yet.
    pub(crate) fn slots(&self) -> u64 {
        self.slots.load(Ordering::Relaxed)
    }
}

/// The address of the slot with this number: of the number's bits those that tell the slot, where an address has them.
#[inline(always)]
fn slot(slots: u64, number: u64) -> u64 {
    const MASK: u64 = RING_SIZE as u64 - 1;
    const SHIFT: u32 = 32 - LOG - size_of::<TraceWords>().trailing_zeros();
    // Below the slot a number has zeros.
    slots & !MASK | number >> SHIFT & MASK
}

impl TraceMemory for RingMemory {
    type Slots = u64;

    #[inline(always)]
    fn find(&self) -> (u64, u64) {
        let (limit, slots);
        // What lies before this is the head, whose address the writer has in a register.
        let head = core::ptr::from_ref(self).cast::<u64>().wrapping_sub(1);
        // SAFETY: reads the two words of this, each by one access (Arm ARM B2.2.1).
        unsafe {
            asm!("ldp {limit}, {slots}, [{head}, #8]", head = in(reg) head, limit = out(reg) limit, slots = out(reg) slots,
                options(nostack, preserves_flags, readonly));
        }
        (limit, slots)
    }

    fn set_limit(&self, limit: u64) {
        // Without slots nothing is let in.
        if self.slots() != 0 {
            self.limit.store(limit, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn put(slots: u64, number: u64, [a, b, c, d]: TraceWords) {
        // SAFETY: the limit has let the number in, so there are slots, and this is one of them: `set_slots`. Each word is one access.
        unsafe {
            asm!("stp {a}, {b}, [{at}]", "stp {c}, {d}, [{at}, #16]", at = in(reg) slot(slots, number),
                a = in(reg) a, b = in(reg) b, c = in(reg) c, d = in(reg) d, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    fn get(slots: u64, number: u64) -> TraceWords {
        let at = slot(slots, number) as *const [AtomicU64; 4];
        // SAFETY: as above: whoever asks has seen that there are slots. Others may write meanwhile, so it is atomics that are read.
        unsafe { &*at }.each_ref().map(|word| word.load(Ordering::Relaxed))
    }
}
