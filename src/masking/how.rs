//! In which way interrupts are held back: one number, the tag of [`MaskDepth`](reveille_protocol::MaskDepth).

use crate::arch::rarely;

/// By `DAIF.I` and nothing else.
pub(crate) const BY_DAIF: u64 = 0;
/// By the priority mask of a GICv2, a device register.
pub(crate) const BY_V2: u64 = 2;
/// By that of a GICv3. Odd, and so is [`BY_V3_HINT`]: one bit tells the two from the others.
pub(crate) const BY_V3: u64 = 1;
/// By a GICv3 whose priority mask is also a hint for forwarding (ICC_CTLR_EL1.PMHE).
pub(crate) const BY_V3_HINT: u64 = 3;

/// Whether `how` is one of the ways of a GICv3, which is assumed to be the rule.
#[inline(always)]
pub(super) fn is_v3(how: u64) -> bool {
    if how & 1 == 0 {
        rarely();
        return false;
    }
    true
}
