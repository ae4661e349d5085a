//! What a row of the table has: registers, bits and steps, as plain numbers.
//!
//! It is written down with names and slices, as [`Row`], and packed by the compiler: all accesses of all rows end up in one array without a
//! pointer, for which a position-independent image would have to pay with a relocation each.

/// One access to a register: as a test or as a step.
#[derive(Clone, Copy)]
pub(super) struct Access {
    /// The register, in units of the layout's stride.
    pub offset: u16,
    /// A test that passes if the masked bits are *not* the value; among steps, one that has to pass for those behind it.
    pub is_not: bool,
    pub mask: u32,
    pub value: u32,
}

/// An access, packed: what a mask has lies within 16 bits, but for all of a register.
#[derive(Clone, Copy)]
pub(super) struct Small {
    /// Bit 15: `is_not`.
    offset: u16,
    /// How far up mask and value are; [`ALL`]: the mask is all ones, and these are the two halves of the value.
    shift: u8,
    mask: u16,
    value: u16,
}

const NOT: u16 = 1 << 15;
const ALL: u8 = 32;

impl Access {
    const fn small(self) -> Small {
        let offset = self.offset | if self.is_not { NOT } else { 0 };
        if self.mask == u32::MAX {
            return Small { offset, shift: ALL, mask: (self.value >> 16) as u16, value: self.value as u16 };
        }
        let shift = if self.mask == 0 { 0 } else { self.mask.trailing_zeros() };
        assert!(self.mask >> shift <= 0xffff && self.value & !self.mask == 0 && self.offset & NOT == 0);
        Small {
            offset,
            shift: shift as u8,
            mask: (self.mask >> shift) as u16,
            value: (self.value >> shift) as u16,
        }
    }
}

impl Small {
    pub fn access(self) -> Access {
        let Self { offset, shift, mask, value } = self;
        let (mask, value) = (u32::from(mask), u32::from(value));
        let (mask, value) = match shift {
            0..ALL => (mask << shift, value << shift),
            _ => (u32::MAX, mask << 16 | value),
        };
        Access { offset: offset & !NOT, is_not: offset & NOT != 0, mask, value }
    }
}

/// A test that always passes.
pub(super) const ALWAYS: Access = has(0, 0, 0);

/// Test: the bits of `mask` have this value.
pub(super) const fn has(offset: u16, mask: u32, value: u32) -> Access {
    Access { offset, is_not: false, mask, value }
}

/// Test: all bits of `mask` are 1.
pub(super) const fn ones(offset: u16, mask: u32) -> Access {
    has(offset, mask, mask)
}

/// Test: all bits of `mask` are 0.
pub(super) const fn zeros(offset: u16, mask: u32) -> Access {
    has(offset, mask, 0)
}

/// Test: at least one bit of `mask` is 1.
pub(super) const fn some(offset: u16, mask: u32) -> Access {
    Access { offset, is_not: true, mask, value: 0 }
}

/// Step: the bits of `mask` become this value, the others are written as they were read.
pub(super) const fn change(offset: u16, mask: u32, value: u32) -> Access {
    has(offset, mask, value)
}

/// Step: the rest of the list is left out unless at least one bit of `mask` is 1.
pub(super) const fn only_if(offset: u16, mask: u32) -> Access {
    some(offset, mask)
}

/// Step: the rest of the list is left out if all bits of `mask` are 1.
pub(super) const fn unless(offset: u16, mask: u32) -> Access {
    Access { offset, is_not: true, mask, value: mask }
}

/// Step: the register is read, for what that does.
pub(super) const fn read(offset: u16) -> Access {
    has(offset, 0, 0)
}

/// Step: this is written. The register is not read.
pub(super) const fn write(offset: u16, value: u32) -> Access {
    has(offset, u32::MAX, value)
}

/// Where registers are and how they are accessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes from the start of the region to the first register.
    pub offset: u32,
    /// Registers are `1 << shift` bytes apart.
    pub shift: u8,
    /// Bytes per access: 1, 2, 4; 0: they are system registers.
    pub width: u8,
    /// The same for the registers that hold the data.
    pub data_width: u8,
    /// Big-endian words.
    pub is_big_endian: bool,
}

/// Registers of four bytes at their offsets in bytes.
pub(super) const WORDS: Layout =
    Layout { offset: 0, shift: 0, width: 4, data_width: 4, is_big_endian: false };

/// A UART, as the table has it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub layout: Layout,
    /// The register that takes a byte to be sent.
    pub send: u16,
    /// It can take one.
    pub room: Access,
    /// Everything has left the machine.
    pub gone: Access,
    /// What has to be written before each byte, and after it.
    pub begin: &'static [Access],
    pub end: &'static [Access],
    /// The register that gives what was received.
    pub receive: u16,
    /// There is something in it.
    pub waiting: Access,
    /// Where one read of it may give several bytes, the first in the lowest bits: a test, it gives one; tests, if one passes it gives four; and
    /// for all else the field that says how many, where 0 is four. Empty: always one.
    pub packing: &'static [Access],
    /// What gives up a command to send whose byte never came, as of somebody who was stopped in between.
    pub recover: &'static [Access],
    /// What ends an interrupt, and errors after which nothing more would be received; done when nothing is waiting, and before `listen`.
    pub settle: &'static [Access],
    /// Interrupts while something is waiting: on, and off.
    pub listen: &'static [Access],
    pub ignore: &'static [Access],
    /// It is switched on, both ways.
    pub is_on: Access,
    /// What switches it on, at the speed that is set.
    pub switch_on: &'static [Access],
}

