//! The UARTs there are drivers for: a row for each, and its names.

use super::model::{
    Access, Layout, Packed, ROW, Row, Steps, TESTS, Test, WORDS as WORD_LAYOUT, accesses, change, has, ones,
    pack, some, total, write, zeros,
};

/// Rows that the code knows by number.
pub(super) const PL011: u8 = 0;
pub(super) const SBSA: u8 = 1;
/// The 8250 class: bytes next to each other, half-words, words.
pub(super) const BYTES: u8 = 2;
pub(super) const WORDS: u8 = 4;

macro_rules! uarts {
    ($($(#[$doc:meta])* $names:literal => $row:expr,)*) => {
        pub(super) const ROWS: [Row; [$($names),*].len()] = [$($(#[$doc])* $row),*];
        /// A line for each row.
        const NAMES: &str = concat!($($names, "\n"),*);
    };
}

/// PL011: Arm DDI 0183, 3.2; the subset: SBSA (Arm DEN 0029), appendix B. Both have the interrupt mask.
const PL011_ROW: Row = Row {
    send: 0x00,
    // FR.TXFF, FR.BUSY, FR.RXFE.
    room: zeros(0x18, 1 << 5),
    gone: zeros(0x18, 1 << 3),
    receive: 0x00,
    waiting: zeros(0x18, 1 << 4),
    // IMSC: receive, and receive time-out.
    listen: &[change(0x38, 1 << 4 | 1 << 6, 1 << 4 | 1 << 6)],
    ignore: &[change(0x38, 1 << 4 | 1 << 6, 0)],
    ..ROW
};

/// 8250 and successors, by the number of the register: TI PC16550D, 8.
const UART_8250: Row = Row {
    layout: Layout { width: 1, data_width: 1, ..WORD_LAYOUT },
    send: 0,
    // LSR: transmitter holding register empty, transmitter empty, data ready.
    room: ones(5, 1 << 5),
    gone: ones(5, 1 << 6),
    receive: 0,
    waiting: ones(5, 1 << 0),
    // Interrupt enable: received data, and with it line status, as Linux has both: of the BCM2711's mini-UART it is said that
    // without the second the first does nothing. Both end when LSR and the data are read.
    listen: &[write(1, 1 << 0 | 1 << 2)],
    ignore: &[write(1, 0)],
    ..ROW
};

uarts! {
    "pl011 arm,pl011" => Row {
        // Firmware that never used it has left it off. CR: UARTEN, TXE, RXE.
        is_on: ones(0x30, 1 | 1 << 8 | 1 << 9),
        switch_on: &[change(0x30, 1 | 1 << 8 | 1 << 9, 1 | 1 << 8 | 1 << 9)],
        ..PL011_ROW
    },
    "sbsa sbsa-uart arm,sbsa-uart" => PL011_ROW,

    // The layout of the ISA bus, unless the node has another.
    "8250 uart8250 uart 8250,mmio uart8250,mmio ns16550a ns16550 ns16450 ns8250 ns16850 ns16750 snps,dw-apb-uart fsl,ns16550 \
     fsl,16550-FIFO64 intel,xscale-uart mrvl,mmp-uart nvidia,tegra20-uart" => UART_8250,
    "8250,mmio16 uart8250,mmio16" => Row {
        layout: Layout { shift: 1, width: 2, data_width: 2, ..WORD_LAYOUT },
        ..UART_8250
    },
    // Those whose registers are words. Their drivers in Linux know it, so their nodes need not say so.
    "8250,mmio32 uart8250,mmio32 brcm,bcm2835-aux-uart mediatek,mt6577-uart nuvoton,npcm750-uart ti,omap2-uart ti,omap3-uart \
     ti,omap4-uart ti,am3352-uart ti,am4372-uart ti,dra742-uart ti,am654-uart" => Row {
        layout: Layout { shift: 2, ..WORD_LAYOUT },
        ..UART_8250
    },

    // Arm's debug communications channel (Arm ARM H4.3): MDCCSR_EL0 is "register" 0, DBGDTRTX_EL0 and DBGDTRRX_EL0 are 1. Empty when
    // the debugger has taken it.
    "dcc arm,dcc" => Row {
        layout: Layout { width: 0, data_width: 0, ..WORD_LAYOUT },
        send: 1,
        room: zeros(0, 1 << 29),
        gone: zeros(0, 1 << 29),
        receive: 1,
        waiting: ones(0, 1 << 30),
        ..ROW
    },

    // Cadence UART: Zynq UltraScale+ registers (UG1087), module UART. Reset leaves it off.
    "cdns cdns,uart-r1p12 cdns,uart-r1p8 xlnx,xuartps" => Row {
        send: 0x30,
        // Channel status: TXFULL; TEMPTY and not TACTIVE; REMPTY.
        room: zeros(0x2c, 1 << 4),
        gone: has(0x2c, 1 << 3 | 1 << 11, 1 << 3),
        receive: 0x30,
        waiting: zeros(0x2c, 1 << 1),
        // Interrupt status of the receiver: trigger, full, overrun, framing, parity, time-out. Sticky, cleared by a 1.
        settle: &[write(0x14, 0x1e5)],
        // The trigger at one byte; it alone in the enable register, all of them in the disable register.
        listen: &[write(0x0c, u32::MAX >> 18), write(0x20, 1), write(0x08, 1)],
        ignore: &[write(0x0c, 1)],
        // Control: RXEN and not RXDIS, TXEN and not TXDIS.
        is_on: has(0x00, 0x3c, 0x14),
        switch_on: &[change(0x00, 0x3c, 0x14)],
        ..ROW
    },

    // i.MX UART: i.MX 8M Mini reference manual, 16.2.
    "imx ec_imx6q ec_imx21 fsl,imx6q-uart fsl,imx21-uart" => Row {
        send: 0x40,
        // UTS.TXFULL, USR2.TXDC, USR2.RDR.
        room: zeros(0xb4, 1 << 4),
        gone: ones(0x98, 1 << 3),
        receive: 0x00,
        waiting: ones(0x98, 1 << 0),
        // USR2.ORE and BRCD, cleared by a 1.
        settle: &[write(0x98, 1 << 1 | 1 << 2)],
        // UCR4.DREN: there is at least one byte.
        listen: &[change(0x8c, 1 << 0, 1 << 0)],
        ignore: &[change(0x8c, 1 << 0, 0)],
        // UCR1.UARTEN; UCR2: SRST (0 resets), RXEN, TXEN, WS (8 bits), IRTS (RTS ignored); UCR3.RXDMUXSEL, "should always be set".
        is_on: ones(0x80, 1 << 0),
        switch_on: &[
            change(0x80, 1 << 0, 1 << 0),
            change(0x84, 0x4027, 0x4027),
            change(0x88, 1 << 2, 1 << 2),
        ],
        ..ROW
    },
}

static PACKED: [Packed; ROWS.len()] = pack(&ROWS);
static ACCESSES: [Access; total(&ROWS)] = accesses(&ROWS);

/// The row that has this name.
pub(super) const fn find(name: &[u8]) -> Option<u8> {
    // What is left of `name` after what there is so far of a known one, if that is how it begins.
    let (mut names, mut left, mut row) = (NAMES.as_bytes(), Some(name), 0);
    while let [byte, behind @ ..] = names {
        names = behind;
        if *byte == b' ' || *byte == b'\n' {
            if matches!(left, Some([])) && !name.is_empty() {
                return Some(row);
            }
            left = Some(name);
            row += (*byte == b'\n') as u8;
        } else {
            left = match left {
                Some([next, after @ ..]) if *next == *byte => Some(after),
                _ => None,
            };
        }
    }
    None
}

/// The first name of a row.
#[inline(never)]
pub(super) fn name(row: u8) -> &'static str {
    let (mut line, mut begin) = (0, 0);
    for (at, byte) in NAMES.bytes().enumerate() {
        match byte {
            b' ' | b'\n' if line == row => return NAMES.get(begin..at).unwrap_or(""),
            b'\n' => (line, begin) = (line + 1, at + 1),
            _ => {}
        }
    }
    ""
}

pub(super) const fn row(row: u8) -> Option<&'static Packed> {
    if (row as usize) < PACKED.len() { Some(&PACKED[row as usize]) } else { None }
}

/// The row of whatever has none of its own.
pub(super) fn first() -> &'static Packed {
    &PACKED[0]
}

impl Packed {
    pub fn test(&self, test: Test) -> Access {
        let at = usize::from(self.first) + test as usize;
        ACCESSES.get(at).copied().unwrap_or(super::model::ALWAYS)
    }

    pub fn steps(&self, steps: Steps) -> &'static [Access] {
        let list = steps as usize;
        let first = usize::from(self.first);
        let from = if list == 0 { TESTS } else { usize::from(self.ends[list - 1]) };
        ACCESSES.get(first + from..first + usize::from(self.ends[list])).unwrap_or(&[])
    }
}
