//! The drivers against devices that are simulated at their registers: each is written from the documents that its row of the table names,
//! not from the row. And what holds of all rows.

extern crate std;

use super::polled::PolledAccess;
use super::{Console, ConsoleKind, Model, Polled, Registers, Uart, table};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

/// What lies behind the registers: two FIFOs and a line.
#[derive(Default)]
struct Wires {
    to_send: VecDeque<u8>,
    shifter: Option<u8>,
    sent: Vec<u8>,
    received: VecDeque<u8>,
    /// Something came for which there was no room: nothing more is received until the driver has seen it.
    overrun: bool,
    /// A break is held.
    is_broken: bool,
    /// Nothing leaves any more.
    is_stuck: bool,
    /// Bytes that were written although there was no room.
    dropped: usize,
}

const DEPTH: usize = 8;

impl Wires {
    fn is_full(&self) -> bool {
        self.to_send.len() >= DEPTH
    }
    fn is_idle(&self) -> bool {
        self.to_send.is_empty() && self.shifter.is_none()
    }
    fn take(&mut self, byte: u32) {
        if self.is_full() { self.dropped += 1 } else { self.to_send.push_back(byte as u8) }
    }
    fn give(&mut self) -> u32 {
        self.received.pop_front().expect("a byte is only read if there is one").into()
    }
    fn tick(&mut self) {
        if !self.is_stuck {
            self.sent.extend(self.shifter.take());
            self.shifter = self.to_send.pop_front();
        }
    }
}

/// A model, by the first of its names, with its settings by offset.
struct Device {
    name: &'static str,
    wires: Wires,
    set: BTreeMap<u32, u32>,
    /// Sticky interrupt flags.
    flags: u32,
    /// What a command, or a count, still allows to be sent.
    allowed: u32,
    writes: usize,
}

fn bit(number: u32, on: bool) -> u32 {
    u32::from(on) << number
}

