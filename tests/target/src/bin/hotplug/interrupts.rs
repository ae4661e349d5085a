//! The parts of the interrupt controller of CPUs that go and come, and what is sent to them.

use super::{DISORDER, OFFLINE, down, spend, up};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::dt::Gic;
use reveille::irq::{self, Trigger};
use reveille::{System, call, fault, nmi, time};
use reveille_tests::{check, eventually, has_gic, raise};

/// Sends SGI `number` to `cpu` past the runtime, which would look whether it is online.
fn send_raw_sgi(system: &System, cpu: CpuId, number: u64) {
    let Ok(gic) = &system.machine().gic else { return check(false, "there is a GIC") };
    match gic {
        Gic::Bcm2836 { .. } => {
            let register = gic.distributor().base + 0x80 + 16 * cpu.index() as u64;
            // SAFETY: sets a bit of a mailbox of the controller, which the runtime has mapped: sends an SGI.
            unsafe {
                asm!("dsb sy", "str {:w}, [{}]", in(reg) 1_u64 << number, in(reg) register, options(nostack))
            };
        }
        Gic::V2 { .. } => {
            let register = gic.distributor().base + 0xf00;
            let value = 1 << (16 + cpu.index()) | number;
            // SAFETY: GICD_SGIR of the distributor, which the runtime has mapped: sends an SGI.
            unsafe { asm!("dsb sy", "str {:w}, [{}]", in(reg) value, in(reg) register, options(nostack)) };
        }
        Gic::V3 { .. } => {
            let mpidr = cpu::mpidr(cpu);
            let value = (mpidr >> 32 & 0xff) << 48
                | (mpidr >> 16 & 0xff) << 32
                | (mpidr >> 4 & 0xf) << 44
                | number << 24
                | (mpidr >> 8 & 0xff) << 16
                | 1 << (mpidr & 0xf);
            // SAFETY: ICC_SGI1R_EL1: sends an SGI.
            unsafe { asm!("dsb sy", "msr S3_0_C12_C11_5, {}", "isb", in(reg) value, options(nostack)) };
        }
    }
}

/// An SGI that nothing uses; the runtime counts those.
const STRAY: u64 = 5;

/// Takes `cpu` down, and waits until it is off, or in the pen: firmware may have been told to turn nothing off.
#[track_caller]
fn off(cpu: CpuId) {
    down(cpu);
    eventually("it is off", || fault::is_off(cpu) != Some(false) || cpu::status(cpu).in_pen);
}

/// What was sent to a CPU while it was off is not handled when it is back.
pub fn stale_sgis(system: &System, cpu: CpuId) {
    let before = fault::strays(cpu);
    send_raw_sgi(system, cpu, STRAY);
    eventually("an SGI to an online CPU is handled", || fault::strays(cpu) == before + 1);
    for _ in 0..3 {
        off(cpu);
        for number in [STRAY, 0, 1, 2, 3, 4] {
            send_raw_sgi(system, cpu, number);
        }
        up(cpu);
        spend(Duration::from_millis(2));
        check(call::on(cpu, || ()) == Ok(()), "it takes calls");
        check(fault::strays(cpu) == before + 1, "an SGI from before is not handled");
    }
    send_raw_sgi(system, cpu, STRAY);
    eventually("a new one is", || fault::strays(cpu) == before + 2);
}

/// SPIs that no device of the machine uses.
const SPI: u32 = 77;
pub const OWN_SPI: u32 = 78;

/// One more than the index of the CPU that has handled one of them.
static HANDLED: AtomicU64 = AtomicU64::new(0);

pub fn handled_by(_: u32) {
    HANDLED.store(1 + cpu::current().index() as u64, Ordering::Relaxed);
}

/// Makes `spi` pending. Who handles it?
///
/// The CPU that asks, if nobody can be told: there is no GIC, and so nothing that could be made pending.
#[track_caller]
pub fn handler_of(system: &System, spi: u32) -> Option<CpuId> {
    if !has_gic(system) {
        return Some(cpu::current());
    }
    HANDLED.store(0, Ordering::Relaxed);
    raise(system, spi);
    eventually("the interrupt is handled", || HANDLED.load(Ordering::Relaxed) != 0);
    cpu::get(HANDLED.load(Ordering::Relaxed) as usize - 1)
}

