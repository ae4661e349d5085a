//! The interrupt controller that a guest sees: of the same version as the machine's. Its CPU interface is the virtual one; the distributor, the
//! redistributors and the sending of SGIs are here.
//!
//! Nothing of the machine raises an SPI of a guest: what a guest makes pending is delivered. Group and trigger are not looked at, and what is active ends by
//! its end alone.

use crate::interface::{self, List};
use crate::memory::REDISTRIBUTOR;
use crate::registers::{read, write};
use crate::vcpu::{self, Vcpu};
use core::iter;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use reveille::irq;

/// The interrupts of a guest's timers, the virtual and the physical one.
const TIMERS: [u32; 2] = [27, 30];
/// `CNTV_CTL_EL0` and `CNTP_CTL_EL0`.
const TIMER_ENABLE: u64 = 1;
const TIMER_MASK: u64 = 2;
const TIMER_STATUS: u64 = 4;
/// Banks of SPIs: 32 to 127.
pub const SHARED: usize = 3;
/// The registers of 32 interrupts.
pub struct Bank {
    enabled: AtomicU32,
    pending: AtomicU32,
    /// Group, and two words of triggers: nothing here asks for them.
    plain: [AtomicU32; 3],
    priority: [AtomicU8; 32],
    /// The vCPUs that an SPI goes to, as bits; the number of the one that has sent an SGI last, for a GICv2.
    other: [AtomicU8; 32],
    /// A timer's interrupt is masked at its source by us, until it has been handled.
    timers_held: [AtomicBool; 2],
}

impl Bank {
    pub const fn new() -> Self {
        Self {
            enabled: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            plain: [const { AtomicU32::new(0) }; 3],
            priority: [const { AtomicU8::new(0) }; 32],
            other: [const { AtomicU8::new(1) }; 32],
            timers_held: [const { AtomicBool::new(false) }; 2],
        }
    }

    fn raise(&self, intid: u32) {
        self.pending.fetch_or(1 << (intid % 32), SeqCst);
    }

    /// An access to a register of these interrupts, at `offset` from the beginning of a distributor in which they were the first 32.
    fn access(&self, offset: u64, size: usize, store: Option<u64>) -> u64 {
        let plain = |number: usize| match store {
            Some(value) => u64::from(self.plain[number].swap(value as u32, Relaxed)),
            None => u64::from(self.plain[number].load(Relaxed)),
        };
        let change = |register: &AtomicU32, set: bool| {
            let value = store.unwrap_or(0) as u32;
            u64::from(if set { register.fetch_or(value, SeqCst) } else { register.fetch_and(!value, SeqCst) })
        };
        let bytes = |registers: &[AtomicU8; 32]| {
            let first = (offset % 32) as usize;
            let mut answer = [0; 8];
            for (index, register) in registers[first..].iter().take(size).enumerate() {
                if let Some(value) = store {
                    register.store((value >> (8 * index)) as u8, Relaxed);
                }
                answer[index] = register.load(Relaxed);
            }
            u64::from_le_bytes(answer)
        };
        match offset {
            // On a GICv2 everything is in group 0, as on one without security extensions.
            0x080 if interface::is_v3() => plain(0),
            0x100 | 0x180 => change(&self.enabled, offset == 0x100),
            0x200 | 0x280 => change(&self.pending, offset == 0x200),
            0x400..0x420 => bytes(&self.priority),
            0x800..0x820 => bytes(&self.other),
            0xc00 | 0xc04 => plain(1 + usize::from(offset == 0xc04)),
            _ => 0,
        }
    }
}

fn bank(vcpu: &Vcpu, intid: u32) -> &Bank {
    if intid < 32 { &vcpu.bank } else { &vcpu.guest().shared[(intid as usize / 32 - 1) % SHARED] }
}

/// The most urgent interrupt that waits for `vcpu`, apart from those in `without`.
pub fn next(vcpu: &Vcpu, without: u128) -> Option<u32> {
    if vcpu.guest().control.load(Relaxed) & 0b11 == 0 {
        return None;
    }
    let banks = iter::once(&vcpu.bank).chain(&vcpu.guest().shared);
    let waiting = banks.zip((0..).step_by(32)).flat_map(|(bank, first)| {
        let waiting = bank.pending.load(SeqCst) & bank.enabled.load(Relaxed) & !(without >> first) as u32;
        let goes_here =
            move |index: usize| first == 0 || bank.other[index].load(Relaxed) & 1 << vcpu.index != 0;
        let found = (0..32).filter(move |&index| waiting & 1 << index != 0 && goes_here(index));
        found.map(move |index| (bank.priority[index].load(Relaxed), first + index as u32))
    });
    waiting.min().map(|(_, intid)| intid)
}

