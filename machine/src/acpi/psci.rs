//! The firmware that starts and stops CPUs: the ARM boot architecture flags of the FADT (ACPI 5.2.9.4).

use super::fault::Look;
use crate::error::Fault;
use crate::psci::{Conduit, Psci, PsciVersion};

const COMPLIANT: u64 = 1 << 0;
const USE_HVC: u64 = 1 << 1;

/// In the fixed feature flags (ACPI 5.2.9): no Arm machine has anything else.
const HW_REDUCED: u64 = 1 << 20;

#[inline(never)]
pub(super) fn read<'a>(fadt: &[u8], look: &mut Look) -> Option<Psci<'a>> {
    if look.number(fadt, 112, 4)? & HW_REDUCED == 0 {
        look.fail(Fault::Property, "not that of a machine with reduced hardware, as every Arm machine is");
        look.make_odd();
    }
    let flags = look.number(fadt, 129, 2)?;
    if flags & COMPLIANT == 0 {
        look.fail(Fault::Absent, "firmware without PSCI");
        return None;
    }
    let conduit = if flags & USE_HVC != 0 { Conduit::Hvc } else { Conduit::Smc };
    // "Compliant" is 0.2 at least; the firmware itself tells more.
    Some(Psci::standard(look.path.into(), PsciVersion::V0_2, conduit))
}
