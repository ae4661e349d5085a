//! Frames of exceptions, and syndromes in words.

use super::regs;
use core::cell::Cell;
use core::fmt;

/// What the interrupt vector saves (see `asm/vectors.s`, which knows the offsets).
#[repr(C, align(16))]
pub(crate) struct IrqFrame {
    pub(crate) x: [u64; 19],
    pub(crate) lr: u64,
    /// Frame record: the interrupted frame pointer and where it was interrupted.
    pub(crate) fp: u64,
    /// Where the interrupt returns to, and how. Cells: see [`IrqFrame::return_to_stopped`].
    elr: Cell<u64>,
    spsr: Cell<u64>,
    unused: u64,
    #[cfg(target_feature = "neon")]
    simd: [u128; 32],
    #[cfg(target_feature = "neon")]
    fpsr_fpcr: [u64; 2],
}

/// `SPSR_ELx`: the exception level, the stack pointer it uses, and the masks (Arm ARM C5.2.19).
const SPSR_EL: u64 = 0b1100;
const SPSR_SP: u64 = 1;
const SPSR_32: u64 = 1 << 4;
const SPSR_DAIF: u64 = 0b1111 << 6;
const SPSR_IF: u64 = 0b11 << 6;
const SPSR_ALLINT: u64 = 1 << 13;

/// The address of a routine of `asm/vectors.s` that there is once for each exception level: of the one of the level we run at.
macro_rules! landing {
    ($at_el1:ident, $at_el2:ident) => {{
        unsafe extern "C" {
            fn $at_el1();
            #[cfg(feature = "el2")]
            fn $at_el2();
        }
        #[cfg(feature = "el2")]
        let landing = if $crate::arch::regs::at_el2() {
            $crate::arch::exception::address_of!($at_el2)
        } else {
            $crate::arch::exception::address_of!($at_el1)
        };
        #[cfg(not(feature = "el2"))]
        let landing = $crate::arch::exception::address_of!($at_el1);
        landing
    }};
}
pub(crate) use landing;

/// The address of a routine, by its distance: the compiler would have it read from a table, of a line that is needed for nothing else.
macro_rules! address_of {
    ($routine:ident) => {{
        let address: u64;
        // SAFETY: computes an address.
        unsafe {
            core::arch::asm!("adrp {0}, {1}", "add {0}, {0}, :lo12:{1}", out(reg) address, sym $routine,
                options(pure, nomem, nostack, preserves_flags));
        }
        address
    }};
}
pub(crate) use address_of;

/// `SPSR_ELx` of what goes on at this level on the stack of exceptions, everything masked.
fn masked_above() -> u64 {
    let allint = if regs::has_allint() { SPSR_ALLINT } else { 0 };
    own_level() | SPSR_SP | SPSR_DAIF | allint
}

/// `SPSR_ELx.M` of this level, but for the stack pointer.
#[inline(always)]
fn own_level() -> u64 {
    if regs::at_el2() { 0b1000 } else { 0b0100 }
}

/// What an exception has interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// A thread of this level.
    Thread,
    /// A handler of this level.
    Handler,
    /// A lower exception level.
    Below,
}

impl Interrupted {
    /// By the state that it was in (Arm ARM C5.2.19, `SPSR_ELx.M`).
    #[inline(always)]
    pub(crate) fn of(spsr: u64) -> Self {
        // AArch32 is below.
        if spsr & (SPSR_EL | SPSR_32) != own_level() {
            Self::Below
        } else if spsr & SPSR_SP == 0 {
            Self::Thread
        } else {
            Self::Handler
        }
    }
}

impl IrqFrame {
    /// From `lr` to the frame record, which is what x29 leads to, and ends in where it was interrupted: three words in a row.
    pub(crate) const LR_TO_RECORD: u64 =
        (core::mem::offset_of!(Self, fp) - core::mem::offset_of!(Self, lr)) as u64;

    /// Where it was interrupted.
    pub(crate) fn pc(&self) -> u64 {
        self.elr.get()
    }

