//! The UART to talk to: the console that the SPCR chooses, else the first debug port of the DBG2 that can be used (Microsoft, "Serial Port
//! Console Redirection Table", version 4, and "Debug Port Table 2", of which ACPI 5.2.6 says that they are part of it).

use super::bytes::{Piece, interrupt, number};
use crate::console::{Console, ConsoleKind};
use crate::error::{Error, Fault};
use crate::interrupt::Trigger;
use crate::region::Region;

/// In the interrupt types of the SPCR: a GIC.
const GIC: u64 = 1 << 3;
/// Bytes of registers: tables do not say, and none of those that are known takes more.
const SIZE: u64 = 0x1000;
/// The port type of the DBG2 that is a UART.
const SERIAL: u64 = 0x8000;

/// Kind and registers of the UART that a Generic Address Structure (ACPI 5.2.3.2) and a subtype of the DBG2 describe.
fn uart<'a>(piece: &Piece<'a>, subtype: u64, gas: usize) -> Result<(ConsoleKind, Region), Error<'a>> {
    let base = piece.number(gas + 4, 8)?;
    let by_name = ConsoleKind::by_name;
    let kind = match subtype {
        // The 16550s: by the layout that the address has.
        0x0 | 0x1 | 0x5 | 0x12 => {
            let (shift, width) = layout(piece.optional(gas + 1, 1), piece.optional(gas + 3, 1));
            Some(ConsoleKind::Uart8250 { reg_shift: shift, reg_io_width: width, reg_offset: 0 })
        }
        0x3 => Some(ConsoleKind::Pl011),
        0x4 | 0x9 => by_name("qcom,msm-uartdm"),
        0xa => by_name("samsung,exynos4210-uart"),
        0xc => by_name("imx"),
        0xd | 0xe => Some(ConsoleKind::SbsaUart),
        0xf => by_name("dcc"),
        // The mini-UART, at the address of the block that it is in: so firmware of the Raspberry Pi has it.
        0x10 => Some(ConsoleKind::Uart8250 { reg_shift: 2, reg_io_width: 4, reg_offset: 0x40 }),
        0x11 | 0x13 => by_name("geni"),
        _ => None,
    };
    let what = "no driver for a console of this type";
    let kind = kind.ok_or(Error::in_table(Fault::Unsupported, piece.path, what).value(subtype))?;
    if !kind.is_in_memory() {
        return Ok((kind, Region::default()));
    }
    if base == 0 {
        return Err(Error::in_table(Fault::Absent, piece.path, "no console: its address is 0"));
    }
    let space = piece.optional(gas, 1);
    if space != 0 {
        return Err(Error::field(piece.path, "address", "not in memory, but in space").value(space));
    }
    if base.checked_add(SIZE - 1).is_none() {
        return Err(Error::field(piece.path, "address", "beyond 64 bits").value(base));
    }
    Ok((kind, Region { base, size: SIZE }))
}

/// How far apart the registers of an 8250 are, as a shift, and bytes per access: the width in bits of a Generic Address Structure is the
/// stride, and its access size the width (DBG2, subtype 0x12). Either may be left out, as ACPI 1.0 has no access size.
fn layout(bits: u64, access: u64) -> (u32, u32) {
    let stride = match bits {
        16 => 1,
        32 => 2,
        64 => 3,
        _ => 0,
    };
    // What is not a byte, a word or a double word has been left out.
    let width = if (1..=3).contains(&access) { access as u32 - 1 } else { u32::min(stride, 2) };
    (stride.max(width), 1 << width)
}

/// The console that the SPCR chooses.
fn chosen<'a>(spcr: Piece<'a>) -> Result<Console<'a>, Error<'a>> {
    let revision = spcr.optional(8, 1);
    let subtype = spcr.number(36, 1)?;
    // Before revision 2 the numbers have another meaning: 0 and 1 are the 16550 and the 16450.
    if revision < 2 && subtype > 1 {
        return Err(Error::field(spcr.path, "type", "one of a later revision").value(subtype));
    }
    let (kind, registers) = uart(&spcr, subtype, 40)?;
    let interrupt = if spcr.optional(52, 1) & GIC != 0 {
        interrupt(spcr.optional(54, 4), Trigger::Unspecified)
    } else {
        None
    };
    let options = match spcr.optional(58, 1) {
        3 => "9600",
        4 => "19200",
        6 => "57600",
        7 => "115200",
        // As firmware has set it.
        _ => "",
    };
    let frequency = if revision >= 3 { spcr.optional(76, 4) as u32 } else { 0 };
    let clock_frequency = (frequency != 0).then_some(frequency);
    let path = spcr.path.into();
    Ok(Console { path, kind, registers, interrupt, clock_frequency, options, is_chosen: true })
}

/// The first UART of the DBG2 that can be used, else why the last one cannot.
fn first<'a>(dbg2: Piece<'a>) -> Result<Console<'a>, Error<'a>> {
    let mut at = dbg2.number(36, 4)? as usize;
    let count = dbg2.number(40, 4)? as u32;
    let mut answer = Err(Error::in_table(Fault::Absent, dbg2.path, "no serial port"));
    for index in 0..count {
        let path = dbg2.path.part("device", index);
        let length = number(dbg2.bytes, at.saturating_add(1), 2).unwrap_or(0) as usize;
        let Some(bytes) =
            at.checked_add(length).and_then(|end| dbg2.bytes.get(at..end)).filter(|_| length != 0)
        else {
            return Err(Error::in_table(Fault::Structure, path, "impossible length").value(length as u64));
        };
        at += length;
        let device = Piece { bytes, path };
        if device.number(12, 2)? != SERIAL {
            continue;
        }
        let gas = device.number(18, 2)? as usize;
        answer = uart(&device, device.number(14, 2)?, gas).map(|(kind, registers)| Console {
            path: path.into(),
            kind,
            registers,
            interrupt: None,
            clock_frequency: None,
            options: "",
            is_chosen: false,
        });
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// The console; and why it is not the one that the SPCR chooses.
#[inline(never)]
pub(super) fn find<'a>(
    spcr: Result<Piece<'a>, Error<'a>>,
    dbg2: Result<Piece<'a>, Error<'a>>,
) -> (Result<Console<'a>, Error<'a>>, Option<Error<'a>>) {
    match (spcr.and_then(chosen), dbg2.and_then(first)) {
        (Ok(console), _) => (Ok(console), None),
        (Err(note), Ok(console)) => (Ok(console), Some(note)),
        (Err(error), Err(other)) => {
            let error = if error.is_absent() { other } else { error };
            (Err(error), Some(error))
        }
    }
}
