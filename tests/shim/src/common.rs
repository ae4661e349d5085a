//! What the shim at EL2 and the stage at EL3 have in common: words that CPUs share, CPUs by their affinity, calls of PSCI, the program of
//! what is to be left behind, and the way up, of which common.s is the other half.

use core::sync::atomic::{AtomicU64, Ordering};

/// Where the image is expected, as a flat image.
pub(crate) const IMAGE: u64 = 0x4020_0000;
/// As many CPUs as `virt` has with a GICv3.
pub(crate) const MAX_CPUS: usize = 512;

/// SPSR of a CPU that is entered, with DAIF masked.
pub(crate) const EL1H: u64 = 0x3c5;
pub(crate) const EL2H: u64 = 0x3c9;

pub(crate) const OK: u64 = 0;
/// NOT_SUPPORTED, INVALID_PARAMETERS, ALREADY_ON (Arm DEN 0022, 5.2.2).
pub(crate) const NOT_SUPPORTED: u64 = -1_i64 as u64;
pub(crate) const NOT_THERE: u64 = -2_i64 as u64;
pub(crate) const ALREADY_ON: u64 = -4_i64 as u64;

pub(crate) const CPU_OFF: u64 = 0x8400_0002;
pub(crate) const CPU_ON_32: u64 = 0x8400_0003;
pub(crate) const CPU_ON_64: u64 = 0xc400_0003;

/// x0 to x30 of whoever was interrupted, as the vector saves them.
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) x: [u64; 31],
}
const _: () = assert!(size_of::<Frame>() == 248);

unsafe extern "C" {
    fn firmware_stop() -> !;
}

/// The end.
pub(crate) fn stop() -> ! {
    // SAFETY: ends QEMU, or stays there.
    unsafe { firmware_stop() }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    stop()
}

/// What is left behind in registers before the image is entered: what the host has put into memory, see scripts/lib/boot_states.py.
/// [`LEAVINGS`], whether the image is entered at EL2 (2) or EL1 (1), and at 16 bytes from there a function that gets the number of
/// the CPU. For the stage, which calls that at EL3: where from here that begins which it enters at EL2, if anything, to go on to the
/// image.
#[repr(C)]
pub(crate) struct Leavings {
    magic: u32,
    pub(crate) level: u32,
    pub(crate) lower: u32,
    unused: u32,
}
const LEAVINGS: u32 = u32::from_le_bytes(*b"LEAV");

impl Leavings {
    /// Those there, if they are any.
    ///
    /// # Safety
    ///
    /// Memory that can be read, and that nobody writes while the guest runs.
    pub(crate) unsafe fn at(address: u64) -> Option<&'static Self> {
        // SAFETY: the caller's.
        let found = unsafe { &*(address as *const Self) };
        (found.magic == LEAVINGS).then_some(found)
    }

    /// Leaves on this CPU what is to be left.
    pub(crate) fn leave(&self, index: u64) {
        let code = (core::ptr::from_ref(self) as usize + size_of::<Self>()) as *const ();
        // SAFETY: a function of this type, says the magic number: it changes registers that are the image's to set up, or to live
        // with, and none that AAPCS64 keeps.
        unsafe { core::mem::transmute::<*const (), extern "C" fn(u64)>(code)(index) };
    }
}

/// A word that another CPU writes. Acquire, with [`set`]: what is written first is seen first.
pub(crate) fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

pub(crate) fn set(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Release);
}

pub(crate) fn wfe() {
    // SAFETY: only waits, and in QEMU not even that: other CPUs get their turn.
    unsafe { core::arch::asm!("wfe", options(nomem, nostack, preserves_flags)) };
}

/// The number of the CPU with this affinity, as `virt` counts them: Aff0 0 to 15, then Aff1.
pub(crate) fn index(affinity: u64) -> Option<usize> {
    let (aff0, aff1) = (affinity & 0xff, affinity >> 8 & 0xff);
    let found = (aff1 << 4 | aff0) as usize;
    (affinity >> 16 == 0 && aff0 <= 0xf && found < MAX_CPUS).then_some(found)
}

/// The number of this CPU.
pub(crate) fn own_index() -> usize {
    let affinity: u64;
    // SAFETY: reads the affinity.
    unsafe {
        core::arch::asm!("mrs {}, mpidr_el1", out(reg) affinity, options(nomem, nostack, preserves_flags))
    };
    (affinity >> 4 & 0xff0 | affinity & 0xf) as usize
}