    /// `PSTATE` of what was interrupted.
    pub(crate) fn spsr(&self) -> u64 {
        self.spsr.get()
    }

    /// Has the interrupt return to where stopped CPUs save every register and go on to [`crate::panic::stopped`], on
    /// the emergency stack and with everything masked. The handler has only to return.
    ///
    /// What the compiled code of the handlers has put away is back by then, which costs the other interrupts nothing.
    ///
    /// Does not come back to what was interrupted: whose place and state are to be kept before.
    pub(crate) fn return_to_stopped(&self) {
        self.return_to(landing!(reveille_stopped_el1, reveille_stopped_el2));
    }

    /// The same to `landing`, on the stack of exceptions, which is as it was where this was interrupted.
    pub(crate) fn return_to(&self, landing: u64) {
        self.elr.set(landing);
        self.spsr.set(masked_above());
    }

    /// Has the interrupt return with IRQ and FIQ masked by `DAIF`.
    pub(crate) fn return_masked(&self) {
        self.spsr.set(self.spsr.get() | SPSR_IF);
    }

    /// The stack pointer of what was interrupted. In the handler, on the CPU that took the interrupt.
    pub(crate) fn stack_pointer(&self) -> u64 {
        // A handler ran on the stack of exceptions, which goes on below this frame.
        if Interrupted::of(self.spsr.get()) == Interrupted::Handler {
            core::ptr::from_ref(self) as u64 + IRQ_FRAME_SIZE as u64
        } else {
            regs::thread_stack_pointer()
        }
    }
}

pub(crate) const IRQ_FRAME_SIZE: usize = size_of::<IrqFrame>();
const _: () = assert!(core::mem::offset_of!(IrqFrame, fp) == 160);
const _: () = assert!(core::mem::offset_of!(IrqFrame, spsr) == 176);
#[cfg(target_feature = "neon")]
const _: () = assert!(core::mem::offset_of!(IrqFrame, simd) == 192);
#[cfg(target_feature = "neon")]
const _: () = assert!(core::mem::offset_of!(IrqFrame, fpsr_fpcr) == 704);

/// Whether a function that returns to `address` handles an interrupt, or an exception for the application: the record after its own is in an
/// [`IrqFrame`], or where a [`Frame`] has the same words.
pub(crate) fn is_interrupt(address: u64) -> bool {
    address == landing!(reveille_handled_el1, reveille_handled_el2)
        || address == landing!(reveille_handled_exception_el1, reveille_handled_exception_el2)
}

/// Everything that an exception of the application's has interrupted (see `asm/vectors.s`, which knows the offsets); or that is to run at a
/// lower exception level.
///
/// What a handler leaves in it is what goes on.
///
/// ```no_run
/// # fn example(frame: &mut reveille::exception::Frame) {
/// // The handler of an `SVC #0`: the answer in x0.
/// frame.x[0] += frame.x[1];
/// # }
/// ```
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer of exceptions, as it was. What is written here counts for nothing.
    pub sp_elx: u64,
    /// `SP_EL0`: the stack pointer of a thread of this level; of EL0, or of a guest that has selected it.
    pub sp_el0: u64,
    /// `ELR_ELx`: where it goes on.
    pub elr: u64,
    /// `SPSR_ELx`: `PSTATE` there.
    pub spsr: u64,
    /// `ESR_ELx`: why (Arm ARM D24.2.40). 0 in an interrupt.
    pub esr: u64,
    /// `FAR_ELx`: the address of a fault.
    pub far: u64,
    kind: u64,
    /// `TPIDRRO_EL0`, which exceptions of this level use as scratch: of what runs below it alone does it mean anything.
    pub tpidrro_el0: u64,
    lr: u64,
    /// Frame record: the interrupted frame pointer and where it was interrupted.
    fp: u64,
    pc: u64,
    /// q0 to q31.
    #[cfg(target_feature = "neon")]
    pub q: [u128; 32],
    /// `FPSR`.
    #[cfg(target_feature = "neon")]
    pub fpsr: u64,
    /// `FPCR`.
    #[cfg(target_feature = "neon")]
    pub fpcr: u64,
}

