//! Data cache maintenance by address, for what is shared with CPUs whose MMU is off.
//!
//! A CPU with the MMU off reads and writes memory, not caches (Arm ARM B2.7, D8.2.12). So a line it will
//! read is cleaned to the Point of Coherency after it was written, a line it wrote is invalidated before it
//! is read, and the two kinds never share a writeback granule.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The largest cache writeback granule there can be (`CTR_EL0.CWG`, 2 KiB).
pub(crate) const MAX_WRITEBACK_GRANULE: usize = 2048;

/// `CTR_EL0.DminLine` (Arm ARM D24.2.34): 4 bits, log2 of the words in the smallest data cache line.
const DMIN_LINE: u64 = 0xf << 16;
/// `CTR_EL0.IDC`: instructions need no clean of data caches to the Point of Unification.
pub(crate) const IDC: u64 = 1 << 28;
/// `CTR_EL0.DIC`: instructions need no invalidation of instruction caches.
pub(crate) const DIC: u64 = 1 << 29;

/// What holds on every CPU that has come so far, of the fields above, as CTR_EL0 has them: clusters differ. With [`SEEN`], once the
/// boot CPU has said what it has. Relaxed: a CPU says it before it is online, which orders it before what others do with it.
static COMMON: AtomicU64 = AtomicU64::new(0);
const SEEN: u64 = 1 << 63;

/// What both have: the smaller line, and what neither needs.
const fn meet(a: u64, b: u64) -> u64 {
    let line = if a & DMIN_LINE < b & DMIN_LINE { a & DMIN_LINE } else { b & DMIN_LINE };
    line | a & b & (IDC | DIC)
}

/// `CTR_EL0` as far as it is to be believed of a CPU with this `MIDR_EL1`: Neoverse-N1 r3p0 to r4p0 may fetch a changed instruction as it
/// was although DIC is set, unless the line is invalidated, which firmware traps and completes (erratum 1542419).
const fn believed(ctr: u64, midr: u64) -> u64 {
    const IMPLEMENTER_AND_PART: u64 = 0xff00_fff0;
    const NEOVERSE_N1: u64 = 0x4100_d0c0;
    let revision = midr >> 16 & 0xf0 | midr & 0xf;
    if midr & IMPLEMENTER_AND_PART == NEOVERSE_N1 && revision >= 0x30 && revision <= 0x40 {
        ctr & !DIC
    } else {
        ctr
    }
}
const _: () = {
    assert!(believed(DIC, 0x413f_d0c0) == 0 && believed(DIC | IDC, 0x414f_d0c0) == IDC);
    assert!(believed(DIC, 0x414f_d0c1) == DIC && believed(DIC, 0x412f_d0c0) == DIC);
    assert!(believed(DIC, 0x413f_d0d0) == DIC && believed(DIC, 0x483f_d0c0) == DIC);
};

/// This CPU's CTR_EL0, as far as it is to be believed.
pub(crate) fn own_type() -> u64 {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    believed(ctr, super::regs::midr())
}

/// From now on caches are looked after as a CPU with this CTR_EL0 needs it too. By every CPU before it comes online.
pub(crate) fn join(ctr: u64) {
    let _ = COMMON.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |common| {
        let all = SEEN | if common & SEEN == 0 { meet(ctr, ctr) } else { meet(common, ctr) };
        // What every CPU reads is not written for nothing.
        (all != common).then_some(all)
    });
}

/// The fields of CTR_EL0 that hold on all CPUs.
#[inline(always)]
pub(crate) fn common_type() -> u64 {
    let common = COMMON.load(Ordering::Relaxed);
    if common & SEEN == 0 { own_type() } else { common }
}

/// Smallest data cache line of any CPU, bytes.
fn line() -> usize {
    4 << ((common_type() & DMIN_LINE) >> 16)
}

/// Cleans and invalidates `[start, start + len)` to the Point of Coherency, completed by `dsb sy`.
///
/// Also right before reading what an MMU-off CPU wrote: such lines are never written through a cache, so
/// there is nothing to clean and the invalidation is what counts. `civac` and not `ivac` or `cvac` because
/// early Cortex-A53 parts need it (errata 826319, 827319, 824069, 819472), and because at EL1 a
/// hypervisor turns `ivac` into it anyway.
pub(crate) fn clean_invalidate(start: usize, len: usize) {
    let line = line();
    let end = start + len;
    let mut at = start & !(line - 1);
    // Orders the caller's stores before the maintenance: `dc` by address to Normal memory is ordered like a
    // load, not after other lines' stores.
    super::dsb_sy();
    while at < end {
        // SAFETY: cleaning and invalidating a line of mapped RAM changes no value any coherent CPU can see.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += line;
    }
    super::dsb_sy();
}

/// What was written to `[start, start + len)` is what is fetched as instructions, wherever else it is mapped (Arm ARM B2.7.4): by this CPU from here on,
/// by another once it has synchronised.
pub(crate) fn make_executable(start: usize, len: usize) {
    // Further than it must, as for patches: early Cortex-A53 parts want it so.
    clean_invalidate(start, len);
    // SAFETY: drops what instruction caches hold, on all CPUs.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    // Completes that on all CPUs, and then this one fetches anew.
    super::dsb_ish();
    super::isb();
}

/// As [`clean_invalidate`], for one value.
pub(crate) fn clean_invalidate_value<T>(value: &T) {
    clean_invalidate(core::ptr::from_ref(value) as usize, size_of::<T>());
}