/// A shared interrupt that goes to a CPU that leaves goes to another one.
pub fn shared_interrupts(system: &System, cpu: CpuId) {
    if !has_gic(system) {
        return;
    }
    let handled = || handler_of(system, SPI);
    check(irq::register(SPI, Trigger::Edge, handled_by).is_ok(), "a handler can be registered");
    check(irq::set_affinity(SPI, cpu).is_ok(), "it can be sent to any CPU");
    check(handled() == Some(cpu), "it is handled there");
    down(cpu);
    check(
        irq::set_affinity(SPI, cpu) == Err(irq::IrqError::Offline { cpu }),
        "an interrupt cannot be sent to a CPU that left",
    );
    check(handled().is_some_and(|cpu| cpu::online().contains(cpu)), "it is handled where it moved");
    up(cpu);
    check(irq::set_affinity(SPI, cpu).is_ok() && handled() == Some(cpu), "it can move back");
}

/// Where the registers begin that [`disorder`] writes to.
static OWN_REGISTERS: AtomicU64 = AtomicU64::new(0);

/// From where the registers of `cpu` for its own interrupts are: the redistributor's second frame (IHI 0069 12.10). `None`: with a
/// GICv2 they are banked.
fn registers(system: &System, cpu: CpuId) -> Option<u64> {
    let Ok(Gic::V3 { redistributors, stride, .. }) = &system.machine().gic else { return None };
    let mpidr = cpu::mpidr(cpu);
    let affinity = (mpidr >> 32 & 0xff) << 24 | mpidr & 0xff_ffff;
    for region in redistributors.iter() {
        let mut at = region.base;
        while at < region.base + region.size {
            // GICR_TYPER (IHI 0069 12.11.35): affinity, VLPIS, Last.
            let typer = u64::from(read(at + 8)) | u64::from(read(at + 12)) << 32;
            if typer >> 32 == affinity {
                return Some(at + 0x1_0000);
            }
            if typer & 1 << 4 != 0 {
                break;
            }
            at += stride.unwrap_or(if typer & 1 << 1 != 0 { 0x4_0000 } else { 0x2_0000 });
        }
    }
    panic!("cpu {cpu} has no redistributor");
}

fn read(register: u64) -> u32 {
    let value: u32;
    // SAFETY: a register of the interrupt controller, which the runtime has mapped; none of those asked for changes by being read.
    unsafe { asm!("ldr {:w}, [{}]", out(reg) value, in(reg) register, options(nostack)) };
    value
}

fn write(register: u64, value: u32) {
    // SAFETY: a register of the interrupt controller, which the runtime has mapped. What that does to it is what the test is about.
    unsafe { asm!("dsb sy", "str {:w}, [{}]", in(reg) value, in(reg) register, options(nostack)) };
}

// The same offsets in both kinds of GIC.
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ISACTIVER: u64 = 0x300;
const IPRIORITYR: u64 = 0x400;

/// A CPU that is off is sent nothing: no interrupt of its own is enabled.
pub fn quiet_while_off(system: &System, cpu: CpuId) {
    let Some(own) = registers(system, cpu) else { return };
    check(read(own + ISENABLER) != 0, "a CPU that is online takes interrupts");
    off(cpu);
    let left = read(own + ISENABLER);
    assert!(left == 0, "the interrupts {left:#x} of a CPU that has left are enabled");
    up(cpu);
}

/// Whatever a CPU finds in its part of the interrupt controller when it comes, it works with it.
pub fn left_in_disorder(system: &System, cpu: CpuId) {
    if !has_gic(system) {
        return;
    }
    let Ok(gic) = &system.machine().gic else { return check(false, "there is a GIC") };
    let own = registers(system, cpu).unwrap_or(gic.distributor().base);
    OWN_REGISTERS.store(own, Ordering::Relaxed);
    OFFLINE.store(DISORDER, Ordering::Relaxed);
    down(cpu);
    check(OFFLINE.load(Ordering::Relaxed) == 0, "its registers were put in disorder");
    up(cpu);
    let strays = fault::strays(cpu);
    send_raw_sgi(system, cpu, STRAY);
    eventually("and any SGI", || fault::strays(cpu) == strays + 1);
    static FIRED: AtomicU64 = AtomicU64::new(0);
    let set = || time::after(Duration::from_micros(100), || _ = FIRED.fetch_add(1, Ordering::Relaxed));
    check(call::on(cpu, || set().is_ok()) == Ok(true), "it can set a timer");
    eventually("and takes its interrupt", || FIRED.load(Ordering::Relaxed) == 1);
    check(nmi::on_each(&[cpu].into_iter().collect(), || ()).is_complete(), "and one that is not masked");
}

/// The calling CPU's own interrupts as nobody leaves them: all active, pending and at the lowest priority, and few enabled.
pub fn disorder() {
    let own = OWN_REGISTERS.load(Ordering::Relaxed);
    write(own + ISACTIVER, u32::MAX);
    write(own + ICENABLER, u32::MAX);
    write(own + ISPENDR, u32::MAX);
    for word in 0..8 {
        write(own + IPRIORITYR + 4 * word, u32::MAX);
    }
}
