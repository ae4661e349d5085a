//! A UART that is named by hand, for a machine that has no description of it, or none that is right.

use super::{Console, ConsoleKind};
use crate::path::Path;
use crate::region::Region;

/// Bytes of the registers of any of these UARTs, and more: whole pages are mapped.
const REGISTERS: u64 = 0x1000;

impl Console<'_> {
    /// The UART that `MODEL,ADDRESS`, `MODEL,ADDRESS,OPTIONS`, `MODEL,ACCESS,ADDRESS` or `MODEL,ACCESS,ADDRESS,OPTIONS` names, as the word
    /// `earlycon=` of Linux has them (`Documentation/admin-guide/kernel-parameters.txt`).
    ///
    /// The address is CPU physical, hexadecimal with `0x`. ACCESS is for the 8250 class: `mmio` for registers that are bytes, `mmio16` and
    /// `mmio32` for wider ones, which are as far apart as they are wide. OPTIONS are not looked at, as the line is left at its speed.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille_machine::Console;
    ///
    /// assert!(Console::by_hand("pl011,0x9000000").is_ok());
    /// assert!(Console::by_hand("uart8250,mmio32,0xfe215040,115200n8").is_ok());
    /// assert!(Console::by_hand("teletype,0x9000000").is_err());
    /// ```
    pub const fn by_hand(text: &str) -> Result<Self, &'static str> {
        let (model, rest) = first_word(text.as_bytes());
        let (mut word, rest) = first_word(rest);
        let access = match word {
            b"mmio" => Some(0),
            b"mmio16" => Some(1),
            b"mmio32" => Some(2),
            _ => None,
        };
        if access.is_some() {
            (word, _) = first_word(rest);
        }
        let Some(mut kind) = ConsoleKind::by_bytes(model) else { return Err("no UART of this name") };
        if let (ConsoleKind::Uart8250 { model, .. }, Some(shift)) = (kind, access) {
            kind = ConsoleKind::Uart8250 { reg_shift: shift, reg_io_width: 1 << shift, reg_offset: 0, model };
        }
        let registers = if kind.is_in_memory() {
            let Some(base) = number(word) else { return Err("no hexadecimal address") };
            if base == 0 || base % 4 != 0 || base > u64::MAX - REGISTERS {
                return Err("an address where no UART can be");
            }
            Region { base, size: REGISTERS }
        } else {
            Region { base: 0, size: 0 }
        };
        Ok(Self {
            path: Path::BY_HAND,
            kind,
            registers,
            interrupt: None,
            clock_frequency: None,
            options: "",
            is_chosen: true,
        })
    }
}

/// What stands before the first comma, and what stands behind it.
const fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        if *first == b',' {
            return (text.split_at(text.len() - rest.len()).0, behind);
        }
        rest = behind;
    }
    (text, rest)
}

/// A hexadecimal number behind `0x`.
const fn number(text: &[u8]) -> Option<u64> {
    let [b'0', b'x' | b'X', digits @ ..] = text else { return None };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let (mut rest, mut value) = (digits, 0);
    while let [digit, behind @ ..] = rest {
        let Some(digit) = (*digit as char).to_digit(16) else { return None };
        (value, rest) = (value << 4 | digit as u64, behind);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::Model;
    use super::*;

    fn found(text: &str) -> Result<(ConsoleKind, u64), &'static str> {
        Console::by_hand(text).map(|console| (console.kind, console.registers.base))
    }

    fn words(shift: u32) -> ConsoleKind {
        let model = Model::UART_8250;
        ConsoleKind::Uart8250 { reg_shift: shift, reg_io_width: 1 << shift, reg_offset: 0, model }
    }

    #[test]
    fn models_and_accesses() {
        assert_eq!(found("pl011,0x9000000"), Ok((ConsoleKind::Pl011, 0x900_0000)));
        assert_eq!(found("pl011,mmio32,0X9000000,115200n8"), Ok((ConsoleKind::Pl011, 0x900_0000)));
        assert_eq!(found("8250,0x9000000,n"), Ok((words(0), 0x900_0000)));
        assert_eq!(found("uart8250,mmio,0xfe215040,115200"), Ok((words(0), 0xfe21_5040)));
        assert_eq!(found("uart8250,mmio16,0xFE215040"), Ok((words(1), 0xfe21_5040)));
        assert_eq!(found("uart8250,mmio32,0xfe215040"), Ok((words(2), 0xfe21_5040)));
        assert_eq!(
            found("cdns,0xff000000"),
            Ok((ConsoleKind::by_name("cdns,uart-r1p12").unwrap(), 0xff00_0000))
        );
        assert_eq!(found("dcc"), Ok((ConsoleKind::by_name("arm,dcc").unwrap(), 0)));
    }

    #[test]
    fn no_uart_is_an_error() {
        for text in ["", ",", "pl01,0x9000000", "0x9000000", "uart8250 ,0x9000000"] {
            assert_eq!(found(text), Err("no UART of this name"), "{text}");
        }
        for text in [
            "pl011",
            "pl011,",
            "pl011,0x",
            "pl011,mmio32",
            "pl011,mmio,mmio,0x9000000",
            "uart8250,io,0x3f8",
            "uart8250,mmio32be,0x9000000",
            "pl011,-4",
            "pl011,0x10000000000000000",
            "pl011,9000000",
            "pl011,9g",
            "pl011,0x9000000 ",
        ] {
            assert_eq!(found(text), Err("no hexadecimal address"), "{text}");
        }
        for text in ["pl011,0x0", "pl011,0x9000001", "pl011,0xfffffffffffffffc"] {
            assert_eq!(found(text), Err("an address where no UART can be"), "{text}");
        }
    }
}