/// Which of the 8250 class are simulated alike, but for what each has of its own.
fn class(name: &'static str) -> &'static str {
    match name {
        "8250,mmio16" | "8250,mmio32" | "xscale" | "mmp" | "dw8250" | "fsl8250" | "am654" => "8250",
        other => other,
    }
}

impl Device {
    fn reg(&self, offset: u32) -> u32 {
        self.set.get(&offset).copied().unwrap_or(0)
    }

    /// It sends and receives.
    fn is_on(&self) -> bool {
        let has = |offset, mask, value| self.reg(offset) & mask == value;
        match self.name {
            "pl011" => has(0x30, 0x301, 0x301),
            "cdns" => has(0, 0x3c, 0x14),
            "imx" => has(0x80, 1, 1) && has(0x84, 7, 7) && has(0x88, 4, 4),
            "lpuart" | "ls1028a" | "ls1021a" => has(8, 3 << 18, 3 << 18),
            "meson" => has(8, 3 << 12, 3 << 12),
            "scif" | "rzscifa" => has(2, 0x30, 0x30),
            "exynos" | "gs101" => has(8, 1, 1) && has(4, 0xf, 5),
            // Unit enable.
            "xscale" | "mmp" => self.reg(1) & 1 << 6 != 0,
            // Always, as far as sending goes; GENI receives by a command.
            _ => true,
        }
    }

    /// As firmware leaves it that has used it.
    fn turn_on(&mut self) {
        let on: &[(u32, u32)] = match self.name {
            "pl011" => &[(0x30, 0x301)],
            "cdns" => &[(0, 0x114), (0x20, 32)],
            "imx" => &[(0x80, 1), (0x84, 0x4027), (0x88, 4)],
            "lpuart" | "ls1028a" | "ls1021a" => &[(8, 3 << 18)],
            "meson" => &[(8, 3 << 12), (0x10, 0x8010)],
            "scif" | "rzscifa" => &[(2, 0x30), (6, 3 << 6)],
            "exynos" | "gs101" => &[(8, 1), (4, 5), (0x38, 0xf)],
            "geni" => &[(0x630, 1 << 27)],
            "msm" => &[(0x3c, 1 << 5)],
            _ => &[],
        };
        self.set.extend(on.iter().copied());
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let listens = self.is_on() && (self.name != "geni" || self.reg(0x630) == 1 << 27);
        if listens && !self.wires.overrun {
            self.wires.received.extend(bytes);
        }
    }

    /// The interrupt line.
    fn interrupts(&mut self) -> bool {
        let waiting = !self.wires.received.is_empty();
        match class(self.name) {
            "pl011" | "sbsa" => waiting && self.reg(0x38) & 0x50 != 0,
            "8250" => {
                // A time-out interrupt of its own, without which fewer bytes than the trigger, four, have none.
                let enough = self.name != "xscale" && self.name != "mmp"
                    || self.reg(1) & 1 << 4 != 0
                    || self.wires.received.len() >= 4;
                // While a break is held, Freescale's line status is never over.
                let line = self.wires.is_broken && self.reg(1) & 1 << 2 != 0;
                // Synopsys': something was set while it was busy, which nobody can forbid.
                (waiting && enough || self.flags & 1 != 0) && self.reg(1) & 1 != 0
                    || line
                    || self.flags & 2 != 0
            }
            "cdns" => {
                if self.wires.received.len() >= self.reg(0x20).max(1) as usize {
                    self.flags |= 1;
                }
                self.flags & self.reg(0x10) != 0
            }
            "imx" => waiting && self.reg(0x8c) & 1 != 0,
            "lpuart" | "ls1028a" | "ls1021a" => waiting && self.reg(8) & 1 << 21 != 0,
            "geni" => {
                // Of the secondary sequencer and of the main one.
                self.flags |= bit(26, waiting);
                *self.set.entry(0x3001).or_default() |= bit(26, waiting);
                self.flags & self.reg(0x644) | self.reg(0x3001) & self.reg(0x614) != 0
            }
            "msm" => {
                // The stale event comes once, until it is told to come again.
                if waiting && self.reg(0x1000) != 0 {
                    self.flags |= 1 << 3;
                    self.set.insert(0x1000, 0);
                    // It pushes what there is of a word.
                    self.set.insert(0x2000, 1);
                }
                self.flags & self.reg(0x14) != 0 && self.reg(0x1001) != 0
            }
            "meson" => {
                waiting
                    && self.reg(8) & 1 << 27 != 0
                    && self.wires.received.len() >= self.reg(0x10) as usize & 0xff
            }
            "scif" | "rzscifa" => {
                let trigger = [1, 4, 8, 14][self.reg(6) as usize >> 6 & 3];
                self.flags |= bit(1, self.wires.received.len() >= trigger);
                self.flags & 2 != 0 && self.reg(2) & 1 << 6 != 0
            }
            "a3700" => waiting && self.reg(8) & 1 << 4 != 0,
            "exynos" | "gs101" => {
                // That there is room to send is an event, too.
                self.flags |= bit(0, waiting && self.reg(4) & 1 << 7 != 0) | 1 << 2;
                self.flags & !self.reg(0x38) & 0xf != 0
            }
            _ => false,
        }
    }

    fn read(&mut self, offset: u32, width: u8) -> u32 {
        let w = &self.wires;
        let (full, idle, waiting, count) =
            (w.is_full(), w.is_idle(), !w.received.is_empty(), w.received.len() as u32);
        let overrun = w.overrun;
        match (class(self.name), offset) {
            ("pl011" | "sbsa", 0x18) => bit(5, full) | bit(3, !idle) | bit(4, !waiting),
            ("pl011" | "sbsa", 0) => self.wires.give() | 0x700,
            ("8250", 5) => {
                // Holding register empty: the whole FIFO is.
                bit(5, w.to_send.is_empty()) | bit(6, idle) | bit(0, waiting)
            }
            // A time-out, or nothing.
            ("8250", 2) => {
                // TI's ends a time-out for nothing here, if told so, and with the longest time set.
                let told = self.name == "am654"
                    && [0x23, 0x26, 0x27].map(|offset| self.reg(offset)) == [1 << 6, 0xff, 0xff];
                let flags = self.flags;
                self.flags &= !u32::from(told);
                0xc0 | [1, 12, 7, 7][flags as usize & 3]
            }
            // Its status: what ends that it was busy.
            ("8250", 0x1f) => {
                assert_eq!(self.name, "dw8250");
                self.flags &= !2;
                bit(0, !idle)
            }
            ("8250", 0) if !waiting => {
                assert_eq!(self.flags & 1, 1, "data are only read if there are any");
                self.flags &= u32::from(self.name == "am654");
                0
            }
            ("8250", 0) => self.wires.give(),
            ("dcc", 0) => bit(29, !idle) | bit(30, waiting),
            ("dcc", 1) => self.wires.give(),
            ("cdns", 0x2c) => {
                bit(4, full) | bit(3, w.to_send.is_empty()) | bit(11, w.shifter.is_some()) | bit(1, !waiting)
            }
            ("cdns", 0x30) => self.wires.give(),
            ("imx", 0xb4) => bit(4, full) | bit(5, !waiting) | bit(6, w.to_send.is_empty()),
            ("imx", 0x98) => bit(3, idle) | bit(0, waiting) | bit(1, overrun),
            ("imx", 0) => self.wires.give() | 1 << 15,
            ("lpuart" | "ls1028a" | "ls1021a", 4) => {
                1 << 29 | bit(23, !full) | bit(22, idle) | bit(21, waiting) | bit(19, overrun) | bit(31, true)
            }
            ("lpuart" | "ls1028a" | "ls1021a", 0x1c) => count << 24 | 1 << 16,
            ("lpuart" | "ls1028a" | "ls1021a", 0xc) => self.wires.give(),
            ("geni", 0x40) => bit(0, self.allowed != 0 || !idle) | bit(12, self.reg(0x630) == 1 << 27),
            ("geni", 0x284) => self.reg(0x284),
            ("geni", 0x804) if self.reg(0x284) & 1 != 0 => count,
            ("geni", 0x804) => count.div_ceil(4) | bit(31, waiting) | (count % 4) << 28,
            ("geni", 0x780) if self.reg(0x284) & 1 != 0 => self.wires.give(),
            ("geni", 0x780) => self.word(4),
            // In single-character mode each byte is a word.
            ("msm", 0x08) if self.reg(0x3c) & 1 << 5 != 0 => bit(3, idle) | bit(0, waiting) | bit(4, overrun),
            ("msm", 0x50) if self.reg(0x3c) & 1 << 5 != 0 => count | 1 << 11,
            ("msm", 0x70) if self.reg(0x3c) & 1 << 5 != 0 => self.wires.give(),
            ("msm", 0x08) => bit(3, idle) | bit(0, count >= 4 || self.reg(0x2000) != 0) | bit(4, overrun),
            // What a stale event has pushed is a word, too.
            ("msm", 0x50) if self.reg(0x2000) != 0 => count.div_ceil(4),
            // With bytes on their way to the packing buffer, which do not count yet.
            ("msm", 0x50) => (count / 4) | ((count % 4) << 7) | 1 << 11,
            ("msm", 0x70) => {
                let partial = self.set.remove(&0x2000);
                assert!(count >= 4 || partial.is_some(), "a word that is not full has to be pushed first");
                self.word(4)
            }
            ("meson", 0xc) => {
                bit(21, full)
                    | bit(22, w.to_send.is_empty())
                    | bit(25, w.shifter.is_some())
                    | bit(20, !waiting)
                    | bit(18, overrun)
            }
            ("meson", 4) => {
                assert_eq!(self.reg(8) & 1 << 24, 0, "CLR_ERR does not go by itself");
                self.wires.give()
            }
            ("scif" | "rzscifa", 7) => {
                assert_eq!(width, 2);
                // Up to 16 in each direction; this one says that it has 16 as soon as it is full.
                if full { 16 << 8 | count } else { (w.to_send.len() as u32) << 8 | count }
            }
            ("scif" | "rzscifa", 4) => {
                if idle {
                    self.set.insert(0x3000, 1);
                }
                bit(6, self.reg(0x3000) != 0) | self.flags
            }
            ("scif" | "rzscifa", 9) => bit(0, overrun),
            ("scif" | "rzscifa", 5) => {
                assert_eq!(width, 1);
                self.wires.give()
            }
            ("a3700", 0xc) => bit(11, full) | bit(6, idle) | bit(4, waiting),
            ("a3700", 0) => self.wires.give() | 1 << 14,
            ("exynos" | "gs101", 0x10) => bit(2, idle) | bit(1, w.to_send.is_empty()) | bit(0, waiting),
            ("exynos" | "gs101", 0x18) => count,
            ("exynos" | "gs101", 0x24) => {
                assert_eq!(width, if self.name == "gs101" { 4 } else { 1 });
                self.wires.give()
            }
            _ => self.reg(offset),
        }
    }

    /// Up to so many bytes in one word, the first in the lowest bits.
    fn word(&mut self, most: usize) -> u32 {
        assert!(!self.wires.received.is_empty(), "a word is only read if there is one");
        let count = most.min(self.wires.received.len());
        let bytes = self.wires.received.drain(..count).enumerate();
        bytes.fold(0, |word, (index, byte)| word | u32::from(byte) << (8 * index))
    }

    fn send(&mut self, value: u32) {
        assert!(self.is_on(), "{} is off", self.name);
        self.wires.take(value);
    }

    fn write(&mut self, offset: u32, width: u8, value: u32) {
        self.writes += 1;
        match (class(self.name), offset) {
            ("pl011" | "sbsa" | "8250", 0) => self.send(value),
            ("sbsa", other) if other != 0x38 => {
                panic!("an SBSA UART has no register {other:#x} to be written")
            }
            ("dcc", 1) => self.send(value),
            ("cdns", 0x30) => self.send(value),
            ("cdns", 0x08) => *self.set.entry(0x10).or_default() |= value,
            ("cdns", 0x0c) => *self.set.entry(0x10).or_default() &= !value,
            ("cdns", 0x14) => self.flags &= !value,
            ("imx", 0x40) => self.send(value),
            ("imx", 0x98) => self.wires.overrun &= value & 2 == 0,
            ("lpuart" | "ls1028a" | "ls1021a", 0xc) => self.send(value),
            ("lpuart" | "ls1028a" | "ls1021a", 4) => {
                assert_eq!(
                    value & (1 << 29 | 1 << 31),
                    1 << 29,
                    "settings stay, and flags that nobody asked for"
                );
                self.wires.overrun &= value & 1 << 19 == 0;
            }
            ("geni", 0x270) => _ = self.set.insert(0x270, value),
            ("geni", 0x600) => {
                assert!(self.wires.is_stuck || self.allowed == 0, "one command at a time");
                self.allowed = self.reg(0x270);
            }
            // Abort: it is over, with what there was to be sent.
            ("geni", 0x604) => {
                assert_eq!(value, 1 << 1);
                if !self.wires.is_stuck {
                    self.allowed = 0;
                    self.wires.to_send.clear();
                }
            }
            ("geni", 0x700) => {
                assert!(self.allowed > 0, "no command");
                self.allowed -= 1;
                self.send(value);
            }
            ("geni", 0x618) => *self.set.entry(0x3001).or_default() &= !value,
            ("geni", 0x648) => self.flags &= !value,
            ("msm", 0x40) => {
                assert_eq!(self.set.remove(&0x3002), Some(1), "TX_READY is reset first");
                self.allowed = value;
            }
            ("msm", 0x70) => {
                assert!(self.allowed > 0, "how many bytes has to be said first");
                self.allowed -= 1;
                self.send(value);
            }
            ("msm", 0x10) => match value {
                0x400 => _ = self.set.insert(0x2000, 1),
                // As long as fewer bytes have come than were asked for.
                0x500 => _ = self.set.remove(&0x34).and_then(|_| self.set.insert(0x1000, 1)),
                0x80 => self.flags &= !(1 << 3),
                0x30 => self.wires.overrun = false,
                1 => _ = self.set.insert(0x1001, 1),
                0x300 => _ = self.set.insert(0x3002, 1),
                other => panic!("command {other:#x}"),
            },
            ("meson", 0) => self.send(value),
            ("meson", 8) => {
                self.wires.overrun &= value & 1 << 24 == 0;
                self.set.insert(8, value);
            }
            ("scif" | "rzscifa", 3) => {
                assert_eq!(width, 1);
                self.send(value);
            }
            ("scif" | "rzscifa", 4) => {
                // TEND stays up until it is cleared while something is on its way.
                if value & 1 << 6 == 0 && !self.wires.is_idle() {
                    self.set.insert(0x3000, 0);
                }
                self.flags &= value;
            }
            ("scif" | "rzscifa", 9) => self.wires.overrun &= value & 1 != 0,
            ("a3700", 4) => self.send(value),
            ("exynos" | "gs101", 0x20) => {
                assert_eq!(width, if self.name == "gs101" { 4 } else { 1 });
                self.send(value);
            }
            ("exynos" | "gs101", 0x30) => self.flags &= !value,
            _ => _ = self.set.insert(offset, value),
        }
    }
}

/// Where a model has its registers: bytes to the first, distance of two, bytes of an access, and whether words are big-endian.
fn layout(name: &str) -> (u32, u32, u8, bool) {
    match name {
        "8250" => (0, 1, 1, false),
        "8250,mmio16" => (0, 2, 2, false),
        "8250,mmio32" | "am654" => (0, 4, 4, false),
        "xscale" | "dw8250" | "fsl8250" => (0, 1, 1, false),
        "mmp" => (0, 4, 1, false),
        "dcc" => (0, 1, 0, false),
        "lpuart" => (0x10, 1, 4, false),
        "ls1021a" => (0, 1, 4, true),
        "scif" => (0, 4, 2, false),
        "rzscifa" => (0, 2, 2, false),
        _ => (0, 1, 4, false),
    }
}

struct Simulated {
    device: RefCell<Device>,
    patient: Cell<usize>,
}

impl Registers for &Simulated {
    fn read(&self, offset: u32, width: u8) -> u32 {
        let mut device = self.device.borrow_mut();
        let (first, distance, usual, big) = layout(device.name);
        assert!(width == usual || usual > 1 && width == 1, "{}: width {width}", device.name);
        assert_eq!((offset - first) % distance, 0);
        let value = device.read((offset - first) / distance, width);
        if big { value.swap_bytes() } else { value }
    }

    fn write(&self, offset: u32, width: u8, value: u32) {
        let mut device = self.device.borrow_mut();
        let (first, distance, usual, big) = layout(device.name);
        assert!(width == usual || usual > 1 && width == 1, "{}: width {width}", device.name);
        assert_eq!((offset - first) % distance, 0);
        device.write((offset - first) / distance, width, if big { value.swap_bytes() } else { value });
    }

    fn wait(&self, is_patient: bool, mut ready: impl FnMut() -> bool) -> bool {
        let looks = if is_patient { 100 } else { 1 };
        for look in 0..looks {
            if ready() {
                return true;
            }
            if look > 0 || is_patient {
                self.device.borrow_mut().wires.tick();
            }
        }
        self.patient.set(self.patient.get() + usize::from(is_patient));
        false
    }
}

fn device(name: &'static str) -> Simulated {
    let mut device =
        Device { name, wires: Wires::default(), set: BTreeMap::new(), flags: 0, allowed: 0, writes: 0 };
    if matches!(name, "xscale" | "mmp") {
        // Firmware has switched the unit on: the bit is not one that every UART of that row has.
        device.set.insert(1, 1 << 6);
    }
    Simulated { device: RefCell::new(device), patient: Cell::new(0) }
}

fn kind(name: &str) -> ConsoleKind {
    ConsoleKind::by_name(name).expect("a model of the table")
}

/// All UARTs, by the first of their names.
fn names() -> Vec<&'static str> {
    let all = (0..=u8::MAX).map_while(|row| table::row(row).map(|_| table::name(row)));
    all.filter(|name| *name != "virtio").collect()
}

