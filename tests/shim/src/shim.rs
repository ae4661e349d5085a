//! The stub itself.

use crate::common::*;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;

/// Bytes of the EL2 stack of one CPU: a trap frame, and the few small frames of `trap`.
const STACK_SIZE: usize = 2048;

/// Behind the shim's own memory: what is to be left behind.
const LEAVINGS_SIZE: u64 = 0x4000;

/// It, if there is any.
fn leavings() -> Option<&'static Leavings> {
    let end: u64;
    // Not by its address in Rust, which would be one to relocate.
    // SAFETY: computes an address.
    unsafe {
        asm!("adrp {0}, __image_end", "add {0}, {0}, :lo12:__image_end", out(reg) end, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: RAM of `virt`, which `boot` reserves.
    unsafe { Leavings::at(end.next_multiple_of(4096)) }
}

#[repr(C, align(16))]
struct Stacks(UnsafeCell<[[u8; STACK_SIZE]; MAX_CPUS]>);
// SAFETY: only the stack pointer of the CPU whose stack it is ever leads there.
unsafe impl Sync for Stacks {}
static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK_SIZE]; MAX_CPUS]));

global_asm!(
    include_str!("entry.s"),
    include_str!("common.s"),
    BOOT = sym boot,
    ARRIVED = sym arrived,
    TRAP = sym trap,
    STACKS = sym STACKS,
    STACK_SIZE = const STACK_SIZE,
);

unsafe extern "C" {
    fn shim_start(function: u64, affinity: u64) -> u64;
    fn shim_smc(x0: u64, x1: u64, x2: u64, x3: u64) -> u64;
}

/// Calls by HVC from EL1, function ids of the hypervisor vendor's range (Arm DEN 0028, 6.1). x1 is the affinity of the
/// CPU that is meant, x0 the answer: 0, or -2 for a CPU or plan that does not exist.
mod call {
    /// Is this the shim? Answers [`super::NAME`].
    pub(super) const NAME: u64 = 0xc600_0000;
    /// x2 = a [`super::plan`], x3 and x4 = what it needs. From the next `CPU_ON` or `CPU_OFF` on.
    pub(super) const PLAN: u64 = 0xc600_0001;
    /// Lets a CPU go on that a plan holds at EL2.
    pub(super) const RELEASE: u64 = 0xc600_0002;
    /// x0 = a [`super::stage`], x1 = number of `CPU_ON` calls for it, x2 = how often it was started, x3 = how often it
    /// has entered EL1.
    pub(super) const LOOK: u64 = 0xc600_0003;
    /// The next time that the CPU comes here, it goes to the entry point of the last `CPU_ON` for any CPU instead of back.
    /// x2 = context id, x3 = 1: with the MMU as it is.
    pub(super) const AGAIN: u64 = 0xc600_0004;
    /// Starts the CPU, unasked, at the entry point of the last `CPU_ON` for any CPU. x2 = context id.
    pub(super) const START: u64 = 0xc600_0005;
    /// Holds the CPU that calls for x1 ticks.
    pub(super) const FREEZE: u64 = 0xc600_0006;
    /// The CPU that calls gets an SError.
    pub(super) const SERROR: u64 = 0xc600_0007;
}

const NAME: u64 = u32::from_be_bytes(*b"SHIM") as u64;

/// What is to become of a CPU. All but `HONEST` add to what is planned already.
mod plan {
    /// Everything is passed on as it comes: no plan.
    pub(super) const HONEST: u64 = 0;
    /// The next x4 `CPU_ON` are answered x3, and nothing else happens.
    pub(super) const ANSWER: u64 = 1;
    /// `CPU_ON` starts the CPU, and answers x3.
    pub(super) const SAY: u64 = 2;
    /// The context id is replaced by `(it & x3) + x4`.
    pub(super) const CONTEXT: u64 = 3;
    /// It is held at EL2 until x3 ticks after the `CPU_ON`.
    pub(super) const DELAY: u64 = 4;
    /// It is held at EL2 until [`super::call::RELEASE`].
    pub(super) const HOLD: u64 = 5;
    /// `CPU_OFF` is answered x3, and nothing else happens.
    pub(super) const STAY: u64 = 6;
    /// It enters with the MMU on, as it was when it last left by `CPU_OFF`; off if it never did.
    pub(super) const MMU_ON: u64 = 7;
    /// It enters at EL2, and is the image's from there on: the stub does not see it again before its next start.
    pub(super) const AT_EL2: u64 = 8;
    /// It enters with an SError pending.
    pub(super) const SERROR: u64 = 9;
}

