//! What the BCM2836 and BCM2837 (Raspberry Pi 2 and 3, Zero 2 W) have in place of a GIC: a controller of the cores, whose mailboxes are
//! SGIs here ("ARM Quad A7 core", QA7_rev3.4), and behind it that of the BCM2835 for peripherals ("BCM2835 ARM Peripherals", 7).
//!
//! It passes on levels and nothing more. There are no priorities: so masking is by `DAIF`, and while a handler runs the CPU takes nothing
//! at all, NMI-class or not. Nothing is latched, and so nothing is pending that is disabled, or active. All peripherals interrupt the same CPU.
//!
//! Numbers: SGIs are the bits of mailbox 0. See [`dt::Interrupt::id`](crate::dt::Interrupt::id) for the others.

use super::common::{self, GicError};
use super::number::NMI;
use crate::arch::{self, mmio, regs};
use crate::dt::Region;
use crate::memory;
use core::sync::atomic::{AtomicUsize, Ordering};

/// How many cores there are.
const CORES: u64 = 4;

// Registers of the local controller (QA7, 4): one that all cores have in common, or four, of which [`own`] finds one.

/// What drives the counter of the generic timers, and what it is divided by (3.1).
const CONTROL: usize = 0x00;
const PRESCALER: usize = 0x08;
/// The prescaler at which the counter counts its clock.
const ONE_TO_ONE: u32 = 0x8000_0000;
/// The core that peripherals interrupt, in bits 1:0 (4.4); bits 3:2: by FIQ.
const ROUTING: usize = 0x0c;
const ROUTING_IRQ: u32 = 3;
/// The cores that their performance monitors interrupt, a bit each, and those by FIQ from bit 4 on (4.5).
const MONITORS_SET: usize = 0x10;
const MONITORS_CLEAR: usize = 0x14;
/// The timers that interrupt a core, in the order of the source register, and those by FIQ from bit 4 on (4.6).
const TIMERS: usize = 0x40;
/// The mailboxes that interrupt a core, and those by FIQ from bit 4 on (4.7).
const MAILBOXES: usize = 0x50;
/// What interrupts a core (4.10).
const SOURCE: usize = 0x60;
/// Mailbox 0 of the first core: bits to set, and to read or clear (4.8). That of the next one is 16 bytes further.
const SET: usize = 0x80;
const CLEAR: usize = 0xc0;
/// Bytes in use.
const LOCAL_SIZE: u64 = 0x100;

/// Bits of the source register: the four timers, mailbox 0, peripherals, performance monitors.
const SOURCE_TIMERS: u32 = 0xf;
const SOURCE_MAILBOX: u32 = 1 << 4;
const SOURCE_PERIPHERALS: u32 = 1 << 8;
const MONITOR: u32 = 9;

// Registers of the controller for peripherals ("BCM2835 ARM Peripherals", 7.5). Those with three words have one for each bank, the GPU's two
// first, except that what is pending of the third, the ARM's eight, comes before the others.

const BANKS: usize = 3;
const PENDING: [usize; BANKS] = [0x04, 0x08, 0x00];
/// The one that comes as FIQ.
const FIQ: usize = 0x0c;
const ENABLE: usize = 0x10;
const DISABLE: usize = 0x1c;
const PERIPHERALS_SIZE: u64 = 0x28;
/// In the third bank; the bits above say in which of the others to look.
const ARMS: u32 = 0xff;

/// Marks what was acknowledged here: reserved in what a GICv2 gives out (IHI 0048B 4.4.4).
pub(super) const MARK: u32 = 1 << 31;
/// No interrupt, as a GIC has it.
const NONE: u32 = MARK | 1023;

/// Where the registers are; those for peripherals 0: there are none. Relaxed: set by the boot CPU before any other runs.
static LOCAL: AtomicUsize = AtomicUsize::new(0);
static PERIPHERALS: AtomicUsize = AtomicUsize::new(0);

fn read(at: usize) -> u32 {
    // SAFETY: a register of the local controller, whose place `init` has mapped for ever before anything gets here.
    unsafe { mmio::read(LOCAL.load(Ordering::Relaxed) + at) }
}

fn write(at: usize, value: u32) {
    // SAFETY: as above; what the value does to this machine's interrupts the callers answer for.
    unsafe { mmio::write(LOCAL.load(Ordering::Relaxed) + at, value) }
}

/// The calling core, 0 to 3, as its registers count.
fn own() -> usize {
    (regs::affinity() % CORES) as usize
}

/// Whether this machine has one, and [`init`] has found it.
pub(super) fn is_there() -> bool {
    LOCAL.load(Ordering::Relaxed) != 0
}

