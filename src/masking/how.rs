//! In which way interrupts are held back: one number, the tag of [`MaskDepth`](reveille_protocol::MaskDepth).
//!
//! A bit for each question that is asked where a masked section begins or ends, so that each is one instruction.

use crate::arch::rarely;

/// By `DAIF.I` and nothing else.
pub(crate) const BY_DAIF: u64 = 0;
/// By the priority mask of a GICv3, ICC_PMR_EL1.
pub(crate) const BY_V3: u64 = ANY_V3 | PLAIN_V3;
/// The same where that is also a hint for forwarding (ICC_CTLR_EL1.PMHE).
pub(crate) const BY_V3_HINT: u64 = ANY_V3;
/// By the priority mask of a GICv2, a device register.
pub(crate) const BY_V2: u64 = 1 << V2_BIT;

/// The ways in which one write of ICC_PMR_EL1 ends a section.
const PLAIN_V3: u64 = 1 << 0;
/// The number of the bit of [`BY_V2`], which no other way has.
pub(super) const V2_BIT: u32 = 1;
/// The ways in which one write of ICC_PMR_EL1 begins a section.
const ANY_V3: u64 = 1 << ANY_V3_BIT;
/// Its number.
pub(super) const ANY_V3_BIT: u32 = 2;

/// Whether `how` is one of the ways of a GICv3, which is assumed to be the rule.
#[inline(always)]
pub(super) fn is_v3(how: u64) -> bool {
    if how & ANY_V3 == 0 {
        rarely();
        return false;
    }
    true
}

/// The same, but for the way in which the mask is also a hint.
#[inline(always)]
pub(super) fn is_plain_v3(how: u64) -> bool {
    if how & PLAIN_V3 == 0 {
        rarely();
        return false;
    }
    true
}