/// Puts what waits for the vCPU that this CPU has loaded into list registers, the most urgent first.
pub fn inject(vcpu: &Vcpu) {
    let _masked = irq::mask();
    let active = take_back(vcpu);
    // What is no longer up the guest has handled.
    release_timers(&vcpu.bank, |_, control| control & TIMER_STATUS == 0);
    for number in (0..interface::count()).filter(|&number| !interface::list(number).active) {
        // Another vCPU may take it first, if it goes there from now on.
        let found = next(vcpu, active).filter(|&intid| {
            let bit = 1 << (intid % 32);
            bank(vcpu, intid).pending.fetch_and(!bit, SeqCst) & bit != 0
        });
        put(vcpu, number, List { intid: found.unwrap_or(0), pending: found.is_some(), active: false });
    }
    // What has found no list register comes when one is free. What is active stays with us until that has ended.
    interface::enable(true, next(vcpu, active).is_some());
}

/// Takes back from the list registers what the vCPU that this CPU has loaded has not seen yet, and says what it has seen and not ended.
pub fn take_back(vcpu: &Vcpu) -> u128 {
    let _masked = irq::mask();
    let mut active = 0;
    for number in 0..interface::count() {
        let list = interface::list(number);
        if list.pending {
            bank(vcpu, list.intid).raise(list.intid);
        }
        active |= u128::from(list.active) << (list.intid % 128);
        if list.pending || list.active {
            put(vcpu, number, List { pending: false, ..list });
        }
    }
    active
}

fn put(vcpu: &Vcpu, number: usize, list: List) {
    let (bank, index) = (bank(vcpu, list.intid), list.intid as usize % 32);
    let source = if list.intid < 16 { bank.other[index].load(Relaxed) } else { 0 };
    // What comes again while it is active has waited for its end; and a timer may be up again by then.
    let with_end = list.active || TIMERS.contains(&list.intid);
    interface::set_list(number, list, bank.priority[index].load(Relaxed), source, with_end);
}

fn control(timer: usize) -> u64 {
    if timer == 0 { read!("cntv_ctl_el0") } else { read!("cntp_ctl_el0") }
}

fn set_control(timer: usize, value: u64) {
    if timer == 0 { write!("cntv_ctl_el0", value) } else { write!("cntp_ctl_el0", value) }
}

/// Those timers whose interrupts we hold, and of which `is_over` says that they have been handled, may fire again.
fn release_timers(bank: &Bank, is_over: impl Fn(u32, u64) -> bool) {
    for (timer, intid) in TIMERS.into_iter().enumerate() {
        if bank.timers_held[timer].load(Relaxed) && is_over(intid, control(timer)) {
            bank.timers_held[timer].store(false, Relaxed);
            bank.pending.fetch_and(!(1 << intid), SeqCst);
            set_control(timer, control(timer) & !TIMER_MASK);
        }
    }
}

/// Turns the timers off, and says when the first would have fired, in ticks of the counter behind which the virtual one is by `offset`.
pub fn stop_timers(offset: u64) -> u64 {
    let compare = [read!("cntv_cval_el0").saturating_add(offset), read!("cntp_cval_el0")];
    let is_on = |timer: &usize| control(*timer) & (TIMER_ENABLE | TIMER_MASK) == TIMER_ENABLE;
    let due = (0..2).filter(is_on).map(|timer| compare[timer]).min();
    (0..2).for_each(|timer| set_control(timer, 0));
    due.unwrap_or(u64::MAX)
}

/// A timer of this CPU has fired: its vCPU's. Quiet until that has handled it.
pub fn timer_fired(_: u32) {
    let is_up = |timer: &usize| control(*timer) & 0b111 == TIMER_ENABLE | TIMER_STATUS;
    for timer in (0..2).filter(is_up) {
        set_control(timer, TIMER_ENABLE | TIMER_MASK);
        if let Some(vcpu) = vcpu::loaded() {
            vcpu.bank.timers_held[timer].store(true, Relaxed);
            vcpu.bank.raise(TIMERS[timer]);
            inject(vcpu);
        }
    }
}

/// The maintenance interrupt: list registers have become free.
pub fn maintenance(_: u32) {
    vcpu::loaded().map_or_else(|| interface::enable(false, false), inject);
}

