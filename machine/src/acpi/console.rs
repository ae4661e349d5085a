//! The UART to talk to: the console that the SPCR chooses, else the first debug port of the DBG2 that can be used (Microsoft, "Serial Port
//! Console Redirection Table", version 4, and "Debug Port Table 2", of which ACPI 5.2.6 says that they are part of it).

use super::fault::{Kind, Look, Table, TablePath, number};
use super::interrupt;
use super::table::{List, ReadPhysical};
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

/// Makes `console` the UART that a Generic Address Structure (ACPI 5.2.3.2) and a subtype of the DBG2 describe.
#[inline(never)]
fn uart(bytes: &[u8], subtype: u64, gas: usize, console: &mut Console<'_>, look: &mut Look) -> Option<()> {
    let base = look.number(bytes, gas + 4, 8)?;
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
        look.fail_with(Fault::Unsupported, "no driver for a console of this type", subtype);
        return None;
    };
    if let ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset, .. } = &mut kind {
        (*reg_shift, *reg_io_width) = layout(number(bytes, gas + 1, 1), number(bytes, gas + 3, 1));
        if subtype == 0x10 {
            // At the address of the block that it is in: so firmware of the Raspberry Pi has it.
            (*reg_shift, *reg_io_width, *reg_offset) = (2, 4, 0x40);
        }
    }
    let mut registers = Region::default();
    if kind.is_in_memory() {
        registers = Region { base, size: SIZE };
        let space = number(bytes, gas, 1);
        let (fault, what, value) = match () {
            () if base == 0 => (Fault::Absent, "no console: its address is 0", 0),
            () if space != 0 => (Fault::Property, "address: not in memory, but in space", space),
            () if base > u64::MAX - SIZE => (Fault::Property, "address: beyond 64 bits", base),
            () => (Fault::Absent, "", 0),
        };
        if !what.is_empty() {
            look.fail_with(fault, what, value);
            return None;
        }
    }
    console.path = look.path.into();
    console.kind = kind;
    console.registers = registers;
    Some(())
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
#[inline(never)]
fn chosen(spcr: &[u8], console: &mut Console<'_>, look: &mut Look) -> Option<()> {
    let revision = number(spcr, 8, 1);
    let subtype = look.number(spcr, 36, 1)?;
    // Before revision 2 the numbers have another meaning: 0 and 1 are the 16550 and the 16450.
    if revision < 2 && subtype > 1 {
        look.fail_with(Fault::Property, "a console of a type of later revisions", subtype);
        return None;
    }
    uart(spcr, subtype, 40, console, look)?;
    if number(spcr, 52, 1) & GIC != 0 {
        console.interrupt = interrupt(number(spcr, 54, 4), Trigger::Unspecified);
    }
    console.options = match number(spcr, 58, 1) {
        3 => "9600",
        4 => "19200",
        6 => "57600",
        7 => "115200",
        // As firmware has set it.
        _ => "",
    };
    let frequency = if revision >= 3 { number(spcr, 76, 4) as u32 } else { 0 };
    console.clock_frequency = (frequency != 0).then_some(frequency);
    console.is_chosen = true;
    Some(())
}

/// The first UART of the DBG2 that can be used, else why the last one cannot.
#[inline(never)]
fn first(dbg2: &[u8], console: &mut Console<'_>, look: &mut Look) -> Option<()> {
    let mut at = look.number(dbg2, 36, 4)? as usize;
    let count = look.number(dbg2, 40, 4)? as u32;
    look.fail(Fault::Absent, "no serial port");
    for index in 0..count {
        look.path = TablePath::part(Table::Dbg2, Kind::Device, index);
        let length = number(dbg2, at.saturating_add(1), 2) as usize;
        let bytes = dbg2.get(at..).and_then(|rest| rest.get(..length)).unwrap_or(&[]);
        if bytes.is_empty() {
            look.fail_with(Fault::Structure, "impossible length", length as u64);
            return None;
        }
        at += length;
        if number(bytes, 12, 2) == SERIAL {
            let found = uart(bytes, number(bytes, 14, 2), number(bytes, 18, 2) as usize, console, look);
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// The console, and why it is not the one that the SPCR chooses.
#[inline(never)]
pub(super) fn find<'a>(
    list: &List<'a>,
    look: &mut Look,
    read: ReadPhysical<'_, 'a>,
) -> (Result<Console<'a>, Error<'a>>, Option<Error<'a>>) {
    let mut console = Console {
        path: look.path.into(),
        kind: ConsoleKind::Pl011,
        registers: Region::default(),
        interrupt: None,
        clock_frequency: None,
        options: "",
        is_chosen: false,
    };
    let spcr = list.table(Table::Spcr, look, read);
    if spcr.and_then(|spcr| chosen(spcr, &mut console, look)).is_some() {
        return (Ok(console), None);
    }
    let why = look.wrong;
    let dbg2 = list.table(Table::Dbg2, look, read);
    if dbg2.and_then(|dbg2| first(dbg2, &mut console, look)).is_some() {
        return (Ok(console), Some(why.error()));
    }
    let error = if why.is_absent() { look.wrong } else { why }.error();
    (Err(error), Some(error))
}