pub(crate) const FRAME_SIZE: usize = size_of::<Frame>();
/// Where q0 is in a [`Frame`], if it is.
pub(crate) const FRAME_SIMD: usize = 336;
const _: () = {
    assert!(core::mem::offset_of!(Frame, kind) == core::mem::offset_of!(FatalFrame, kind));
    assert!(core::mem::offset_of!(Frame, tpidrro_el0) == FATAL_FRAME_SIZE && FATAL_FRAME_SIZE == 304);
    assert!(
        (core::mem::offset_of!(Frame, fp) - core::mem::offset_of!(Frame, lr)) as u64
            == IrqFrame::LR_TO_RECORD
    );
    assert!(core::mem::offset_of!(Frame, fp) == 320 && FRAME_SIZE >= FRAME_SIMD);
    #[cfg(target_feature = "neon")]
    assert!(core::mem::offset_of!(Frame, q) == FRAME_SIMD);
    #[cfg(target_feature = "neon")]
    assert!(core::mem::offset_of!(Frame, fpsr) == FRAME_SIMD + 512);
};

impl Frame {
    /// One that is all zeros: EL0 of AArch64, nothing masked, at address 0.
    ///
    /// ```no_run
    /// use reveille::exception::Frame;
    ///
    /// # fn example(entry: u64) {
    /// let mut frame = Frame::new();
    /// frame.elr = entry;
    /// # }
    /// ```
    pub const fn new() -> Self {
        Self {
            x: [0; 31],
            sp_elx: 0,
            sp_el0: 0,
            elr: 0,
            spsr: 0,
            esr: 0,
            far: 0,
            kind: 0,
            tpidrro_el0: 0,
            lr: 0,
            fp: 0,
            pc: 0,
            #[cfg(target_feature = "neon")]
            q: [0; 32],
            #[cfg(target_feature = "neon")]
            fpsr: 0,
            #[cfg(target_feature = "neon")]
            fpcr: 0,
        }
    }