/// What a row is completed from.
pub(super) const ROW: Row = Row {
    layout: WORDS,
    send: 0,
    room: ALWAYS,
    gone: ALWAYS,
    begin: &[],
    end: &[],
    receive: 0,
    waiting: ALWAYS,
    packing: &[],
    recover: &[],
    settle: &[],
    listen: &[],
    ignore: &[],
    is_on: ALWAYS,
    switch_on: &[],
};

/// The single tests, by their place among a row's accesses.
#[derive(Clone, Copy)]
pub(super) enum Test {
    Room,
    Gone,
    Waiting,
    IsOn,
}
pub(super) const TESTS: usize = 4;

/// The lists, which come behind the tests in this order.
#[derive(Clone, Copy)]
pub(super) enum List {
    Begin,
    End,
    Packing,
    Recover,
    Settle,
    Listen,
    Ignore,
    SwitchOn,
}
pub(super) const LISTS: usize = 8;

impl Row {
    const fn test(&self, index: usize) -> Access {
        [self.room, self.gone, self.waiting, self.is_on][index]
    }

    const fn list(&self, index: usize) -> &'static [Access] {
        [
            self.begin,
            self.end,
            self.packing,
            self.recover,
            self.settle,
            self.listen,
            self.ignore,
            self.switch_on,
        ][index]
    }

    /// How many accesses it has.
    pub const fn count(&self) -> usize {
        let (mut count, mut list) = (TESTS, 0);
        while list < LISTS {
            count += self.list(list).len();
            list += 1;
        }
        count
    }

    /// The access at that place: the tests, then the lists.
    pub const fn access(&self, mut index: usize) -> Access {
        if index < TESTS {
            return self.test(index);
        }
        index -= TESTS;
        let mut list = 0;
        while index >= self.list(list).len() {
            index -= self.list(list).len();
            list += 1;
        }
        self.list(list)[index]
    }

    /// True if both have the same accesses, list by list.
    const fn is_like(&self, other: &Self) -> bool {
        let mut list = 0;
        while list < LISTS {
            if self.list(list).len() != other.list(list).len() {
                return false;
            }
            list += 1;
        }
        let mut index = 0;
        while index < self.count() {
            let (a, b) = (self.access(index), other.access(index));
            if a.offset != b.offset || a.is_not != b.is_not || a.mask != b.mask || a.value != b.value {
                return false;
            }
            index += 1;
        }
        true
    }

    /// Packed, with its accesses from `first` on.
    const fn pack(&self, first: usize) -> Packed {
        let (mut ends, mut end, mut list) = ([0; LISTS], TESTS, 0);
        while list < LISTS {
            end += self.list(list).len();
            ends[list] = end as u8;
            list += 1;
        }
        Packed { layout: self.layout, send: self.send, receive: self.receive, first: first as u16, ends }
    }
}

/// A row, packed.
pub(super) struct Packed {
    pub layout: Layout,
    pub send: u16,
    pub receive: u16,
    /// Where its accesses begin, and where behind that each list ends.
    pub first: u16,
    pub ends: [u8; LISTS],
}

/// How many accesses `rows` have, those that are like an earlier one's not counted.
pub(super) const fn total(rows: &[Row]) -> usize {
    first(rows, rows.len())
}

/// Where the accesses of the row `wanted` begin: where those of the first row begin that is like it.
const fn first(rows: &[Row], wanted: usize) -> usize {
    let (mut at, mut row) = (0, 0);
    while row < wanted {
        if wanted < rows.len() && rows[row].is_like(&rows[wanted]) {
            return first(rows, row);
        }
        let mut earlier = 0;
        while earlier < row && !rows[earlier].is_like(&rows[row]) {
            earlier += 1;
        }
        if earlier == row {
            at += rows[row].count();
        }
        row += 1;
    }
    at
}

/// The accesses of all rows, one after the other.
pub(super) const fn accesses<const TOTAL: usize>(rows: &[Row]) -> [Small; TOTAL] {
    let mut all = [ALWAYS.small(); TOTAL];
    let mut row = 0;
    while row < rows.len() {
        let (first, mut index) = (first(rows, row), 0);
        while index < rows[row].count() {
            all[first + index] = rows[row].access(index).small();
            index += 1;
        }
        row += 1;
    }
    all
}

/// All rows, packed.
pub(super) const fn pack<const ROWS: usize>(rows: &[Row; ROWS]) -> [Packed; ROWS] {
    let mut all = [const { ROW.pack(0) }; ROWS];
    let mut row = 0;
    while row < ROWS {
        all[row] = rows[row].pack(first(rows, row));
        row += 1;
    }
    all
}
