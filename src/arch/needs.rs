//! What the compiler was told that the CPU has, and whether it has it.
//!
//! `-C target-feature` and `-C target-cpu` let the compiler use instructions that not every CPU has: with `+lse` each atomic
//! read-modify-write is one, with `+rcpc` each load that acquires. Such an image is stopped on a CPU without them before it comes to
//! the first: by assembly, on each CPU, against the words that stand in the shared header (`reveille_lacks` in `asm/head.s`).
//!
//! Asked for is what unprivileged code may consist of. Features that only system software uses, and that firmware or a hypervisor may
//! keep for itself (`pan`, `vh`, `lor`, `ras`, `spe`, `pmuv3`, `mte`, `dpb`, `ssbs`, `sb`), or whose instructions do nothing where they are
//! missing (`bti`, `paca`, `pacg`), are nothing that an image cannot start without. The compiler tells only of features that are stable.

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, ID_AA64ISAR1_EL1, ID_AA64PFR0_EL1, Readable};
use core::fmt;

#[cfg(any(target_feature = "sve", target_feature = "sme"))]
compile_error!(
    "an image of Reveille cannot be built with SVE or SME: interrupts do not save their registers (-C target-feature=-sve,-sve2,-sme)"
);

/// How many ID registers are looked at: ID_AA64ISAR0_EL1, ID_AA64ISAR1_EL1, ID_AA64PFR0_EL1 (Arm ARM D24.2, "ID_AA64..").
pub(crate) const REGISTERS: usize = 3;
const ISAR0: usize = 0;
const ISAR1: usize = 1;
const PFR0: usize = 2;

/// The fields of ID_AA64PFR0_EL1 that are signed, FP and AdvSIMD, 0xf for "not there": with the uppermost bit turned over a larger
/// number says more, as it does in all other fields.
pub(crate) const SIGNED_PFR0: u64 = 0x0088_0000;

/// Has `$each!(NAME, COMPILED, REGISTER, SHIFT, LEAST)` for each feature: Arm's name, whether the code is compiled for it, the register and
/// the lowest bit of its field, and the least that has to stand there. A macro and no table: of what the code is not compiled for,
/// nothing is left in the image.
macro_rules! for_each_feature {
    ($each:ident) => {
        for_each_feature! { $each:
            "neon": "FEAT_AdvSIMD" PFR0[20] >= 8,
            "fp16": "FEAT_FP16" PFR0[20] >= 9,
            "dit": "FEAT_DIT" PFR0[48] >= 1,
            "aes": "FEAT_PMULL" ISAR0[4] >= 2,
            "sha2": "FEAT_SHA1" ISAR0[8] >= 1,
            "sha2": "FEAT_SHA256" ISAR0[12] >= 1,
            "sha3": "FEAT_SHA512" ISAR0[12] >= 2,
            "crc": "FEAT_CRC32" ISAR0[16] >= 1,
            "lse": "FEAT_LSE" ISAR0[20] >= 2,
            "rdm": "FEAT_RDM" ISAR0[28] >= 1,
            "sha3": "FEAT_SHA3" ISAR0[32] >= 1,
            "sm4": "FEAT_SM3" ISAR0[36] >= 1,
            "sm4": "FEAT_SM4" ISAR0[40] >= 1,
            "dotprod": "FEAT_DotProd" ISAR0[44] >= 1,
            "fhm": "FEAT_FHM" ISAR0[48] >= 1,
            "flagm": "FEAT_FlagM" ISAR0[52] >= 1,
            "rand": "FEAT_RNG" ISAR0[60] >= 1,
            "jsconv": "FEAT_JSCVT" ISAR1[12] >= 1,
            "fcma": "FEAT_FCMA" ISAR1[16] >= 1,
            "rcpc": "FEAT_LRCPC" ISAR1[20] >= 1,
            "rcpc2": "FEAT_LRCPC2" ISAR1[20] >= 2,
            "frintts": "FEAT_FRINTTS" ISAR1[32] >= 1,
            "bf16": "FEAT_BF16" ISAR1[44] >= 1,
            "i8mm": "FEAT_I8MM" ISAR1[52] >= 1,
        }
    };
    ($each:ident: $($feature:literal: $name:literal $register:ident[$shift:literal] >= $least:literal,)*) => {
        $($each!($name, cfg!(target_feature = $feature), $register, $shift, $least);)*
    };
}

/// The least that has to stand in each field of each register, the signed ones as [`SIGNED_PFR0`] has them.
pub(crate) const NEEDED: [u64; REGISTERS] = {
    let mut words = [0_u64; REGISTERS];
    macro_rules! need {
        ($name:literal, $compiled:expr, $register:ident, $shift:literal, $least:literal) => {
            if $compiled && (words[$register] >> $shift) & 0xf < $least {
                words[$register] = words[$register] & !(0xf << $shift) | $least << $shift;
            }
        };
    }
    for_each_feature!(need);
    words
};

/// Whether there is anything that a CPU could lack.
pub(crate) const ANY: bool = NEEDED[ISAR0] | NEEDED[ISAR1] | NEEDED[PFR0] != 0;

/// What this CPU lacks of what the code is compiled for, as a list, and which CPU it is.
///
/// The code that finds out and prints it may itself be compiled for what is lacking: it uses neither an atomic read-modify-write nor a
/// load that acquires, which are all that the features for atomics change.
pub(crate) struct Lacking;

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = [ID_AA64ISAR0_EL1.get(), ID_AA64ISAR1_EL1.get(), ID_AA64PFR0_EL1.get() ^ SIGNED_PFR0];
        let mut between = "";
        macro_rules! lacks {
            ($name:literal, $compiled:expr, $register:ident, $shift:literal, $least:literal) => {
                if $compiled && (own[$register] >> $shift) & 0xf < $least {
                    write!(f, "{between}{}", $name)?;
                    between = ", ";
                }
            };
        }
        for_each_feature!(lacks);
        let _ = between;
        write!(f, ", which this one (MIDR {:#010x}) does not have", super::regs::midr())
    }
}