    /// The same registers, as the report has them.
    pub(crate) fn fatal(&self) -> &FatalFrame {
        // SAFETY: a `Frame` begins with all that a `FatalFrame` is: the assertions above hold the two together, and both are `repr(C)`.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// Has the exception return to `landing`, as [`IrqFrame::return_to`].
    pub(crate) fn return_to(&mut self, landing: u64) {
        self.elr = landing;
        self.spsr = masked_above();
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether whoever was in the state `spsr` had IRQs masked by `DAIF`.
pub(crate) fn had_masked(spsr: u64) -> bool {
    spsr & (1 << 7) != 0
}

/// Every register at a fatal exception (see `asm/vectors.s`, which knows the offsets).
#[repr(C, align(16))]
pub(crate) struct FatalFrame {
    /// x0 to x30.
    pub(crate) x: [u64; 31],
    /// The stack pointer that exceptions use.
    pub(crate) sp: u64,
    /// The stack pointer of the thread.
    pub(crate) sp_el0: u64,
    pub(crate) elr: u64,
    pub(crate) spsr: u64,
    pub(crate) esr: u64,
    pub(crate) far: u64,
    /// Number of the vector, in the order of the table.
    kind: u64,
}

pub(crate) const FATAL_FRAME_SIZE: usize = size_of::<FatalFrame>();
const _: () = assert!(core::mem::offset_of!(FatalFrame, sp) == 248);
const _: () = assert!(core::mem::offset_of!(FatalFrame, elr) == 264);
const _: () = assert!(core::mem::offset_of!(FatalFrame, esr) == 280);
const _: () = assert!(core::mem::offset_of!(FatalFrame, kind) == 296);
const _: () = assert!(FATAL_FRAME_SIZE.is_multiple_of(16));

/// How many times as large as usual stacks are: in code that is not optimised every value has a place of its own on them.
pub(crate) const FRAMES: usize = if cfg!(unoptimised) { 4 } else { 1 };

/// What an exception on the emergency stack must find of it below its stack pointer, or it begins at the top again: room
/// for its frame, and for what is done about it.
pub(crate) const EMERGENCY_ROOM: usize = super::mmu::PAGE * FRAMES;
const _: () = assert!(FATAL_FRAME_SIZE + 2048 <= EMERGENCY_ROOM);

/// [`FatalFrame::kind`] of a CPU that was stopped: no exception at all.
pub(crate) const STOPPED: u64 = 16;

/// Bytes that `callee_store` in `asm/vectors.s` takes on a stack.
pub(crate) const CALLEE_SIZE: usize = if cfg!(target_feature = "neon") { 176 } else { 96 };

/// Where the frame record is among them.
pub(crate) const FRAME_RECORD: u64 = 80;

/// What a function call leaves of the registers (see `asm/vectors.s`, which knows the offsets).
#[repr(C, align(16))]
pub(crate) struct Registers {
    pub(crate) fp: u64,
    pub(crate) lr: u64,
    /// x19 to x28.
    pub(crate) x: [u64; 10],
    pub(crate) sp: u64,
    /// Where the call was.
    pub(crate) pc: u64,
    /// `PSTATE`, as an SPSR has it.
    pub(crate) spsr: u64,
    unused: u64,
}
const _: () = assert!(core::mem::offset_of!(Registers, x) == 16);
const _: () = assert!(core::mem::offset_of!(Registers, sp) == 96);
const _: () = assert!(core::mem::offset_of!(Registers, spsr) == 112);
const _: () = assert!(size_of::<Registers>().is_multiple_of(16));

/// Calls `f` with `data` and the registers as they are here, where a caller's frame begins: x19 to x28 hold what the
/// function into which this is inlined has them for.
#[inline(always)]
pub(crate) fn with_registers<T>(data: *const T, f: extern "C" fn(*const T, &Registers)) {
    unsafe extern "C" {
        fn reveille_with_registers(data: *const (), f: *const ());
    }
    // SAFETY: it calls `f` as its type says, with `data` and a reference to what it has saved on this stack; and keeps to
    // AAPCS64.
    unsafe { reveille_with_registers(data.cast(), f as *const ()) }
}

/// The class of an exception (`ESR_ELx.EC`, Arm ARM D24.2.40) in words.
fn class(esr: u64) -> &'static str {
    match (esr >> 26) & 0x3f {
        0x00 => "unknown reason, or an undefined instruction",
        0x01 => "trapped WFI or WFE",
        0x07 => "access to SVE, SIMD or floating point trapped",
        0x0d => "branch target exception",
        0x0e => "illegal execution state",
        0x15 => "SVC instruction",
        0x16 => "HVC instruction",
        0x17 => "SMC instruction",
        0x18 => "trapped MSR, MRS or system instruction",
        0x19 => "access to SVE trapped",
        0x1d => "access to SME trapped, or SIMD in streaming mode",
        0x1c => "pointer authentication failure",
        0x20 => "instruction abort from a lower exception level",
        0x21 => "instruction abort",
        0x22 => "PC alignment fault",
        0x24 => "data abort from a lower exception level",
        0x25 => "data abort",
        0x26 => "SP alignment fault",
        0x27 => "memory copy or set exception",
        0x2c => "trapped floating point exception",
        0x2f => "SError",
        0x30 | 0x31 => "breakpoint",
        0x32 | 0x33 => "software step",
        0x34 | 0x35 => "watchpoint",
        0x3c => "BRK instruction",
        _ => "reserved exception class",
    }
}

/// The fault status of an abort (`ISS.DFSC`, `ISS.IFSC`) in words.
fn fault(esr: u64) -> Option<&'static str> {
    if !matches!((esr >> 26) & 0x3f, 0x20 | 0x21 | 0x24 | 0x25) {
        return None;
    }
    Some(match esr & 0x3f {
        0x00..=0x03 => "address size fault",
        0x04..=0x07 => "translation fault: nothing is mapped there",
        0x08..=0x0b => "access flag fault",
        0x0c..=0x0f => "permission fault",
        0x10 => "external abort",
        0x14..=0x17 => "external abort on a table walk",
        0x21 => "alignment fault",
        0x30 => "TLB conflict",
        _ => "other fault",
    })
}

/// The name of an instruction that calls firmware (Arm ARM C6.2, HVC and SMC).
fn firmware_call(instruction: u32) -> Option<&'static str> {
    match instruction & 0xffe0_001f {
        0xd400_0002 => Some("HVC"),
        0xd400_0003 => Some("SMC"),
        _ => None,
    }
}

