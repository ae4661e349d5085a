//! The UARTs there are drivers for: a row for each, and its names.
//!
//! Where a row names a manual, its facts come from there; most of these UARTs have none that is public, and a row then names the
//! drivers that were read for it, which agree.

use super::model::{
    ALWAYS, Access, Layout, List, Packed, ROW, Row, Small, TESTS, Test, WORDS as WORD_LAYOUT, accesses,
    change, has, ones, only_if, pack, read, some, total, unless, write, zeros,
};

/// Rows that the code knows by number.
pub(super) const PL011: u8 = 0;
pub(super) const SBSA: u8 = 1;
/// The 8250 class: bytes next to each other, half-words, words.
pub(super) const BYTES: u8 = 2;
pub(super) const WORDS: u8 = 4;
/// Those behind that are like them, but for their interrupts.
pub(super) const LAST_8250: u8 = 9;
/// No UART, but for who has no memory to give it.
pub(super) const VIRTIO: u8 = ROWS.len() as u8 - 1;

macro_rules! uarts {
    ($($(#[$doc:meta])* $names:literal => $row:expr,)*) => {
        pub(super) const ROWS: [Row; [$($names),*].len()] = [$($(#[$doc])* $row),*];
        /// A line for each row.
        pub(super) const NAMES: &str = concat!($($names, "\n"),*);
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
    // LSR: nothing to be read; interrupt identification: a time-out nevertheless. Some have that, and it ends when the data are read.
    settle: &[unless(5, 1 << 0), only_if(2, 1 << 3), read(0)],
    // Interrupt enable: received data, and with it line status, as Linux has both: of the BCM2711's mini-UART it is said that
    // without the second the first does nothing. Both end when LSR and the data are read.
    listen: &[write(1, 1 << 0 | 1 << 2)],
    ignore: &[write(1, 0)],
    ..ROW
};

/// XScale and successors (Linux), and Tegra as far as interrupts go: those of a time-out are allowed by a bit of their own, without
/// which fewer bytes than the trigger have none; and the enable register has the whole unit's enable, too.
const XSCALE: Row =
    Row { listen: &[change(1, 0x1f, 1 << 0 | 1 << 2 | 1 << 4)], ignore: &[change(1, 0x1f, 0)], ..UART_8250 };

/// Freescale LPUART with registers of 32 bits (Linux, U-Boot).
const LPUART: Row = Row {
    send: 0x0c,
    // STAT.TDRE, STAT.TC, WATER.RXCOUNT.
    room: ones(0x04, 1 << 23),
    gone: ones(0x04, 1 << 22),
    receive: 0x0c,
    waiting: some(0x1c, 0xff << 24),
    // STAT: while OR is set nothing more is received. IDLE, OR, NF, FE, PF are cleared by a 1, as are LBKDIF and RXEDGIF, which stay.
    settle: &[only_if(0x04, 0x1f << 16), change(0x04, 0xc01f_0000, 0x1f << 16)],
    // CTRL: RIE alone of the interrupts.
    listen: &[change(0x08, 0x0ff0_0000, 1 << 21)],
    ignore: &[change(0x08, 1 << 21, 0)],
    // CTRL: TE, RE.
    is_on: ones(0x08, 3 << 18),
    switch_on: &[change(0x08, 3 << 18, 3 << 18)],
    ..ROW
};

/// Renesas SCIF, by the number of the register (Linux, TF-A). HSCIF differs in the depth of its FIFO only.
const SCIF: Row = Row {
    layout: Layout { shift: 2, width: 2, data_width: 1, ..WORD_LAYOUT },
    send: 3,
    // SCFDR: the number of bytes to be sent is below 16. SCFSR.TEND. SCFDR: the number of bytes received.
    room: zeros(7, 1 << 12),
    gone: ones(4, 1 << 6),
    // SCFSR.TEND is cleared by a 0, once it has been read; flags that are to stay are written as 1.
    end: &[change(4, 0xff, 0xff & !(1 << 6))],
    receive: 5,
    waiting: some(7, 0xff),
    // SCFSR: ER, BRK, RDF, DR; and SCLSR.ORER, while which is set nothing more is received.
    settle: &[change(4, 0xff, 0xff & !(1 << 7 | 1 << 4 | 1 << 1 | 1 << 0)), change(9, 1, 0)],
    // SCFCR: the trigger at one byte. SCSCR: TIE off, RIE on.
    listen: &[change(6, 3 << 6, 0), change(2, 3 << 6, 1 << 6)],
    ignore: &[change(2, 1 << 6, 0)],
    // SCSCR: TE, RE.
    is_on: ones(2, 3 << 4),
    switch_on: &[change(2, 3 << 4, 3 << 4)],
    ..ROW
};

/// Samsung's UART since the S3C6400 (Linux, U-Boot).
const EXYNOS: Row = Row {
    layout: Layout { data_width: 1, ..WORD_LAYOUT },
    send: 0x20,
    // UTRSTAT: the transmitter is empty, which holds with and without FIFO.
    room: ones(0x10, 1 << 2),
    gone: ones(0x10, 1 << 2),
    receive: 0x24,
    // UFSTAT: receive FIFO count, or full.
    waiting: some(0x18, 0x1ff),
    // UINTP, cleared by a 1: what was received, and errors.
    settle: &[write(0x30, 3)],
    // UCON: an interrupt by level, and after a pause with fewer bytes than the trigger. UINTM: all masked but RXD.
    listen: &[change(0x04, 3 << 7, 3 << 7), write(0x38, 0xe)],
    ignore: &[write(0x38, 0xf)],
    // UFCON: the FIFO is on. UCON: both ways by interrupt or polling.
    is_on: ones(0x08, 1 << 0),
    switch_on: &[change(0x08, 1 << 0, 1 << 0), change(0x04, 0xf, 0x5)],
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
    "8250 uart8250 uart8250,mmio ns16550a ns16550 ns16450 ns8250 ns16850 ns16750" => UART_8250,
    "8250,mmio16 uart8250,mmio16" => Row {
        layout: Layout { shift: 1, width: 2, data_width: 2, ..WORD_LAYOUT },
        ..UART_8250
    },
    // Those whose registers are words. Their drivers in Linux know it, so their nodes need not say so.
    "8250,mmio32 uart8250,mmio32 brcm,bcm2835-aux-uart mediatek,mt6577-uart nuvoton,npcm750-uart ti,omap2-uart ti,omap3-uart \
     ti,omap4-uart ti,am3352-uart ti,am4372-uart ti,dra742-uart" => Row {
        layout: Layout { shift: 2, ..WORD_LAYOUT },
        ..UART_8250
    },

    // 8250s that differ in their interrupts.
    "xscale intel,xscale-uart nvidia,tegra20-uart" => XSCALE,
    // Linux's default, too.
    "mmp mrvl,mmp-uart" => Row {
        layout: Layout { shift: 2, width: 1, data_width: 1, ..WORD_LAYOUT },
        ..XSCALE
    },
    // Synopsys (Linux): USR ends the interrupt that says that a setting was written while it was busy, which cannot be masked; and a
    // time-out may come with nothing in the FIFO.
    "dw8250 snps,dw-apb-uart" => Row {
        settle: &[read(0x1f), unless(5, 1 << 0), only_if(2, 1 << 3), read(0)],
        ..UART_8250
    },
    // Freescale (Linux, erratum General 17 of the MPC8313E): a break that is held is line status again as soon as LSR is read.
    "fsl8250 fsl,ns16550 fsl,16550-FIFO64" => Row {
        listen: &[write(1, 1 << 0)],
        ..UART_8250
    },
    // TI's K3 (erratum i2310, SPRZ536; Linux): a time-out with nothing in the FIFO is only ended by IIR while TIMEOUT_BEHAVE is set in
    // EFR2, with the longest time in TO_H and TO_L. Reset leaves 0 in all three.
    "am654 ti,am654-uart" => Row {
        layout: Layout { shift: 2, ..WORD_LAYOUT },
        settle: &[
            unless(5, 1 << 0),
            only_if(2, 1 << 3),
            write(0x27, 0xff),
            write(0x26, 0xff),
            change(0x23, 1 << 6, 1 << 6),
            read(2),
            change(0x23, 1 << 6, 0),
            write(0x27, 0),
            write(0x26, 0),
        ],
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

    // Cadence UART (Linux, U-Boot; QEMU). Reset leaves it off.
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

    // i.MX UART (Linux, U-Boot; QEMU).
    "imx ec_imx6q fsl,imx6q-uart fsl,imx21-uart" => Row {
        send: 0x40,
        // UTS.TXFULL, USR2.TXDC, USR2.RDR.
        room: zeros(0xb4, 1 << 4),
        gone: ones(0x98, 1 << 3),
        receive: 0x00,
        waiting: ones(0x98, 1 << 0),
        // USR2.ORE and BRCD, cleared by a 1.
        settle: &[only_if(0x98, 1 << 1 | 1 << 2), write(0x98, 1 << 1 | 1 << 2)],
        // UCR4.DREN: there is at least one byte.
        listen: &[change(0x8c, 1 << 0, 1 << 0)],
        ignore: &[change(0x8c, 1 << 0, 0)],
        // UCR1.UARTEN; UCR2: SRST (0 resets), RXEN, TXEN, WS (8 bits), IRTS (RTS ignored); UCR3.RXDMUXSEL, "should always be set".
        // One that only sends, as QEMU has it at first, is not on.
        is_on: ones(0x84, 1 << 1 | 1 << 2),
        switch_on: &[
            change(0x80, 1 << 0, 1 << 0),
            change(0x84, 0x4027, 0x4027),
            change(0x88, 1 << 2, 1 << 2),
        ],
        ..ROW
    },

    // i.MX 7ULP, 8 and 9: four registers come before the others.
    "lpuart lpuart32 fsl,imx7ulp-lpuart fsl,imx8qxp-lpuart" => Row {
        layout: Layout { offset: 0x10, ..WORD_LAYOUT },
        ..LPUART
    },
    // Layerscape: LS1028A, and those that are big-endian.
    "ls1028a fsl,ls1028a-lpuart" => LPUART,
    "ls1021a fsl,ls1021a-lpuart" => Row {
        layout: Layout { is_big_endian: true, ..WORD_LAYOUT },
        ..LPUART
    },

    // Qualcomm GENI serial engine with UART firmware (Linux, U-Boot). It sends by command: how many bytes, the command, the bytes.
    "geni qcom_geni qcom,geni-debug-uart qcom,geni-uart" => Row {
        send: 0x700,
        // GENI_STATUS: no command of the main sequencer is active.
        room: zeros(0x40, 1 << 0),
        gone: zeros(0x40, 1 << 0),
        // TX_TRANS_LEN, M_CMD0: START_TX.
        begin: &[write(0x270, 1), write(0x600, 1 << 27)],
        // M_CMD_CTRL: abort.
        recover: &[write(0x604, 1 << 1)],
        receive: 0x780,
        // RX_FIFO_STATUS: words in the FIFO.
        waiting: some(0x804, 0xffff),
        // RX_PACKING_CFG0: the first byte of a word is the last. RX_FIFO_STATUS: two words or more, or this one is not the last of a
        // transfer; how many bytes that one has.
        packing: &[ones(0x284, 1 << 0), some(0x804, 0xfffe), zeros(0x804, 1 << 31), has(0x804, 7 << 28, 0)],
        // M_IRQ_CLEAR, S_IRQ_CLEAR.
        settle: &[write(0x618, u32::MAX), write(0x648, u32::MAX)],
        // M_IRQ_EN, S_IRQ_EN: receive FIFO watermark, and last; of the main sequencer nothing else.
        listen: &[write(0x614, 3 << 26), write(0x644, 3 << 26)],
        ignore: &[write(0x614, 0), write(0x644, 0)],
        // GENI_STATUS: the secondary sequencer is receiving. S_CMD0: START_READ.
        is_on: ones(0x40, 1 << 12),
        switch_on: &[write(0x630, 1 << 27)],
        ..ROW
    },

    // Qualcomm UARTDM (Linux, Little Kernel; U-Boot has the second set of addresses that version 1.4 has for some of the registers). It sends
    // so many bytes as it was told before.
    "msm msm_serial_dm qcom,msm-uartdm qcom,msm-uartdm-v1.4" => Row {
        send: 0x70,
        // SR.TXEMT.
        room: ones(0x08, 1 << 3),
        gone: ones(0x08, 1 << 3),
        // CR: clear TX_READY. NCF_TX: one byte.
        begin: &[write(0x10, 3 << 8), write(0x40, 1)],
        receive: 0x70,
        // SR.RXRDY.
        waiting: ones(0x08, 1 << 0),
        // CR: clear errors, clear the stale interrupt; DMRX: any number; CR: stale events on.
        settle: &[write(0x10, 3 << 4), write(0x10, 8 << 4), write(0x34, 0xff_ffff), write(0x10, 5 << 8)],
        // CR: receiver on. IMR: RXSTALE, RXLEV.
        listen: &[write(0x10, 1), write(0x14, 3 << 3)],
        ignore: &[write(0x14, 0)],
        // DMEN: single-character mode. Without it nothing says how many bytes of a word are some that came, once it has been pushed.
        is_on: ones(0x3c, 1 << 5),
        switch_on: &[change(0x3c, 1 << 5, 1 << 5)],
        ..ROW
    },

    // Amlogic Meson (Linux, U-Boot).
    "meson amlogic,meson-uart amlogic,meson-ao-uart" => Row {
        send: 0x00,
        // STATUS: TX_FULL; TX_EMPTY and not XMIT_BUSY; RX_EMPTY.
        room: zeros(0x0c, 1 << 21),
        gone: has(0x0c, 1 << 22 | 1 << 25, 1 << 22),
        receive: 0x04,
        waiting: zeros(0x0c, 1 << 20),
        // STATUS: parity, frame, overflow; CONTROL.CLR_ERR, which does not go by itself.
        settle: &[only_if(0x0c, 7 << 16), change(0x08, 1 << 24, 1 << 24), change(0x08, 1 << 24, 0)],
        // MISC: from one byte on. CONTROL: RX_INT_EN, not TX_INT_EN.
        listen: &[change(0x10, 0xff, 1), change(0x08, 3 << 27, 1 << 27)],
        ignore: &[change(0x08, 1 << 27, 0)],
        // CONTROL: TX_EN, RX_EN.
        is_on: ones(0x08, 3 << 12),
        switch_on: &[change(0x08, 3 << 12, 3 << 12)],
        ..ROW
    },

    "scif hscif renesas,scif renesas,hscif" => SCIF,
    // RZ/G2L and RZ/V2H: half the distances (Linux, OpenSBI).
    "rzscifa renesas,scif-r9a07g044 renesas,scif-r9a09g057" => Row {
        layout: Layout { shift: 1, width: 2, data_width: 1, ..WORD_LAYOUT },
        ..SCIF
    },

    // Marvell Armada 3700, the first of its two UARTs (Linux, TF-A).
    "a3700 ar3700_uart marvell,armada-3700-uart" => Row {
        send: 0x04,
        // STAT: TX_FIFO_FULL, TX_EMPTY, RX_RDY.
        room: zeros(0x0c, 1 << 11),
        gone: ones(0x0c, 1 << 6),
        receive: 0x00,
        waiting: ones(0x0c, 1 << 4),
        // CTRL: RX_RDY_INT alone.
        listen: &[change(0x08, 0x1ff, 1 << 4)],
        ignore: &[change(0x08, 0x1ff, 0)],
        ..ROW
    },

    "exynos exynos4210 samsung,exynos4210-uart samsung,exynos5433-uart samsung,exynos850-uart samsung,exynos8895-uart" => EXYNOS,
    // Takes words only.
    "gs101 google,gs101-uart" => Row { layout: WORD_LAYOUT, ..EXYNOS },

    // Virtio 1.2, 5.3.4: where there is an emergency write, a byte may be sent that way before the device is set up, and in any state. It has
    // to be the last one here.
    "virtio virtio,mmio" => Row {
        // Config: emerg_wr.
        send: 0x108,
        // DeviceID.
        room: has(0x08, 0xffff, 3),
        gone: has(0x08, 0xffff, 3),
        // Nothing is received that way: no bit of MagicValue is 0 that is 1.
        waiting: zeros(0x00, 1 << 1),
        ..ROW
    },
}

static PACKED: [Packed; ROWS.len()] = pack(&ROWS);
static ACCESSES: [Small; total(&ROWS)] = accesses(&ROWS);

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

/// One of the accesses of all rows.
pub(super) fn access(at: usize) -> Access {
    ACCESSES.get(at).map_or(ALWAYS, |small| small.access())
}

impl Packed {
    pub fn test(&self, test: Test) -> Access {
        access(usize::from(self.first) + test as usize)
    }

    pub fn list(&self, list: List) -> &'static [Small] {
        let list = list as usize;
        let first = usize::from(self.first);
        let from = if list == 0 { TESTS } else { usize::from(self.ends[list - 1]) };
        ACCESSES.get(first + from..first + usize::from(self.ends[list])).unwrap_or(&[])
    }
}
