//! What earlier stages may have left in registers, and what the runtime needs them to be: read on every CPU, once it is online.
//!
//! Boots like the example `roll_call`, and prints the same. Bootarg: `untrapped`, at EL1, where whoever is
//! above lets it reach the extended controls.

#![no_std]
#![no_main]

use core::arch::asm;
use reveille::cpu::{self, CpuSet};
use reveille::{ExitCode, System, call, println};
use reveille_tests::check;

reveille::entry!(main);

macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reads a register that exists where this runs, and reading it has no side effect.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) }
        value
    }};
}

const FPEN: u64 = 3 << 20;
const SMEN: u64 = 3 << 24;
const ZEN: u64 = 3 << 16;
/// CPTR_EL2.
const TFP: u64 = 1 << 10;
const TZ: u64 = 1 << 8;
const TSM: u64 = 1 << 12;
/// HCR_EL2.
const E2H: u64 = 1 << 34;
const TGE: u64 = 1 << 27;

fn has(id: u64, shift: u32) -> bool {
    id >> shift & 0xf != 0
}

/// A SIMD instruction, `movi v0.2d, #0`: illegal, and a panic, in streaming mode without FEAT_SME_FA64.
fn simd() {
    // SAFETY: changes v0, of which the compiler knows where it uses it.
    #[cfg(target_feature = "neon")]
    unsafe {
        asm!(".inst 0x6f00e400", out("v0") _, options(nomem, nostack, preserves_flags))
    };
    // SAFETY: changes v0, which this image does not use.
    #[cfg(not(target_feature = "neon"))]
    unsafe {
        asm!(".inst 0x6f00e400", options(nomem, nostack, preserves_flags))
    };
}

/// Reads memory with PSTATE.PAN set, which FEAT_VHE comes with: a fault, and a panic, where EL0 may read it too (Arm ARM D8.4.1).
fn private() {
    let word = 0_u64;
    // SAFETY: a load from the stack; `msr pan, #1` before it and `msr pan, #0` behind it, as it was.
    unsafe {
        asm!(".inst 0xd500419f", "ldr {0}, [{0}]", ".inst 0xd500409f", inout(reg) &raw const word => _, options(nostack, preserves_flags))
    };
}

/// Panics on a CPU where something is not as it has to be.
fn look(system: &System) {
    let at_el2 = read!("CurrentEL") == 2 << 2;
    let sve = has(read!("id_aa64pfr0_el1"), 32);
    let sme = has(read!("id_aa64pfr1_el1"), 24);
    let features = read!("S3_0_C0_C7_3");
    assert!(read!("S3_3_C4_C4_0") == 0, "FPCR");
    simd();
    if at_el2 {
        let hcr = read!("hcr_el2");
        assert!(hcr & TGE == 0 && hcr & 0x38 == 0x38, "HCR_EL2 {hcr:#x}: interrupts come here");
        let cptr = read!("cptr_el2");
        let (open, closed) = if hcr & E2H == 0 { (TFP, TZ | TSM) } else { (FPEN, ZEN | SMEN) };
        let traps = if hcr & E2H == 0 { cptr } else { !cptr };
        assert!(traps & open == 0, "CPTR_EL2 {cptr:#x}: no trap of SIMD");
        assert!(!sve || traps & closed & (TZ | ZEN) != 0, "CPTR_EL2 {cptr:#x}: SVE traps");
        assert!(!sme || traps & closed & (TSM | SMEN) != 0, "CPTR_EL2 {cptr:#x}: SME traps");
        if hcr & E2H != 0 {
            private();
        }
        let counters = if hcr & E2H == 0 { 0b11 } else { 0b11 << 10 };
        assert!(
            read!("cnthctl_el2") & counters == counters,
            "CNTHCTL_EL2: counter and timer are for EL1 too"
        );
        assert!(read!("cntvoff_el2") == 0, "CNTVOFF_EL2");
        if has(features, 0) {
            assert!(read!("S3_4_C2_C0_3") == 0, "TCR2_EL2");
        }
        if has(features, 4) {
            assert!(read!("S3_4_C1_C0_3") == 0, "SCTLR2_EL2");
        }
        return;
    }
    let cpacr = read!("cpacr_el1");
    assert!(cpacr & FPEN == FPEN, "CPACR_EL1 {cpacr:#x}: no trap of SIMD");
    assert!(cpacr & (ZEN | SMEN) == 0, "CPACR_EL1 {cpacr:#x}: SVE and SME trap");
    assert!(read!("mdscr_el1") == 0, "MDSCR_EL1");
    if system.arg("untrapped").is_none() {
        return;
    }
    if has(features, 0) {
        assert!(read!("S3_0_C2_C0_3") == 0, "TCR2_EL1");
    }
    if has(features, 4) {
        assert!(read!("S3_0_C1_C0_3") == 0, "SCTLR2_EL1");
    }
}

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    println!("{roll_call}");
    let looked = call::on_each(&cpu::online(), |_| look(system));
    check(looked == Ok(CpuSet::EMPTY), "all are looked at");
    println!("leavings: all good, {} CPUs at EL{}", cpu::online().len(), read!("CurrentEL") >> 2);
    roll_call.is_complete().into()
}