fn peripherals() -> Option<usize> {
    Some(PERIPHERALS.load(Ordering::Relaxed)).filter(|base| *base != 0)
}

/// What is enabled and pending of a bank of peripherals. On its own "pending" is said to show what is enabled alone; but the GPU uses the
/// same lines.
fn pending(base: usize, bank: usize) -> u32 {
    // SAFETY: registers of the controller for peripherals, which `init` has mapped for ever.
    let (pending, enabled): (u32, u32) =
        unsafe { (mmio::read(base + PENDING[bank]), mmio::read(base + ENABLE + 4 * bank)) };
    pending & enabled & if bank == 2 { ARMS } else { u32::MAX }
}

/// Finds and sets up what the cores share. By the boot CPU, once.
#[inline(never)]
pub(super) fn init(local: Region, others: Option<Region>) -> Result<(), GicError> {
    memory::map_device(local.base, LOCAL_SIZE).map_err(GicError::Map)?;
    LOCAL.store(local.base as usize, Ordering::Relaxed);
    // The counter counts what CNTFRQ_EL0 says, 19.2 MHz. Firmware that sets CNTFRQ_EL0 has been seen to leave this out.
    write(CONTROL, 0);
    write(PRESCALER, ONE_TO_ONE);
    write(ROUTING, own() as u32);
    if let Some(others) = others {
        memory::map_device(others.base, PERIPHERALS_SIZE).map_err(GicError::Map)?;
        let base = others.base as usize;
        // SAFETY: just mapped, and the description says what it is. Nothing of it is in use yet.
        unsafe { mmio::write(base + FIQ, 0_u32) };
        disable_peripherals(base);
        PERIPHERALS.store(base, Ordering::Relaxed);
    }
    Ok(())
}

fn disable_peripherals(base: usize) {
    for bank in 0..BANKS {
        // SAFETY: registers of the controller for peripherals, mapped for ever.
        unsafe { mmio::write(base + DISABLE + 4 * bank, u32::MAX) };
    }
}

/// What an SGI to the core with this affinity takes, without marks.
pub(super) fn target(mpidr: u64) -> u64 {
    1 << (mpidr % CORES)
}

/// Sets up the part of this CPU: mailbox 0 interrupts it, nothing is in it, and nothing else does.
pub(super) fn init_cpu() -> Result<(), GicError> {
    let mpidr = regs::affinity();
    if mpidr >= CORES {
        return Err(GicError::NoRedistributor { mpidr });
    }
    quiet_cpu();
    write(MAILBOXES + 4 * own(), 1);
    // It is on before anything that relies on it.
    arch::dsb_sy();
    Ok(())
}

/// See [`super::quiet_cpu`].
pub(super) fn quiet_cpu() {
    let core = own();
    write(MAILBOXES + 4 * core, 0);
    write(TIMERS + 4 * core, 0);
    write(MONITORS_CLEAR, 0x11 << core);
    write(CLEAR + 16 * core, u32::MAX);
    // Nothing of it signals any more when this returns.
    arch::dsb_sy();
}

/// The controller signals this CPU nothing any more, nor peripherals anybody if they interrupt this one. Nothing happens if there is no such
/// controller.
#[cold]
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
pub(super) fn silence() {
    if !is_there() {
        return;
    }
    quiet_cpu();
    if let Some(base) = peripherals()
        && routed_to() == own()
    {
        disable_peripherals(base);
        // As in `quiet_cpu`.
        arch::dsb_sy();
    }
}

/// Which of the first 32 interrupts there are, beside SGIs, a bit each.
const PRIVATE: u32 = (SOURCE_TIMERS | 1 << MONITOR) << 16;

/// Whether there is an interrupt with this number that is no SGI.
pub(super) fn has(intid: u32) -> bool {
    match intid {
        0..32 => PRIVATE >> intid & 1 != 0,
        _ => peripherals().is_some() && intid < INTERRUPTS,
    }
}

/// See [`super::controller`].
pub(super) fn can_enable(these: u32) -> bool {
    these & !(PRIVATE | 0xffff) == 0
}

/// One more than the highest number.
pub(super) const INTERRUPTS: u32 = 104;