impl FatalFrame {
    /// The stack pointer of what the exception interrupted.
    pub(crate) fn interrupted_sp(&self) -> u64 {
        if self.spsr & SPSR_SP != 0 { self.sp } else { self.sp_el0 }
    }

    fn vector(&self) -> &'static str {
        match self.kind {
            0 => "synchronous exception in a thread",
            4 => "synchronous exception in an exception handler",
            2 | 6 | 10 | 14 => "FIQ, which nothing here asked for",
            3 | 7 | 11 | 15 => "SError",
            8 | 12 => "synchronous exception from a lower exception level",
            _ => "exception",
        }
    }

    /// Whether it is an FIQ, which leaves no syndrome.
    fn is_interrupt(&self) -> bool {
        matches!(self.kind, 2 | 6 | 10 | 14)
    }

    /// Whether this is a CPU that was stopped, and no exception.
    #[inline(always)]
    pub(crate) fn is_stop(&self) -> bool {
        self.kind == STOPPED
    }

    /// Whether the faulting address belongs to a data or instruction abort.
    fn is_abort(&self) -> bool {
        matches!((self.esr >> 26) & 0x3f, 0x20..=0x22 | 0x24 | 0x25)
    }

    /// Whether it may be an instruction that there is not.
    fn is_undefined(&self) -> bool {
        !self.is_interrupt() && (self.esr >> 26) & 0x3f == 0
    }

    /// What happened, in two lines without the end of the second. `guard` is whose guard page the address that was accessed lies
    /// in, `instruction` what stands where the exception was taken.
    pub(crate) fn describe(
        &self,
        f: &mut fmt::Formatter<'_>,
        guard: Option<&dyn fmt::Display>,
        instruction: Option<u32>,
    ) -> fmt::Result {
        f.write_str(self.vector())?;
        if self.is_interrupt() {
            // ESR and FAR are those of another exception (Arm ARM D1.3.5).
            return write!(f, "\n  ESR - ELR {:#018x} FAR - SPSR {:#010x}", self.elr, self.spsr);
        }
        write!(f, ": {}", class(self.esr))?;
        if let Some(call) = instruction.and_then(firmware_call).filter(|_| self.is_undefined()) {
            write!(f, " ({call}, by which firmware is said to be called: nothing here takes it)")?;
        }
        if let Some(fault) = fault(self.esr) {
            let access = match ((self.esr >> 26) & 0x3f, self.esr & (1 << 6)) {
                (0x24 | 0x25, 0) => "reading",
                (0x24 | 0x25, _) => "writing",
                _ => "fetching",
            };
            write!(f, " {access} {:#x}: {fault}", self.far)?;
            if let Some(guard) = guard {
                write!(f, " (the guard page of {guard}: stack overflow)")?;
            }
        }
        write!(f, "\n  ESR {:#010x} ELR {:#018x} FAR ", self.esr, self.elr)?;
        if self.is_abort() {
            write!(f, "{:#018x}", self.far)?
        } else {
            write!(f, "-")?
        }
        write!(f, " SPSR {:#010x}", self.spsr)
    }
}