/// An access of `vcpu` to the distributor of its guest.
pub fn distributor(vcpu: &Vcpu, offset: u64, size: usize, store: Option<u64>) -> u64 {
    let (guest, v3) = (vcpu.guest(), interface::is_v3());
    let cpus = guest.vcpus().len();
    match (offset, store) {
        // CTLR: affinity routing is on, and there is a single security state.
        (0x000, Some(value)) => guest.control.store(value as u32, Relaxed),
        (0x000, None) => {
            return u64::from(guest.control.load(Relaxed)) & 0b11 | if v3 { 0b101 << 4 } else { 0 };
        }
        // TYPER: 128 interrupts; the CPUs of a GICv2, or the bits that a GICv3's numbers have.
        (0x004, _) => return 3 | if v3 { 9 << 19 } else { (cpus as u64 - 1) << 5 },
        (0xffe8, None) if v3 => return 0x3b,
        // SGIR
        (0xf00, Some(value)) if !v3 => {
            let targets = match value >> 24 & 3 {
                0 => value >> 16 & 0xff,
                1 => !(1 << vcpu.index),
                _ => 1 << vcpu.index,
            };
            return send(vcpu, value as u32 & 0xf, targets);
        }
        // ITARGETSR of a CPU's own interrupts: itself.
        (0x800..0x820, _) if !v3 => return 0x0101_0101 << vcpu.index,
        // IROUTER: all affinities differ in Aff0 alone.
        (0x6000..0x8000, Some(value)) if v3 && offset.is_multiple_of(8) => {
            let spi = ((offset - 0x6000) as usize / 8).wrapping_sub(32);
            if let Some(bank) = guest.shared.get(spi / 32) {
                bank.other[spi % 32].store(1 << (value % 8), Relaxed);
            }
        }
        _ => {}
    }
    let (bank, offset) = match offset {
        0x080..0x400 => (offset >> 2 & 0x1f, offset & !0x7f),
        0x400..0x800 => ((offset - 0x400) / 32, 0x400 + offset % 32),
        0x800..0xc00 if !v3 => ((offset - 0x800) / 32, 0x800 + offset % 32),
        0xc00..0xd00 => ((offset - 0xc00) / 8, 0xc00 + offset % 8),
        _ => return 0,
    };
    match (bank as usize).checked_sub(1) {
        None if v3 => 0,
        None => private(vcpu, vcpu, offset, size, store),
        Some(bank) => {
            let Some(bank) = guest.shared.get(bank) else { return 0 };
            let answer = bank.access(offset, size, store);
            if store.is_some() && matches!(offset, 0x100 | 0x200) {
                guest.vcpus().iter().for_each(vcpu::tell);
            }
            answer
        }
    }
}

/// An access of `vcpu` to the redistributors of its guest.
pub fn redistributor(vcpu: &Vcpu, offset: u64, size: usize, store: Option<u64>) -> u64 {
    let vcpus = vcpu.guest().vcpus();
    let Some(owner) = vcpus.get((offset / REDISTRIBUTOR) as usize) else { return 0 };
    let index = owner.index as u64;
    // The affinity, the number, and whether it is the last one.
    let typer = index << 32 | index << 8 | u64::from(owner.index + 1 == vcpus.len()) << 4;
    match (offset % REDISTRIBUTOR, store) {
        (0x8, None) => typer,
        (0xc, None) => typer >> 32,
        (0xffe8, None) => 0x3b,
        (offset @ 0x1_0080.., _) => private(vcpu, owner, offset - 0x1_0000, size, store),
        _ => 0,
    }
}

/// An access of `vcpu` to registers of the SGIs and PPIs of `owner`.
fn private(vcpu: &Vcpu, owner: &Vcpu, offset: u64, size: usize, store: Option<u64>) -> u64 {
    let is_own = core::ptr::eq(vcpu, owner);
    if let (true, 0x280, Some(value)) = (is_own, offset, store) {
        // What it has in its list registers is no longer pending; a timer is up as long as it is.
        take_back(vcpu);
        release_timers(&owner.bank, |intid, _| value & 1 << intid != 0);
    }
    let answer = owner.bank.access(offset, size, store);
    if store.is_some() && !is_own {
        vcpu::tell(owner);
    }
    answer
}

/// What `vcpu` has written to ICC_SGI1R_EL1 (Arm IHI 0069, 12.2.19).
pub fn send_v3(vcpu: &Vcpu, value: u64) -> u64 {
    const OTHER_AFFINITY: u64 = 0xff << 48 | 0xf << 44 | 0xff << 32 | 0xff << 16;
    let targets = match value {
        _ if value & 1 << 40 != 0 => !(1 << vcpu.index),
        _ if value & OTHER_AFFINITY != 0 => 0,
        _ => value & 0xffff,
    };
    send(vcpu, (value >> 24) as u32 & 0xf, targets)
}

/// Sends an SGI. What reads as 0 is the answer.
fn send(from: &Vcpu, sgi: u32, targets: u64) -> u64 {
    for target in from.guest().vcpus().iter().filter(|target| targets & 1 << target.index != 0) {
        target.bank.other[sgi as usize].store(from.index as u8, Relaxed);
        target.bank.raise(sgi);
        vcpu::tell(target);
    }
    0
}