const TEXT: &[u8] = b"cpu 0 mpidr 0x0000000000 online\r\n";

#[test]
fn they_speak() {
    for name in names() {
        for was_on in [false, true] {
            let simulated = device(name);
            if was_on {
                simulated.device.borrow_mut().turn_on();
            }
            let uart = Uart::new(kind(name), &simulated);
            assert!(simulated.device.borrow().is_on(), "{name}");
            if was_on {
                assert_eq!(simulated.device.borrow().writes, 0, "{name} was on: it is left alone");
            }
            TEXT.iter().for_each(|byte| uart.send(*byte));
            uart.flush();
            assert_eq!(simulated.patient.get(), 0, "{name}: nothing is waited for in vain");
            let device = simulated.device.borrow();
            assert_eq!(
                (String::from_utf8_lossy(&device.wires.sent), device.wires.dropped),
                (String::from_utf8_lossy(TEXT), 0),
                "{name}"
            );
        }
    }
}

/// What the assembly does with what is spelled out for it.
#[test]
fn they_speak_spelled_out() {
    for name in names() {
        for was_on in [false, true] {
            let simulated = device(name);
            if was_on {
                simulated.device.borrow_mut().turn_on();
            }
            let text = format!("{name},0x9000000");
            let polled = Polled::new(&Console::by_hand(&text).expect("a UART by hand"));
            let [width, data_width] = polled.widths.map(|width| width as u8);
            let registers = &simulated;
            let test = |of: &PolledAccess| {
                of.mask == 0 || (registers.read(of.register, width) & of.mask == of.value) == (of.is_not == 0)
            };
            let steps = |list: &[PolledAccess]| {
                for step in list.iter().take_while(|step| step.mask != 0) {
                    if step.is_not != 0 {
                        if !test(step) {
                            return;
                        }
                        continue;
                    }
                    let others = if step.mask == u32::MAX {
                        0
                    } else {
                        registers.read(step.register, width) & !step.mask
                    };
                    registers.write(step.register, width, others | step.value);
                }
            };
            if !test(&polled.is_on) {
                steps(&polled.switch_on);
            }
            assert!(simulated.device.borrow().is_on(), "{name}");
            assert!(!was_on || simulated.device.borrow().writes == 0, "{name} was on: it is left alone");
            for byte in TEXT {
                assert!(registers.wait(true, || test(&polled.room)), "{name}");
                steps(&polled.begin);
                registers.write(polled.send[0], data_width, u32::from(*byte) << polled.send[1]);
                steps(&polled.end);
            }
            registers.wait(true, || false);
            assert_eq!(simulated.device.borrow().wires.sent, TEXT, "{name}");
            let (state, state_width) = kind(name).state_register();
            assert_eq!((state, state_width), (polled.room.register, width), "{name}");
        }
    }
}