/// Where a CPU is.
mod stage {
    /// Off, as far as the shim knows.
    pub(super) const OFF: u64 = 0;
    /// The real `CPU_ON` has been made.
    pub(super) const STARTED: u64 = 1;
    /// At EL2, held.
    pub(super) const HELD: u64 = 2;
    /// At EL1.
    pub(super) const ENTERED: u64 = 3;
}

/// How a CPU enters the image; read by assembly.
#[repr(C)]
struct Entry {
    pc: AtomicU64,
    context: AtomicU64,
    sctlr: AtomicU64,
    ttbr: AtomicU64,
    tcr: AtomicU64,
    mair: AtomicU64,
    spsr: AtomicU64,
}
const _: () = assert!(offset_of!(Entry, spsr) == 48);

#[repr(C, align(64))]
struct Cpu {
    entry: Entry,
    /// The same without the plans' alterations, for the next time.
    asked_context: AtomicU64,
    stage: AtomicU64,
    calls: AtomicU64,
    starts: AtomicU64,
    entries: AtomicU64,
    /// When it was started.
    started_at: AtomicU64,
    /// Its MMU when it left: SCTLR, TTBR0, TCR, MAIR.
    left: [AtomicU64; 4],

    answer: AtomicU64,
    answers_left: AtomicU64,
    say: AtomicU64,
    /// Bits of the context id to clear.
    context_clear: AtomicU64,
    context_add: AtomicU64,
    delay: AtomicU64,
    hold: AtomicU64,
    /// What to answer `CPU_OFF`; 0: it is passed on.
    stay: AtomicU64,
    mmu_on: AtomicU64,
    at_el2: AtomicU64,
    serror: AtomicU64,
    /// 0: no; 1: enter again with the MMU off; 2: with the MMU as it is.
    again: AtomicU64,
    again_context: AtomicU64,
}

impl Cpu {
    const fn new() -> Self {
        const fn zero() -> AtomicU64 {
            AtomicU64::new(0)
        }
        Self {
            entry: Entry {
                pc: zero(),
                context: zero(),
                sctlr: zero(),
                ttbr: zero(),
                tcr: zero(),
                mair: zero(),
                spsr: zero(),
            },
            asked_context: zero(),
            stage: zero(),
            calls: zero(),
            starts: zero(),
            entries: zero(),
            started_at: zero(),
            left: [const { zero() }; 4],
            answer: zero(),
            answers_left: zero(),
            say: zero(),
            context_clear: zero(),
            context_add: zero(),
            delay: zero(),
            hold: zero(),
            stay: zero(),
            mmu_on: zero(),
            at_el2: zero(),
            serror: zero(),
            again: zero(),
            again_context: zero(),
        }
    }

    fn plan(&self, kind: u64, a: u64, b: u64) -> u64 {
        match kind {
            plan::HONEST => {
                set(&self.answers_left, 0);
                set(&self.say, 0);
                set(&self.context_clear, 0);
                set(&self.context_add, 0);
                set(&self.delay, 0);
                set(&self.hold, 0);
                set(&self.stay, 0);
                set(&self.mmu_on, 0);
                set(&self.at_el2, 0);
                set(&self.serror, 0);
            }
            plan::ANSWER => {
                set(&self.answer, a);
                set(&self.answers_left, b);
            }
            plan::SAY => set(&self.say, a),
            plan::CONTEXT => {
                set(&self.context_clear, !a);
                set(&self.context_add, b);
            }
            plan::DELAY => set(&self.delay, a),
            plan::HOLD => set(&self.hold, 1),
            plan::STAY => set(&self.stay, a),
            plan::MMU_ON => set(&self.mmu_on, 1),
            plan::AT_EL2 => set(&self.at_el2, 1),
            plan::SERROR => set(&self.serror, 1),
            _ => return NOT_THERE,
        }
        OK
    }

