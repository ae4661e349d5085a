//! The firmware that starts and stops CPUs: the ARM boot architecture flags of the FADT (ACPI 5.2.9.4).

use super::bytes::Piece;
use super::fault::Wrong;
use crate::error::{Error, Fault};
use crate::psci::{Conduit, Psci, PsciVersion};

const COMPLIANT: u64 = 1 << 0;
const USE_HVC: u64 = 1 << 1;

/// In the fixed feature flags (ACPI 5.2.9): no Arm machine has anything else.
const HW_REDUCED: u64 = 1 << 20;

#[inline(never)]
pub(super) fn read<'a>(
    fadt: &Result<Piece<'a>, Wrong>,
    note: &mut Option<Wrong>,
) -> Result<Psci<'a>, Error<'a>> {
    let fadt = &(*fadt)?;
    if fadt.number(112, 4)? & HW_REDUCED == 0 {
        let what = "not that of a machine with reduced hardware, as every Arm machine is";
        note.get_or_insert(fadt.wrong(Fault::Property, what));
    }
    let flags = fadt.number(129, 2)?;
    if flags & COMPLIANT == 0 {
        return Err(fadt.wrong(Fault::Absent, "firmware without PSCI").into());
    }
    let conduit = if flags & USE_HVC != 0 { Conduit::Hvc } else { Conduit::Smc };
    // "Compliant" is 0.2 at least; the firmware itself tells more.
    Ok(Psci::standard(fadt.path.into(), PsciVersion::V0_2, conduit))
}
