//! The generic timer: the GTDT (ACPI 5.2.25).

use super::fault::{Look, number};
use super::interrupt;
use crate::counter::CounterErrata;
use crate::interrupt::{Interrupt, Trigger};
use crate::timer::Timer;

/// The first pair of GSIV and flags, for the EL3 timer; the others follow.
const FIRST: usize = 48;
/// The pair for the EL2 virtual timer, in ACPI 6.3.
const HYP_VIRTUAL: usize = 96;

/// By the lowest bits of the flags: edge or level, active low or high.
const TRIGGERS: [Trigger; 4] =
    [Trigger::LevelHigh, Trigger::EdgeRising, Trigger::LevelLow, Trigger::EdgeFalling];

#[inline(never)]
fn view(gtdt: &[u8], at: usize) -> Option<Interrupt> {
    let flags = number(gtdt, at + 4, 4) as usize & 3;
    interrupt(number(gtdt, at, 4), TRIGGERS.get(flags).copied()?)
}

/// HiSilicon's tables do not tell of the counter's erratum; its drivers go by the names in the header, these and revision 0.
fn is_hip05_to_07(header: &[u8]) -> bool {
    let names = header.get(10..28).unwrap_or(&[]);
    names.starts_with(b"HISI  HIP0")
        && names.get(10).is_some_and(|digit| matches!(digit, b'5'..=b'7'))
        && names.ends_with(b"   \0\0\0\0")
}

#[inline(never)]
pub(super) fn read(gtdt: &[u8], look: &mut Look) -> Option<Timer> {
    // To the end of what every version has.
    look.number(gtdt, HYP_VIRTUAL - 4, 4)?;
    let errata = if is_hip05_to_07(gtdt) { CounterErrata::HISILICON_161010101 } else { CounterErrata::NONE };
    Some(Timer {
        secure_physical: view(gtdt, FIRST),
        physical: view(gtdt, FIRST + 8),
        virtual_timer: view(gtdt, FIRST + 16),
        hyp_physical: view(gtdt, FIRST + 24),
        hyp_virtual: view(gtdt, HYP_VIRTUAL),
        clock_frequency: None,
        errata,
    })
}