    /// CPU_ON for this CPU, called from EL1.
    fn on(&self, function: u64, affinity: u64, pc: u64, context: u64) -> u64 {
        set(&LAST_PC, pc);
        set(&self.calls, get(&self.calls) + 1);
        let left = get(&self.answers_left);
        if left != 0 {
            set(&self.answers_left, left - 1);
            return get(&self.answer);
        }
        let answer = self.start(function, affinity, pc, context);
        if answer == OK { get(&self.say) } else { answer }
    }

    /// Really starts it.
    fn start(&self, function: u64, affinity: u64, pc: u64, context: u64) -> u64 {
        // Also while a start is under way. QEMU itself would then start the CPU a second time.
        if get(&self.stage) != stage::OFF {
            return ALREADY_ON;
        }
        set(&self.entry.pc, pc);
        set(&self.asked_context, context);
        set(&self.started_at, now());
        set(&self.again, 0);
        set(&self.stage, stage::STARTED);
        // SAFETY: CPU_ON with our own entry point; the CPU comes up on its own stack.
        let answer = unsafe { shim_start(function, affinity) };
        if answer == OK {
            set(&self.starts, get(&self.starts) + 1);
        } else {
            set(&self.stage, stage::OFF);
        }
        answer
    }

    /// This CPU is about to enter the image, for the first time or again.
    fn enter(&self, context: u64, mmu: [u64; 4]) -> &Entry {
        set(&self.entry.context, context);
        set(&self.entry.sctlr, mmu[0]);
        set(&self.entry.ttbr, mmu[1]);
        set(&self.entry.tcr, mmu[2]);
        set(&self.entry.mair, mmu[3]);
        set(&self.entry.spsr, if get(&self.at_el2) != 0 { EL2H } else { EL1H });
        if get(&self.serror) != 0 {
            raise_serror();
        }
        set(&self.entries, get(&self.entries) + 1);
        set(&self.stage, stage::ENTERED);
        if let Some(leavings) = leavings() {
            if leavings.level == 2 {
                set(&self.entry.spsr, EL2H);
            }
            leavings.leave(own_index() as u64);
        }
        &self.entry
    }
}

static CPUS: [Cpu; MAX_CPUS] = [const { Cpu::new() }; MAX_CPUS];
/// Entry point of the last CPU_ON.
static LAST_PC: AtomicU64 = AtomicU64::new(0);

/// SCTLR_EL1 as a CPU has it that comes from firmware: RES1, MMU and caches off.
const MMU_OFF: [u64; 4] = [0x30d0_0800, 0, 0, 0];

fn now() -> u64 {
    let ticks;
    // SAFETY: reads the counter.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// EL1 of this CPU gets a virtual SError, as soon as it has `PSTATE.A` clear: HCR_EL2.VSE, which goes by itself then and
/// means something only with AMO (Arm ARM D1.3.6, "Virtual interrupts").
fn raise_serror() {
    const AMO: u64 = 1 << 5;
    const VSE: u64 = 1 << 8;
    // SAFETY: the register is ours; the two bits change nothing at EL2, which masks SErrors.
    unsafe {
        asm!("mrs {x}, hcr_el2", "orr {x}, {x}, {bits}", "msr hcr_el2, {x}", "isb", x = out(reg) _, bits = in(reg) AMO | VSE, options(nomem, nostack, preserves_flags));
    }
}

macro_rules! el1 {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reads a register of EL1.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }};
}

/// The MMU of EL1 as it is.
fn mmu() -> [u64; 4] {
    [el1!("sctlr_el1"), el1!("ttbr0_el1"), el1!("tcr_el1"), el1!("mair_el1")]
}

/// The CPU with this affinity.
fn find(affinity: u64) -> Option<&'static Cpu> {
    CPUS.get(index(affinity)?)
}

fn this_cpu() -> &'static Cpu {
    match find(el1!("mpidr_el1") & 0xff_00ff_ffff) {
        Some(cpu) => cpu,
        None => stop(),
    }
}

/// On the CPU that QEMU starts: reserves our memory in the tree, and goes on to the image.
extern "C" fn boot(tree: u64, start: u64, end: u64) -> &'static Entry {
    let magic = (IMAGE + 56) as *const u32;
    // SAFETY: RAM of `virt`.
    if unsafe { magic.read() } != u32::from_le_bytes(*b"ARM\x64") {
        stop();
    }
    // SAFETY: the boot protocol says that the tree is there.
    unsafe { reserve(tree, start, end.next_multiple_of(4096) + LEAVINGS_SIZE - start) };
    let cpu = this_cpu();
    set(&cpu.entry.pc, IMAGE);
    // SAFETY: as above.
    if unsafe { has(tree, b"shim=serror") } {
        raise_serror();
    }
    // SAFETY: as above.
    set(&DEAF, u64::from(unsafe { has(tree, b"shim=deaf") }));
    cpu.enter(tree, MMU_OFF)
}

