//! Why guests are left, and what is done about it.

use crate::memory::{DISTRIBUTOR, REDISTRIBUTOR, REDISTRIBUTORS, UART};
use crate::registers::read;
use crate::vcpu::{self, MAX_VCPUS, OFF, ON, STARTING, Vcpu};
use crate::{gic, interface};
use core::fmt;
use core::sync::atomic::Ordering::SeqCst;
use reveille::exception::Frame;
use reveille::println;

/// The guest has done what it may not, or what is not here. `false`: it does not go on, as in all of these functions.
pub fn failed(vcpu: &Vcpu, frame: &Frame, why: fmt::Arguments<'_>) -> bool {
    let (guest, index, Frame { esr, far, elr, .. }) = (vcpu.guest(), vcpu.index, frame);
    println!("hypervisor: guest {} vcpu {index}: {why}: esr {esr:#x} far {far:#x} pc {elr:#x}", guest.index);
    guest.end(vcpu::FAILED);
    false
}

/// What is done about the exception that is in `frame`, and in HPFAR_EL2 (Arm ARM D24.2.40, ESR_EL2).
pub fn handle(vcpu: &Vcpu, frame: &mut Frame) -> bool {
    match frame.esr >> 26 {
        // WFI; WFE does not trap.
        0x01 => {
            frame.elr += 4;
            vcpu.waits.store(true, SeqCst);
            false
        }
        // HVC; SMC does not trap into what comes behind it.
        ec @ (0x16 | 0x17) => {
            frame.elr += 4 * (ec & 1);
            call(vcpu, frame)
        }
        0x18 => system_register(vcpu, frame),
        0x24 => access(vcpu, frame),
        _ => failed(vcpu, frame, format_args!("an exception that nobody expects")),
    }
}

/// PSCI 1.1 and SMCCC 1.1 (Arm DEN 0022, DEN 0028).
fn call(vcpu: &Vcpu, frame: &mut Frame) -> bool {
    const NOT_SUPPORTED: i64 = -1;
    const INVALID_PARAMETERS: i64 = -2;
    let guest = vcpu.guest();
    let by_affinity = |mpidr: u64| guest.vcpus().iter().find(|vcpu| vcpu.index as u64 == mpidr);
    let [function, first, second, third, ..] = frame.x;
    let answer = match function as u32 {
        // PSCI_VERSION, SMCCC_VERSION
        0x8400_0000 | 0x8000_0000 => 0x1_0001,
        // CPU_OFF
        0x8400_0002 => {
            vcpu.power.store(OFF, SeqCst);
            return false;
        }
        // CPU_ON
        0x8400_0003 | 0xc400_0003 => match by_affinity(first) {
            None => INVALID_PARAMETERS,
            Some(target) => match target.power.compare_exchange(OFF, STARTING, SeqCst, SeqCst) {
                Ok(_) => {
                    target.begin(second, third);
                    0
                }
                // ALREADY_ON, ON_PENDING
                Err(ON) => -4,
                Err(_) => -5,
            },
        },
        // AFFINITY_INFO
        0x8400_0004 | 0xc400_0004 => match by_affinity(first).map(|target| target.power.load(SeqCst)) {
            None => INVALID_PARAMETERS,
            Some(ON) => 0,
            Some(OFF) => 1,
            Some(_) => 2,
        },
        // MIGRATE_INFO_TYPE: there is nothing to migrate.
        0x8400_0006 => 2,
        // SYSTEM_OFF, SYSTEM_RESET
        function @ (0x8400_0008 | 0x8400_0009) => {
            guest.end(if function == 0x8400_0008 { vcpu::SWITCHED_OFF } else { vcpu::RESET });
            return false;
        }
        // PSCI_FEATURES: SMCCC_VERSION, and functions 0, 2 to 4, 6 and 8 to 10 of PSCI.
        0x8400_000a if first == 0x8000_0000 => 0,
        0x8400_000a if first & 0xbfff_ffe0 == 0x8400_0000 && 0x75d >> (first & 0x1f) & 1 != 0 => 0,
        _ => NOT_SUPPORTED,
    };
    frame.x[0] = answer as u64;
    true
}

/// An access to a system register that traps.
fn system_register(vcpu: &Vcpu, frame: &mut Frame) -> bool {
    let field = |from: u32, bits: u32| frame.esr as u32 >> from & ((1 << bits) - 1);
    let register = (field(20, 2), field(14, 3), field(10, 4), field(1, 4), field(17, 3));
    let (target, is_read) = (field(5, 5) as usize, field(0, 1) != 0);
    let value = match register {
        // ICC_SGI1R_EL1; the two others of its kind are for security states that there are not.
        (3, 0, 12, 11, 5) if !is_read => gic::send_v3(vcpu, frame.x.get(target).copied().unwrap_or(0)),
        // What debugs, which no guest has.
        (3, 0, 12, 11, 6 | 7) | (2, ..) => 0,
        (3, 0, 0, 1..=7, _) if is_read => identification(register.3, register.4),
        _ => return failed(vcpu, frame, format_args!("a system register that is not here")),
    };
    if is_read && target < 31 {
        frame.x[target] = value;
    }
    frame.elr += 4;
    true
}

