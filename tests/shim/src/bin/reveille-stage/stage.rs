//! The stage itself.

use crate::common::*;
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;

/// ON_PENDING (Arm DEN 0022, 5.2.2).
const ON_PENDING: u64 = -5_i64 as u64;

/// Where the device tree is.
const TREE: u64 = 0x4fc0_0000;
/// The second flash, which both worlds see.
const FLASH: u64 = 0x0400_0000;
/// Secure RAM: zeros when QEMU starts. First the CPUs, then their stacks.
const SECURE_RAM: usize = 0x0e00_0000;
const STACKS: usize = SECURE_RAM + 0x2_0000;
/// Bytes of the stack of one CPU: a trap frame, and the few small frames of `trap`.
const STACK_SIZE: usize = 2048;
const _: () = assert!(SECURE_RAM + size_of::<[Cpu; MAX_CPUS]>() <= STACKS);

const GICD: u64 = 0x0800_0000;
const GICC: u64 = 0x0801_0000;
const GICR: u64 = 0x080a_0000;
const GICR_STRIDE: u64 = 0x2_0000;
/// A PL061 of the Secure world. Pin 0 turns the machine off, pin 1 resets it.
const GPIO: u64 = 0x090b_0000;

global_asm!(
    include_str!("entry.s"),
    include_str!("../../common.s"),
    RESET = sym reset,
    TRAP = sym trap,
    STACKS = const STACKS,
    STACK_SIZE = const STACK_SIZE,
);

/// How a CPU leaves EL3; read by assembly.
#[repr(C)]
struct Entry {
    pc: AtomicU64,
    spsr: AtomicU64,
    x: [AtomicU64; 3],
}
const _: () = assert!(offset_of!(Entry, x) == 16);

#[repr(C, align(64))]
struct Cpu {
    /// A [`state`].
    state: AtomicU64,
    /// What the last `CPU_ON` wanted.
    pc: AtomicU64,
    context: AtomicU64,
    entry: Entry,
}

/// What AFFINITY_INFO answers, plus 1.
mod state {
    /// Not seen yet.
    pub(super) const ABSENT: u64 = 0;
    pub(super) const ON: u64 = 1;
    pub(super) const OFF: u64 = 2;
    /// `CPU_ON` was called for it.
    pub(super) const ON_PENDING: u64 = 3;
}

fn cpus() -> &'static [Cpu; MAX_CPUS] {
    // SAFETY: Secure RAM, which is ours alone; zeros are a sound value, and all are atomics.
    unsafe { &*(SECURE_RAM as *const [Cpu; MAX_CPUS]) }
}

fn read(address: u64) -> u32 {
    // SAFETY: a register of a device of `virt`.
    unsafe { (address as *const u32).read_volatile() }
}

fn write(address: u64, value: u32) {
    // SAFETY: as above.
    unsafe { (address as *mut u32).write_volatile(value) }
}

macro_rules! write_register {
    ($name:literal, $value:expr) => {
        // SAFETY: a register that is firmware's to set up.
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) $value as u64, options(nostack, preserves_flags)) }
    };
}

/// Whether there is a GICv3: a CPU interface in system registers.
fn has_gic_v3() -> bool {
    let features: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, id_aa64pfr0_el1", out(reg) features, options(nomem, nostack, preserves_flags)) };
    features >> 24 & 0xf != 0
}

/// How many CPUs there are, as the interrupt controller counts.
fn count() -> usize {
    if has_gic_v3() {
        // The first region of redistributors ends with the one that says that it is the last (GICR_TYPER.Last).
        (0..MAX_CPUS as u64)
            .find(|i| read(GICR + i * GICR_STRIDE + 8) & 1 << 4 != 0)
            .map_or(0, |last| last as usize + 1)
    } else {
        // GICD_TYPER.CPUNumber
        (read(GICD + 4) >> 5 & 7) as usize + 1
    }
}

/// The distributor: all SPIs in Group 1, the Non-secure one, and groups on.
fn set_up_distributor() {
    if has_gic_v3() {
        // Affinity routing for both worlds, before any group is on.
        write(GICD, 0x30);
    }
    for word in 1..=(read(GICD + 4) & 0x1f) as u64 {
        write(GICD + 0x80 + 4 * word, u32::MAX);
    }
    write(GICD, if has_gic_v3() { 0x37 } else { 3 });
}

/// This CPU's part: SGIs and PPIs in Group 1, the Secure mask open.
fn set_up_gic(index: usize) {
    if has_gic_v3() {
        let redistributor = GICR + index as u64 * GICR_STRIDE;
        // GICR_WAKER, IGROUPR0, IGRPMODR0
        write(redistributor + 0x14, 0);
        write(redistributor + 0x1_0080, u32::MAX);
        write(redistributor + 0x1_0d00, 0);
        // ICC_SRE_EL3, ICC_SRE_EL2, ICC_PMR_EL1, ICC_AP0R0_EL1
        write_register!("S3_6_C12_C12_5", 0xf);
        write_register!("S3_4_C12_C9_5", 0xf);
        write_register!("S3_0_C4_C6_0", 0xff);
        write_register!("S3_0_C12_C8_4", 0);
    } else {
        write(GICD + 0x80, u32::MAX);
        write(GICC + 4, 0xff);
    }
}