/// Whoever calls firmware does not come back.
static DEAF: AtomicU64 = AtomicU64::new(0);

/// Whether these bytes are anywhere in the tree: a word of the boot arguments, which nothing else looks like.
///
/// # Safety
///
/// `tree` is the address of a sound blob.
unsafe fn has(tree: u64, word: &[u8]) -> bool {
    // SAFETY: in the blob (the caller's). Byte by byte: with the MMU off memory is read as it is written here.
    let byte = |at: u64| unsafe { ((tree + at) as *const u8).read_volatile() };
    let size = (4..8).fold(0, |size, at| size << 8 | u64::from(byte(at)));
    (0..size.saturating_sub(word.len() as u64))
        .any(|from| word.iter().zip(from..).all(|(wanted, at)| byte(at) == *wanted))
}

/// Adds `size` bytes at `start` to the memory that the tree reserves: the reservation block (Devicetree Specification
/// 5.3) is copied to the end of the blob, where there is room for one entry more.
///
/// # Safety
///
/// `tree` is the address of a sound blob with free memory after it.
unsafe fn reserve(tree: u64, start: u64, size: u64) {
    const TOTAL_SIZE: u64 = 4;
    const RESERVATIONS: u64 = 16;
    // SAFETY: words of the header and of the reservation block of a sound blob (the caller's).
    let word = |at: u64| unsafe { ((tree + at) as *const u32).read_unaligned() };
    let mut from = u64::from(word(RESERVATIONS).swap_bytes());
    let begin = u64::from(word(TOTAL_SIZE).swap_bytes()).next_multiple_of(8);
    let mut to = begin;
    let mut add = |address: u64, size: u64| {
        // SAFETY: behind the blob, where memory is free (the caller's); a multiple of 8 from a tree that is too.
        unsafe {
            ((tree + to) as *mut u64).write(address);
            ((tree + to + 8) as *mut u64).write(size);
        }
        to += 16;
    };
    add(start.swap_bytes(), size.swap_bytes());
    loop {
        let pair = |at: u64| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let (address, size) = (pair(from), pair(from + 8));
        add(address, size);
        from += 16;
        if address == 0 && size == 0 {
            break;
        }
    }
    // SAFETY: two words of the header.
    unsafe {
        ((tree + RESERVATIONS) as *mut u32).write((begin as u32).swap_bytes());
        ((tree + TOTAL_SIZE) as *mut u32).write((to as u32).swap_bytes());
    }
}

/// A CPU that we have started is here. Returns when and how it may go on.
extern "C" fn arrived() -> &'static Entry {
    let cpu = this_cpu();
    // Read once: a plan that is made from here on is for the next start.
    let until = match get(&cpu.delay) {
        0 => None,
        ticks => Some(get(&cpu.started_at) + ticks),
    };
    if get(&cpu.hold) != 0 || until.is_some() {
        set(&cpu.stage, stage::HELD);
    }
    while get(&cpu.hold) != 0 {
        wfe();
    }
    while until.is_some_and(|until| now() < until) {
        wfe();
    }
    let context = (get(&cpu.asked_context) & !get(&cpu.context_clear)).wrapping_add(get(&cpu.context_add));
    let mut mmu = MMU_OFF;
    if get(&cpu.mmu_on) != 0 && get(&cpu.left[0]) != 0 {
        for (to, from) in mmu.iter_mut().zip(&cpu.left) {
            *to = get(from);
        }
    }
    cpu.enter(context, mmu)
}

/// What a counter that stands still shows.
const STANDS_AT: u64 = 0x1234_5600;

/// The registers that `CNTHCTL_EL2` can keep from EL1, as the syndrome names those (Arm ARM D24.2.40, ISS of a trapped MRS): op0, op2, op1,
/// CRn, CRm, and that it is read. CNTPCT, CNTVCT, CNTPCTSS, CNTVCTSS.
const COUNTERS: [u64; 4] = [counter(1), counter(2), counter(5), counter(6)];
const COUNTER: u64 = 0x3f_fc1f;

