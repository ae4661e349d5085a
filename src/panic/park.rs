//! The end of a CPU that is stopped: what it leaves behind, and parking.

use crate::arch::exception::{FatalFrame, IrqFrame, Registers, with_registers};
use crate::arch::{self, HwGate, regs};
use crate::launch::Mailbox;
use crate::percpu::area::{self, Area, Part as _};
use crate::{call, gate, gic};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use reveille_protocol::{Phase, State};

/// How a CPU came to park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ParkedBy {
    /// It took the stop interrupt.
    Sgi = 1,
    /// It had interrupts masked, and took the one that cannot be.
    Nmi = 2,
    /// It panicked too.
    OwnPanic = 3,
    /// It was waiting for something, or coming up, and saw the gate taken.
    Gate = 4,
    /// It came up too late: bring-up had given up on it.
    Wedged = 5,
}

impl ParkedBy {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Sgi,
            2 => Self::Nmi,
            3 => Self::OwnPanic,
            4 => Self::Gate,
            5 => Self::Wedged,
            _ => return None,
        })
    }
}

/// What a CPU leaves behind that parks: where the reporter finds what it was doing.
#[derive(Clone, Copy)]
pub(super) enum Evidence<'a> {
    /// It came by itself, from this place.
    Call(&'a Registers),
    /// It was interrupted.
    Stopped(&'a FatalFrame),
    /// Its own exception.
    Exception(&'a FatalFrame),
    /// Its own panic.
    Panic(&'a PanicInfo<'a>, &'a Registers),
}

/// Where a CPU parked; read by the reporter once its [`Parked`](crate::percpu::area::Parked) says that it did.
///
/// Written once in a life, by its own CPU, which then never leaves the frames that it points to.
pub(crate) struct ParkMark {
    /// Address of the registers of the [`Evidence`], its kind in bits 1:0.
    evidence: AtomicU64,
    /// Address of the `PanicInfo`, where the kind is that.
    info: AtomicU64,
    /// Of a CPU that is about to park because of an interrupt: the [`ParkedBy`], and where and how it was interrupted. For
    /// itself alone.
    by: AtomicU8,
    elr: AtomicU64,
    spsr: AtomicU64,
}

impl ParkMark {
    pub(crate) const fn new() -> Self {
        Self {
            evidence: AtomicU64::new(0),
            info: AtomicU64::new(0),
            by: AtomicU8::new(0),
            elr: AtomicU64::new(0),
            spsr: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn set(&self, evidence: Evidence<'_>) {
        let (word, info) = match evidence {
            Evidence::Call(registers) => (core::ptr::from_ref(registers) as u64, 0),
            Evidence::Stopped(frame) => (core::ptr::from_ref(frame) as u64 | 1, 0),
            Evidence::Exception(frame) => (core::ptr::from_ref(frame) as u64 | 2, 0),
            Evidence::Panic(info, registers) => {
                (core::ptr::from_ref(registers) as u64 | 3, core::ptr::from_ref(info) as u64)
            }
        };
        // Relaxed: the Release of `Parked::park` follows.
        self.evidence.store(word, Ordering::Relaxed);
        self.info.store(info, Ordering::Relaxed);
    }

    /// What it left behind.
    ///
    /// # Safety
    ///
    /// [`how`] has said `Some` of its CPU, on this CPU.
    pub(super) unsafe fn evidence(&self) -> Evidence<'static> {
        let word = self.evidence.load(Ordering::Relaxed);
        let address = word & !3;
        let info = self.info.load(Ordering::Relaxed);
        // SAFETY: `set` stored the addresses of references with the kind of what they refer to, and its CPU has been parked
        // since, inside the function that was given the references.
        unsafe {
            match word & 3 {
                1 => Evidence::Stopped(&*(address as *const FatalFrame)),
                2 => Evidence::Exception(&*(address as *const FatalFrame)),
                3 => Evidence::Panic(&*(info as *const PanicInfo<'static>), &*(address as *const Registers)),
                _ => Evidence::Call(&*(address as *const Registers)),
            }
        }
    }
}

/// How the CPU of `area` parked; `None` while it has not. After `Some` everything that it left behind may be read.
pub(super) fn how(area: &Area) -> Option<ParkedBy> {
    area::parked(area).how().and_then(ParkedBy::from_byte)
}

/// An interrupt of `frame` told this CPU to stop: if somebody else has the gate it parks when its handler returns, which is
/// to be at once and without enabling anything. A stray request changes nothing.
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
pub(crate) fn stop_requested(how: ParkedBy, frame: &IrqFrame) {
    // One that is on its way to park was told twice.
    let mark = ParkMark::of(area::current());
    if mark.by.load(Ordering::Relaxed) == 0 && gate::is_taken_by_other() {
        mark.by.store(how as u8, Ordering::Relaxed);
        mark.elr.store(frame.pc(), Ordering::Relaxed);
        mark.spsr.store(frame.spsr(), Ordering::Relaxed);
        frame.return_to_stopped();
    }
}

/// The end of a CPU that was stopped by an interrupt: `frame` is what it was doing.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn stopped(frame: &mut FatalFrame) -> ! {
    let area = area::current();
    let mark = ParkMark::of(area);
    frame.elr = mark.elr.load(Ordering::Relaxed);
    frame.spsr = mark.spsr.load(Ordering::Relaxed);
    let how = ParkedBy::from_byte(mark.by.load(Ordering::Relaxed)).unwrap_or(ParkedBy::Sgi);
    regs::mask_all();
    gic::silence_on(area);
    park_on(area, how, Evidence::Stopped(frame))
}

/// This CPU saw by itself that it should stop: it parks if somebody else has the gate.
#[inline(always)]
pub(crate) fn stop_noticed() {
    with_registers(core::ptr::from_ref(gate::word()), join);
}

#[unsafe(link_section = ".never_patch")]
extern "C" fn join(_: *const HwGate, registers: &Registers) {
    // A thread that is moved in between would park another CPU than the one that it has asked for: the stopper, perhaps.
    let daif = regs::daif_mask();
    if gate::is_taken_by_other() {
        park(ParkedBy::Gate, Evidence::Call(registers));
    }
    regs::daif_restore(daif);
}

/// Parks this CPU, which has found another one to have the gate, or was given up before there was one.
#[inline(always)]
pub(super) fn park_here(how: ParkedBy) -> ! {
    #[unsafe(link_section = ".never_patch")]
    extern "C" fn park_as(how: *const ParkedBy, registers: &Registers) {
        // SAFETY: the pointer of the call below, whose frame is still there.
        park(unsafe { how.read() }, Evidence::Call(registers))
    }
    with_registers(&raw const how, park_as);
    arch::park()
}

/// Parks a CPU that bring-up has given up on. Its stacks are its own for ever, so it may leave its mark.
///
/// # Panics
///
/// As [`must_not_be_the_last`].
pub(crate) fn park_wedged() -> ! {
    must_not_be_the_last();
    park_here(ParkedBy::Wedged)
}

/// A CPU that is about to go in a way of which nobody is told is not the one that has stopped all others.
///
/// # Panics
///
/// If it is, so that this is reported: nobody would be left.
pub(crate) fn must_not_be_the_last() {
    assert!(
        !gate::is_stopper(),
        "this CPU has stopped the others while it came up, and now cannot come up itself"
    );
}

#[inline(never)]
#[unsafe(link_section = ".never_patch")]
pub(super) fn park(how: ParkedBy, evidence: Evidence<'_>) -> ! {
    regs::mask_all();
    gic::silence();
    if let Some(area) = area::find_current() {
        park_on(area, how, evidence)
    }
    gate::word().count_in();
    arch::park()
}

/// The same on the CPU of `area`, which is this one, masks everything, and takes no interrupt.
#[inline(always)]
fn park_on(area: &'static Area, how: ParkedBy, evidence: Evidence<'_>) -> ! {
    let leave = || {
        ParkMark::of(area).set(evidence);
        // Who has failed, or is being reported on, touches no more than it must; nor does one that never was online, and may lack what others
        // have.
        let closes = how != ParkedBy::OwnPanic
            && gate::word().phase() == Phase::Halting
            && (area::slot(area).is_online() || area::slot(area).read().state == State::Dying);
        if closes {
            // It may have been gathered while code was changed, and have come here without going on.
            arch::isb();
            condemn(area);
        }
        // Before its mark, with which nothing of it is under way any more. Who was given up is not there because of the gate.
        if how != ParkedBy::Wedged {
            gate::word().count_in();
        }
        closes
    };
    // SAFETY: this CPU's own; this function does not return, and what the evidence refers to is its caller's.
    unsafe { area::parked(area).park(how as u8, leave) };
    arch::park()
}

/// Closes what may be sent to the CPU of `area`: which is the calling one, and parks now, or one that has parked.
///
/// It takes nothing from its queues and its launch slot any more, and opens none. Its mark, whose Release `is_set` has seen, was the last
/// word of one that has parked, so another CPU may do this for it. Who waits for it there is parked too, or about to be, or that is a panic
/// of the CPU that is left.
///
/// Not of the text that is never patched: nothing is patched meanwhile, as one that has not parked would be gathered for that.
#[inline(never)]
pub(super) fn condemn(area: &'static Area) {
    Mailbox::of(area).condemn();
    call::condemn(area);
}
