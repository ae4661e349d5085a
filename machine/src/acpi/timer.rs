//! The generic timer: the GTDT (ACPI 5.2.25).

use super::bytes::{Piece, interrupt};
use super::fault::Wrong;
use crate::counter::CounterErrata;
use crate::error::Error;
use crate::interrupt::{Interrupt, Trigger};
use crate::timer::Timer;

/// The first pair of GSIV and flags, for the EL3 timer; the others follow.
const FIRST: usize = 48;
/// The pair for the EL2 virtual timer, in ACPI 6.3.
const HYP_VIRTUAL: usize = 96;

const EDGE: u64 = 1 << 0;
const LOW: u64 = 1 << 1;

fn view(gtdt: &Piece<'_>, at: usize) -> Option<Interrupt> {
    let flags = gtdt.optional(at + 4, 4);
    let trigger = match (flags & EDGE != 0, flags & LOW != 0) {
        (true, false) => Trigger::EdgeRising,
        (true, true) => Trigger::EdgeFalling,
        (false, false) => Trigger::LevelHigh,
        (false, true) => Trigger::LevelLow,
    };
    interrupt(gtdt.optional(at, 4), trigger)
}

/// HiSilicon's tables do not tell of the counter's erratum; its drivers go by the names in the header, these and revision 0.
fn is_hip05_to_07(header: &[u8]) -> bool {
    header.get(10..28).is_some_and(|names| {
        matches!(names, b"HISI  HIP05   \0\0\0\0" | b"HISI  HIP06   \0\0\0\0" | b"HISI  HIP07   \0\0\0\0")
    })
}

#[inline(never)]
pub(super) fn read<'a>(gtdt: &Result<Piece<'a>, Wrong>) -> Result<Timer, Error<'a>> {
    let gtdt = &(*gtdt)?;
    // To the end of what every version has.
    gtdt.number(HYP_VIRTUAL - 4, 4)?;
    let errata =
        if is_hip05_to_07(gtdt.bytes) { CounterErrata::HISILICON_161010101 } else { CounterErrata::NONE };
    Ok(Timer {
        secure_physical: view(gtdt, FIRST),
        physical: view(gtdt, FIRST + 8),
        virtual_timer: view(gtdt, FIRST + 16),
        hyp_physical: view(gtdt, FIRST + 24),
        hyp_virtual: view(gtdt, HYP_VIRTUAL),
        clock_frequency: None,
        errata,
    })
}