const fn counter(op2: u64) -> u64 {
    3 << 20 | op2 << 17 | 3 << 14 | 14 << 10 | 1
}

/// A trap from EL1: SMC, HVC, WFI, or a counter that is left trapped, which stands still then. Returns null to go back, or where to enter EL1 instead.
extern "C" fn trap(frame: &mut Frame, esr: u64) -> Option<&'static Entry> {
    let own = this_cpu();
    match esr >> 26 & 0x3f {
        0x01 => {
            skip();
            if get(&own.again) == 0 {
                // SAFETY: waits for an interrupt of EL1, which is pending then but not taken here.
                unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
            }
        }
        0x16 => hvc(frame),
        0x17 => {
            skip();
            while get(&DEAF) != 0 {
                wfe();
            }
            smc(own, frame);
        }
        0x18 if COUNTERS.contains(&(esr & COUNTER)) => {
            skip();
            if let Some(register) = frame.x.get_mut((esr >> 5 & 0x1f) as usize) {
                *register = STANDS_AT;
            }
        }
        _ => stop(),
    }
    let again = get(&own.again);
    (again != 0).then(|| {
        set(&own.again, 0);
        // The boot CPU has an entry point of its own, which is not for a second time.
        set(&own.entry.pc, get(&LAST_PC));
        own.enter(get(&own.again_context), if again == 2 { mmu() } else { MMU_OFF })
    })
}

/// The trapped instruction counts as executed.
fn skip() {
    // SAFETY: the address to return to, after an instruction of 4 bytes.
    unsafe {
        asm!("mrs {x}, elr_el2", "add {x}, {x}, #4", "msr elr_el2, {x}", x = out(reg) _, options(nomem, nostack, preserves_flags));
    }
}

fn hvc(frame: &mut Frame) {
    let [function, affinity, a, b, c, ..] = frame.x;
    if function == call::NAME {
        frame.x[0] = NAME;
        return;
    }
    if function == call::FREEZE {
        let until = now() + affinity;
        while now() < until {
            wfe();
        }
        frame.x[0] = OK;
        return;
    }
    if function == call::SERROR {
        raise_serror();
        frame.x[0] = OK;
        return;
    }
    let Some(cpu) = find(affinity) else {
        frame.x[0] = NOT_THERE;
        return;
    };
    frame.x[0] = match function {
        call::PLAN => cpu.plan(a, b, c),
        call::RELEASE => {
            set(&cpu.hold, 0);
            OK
        }
        call::LOOK => {
            frame.x[1] = get(&cpu.calls);
            frame.x[2] = get(&cpu.starts);
            frame.x[3] = get(&cpu.entries);
            get(&cpu.stage)
        }
        call::AGAIN => {
            set(&cpu.again_context, a);
            set(&cpu.again, if b == 1 { 2 } else { 1 });
            OK
        }
        call::START => cpu.start(CPU_ON_64, affinity, get(&LAST_PC), a),
        _ => NOT_SUPPORTED,
    };
}

fn smc(own: &Cpu, frame: &mut Frame) {
    let [function, x1, x2, x3, ..] = frame.x;
    // A 32-bit function id has 32-bit arguments (Arm DEN 0028, 2.5).
    let low = |x: u64| if function == CPU_ON_32 { x & 0xffff_ffff } else { x };
    frame.x[0] = match (function, find(low(x1))) {
        (CPU_ON_32 | CPU_ON_64, Some(cpu)) => cpu.on(function, low(x1), low(x2), low(x3)),
        (CPU_OFF, _) if get(&own.stay) != 0 => get(&own.stay),
        (CPU_OFF, _) => {
            for (to, from) in own.left.iter().zip(mmu()) {
                set(to, from);
            }
            set(&own.stage, stage::OFF);
            // SAFETY: the CPU asked for it. Its next start begins with an empty stack.
            let answer = unsafe { shim_smc(function, x1, x2, x3) };
            set(&own.stage, stage::ENTERED);
            answer
        }
        // SAFETY: what EL1 asked its firmware for, passed on.
        _ => unsafe { shim_smc(function, x1, x2, x3) },
    };
}
