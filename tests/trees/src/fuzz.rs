//! What is fuzzed: functions that take any bytes, and panic if what must hold does not. `scripts/fuzz` looks for such
//! bytes, and `tests/kept.rs` tries those that were kept.

use crate::ask::{everything, everything_in};
use crate::tables::Memory;
use reveille_machine::{BootArgs, Console, Region};
use std::time::Duration;

/// One thing that is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of the directory of its inputs.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&[u8]),
    /// Longer inputs are not made.
    pub longest: usize,
    /// Pieces that make sense in an input.
    pub pieces: &'static [&'static [u8]],
    /// Inputs to begin with, beside those that were kept.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "tree", run: tree, longest: 4096, pieces: TREE_PIECES, seeds: tree_seeds },
    Target {
        name: "command-line",
        run: command_line,
        longest: 256,
        pieces: COMMAND_LINE_PIECES,
        seeds: command_line_seeds,
    },
    Target {
        name: "uefi",
        run: crate::uefi::everything,
        longest: 512,
        pieces: crate::uefi::PIECES,
        seeds: crate::uefi::seeds,
    },
    Target { name: "tables", run: tables, longest: 4096, pieces: TABLES_PIECES, seeds: tables_seeds },
];

/// A blob is read, or refused in one line.
fn tree(blob: &[u8]) {
    let _ = everything(blob);
}

const TREE_PIECES: &[&[u8]] = &[
    &[0, 0, 0, 1],
    &[0, 0, 0, 2],
    &[0, 0, 0, 3],
    &[0, 0, 0, 4],
    &[0, 0, 0, 9],
    &[0xff; 4],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xd0, 0x0d, 0xfe, 0xed],
    b"okay\0",
    b"disabled\0",
    b"cpu\0",
    b"memory\0",
    b"psci\0",
    b"spin-table\0",
    b"smc\0",
    b"hvc\0",
    b"arm,pl011\0",
    b"arm,sbsa-uart\0",
    b"ns16550a\0",
    b"virtio,mmio\0",
    b"arm,gic-v3\0",
    b"arm,cortex-a15-gic\0",
    b"arm,gic-400\0",
    b"arm,armv8-timer\0",
    b"arm,psci-0.2\0",
    b"/soc/serial@0:115200n8\0",
    b"serial0\0",
];

fn tree_seeds() -> Vec<Vec<u8>> {
    ["wide", "narrow", "methods", "broken", "first-console", "virtio-console"]
        .map(crate::blobs::compile)
        .to_vec()
}

const WORDS: [&str; 5] = ["log", "deadline_ms", "reveille.panic", "call_report_ms", "a"];

/// Words are found as a reader finds them who goes from byte to byte.
fn command_line(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    for name in WORDS {
        let mut expected = None;
        for word in bytes.split(|byte| b" \t\n\x0c\r".contains(byte)) {
            match word.strip_prefix(name.as_bytes()) {
                Some([]) => expected = Some(&b""[..]),
                Some([b'=', value @ ..]) => expected = Some(value),
                _ => {}
            }
        }
        let args = BootArgs(line);
        assert_eq!(args.get(name).map(str::as_bytes), expected, "{name} in {line:?}");
        let digits = |value: &[u8]| {
            let value = value.strip_prefix(b"+").unwrap_or(value);
            if value.is_empty() {
                return None;
            }
            value.iter().try_fold(0_u64, |number, byte| {
                let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
                number.checked_mul(10)?.checked_add(digit)
            })
        };
        let number = match expected {
            None => Ok(None),
            Some(value) => match digits(value) {
                Some(number) if number > 0 => Ok(Some(number)),
                _ => Err(value),
            },
        };
        assert_eq!(args.number(name).map_err(str::as_bytes), number, "{name} in {line:?}");
        let ms = number.ok().flatten().map_or(Duration::MAX, Duration::from_millis);
        assert_eq!(args.milliseconds(name, Duration::MAX), ms, "{name} in {line:?}");
        assert_eq!(args.chooses(name, "0", "+1"), expected == Some(b"+1"), "{name} in {line:?}");
    }
    // A UART that is named by hand is one that could be there.
    if let Some(Ok(console)) = BootArgs(line).get("earlycon").map(Console::by_hand) {
        let Region { base, size } = console.registers;
        assert!(base % 4 == 0 && base.checked_add(size).is_some(), "{line:?}");
        assert_eq!(size != 0, console.kind.is_in_memory(), "{line:?}");
        let (register, width) = console.kind.state_register();
        assert!(size == 0 || u64::from(register) + u64::from(width) <= size, "{line:?}");
    }
}

const COMMAND_LINE_PIECES: &[&[u8]] = &[
    b" ",
    b"\t",
    b"=",
    b"a",
    b"a=",
    b"log=",
    b"log",
    b"deadline_ms=",
    b"deadline_ms",
    b"reveille.panic=exit:3",
    b"earlycon=",
    b"earlycon=pl011,0x9000000",
    b"virtio,",
    b"uart8250,mmio32,",
    b",",
    b"dcc",
    b"0xfffffffffffff000",
    b"call_report_ms=18446744073709551616",
    b"18446744073709551615",
    b"+1",
    b"0",
    b"\xc3\xa9",
    b"\xc2\xa0",
    b"\x0b",
];

fn command_line_seeds() -> Vec<Vec<u8>> {
    vec![b"json log=debug deadline_ms=20 reveille.panic=park a".to_vec(), Vec::new()]
}

/// A memory with an RSDP at its start is read, as it is and with all checksums right, or refused in one line.
fn tables(bytes: &[u8]) {
    let mut memory = Memory(bytes.to_vec());
    let _ = everything_in(&memory);
    memory.repair();
    let _ = everything_in(&memory);
}

const TABLES_PIECES: &[&[u8]] = &[
    b"RSD PTR ",
    b"XSDT",
    b"RSDT",
    b"APIC",
    b"FACP",
    b"GTDT",
    b"SPCR",
    b"DBG2",
    &[0, 0, 0, 0x40, 0, 0, 0, 0],
    &[0x40, 0, 0, 0x40, 0, 0, 0, 0],
    &[0xff; 8],
    &[0xb, 80],
    &[0xb, 76],
    &[0xc, 24],
    &[0xe, 16],
    &[0xf, 20],
    &[0x80],
    &[36, 0, 0, 0],
];

fn tables_seeds() -> Vec<Vec<u8>> {
    crate::tables::samples().into_iter().map(|(_, tables)| Memory::of(&tables).0).collect()
}