/// An identification register with what a guest has of it: EL1 and EL0 in AArch64, and nothing that traps here or has registers that are not
/// saved with a vCPU's. What is not named reads as 0, which says that there is nothing.
fn identification(m: u32, op2: u32) -> u64 {
    match (m, op2) {
        // PFR0: EL0 and EL1 in AArch64 alone, FP, AdvSIMD, GIC, DIT, CSV2, CSV3; PFR1: BTI, SSBS.
        (4, 0) => {
            read!("id_aa64pfr0_el1") & 0xff0f_0000_00ff_0000 | u64::from(interface::is_v3()) << 24 | 0x11
        }
        (4, 1) => read!("id_aa64pfr1_el1") & 0xff,
        // DFR0: break- and watchpoints.
        (5, 0) => read!("id_aa64dfr0_el1") & 0xf0f0_f00f,
        (6, 0) => read!("id_aa64isar0_el1"),
        // ISAR1: without LS64 and pointer authentication. ISAR2: RPRES and BC.
        (6, 1) => read!("id_aa64isar1_el1") & !(0xf << 60 | 0xff00_0ff0),
        (6, 2) => read!("S3_0_C0_C6_2") & 0x00f0_00f0,
        // MMFR0: 36 bits of address, without FGT and ECV. MMFR1: without VHE and HCX, MMFR2: without nesting.
        (7, 0) => read!("id_aa64mmfr0_el1") & 0x00ff_ffff_ffff_fff0 | 1,
        (7, 1) => read!("id_aa64mmfr1_el1") & !(0xf << 40 | 0xf << 8),
        (7, 2) => read!("S3_0_C0_C7_2") & !(0xf << 24),
        _ => 0,
    }
}

/// An access to a device (Arm ARM D24.2.40, ISS of a data abort).
fn access(vcpu: &Vcpu, frame: &mut Frame) -> bool {
    const VALID: u64 = 1 << 24;
    let esr = frame.esr;
    let address = (read!("hpfar_el2") & 0xfff_ffff_fff0) << 8 | frame.far & 0xfff;
    let is_translation = esr & 0b11_1100 == 0b00_0100;
    if esr & VALID == 0 || !is_translation {
        return failed(vcpu, frame, format_args!("an access to {address:#x} that cannot be emulated"));
    }
    let size = 1 << (esr >> 22 & 3);
    let mask = u64::MAX >> (64 - 8 * size);
    let target = (esr >> 16 & 0x1f) as usize;
    let store = (esr & 1 << 6 != 0).then(|| frame.x.get(target).copied().unwrap_or(0) & mask);
    const END: u64 = REDISTRIBUTORS + MAX_VCPUS as u64 * REDISTRIBUTOR;
    let value = match address {
        DISTRIBUTOR..0x0801_0000 => gic::distributor(vcpu, address - DISTRIBUTOR, size, store),
        REDISTRIBUTORS..END if interface::is_v3() => {
            gic::redistributor(vcpu, address - REDISTRIBUTORS, size, store)
        }
        UART..0x0900_1000 => uart(vcpu, address - UART, store),
        _ => return failed(vcpu, frame, format_args!("there is nothing at {address:#x}")),
    } & mask;
    if store.is_none() && target < 31 {
        // SSE: it is extended by its sign.
        let shift = 64 - 8 * size as u32;
        let extended = if esr & 1 << 21 != 0 { ((value << shift) as i64 >> shift) as u64 } else { value };
        // SF: the register is one of 64 bits.
        frame.x[target] = if esr & 1 << 15 != 0 { extended } else { extended & 0xffff_ffff };
    }
    frame.elr += 4;
    true
}

/// A PL011 that is always ready to send, and has never received anything (Arm DDI 0183).
fn uart(vcpu: &Vcpu, offset: u64, store: Option<u64>) -> u64 {
    const IDENTIFICATION: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
    match (offset, store) {
        (0, Some(byte)) => {
            let guest = vcpu.guest();
            let mut line = guest.console.lock();
            let (text, length) = &mut *line;
            if byte as u8 != b'\n' && byte as u8 != b'\r' {
                text[*length] = byte as u8;
                *length += 1;
            }
            if byte as u8 == b'\n' || *length == text.len() {
                let text = core::str::from_utf8(&text[..*length]).unwrap_or("(not UTF-8)");
                println!("[guest {}] {text}", guest.index);
                *length = 0;
            }
            0
        }
        // TXFE, RXFE
        (0x18, None) => 0x90,
        (0xfe0..0x1000, None) => u64::from(IDENTIFICATION[(offset - 0xfe0) as usize / 4]),
        _ => 0,
    }
}