#[test]
fn they_give_up() {
    for name in names() {
        let simulated = device(name);
        let uart = Uart::new(kind(name), &simulated);
        simulated.device.borrow_mut().wires.is_stuck = true;
        (0..3).for_each(|_| TEXT.iter().for_each(|byte| uart.send(*byte)));
        uart.flush();
        // Where a command can be given up, that is waited for, too.
        let waits = 1 + usize::from(name == "geni");
        assert_eq!(simulated.patient.get(), waits, "{name}: only the first byte waits");
        // It comes to itself again.
        simulated.device.borrow_mut().wires.is_stuck = false;
        (0..DEPTH * 2).for_each(|_| simulated.device.borrow_mut().wires.tick());
        simulated.device.borrow_mut().wires.sent.clear();
        uart.flush();
        TEXT.iter().for_each(|byte| uart.send(*byte));
        uart.flush();
        assert_eq!(simulated.device.borrow().wires.sent, TEXT, "{name}");
    }
}

/// Somebody was stopped between the command to send and the byte.
#[test]
fn commands_are_given_up() {
    for (name, begun) in
        [("geni", &[(0x270, 1), (0x600, 1 << 27)][..]), ("msm", &[(0x10, 3 << 8), (0x40, 1)])]
    {
        let simulated = device(name);
        simulated.device.borrow_mut().turn_on();
        let uart = Uart::new(kind(name), &simulated);
        begun.iter().for_each(|(offset, value)| (&&simulated).write(*offset, 4, *value));
        TEXT.iter().for_each(|byte| uart.send(*byte));
        uart.flush();
        assert!(simulated.patient.get() <= 1, "{name}");
        assert_eq!(simulated.device.borrow().wires.sent, TEXT, "{name}");
    }
}