/// A CPU has come out of reset. Returns how it goes on.
extern "C" fn reset() -> &'static Entry {
    let index = own_index();
    let Some(own) = cpus().get(index) else { stop() };
    if index != 0 {
        return wait(index, own);
    }
    set_up_distributor();
    // Who has not come cannot be started.
    while cpus()[1..count()].iter().any(|cpu| get(&cpu.state) == state::ABSENT) {
        wfe();
    }
    set(&own.pc, IMAGE);
    set(&own.context, TREE);
    enter(index, own)
}

/// This CPU is off, until it is started.
fn wait(index: usize, own: &'static Cpu) -> &'static Entry {
    set(&own.state, state::OFF);
    while get(&own.state) != state::ON_PENDING {
        wfe();
    }
    enter(index, own)
}

/// This CPU goes to where it was started for, by way of what is to be left behind.
fn enter(index: usize, own: &'static Cpu) -> &'static Entry {
    // SAFETY: the flash can be read, and nobody writes to it.
    let leavings = unsafe { Leavings::at(FLASH) };
    let mut level = leavings.map_or(2, |leavings| leavings.level);
    // SCR_EL3: NS, FIQ, RW, and what lower levels may use: pointer authentication (API, APK), FGTEn, HXEn, TCR2En, SCTLR2En. Of
    // those that the CPU lacks the bits are RES0. HCE: below EL1 there is nobody to be called.
    const HCE: u64 = 1 << 8;
    write_register!("scr_el3", 0x1840_0803_0435_u64 | if level == 2 { HCE } else { 0 });
    set_up_gic(index);
    let (pc, context) = (get(&own.pc), get(&own.context));
    set(&own.entry.pc, pc);
    set(&own.entry.x[0], context);
    set(&own.entry.x[1], 0);
    set(&own.entry.x[2], 0);
    if let Some(leavings) = leavings {
        leavings.leave(index as u64);
        if leavings.lower != 0 {
            // What is at EL2 finds the way from there.
            level = 2;
            set(&own.entry.pc, FLASH + u64::from(leavings.lower));
            set(&own.entry.x[1], pc);
            set(&own.entry.x[2], index as u64);
        }
    }
    set(&own.entry.spsr, if level == 1 { EL1H } else { EL2H });
    set(&own.state, state::ON);
    &own.entry
}

/// A trap from below: SMC, or something that has no business here. Returns null to go back, or how to go on instead.
extern "C" fn trap(frame: &mut Frame, esr: u64) -> Option<&'static Entry> {
    const VERSION: u64 = 0x8400_0000;
    const AFFINITY_INFO_32: u64 = 0x8400_0004;
    const AFFINITY_INFO_64: u64 = 0xc400_0004;
    const SYSTEM_OFF: u64 = 0x8400_0008;
    const SYSTEM_RESET: u64 = 0x8400_0009;
    const FEATURES: u64 = 0x8400_000a;

    if esr >> 26 & 0x3f != 0x17 {
        stop();
    }
    let [function, x1, x2, x3, ..] = frame.x;
    let function = function & 0xffff_ffff;
    // A 32-bit function id has 32-bit arguments (Arm DEN 0028, 2.5).
    let low = |x: u64| if function & 1 << 30 == 0 { x & 0xffff_ffff } else { x };
    let meant = || index(low(x1)).map(|index| &cpus()[index]);
    frame.x[0] = match function {
        VERSION => 1 << 16 | 1,
        FEATURES => match low(x1) {
            VERSION | FEATURES | CPU_OFF | CPU_ON_32 | CPU_ON_64 | SYSTEM_OFF | SYSTEM_RESET => OK,
            AFFINITY_INFO_32 | AFFINITY_INFO_64 => OK,
            _ => NOT_SUPPORTED,
        },
        CPU_ON_32 | CPU_ON_64 => meant().map_or(NOT_THERE, |cpu| match get(&cpu.state) {
            state::ABSENT => NOT_THERE,
            state::OFF => {
                set(&cpu.pc, low(x2));
                set(&cpu.context, low(x3));
                set(&cpu.state, state::ON_PENDING);
                OK
            }
            state::ON_PENDING => ON_PENDING,
            _ => ALREADY_ON,
        }),
        AFFINITY_INFO_32 | AFFINITY_INFO_64 => meant().map_or(NOT_THERE, |cpu| match get(&cpu.state) {
            state::ABSENT => NOT_THERE,
            known => known - 1,
        }),
        CPU_OFF => {
            let index = own_index();
            return Some(wait(index, &cpus()[index]));
        }
        SYSTEM_OFF => pull(1),
        SYSTEM_RESET => {
            // Whoever comes then is to be waited for again.
            cpus().iter().for_each(|cpu| set(&cpu.state, state::ABSENT));
            pull(2)
        }
        _ => NOT_SUPPORTED,
    };
    None
}

/// The machine ends, or begins again.
fn pull(pin: u32) -> ! {
    // GPIODIR, and GPIODATA with the mask of pins in the address.
    write(GPIO + 0x400, pin);
    write(GPIO + u64::from(pin << 2), pin);
    loop {
        wfe();
    }
}