/// SGIs are always enabled: what was taken away has a handler that does nothing.
#[inline(never)]
pub(super) fn enable(intid: u32, enable: bool) {
    let core = own();
    match intid {
        // With interrupts masked, and by this core alone: nobody comes between.
        16..=19 => {
            let others = read(TIMERS + 4 * core) & !(1 << (intid - 16));
            write(TIMERS + 4 * core, others | u32::from(enable) << (intid - 16));
        }
        32..INTERRUPTS => {
            let Some(base) = peripherals() else { return };
            let bank = (intid / 32 - 1) as usize;
            let place = base + if enable { ENABLE } else { DISABLE } + 4 * bank;
            // SAFETY: a register of the controller for peripherals, mapped for ever. Bits that are 0 change nothing.
            unsafe { mmio::write(place, 1_u32 << (intid % 32)) };
        }
        _ if intid == 16 + MONITOR => {
            write(if enable { MONITORS_SET } else { MONITORS_CLEAR }, 1 << core);
        }
        _ => {}
    }
    // What is disabled does not signal any more when this returns.
    arch::dsb_sy();
}

/// Whether a peripheral, or what this CPU has of its own, signals now, and is enabled.
pub(super) fn is_pending(intid: u32) -> bool {
    match intid {
        32..INTERRUPTS => peripherals()
            .is_some_and(|base| pending(base, (intid / 32 - 1) as usize) >> (intid % 32) & 1 != 0),
        _ => read(SOURCE + 4 * own()) >> (intid % 16) & 1 != 0,
    }
}

/// Whom peripherals interrupt.
fn routed_to() -> usize {
    (read(ROUTING) & ROUTING_IRQ) as usize
}

/// All peripherals interrupt the CPU with this affinity from now on.
pub(super) fn route(mpidr: u64) {
    write(ROUTING, (mpidr % CORES) as u32);
    arch::dsb_sy();
}

/// The same, if it is the one with affinity `from` now.
pub(super) fn route_from(from: u64, to: u64) {
    if routed_to() as u64 == from % CORES {
        route(to);
    }
}

/// The calling CPU's part, as the interrupt entry needs it.
pub(crate) struct Cpu;

impl common::CpuInterface for Cpu {
    #[inline(never)]
    fn acknowledge() -> u32 {
        let core = own();
        let source = read(SOURCE + 4 * core);
        if source & SOURCE_MAILBOX != 0 {
            let mailbox = CLEAR + 16 * core;
            let sent = read(mailbox);
            let sgi = if sent >> NMI.intid() & 1 != 0 { NMI.intid() } else { sent.trailing_zeros() };
            if sgi < 16 {
                write(mailbox, 1 << sgi);
                // It is read back, so that the bit is clear before the handler looks for what it stands for: whoever has more for it then sets it
                // again. And the loads after it are not done before it. Partner: the DSB in `send`.
                read(mailbox);
                arch::dmb_ld();
                return MARK | sgi;
            }
            // Bits that nobody here sets.
            write(mailbox, 0xffff_0000);
        }
        let private = source & (SOURCE_TIMERS | 1 << MONITOR);
        if private != 0 {
            return MARK | (16 + private.trailing_zeros());
        }
        if source & SOURCE_PERIPHERALS != 0
            && let Some(base) = peripherals()
        {
            for bank in 0..BANKS {
                let pending = pending(base, bank);
                if pending != 0 {
                    // What the handler reads is not older than the interrupt.
                    arch::dmb_ld();
                    return MARK | (32 * (bank as u32 + 1) + pending.trailing_zeros());
                }
            }
        }
        NONE
    }

    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        acknowledged & !MARK
    }

    fn settle(acknowledged: u32) -> Option<u32> {
        (acknowledged != NONE).then_some(acknowledged)
    }

    /// A mailbox's bit was cleared as it was acknowledged; a level is its device's.
    #[inline(always)]
    fn end(_: u32) {}

    /// Nothing: what is being handled is still signalled, and there is no priority that would hold it back.
    #[inline(always)]
    unsafe fn open(_: u32) {}

    #[inline(always)]
    fn close(_: u32) {}
}

/// Sends an SGI to those cores whose bits are set in the lowest byte.
// Inline, and so no call in functions that need make none for other controllers.
#[inline(always)]
pub(super) fn send(what: u64) {
    // Orders the caller's stores before the SGI: its handler sees them. Partner: the handler's acknowledge.
    arch::dsb_ishst();
    let sgi = 1_u32 << (what >> 24 & 0xf);
    let mut mailbox = LOCAL.load(Ordering::Relaxed) + SET;
    let mut targets = what as u8;
    while targets != 0 {
        if targets & 1 != 0 {
            // SAFETY: mailbox 0 of a core, of a controller that `init` has mapped for ever.
            unsafe { mmio::write(mailbox, sgi) };
        }
        mailbox += 16;
        targets >>= 1;
    }
}

const _: () = assert!(INTERRUPTS == 32 * (BANKS as u32) + 8);