#[test]
fn they_listen() {
    let all = names().into_iter().flat_map(|name| [(name, 0, true), (name, 0xf, true), (name, 0, false)]);
    for (name, packing, was_on) in all {
        let simulated = device(name);
        if was_on {
            simulated.device.borrow_mut().turn_on();
        }
        simulated.device.borrow_mut().set.insert(0x284, packing);
        let uart = Uart::new(kind(name), &simulated);
        let arrive = |bytes: &[u8]| simulated.device.borrow_mut().arrive(bytes);
        let interrupts = || simulated.device.borrow_mut().interrupts();
        let take = || core::iter::from_fn(|| uart.receive()).collect::<Vec<_>>();
        let has_interrupt = name != "dcc";
        // Polled, words in all lengths.
        for count in 0..=9 {
            arrive(&TEXT[..count]);
            assert_eq!(take(), &TEXT[..count], "{name}");
        }
        // Where nothing has to be ended, nothing is written by somebody who only asks.
        if !matches!(name, "cdns" | "geni" | "msm" | "scif" | "rzscifa" | "exynos" | "gs101") {
            simulated.device.borrow_mut().writes = 0;
            take();
            assert_eq!(simulated.device.borrow().writes, 0, "{name}");
        }
        arrive(b"a");
        if was_on {
            assert!(!interrupts(), "{name}: nobody listens");
        }
        if name == "cdns" {
            // An interrupt that firmware has left on: there is room.
            simulated.device.borrow_mut().set.insert(0x10, 8);
            simulated.device.borrow_mut().flags |= 8;
        }
        uart.interrupt_on_receive(true);
        assert_eq!(interrupts(), has_interrupt, "{name}: something was there before");
        assert_eq!(take(), b"a");
        assert!(!interrupts(), "{name}: it has been read");
        for bytes in [&b"b"[..], b"cde", b"fghij"] {
            arrive(bytes);
            assert_eq!(interrupts(), has_interrupt, "{name}: {bytes:?}");
            assert_eq!(take(), bytes, "{name}");
            assert!(!interrupts(), "{name}: {bytes:?} have been read");
        }
        if class(name) == "8250" {
            // A time-out for nothing.
            simulated.device.borrow_mut().flags = 1;
            assert!(interrupts());
            assert_eq!(take(), b"");
            assert!(!interrupts(), "{name}: it goes on and on");
            assert_eq!((simulated.device.borrow().reg(0x23), simulated.device.borrow().reg(0x26)), (0, 0));
        }
        if name == "dw8250" {
            simulated.device.borrow_mut().flags = 2;
            assert!(interrupts());
            assert_eq!(take(), b"");
            assert!(!interrupts(), "{name}: busy without end");
        }
        if name == "fsl8250" {
            arrive(b"\0");
            simulated.device.borrow_mut().wires.is_broken = true;
            assert_eq!((interrupts(), take()), (true, vec![0]));
            assert!(!interrupts(), "{name}: a break that is held interrupts without end");
            simulated.device.borrow_mut().wires.is_broken = false;
        }
        // An overrun is over as soon as what was received has been read.
        if !matches!(
            class(name),
            "pl011" | "sbsa" | "8250" | "dcc" | "cdns" | "geni" | "a3700" | "exynos" | "gs101"
        ) {
            arrive(b"xy");
            simulated.device.borrow_mut().wires.overrun = true;
            assert_eq!(take(), b"xy", "{name}");
            arrive(b"z");
            assert_eq!((interrupts(), take()), (true, vec![b'z']), "{name}: wedged by an overrun");
        }
        uart.interrupt_on_receive(false);
        arrive(b"k");
        assert!(!interrupts(), "{name}: nobody listens any more");
        assert_eq!(take(), b"k");
    }
}

