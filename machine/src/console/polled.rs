//! How a byte is sent, spelled out: for code that has no memory yet, and no table.

use super::model::{Access, Layout, Row, Test};
use super::{Console, ConsoleKind, table};

/// What it takes to send a byte by polling, as numbers at known places, for assembly. Registers are distances from `base` in bytes, and
/// masks and values are as they lie in memory.
#[repr(C)]
pub struct Polled {
    /// The first register, CPU physical.
    pub base: u64,
    /// The register that takes a byte, and how far that is shifted up there.
    pub send: [u32; 2],
    /// Whether it can take one.
    pub room: PolledAccess,
    /// Whether it is switched on.
    pub is_on: PolledAccess,
    /// What has to be written before each byte. The last of these, and of those below, has no mask.
    pub begin: [PolledAccess; AROUND + 1],
    /// What has to be written after it.
    pub end: [PolledAccess; AROUND + 1],
    /// What switches it on.
    pub switch_on: [PolledAccess; SWITCH_ON + 1],
    /// Bytes in an access, 1, 2 or 4, and for the register that takes a byte; 0 for the debug communications channel.
    pub widths: [u32; 2],
}

/// A test of a register, or a step: without a mask, none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PolledAccess {
    /// The register.
    pub register: u32,
    /// The bits of it that count. A step with all of them does not read the register.
    pub mask: u32,
    /// What these have to be, or become.
    pub value: u32,
    /// 1 for a test that passes if they are not that; among steps, one that has to pass for those behind it.
    pub is_not: u32,
}

const AROUND: usize = 4;
const SWITCH_ON: usize = 8;
const _: () = {
    let mut row = 0;
    while row < table::ROWS.len() {
        let Row { begin, end, switch_on, .. } = table::ROWS[row];
        assert!(begin.len() <= AROUND && end.len() <= AROUND && switch_on.len() <= SWITCH_ON);
        row += 1;
    }
};

impl Polled {
    /// Of `console`.
    pub const fn new(console: &Console<'_>) -> Self {
        let row = &table::ROWS[console.kind.row() as usize];
        let layout = console.kind.layout(row.layout);
        let shift = if layout.is_big_endian { 8 * (layout.data_width as u32).saturating_sub(1) } else { 0 };
        Self {
            base: console.registers.base,
            send: [layout.place(row.send), shift],
            room: access(&layout, row.room),
            is_on: access(&layout, row.is_on),
            begin: list(&layout, row.begin),
            end: list(&layout, row.end),
            switch_on: list(&layout, row.switch_on),
            widths: [layout.width as u32, layout.data_width as u32],
        }
    }
}

impl ConsoleKind {
    /// The register that says whether there is room for a byte, in bytes from the first one, and how many bytes it has: to read it does no
    /// harm, whatever the state of the UART.
    pub fn state_register(self) -> (u32, u8) {
        let row = table::row(self.row()).unwrap_or(table::first());
        let layout = self.layout(row.layout);
        (layout.place(row.test(Test::Room).offset), layout.width)
    }

    /// `layout`, which is that of its row, or its own.
    const fn layout(self, layout: Layout) -> Layout {
        match self {
            Self::Uart8250 { reg_shift, reg_io_width, reg_offset, .. } => {
                let width = reg_io_width as u8;
                Layout { offset: reg_offset, shift: reg_shift as u8, width, data_width: width, ..layout }
            }
            _ => layout,
        }
    }
}

impl Layout {
    const fn place(&self, register: u16) -> u32 {
        self.offset.wrapping_add((register as u32) << (self.shift & 7))
    }

    /// As it lies in memory.
    const fn lies(&self, value: u32) -> u32 {
        match (self.is_big_endian, self.width) {
            (false, _) | (_, 1) => value,
            // All of it stays all of it.
            _ if value == u32::MAX => value,
            (_, 2) => (value as u16).swap_bytes() as u32,
            _ => value.swap_bytes(),
        }
    }
}

const fn access(layout: &Layout, of: Access) -> PolledAccess {
    PolledAccess {
        register: layout.place(of.offset),
        mask: layout.lies(of.mask),
        value: layout.lies(of.value),
        is_not: of.is_not as u32,
    }
}

const fn list<const LENGTH: usize>(layout: &Layout, steps: &[Access]) -> [PolledAccess; LENGTH] {
    let mut all = [PolledAccess { register: 0, mask: 0, value: 0, is_not: 0 }; LENGTH];
    let (mut at, mut rest) = (0, steps);
    while let [step, behind @ ..] = rest {
        // One is left for the end.
        if at + 1 < LENGTH {
            all[at] = access(layout, *step);
        }
        (at, rest) = (at + 1, behind);
    }
    all
}
