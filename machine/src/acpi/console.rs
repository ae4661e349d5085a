//! The UART to talk to: the console that the SPCR chooses, else the first debug port of the DBG2 that can be used (Microsoft, "Serial Port
//! Console Redirection Table", version 4, and "Debug Port Table 2", of which ACPI 5.2.6 says that they are part of it).

use super::bytes::{Piece, interrupt, number};
use super::fault::{Kind, Wrong};
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
#[inline(never)]
fn uart(piece: &Piece<'_>, subtype: u64, gas: usize) -> Result<(ConsoleKind, Region), Wrong> {
    let base = piece.number(gas + 4, 8)?;
    let name = match subtype {
        0x3 => "pl011",
        0x4 | 0x9 => "qcom,msm-uartdm",
        0xa => "samsung,exynos4210-uart",
        0xc => "imx",
        0xd | 0xe => "sbsa",
        0xf => "dcc",
        0x11 | 0x13 => "geni",
        // The 16550s, and the mini-UART.
        0x0 | 0x1 | 0x5 | 0x12 | 0x10 => "8250",
        _ => "",
    };
    let Some(mut kind) = ConsoleKind::by_name(name) else {
        let what = "no driver for a console of this type";
        return Err(piece.wrong(Fault::Unsupported, what).value(subtype));
    };
    if let ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset } = &mut kind {
        if subtype == 0x10 {
            // At the address of the block that it is in: so firmware of the Raspberry Pi has it.
            (*reg_shift, *reg_io_width, *reg_offset) = (2, 4, 0x40);
        } else {
            (*reg_shift, *reg_io_width) = layout(piece.optional(gas + 1, 1), piece.optional(gas + 3, 1));
        }
    }
    if !kind.is_in_memory() {
        return Ok((kind, Region::default()));
    }
    if base == 0 {
        return Err(piece.wrong(Fault::Absent, "no console: its address is 0"));
    }
    let space = piece.optional(gas, 1);
    if space != 0 {
        return Err(piece.wrong(Fault::Property, "address: not in memory, but in space").value(space));
    }
    if base.checked_add(SIZE - 1).is_none() {
        return Err(piece.wrong(Fault::Property, "address: beyond 64 bits").value(base));
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
fn chosen<'a>(spcr: &Piece<'a>) -> Result<Console<'a>, Wrong> {
    let revision = spcr.optional(8, 1);
    let subtype = spcr.number(36, 1)?;
    // Before revision 2 the numbers have another meaning: 0 and 1 are the 16550 and the 16450.
    if revision < 2 && subtype > 1 {
        return Err(spcr.wrong(Fault::Property, "a console of a type of later revisions").value(subtype));
    }
    let mut console = plain(spcr, uart(spcr, subtype, 40)?);
    if spcr.optional(52, 1) & GIC != 0 {
        console.interrupt = interrupt(spcr.optional(54, 4), Trigger::Unspecified);
    }
    console.options = match spcr.optional(58, 1) {
        3 => "9600",
        4 => "19200",
        6 => "57600",
        7 => "115200",
        // As firmware has set it.
        _ => "",
    };
    let frequency = if revision >= 3 { spcr.optional(76, 4) as u32 } else { 0 };
    console.clock_frequency = (frequency != 0).then_some(frequency);
    console.is_chosen = true;
    Ok(console)
}

/// A UART of which no more is known.
#[inline(never)]
fn plain<'a>(piece: &Piece<'a>, (kind, registers): (ConsoleKind, Region)) -> Console<'a> {
    let path = piece.path.into();
    Console { path, kind, registers, interrupt: None, clock_frequency: None, options: "", is_chosen: false }
}

/// The first UART of the DBG2 that can be used, else why the last one cannot.
fn first<'a>(dbg2: &Piece<'a>) -> Result<Console<'a>, Wrong> {
    let mut at = dbg2.number(36, 4)? as usize;
    let count = dbg2.number(40, 4)? as u32;
    let mut answer = dbg2.wrong(Fault::Absent, "no serial port");
    for index in 0..count {
        let path = dbg2.path.part(Kind::Device, index);
        let length = number(dbg2.bytes, at.saturating_add(1), 2).unwrap_or(0) as usize;
        let bytes = dbg2.bytes.get(at..).and_then(|rest| rest.get(..length)).filter(|_| length != 0);
        let Some(bytes) = bytes else {
            return Err(Wrong::new(Fault::Structure, path, "impossible length").value(length as u64));
        };
        at += length;
        let device = Piece { bytes, path };
        if device.number(12, 2)? == SERIAL {
            match uart(&device, device.number(14, 2)?, device.number(18, 2)? as usize) {
                Ok(found) => return Ok(plain(&device, found)),
                Err(wrong) => answer = wrong,
            }
        }
    }
    Err(answer)
}

/// The console; and why it is not the one that the SPCR chooses goes to `note`.
#[inline(never)]
pub(super) fn find<'a>(
    spcr: &Result<Piece<'a>, Wrong>,
    dbg2: &Result<Piece<'a>, Wrong>,
    note: &mut Option<Error<'a>>,
) -> Result<Console<'a>, Error<'a>> {
    let wrong = match spcr.and_then(|spcr| chosen(&spcr)) {
        Ok(console) => return Ok(console),
        Err(wrong) => wrong,
    };
    let found = dbg2.and_then(|dbg2| first(&dbg2));
    let wrong = match found {
        Err(other) if wrong.is_absent() => other,
        _ => wrong,
    };
    *note = Some(wrong.into());
    found.map_err(|_| wrong.into())
}