#[test]
fn rows_are_sound() {
    let mut seen = BTreeMap::new();
    for (row, names) in table::NAMES.lines().enumerate() {
        for name in names.split(' ') {
            assert!(!name.is_empty() && name.is_ascii(), "{names}");
            assert!(seen.insert(name, row).is_none(), "{name} stands twice");
            assert_eq!(table::find(name.as_bytes()), Some(row as u8));
        }
    }
    assert_eq!(table::ROWS.len(), table::NAMES.lines().count());
    assert_eq!(ConsoleKind::by_name("arm,pl011"), Some(ConsoleKind::Pl011));
    assert_eq!(ConsoleKind::by_name("sbsa"), Some(ConsoleKind::SbsaUart));
    for (name, reg_shift, reg_io_width) in [("8250", 0, 1), ("uart8250,mmio16", 1, 2), ("8250,mmio32", 2, 4)]
    {
        assert_eq!(
            ConsoleKind::by_name(name),
            Some(ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset: 0, model: Model::UART_8250 })
        );
    }
    // What is said by hand.
    let by_hand = [
        "cdns", "imx", "lpuart", "lpuart32", "geni", "msm", "meson", "scif", "hscif", "rzscifa", "a3700",
        "exynos", "gs101", "dcc",
    ];
    for name in by_hand {
        assert!(matches!(ConsoleKind::by_name(name), Some(ConsoleKind::Model(_))), "{name}");
    }
    for unknown in ["", " ", "pl011 arm,pl011", "pl011\nsbsa", "pl01", "arm,pl0111"] {
        assert_eq!(ConsoleKind::by_name(unknown), None, "{unknown}");
    }
    assert_eq!(format!("{:?}", ConsoleKind::by_name("qcom,geni-uart")), "Some(Model(geni))");

    for (index, row) in table::ROWS.iter().enumerate() {
        let name = table::name(index as u8);
        let layout = row.layout;
        assert!(
            matches!(layout.width, 0 | 1 | 2 | 4) && layout.data_width <= layout.width && layout.shift <= 4,
            "{name}"
        );
        assert!(!layout.is_big_endian || layout.width == 4 && layout.data_width == 4, "{name}");
        let fits = |mask: u32| {
            mask == u32::MAX || layout.width == 0 || mask >> (8 * u32::from(layout.width) - 1) <= 1
        };
        let tests = [row.room, row.gone, row.waiting, row.is_on];
        let lists = [row.begin, row.end, row.packing, row.recover, row.settle];
        let lists = lists.into_iter().chain([row.listen, row.ignore, row.switch_on]);
        for access in tests.into_iter().chain(lists.flatten().copied()) {
            let place = u32::from(access.offset) << layout.shift;
            assert!(fits(access.mask), "{name}: {:#x} at {place:#x} is wider than the register", access.mask);
            assert!(
                layout.width == 0 || place % u32::from(layout.width) == 0,
                "{name}: {place:#x} is not aligned"
            );
            assert!(access.value & !access.mask == 0, "{name}: value outside the mask at {place:#x}");
        }
        // A console has all of these.
        assert!([row.room, row.gone, row.waiting].iter().all(|test| test.mask != 0), "{name}");
        assert!(matches!(row.packing.len(), 0 | 3..), "{name}");
        assert_eq!(row.listen.is_empty(), row.ignore.is_empty(), "{name}");
        // What is done to switch it on is what is asked for.
        assert_eq!(row.is_on.mask == 0, row.switch_on.is_empty(), "{name}");
        // What is packed is what was written down.
        let packed = table::row(index as u8).expect("a row");
        assert_eq!((packed.send, packed.receive), (row.send, row.receive));
        for at in 0..row.count() {
            let (a, b) = (row.access(at), table::access(usize::from(packed.first) + at));
            assert_eq!(
                (a.offset, a.is_not, a.mask, a.value),
                (b.offset, b.is_not, b.mask, b.value),
                "{name}"
            );
        }
        assert_eq!(usize::from(packed.ends[packed.ends.len() - 1]), row.count());
    }
}
