//! The virtio console against a device that is simulated at its registers, and that sees nothing of memory but what was exchanged: written
//! from the specification. And against one that says anything.

extern crate std;

use super::virtio::*;
use super::{ConsoleKind, Registers, Uart};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

const PAGE: usize = 4096;
const LINE: usize = 64;
/// What the device calls the driver's memory: within the reach of a legacy device, which that of the host is not.
const BUS: u64 = 0x5_4321_0000;
const MULTIPORT: u64 = 1 << 1;
const EMERGENCY: u64 = 1 << 2;
const VERSION_1: u64 = 1 << 32;
const PLATFORM: u64 = 1 << 33;

#[derive(Clone, Default)]
struct Ring {
    entries: u32,
    /// Descriptors, what is offered, what is given back.
    addresses: [u64; 3],
    is_ready: bool,
    seen: u16,
}

struct Device {
    magic: u32,
    version: u32,
    id: u32,
    offered: u64,
    most: u32,
    /// It does not take what was accepted.
    is_choosy: bool,
    /// It stays as it is, whatever is written to its status.
    is_wedged: bool,
    /// It looks at nothing that it is told of, so many times.
    deaf: usize,
    status: u32,
    accepted: u64,
    selected: [u32; 2],
    queue: usize,
    rings: [Ring; 2],
    page: u64,
    align: u64,
    out: Vec<u8>,
    input: VecDeque<u8>,
    /// What it says of the next buffer that it gives back, in place of the truth: id, length.
    lie: Option<(u32, u32)>,
    /// And how far its index goes.
    jump: u16,
    resets: usize,
    writes: usize,
    memory: Vec<u8>,
}

struct Simulated {
    device: RefCell<Device>,
    driver: &'static VirtioMemory,
    waits: Cell<usize>,
    /// The image is so much farther away.
    distance: Cell<u64>,
}

impl Device {
    fn new(version: u32) -> Self {
        Self {
            magic: 0x7472_6976,
            version,
            id: 3,
            offered: 1 | MULTIPORT | EMERGENCY | if version == 2 { VERSION_1 } else { 0 },
            most: 128,
            is_choosy: false,
            is_wedged: false,
            deaf: 0,
            // Somebody has used it before, and left it on.
            status: 0xf,
            accepted: MULTIPORT,
            selected: [1; 2],
            queue: 1,
            rings: [const { Ring { entries: 64, addresses: [0x5000; 3], is_ready: true, seen: 7 } }; 2],
            page: 0,
            align: 0,
            out: vec![],
            input: VecDeque::new(),
            lie: None,
            jump: 1,
            resets: 0,
            writes: 0,
            memory: vec![0xa5; 2 * PAGE],
        }
    }

    fn word(&self, at: usize, bytes: usize) -> u64 {
        let bytes = &self.memory[at..at + bytes];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn is_live(&self) -> bool {
        self.status & 4 != 0
    }

    /// Looks at a queue.
    fn look(&mut self) {
        for number in 0..2 {
            let ring = self.rings[number].clone();
            if !self.is_live() || !ring.is_ready {
                continue;
            }
            let [descriptors, offered, back] = ring.addresses.map(|address| (address - BUS) as usize);
            assert!(descriptors.is_multiple_of(16) && offered.is_multiple_of(2) && back.is_multiple_of(4));
            let mut seen = ring.seen;
            while self.word(offered + 2, 2) as u16 != seen {
                let entries = ring.entries as usize;
                let place = usize::from(seen) % entries;
                let id = self.word(offered + 4 + 2 * place, 2) as usize;
                assert!(id < entries, "a descriptor of the queue");
                let at = descriptors + 16 * id;
                let (buffer, len) = ((self.word(at, 8) - BUS) as usize, self.word(at + 8, 4) as usize);
                assert_eq!(self.word(at + 12, 2), if number == 0 { 2 } else { 0 }, "for input: written");
                assert!(len > 0 && buffer + len <= self.memory.len());
                let mut count = 0;
                if number == 0 {
                    count = len.min(self.input.len());
                    if count == 0 && self.lie.is_none() {
                        break;
                    }
                    let bytes: Vec<u8> = self.input.drain(..count).collect();
                    self.put(buffer, &bytes);
                } else {
                    let bytes = self.memory[buffer..buffer + len].to_vec();
                    self.out.extend(bytes);
                }
                let (id, count) = match number {
                    0 => self.lie.take().unwrap_or((id as u32, count as u32)),
                    _ => (id as u32, 0),
                };
                self.put(back + 4 + 8 * place, &id.to_le_bytes());
                self.put(back + 8 + 8 * place, &count.to_le_bytes());
                seen = seen.wrapping_add(1);
                let index = (self.word(back + 2, 2) as u16).wrapping_add(self.jump);
                self.put(back + 2, &index.to_le_bytes());
            }
            self.rings[number].seen = seen;
        }
    }

    fn write(&mut self, register: u32, value: u32) {
        self.writes += 1;
        let queue = self.queue;
        let is_legacy = self.version == 1;
        let ring = &mut self.rings[queue];
        match register {
            0x14 => self.selected[0] = value,
            0x24 => self.selected[1] = value,
            0x20 => {
                assert!(!is_legacy || self.selected[1] == 0, "a legacy device has 32 features");
                assert_eq!(self.status & !8, 3, "features come after DRIVER, and before the rest");
                let shift = 32 * self.selected[1];
                self.accepted = self.accepted & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            0x28 if is_legacy => self.page = value.into(),
            0x30 => self.queue = value as usize,
            0x38 => {
                assert!(value.is_power_of_two() && value <= self.most);
                ring.entries = value;
            }
            0x3c if is_legacy => self.align = value.into(),
            0x40 if is_legacy => {
                let first = u64::from(value) * self.page;
                let offered = first + 16 * u64::from(ring.entries);
                let end = offered + 6 + 2 * u64::from(ring.entries);
                ring.addresses = [first, offered, end.next_multiple_of(self.align)];
                ring.is_ready = true;
            }
            0x44 if !is_legacy => ring.is_ready = value == 1,
            0x50 => {
                assert!(self.is_live(), "nobody is told of anything before DRIVER_OK");
                if self.deaf > 0 { self.deaf -= 1 } else { self.look() }
            }
            0x70 if self.is_wedged => {}
            0x70 => {
                assert!(
                    value == 0 || value & self.status == self.status,
                    "no bit of the status is taken back"
                );
                if value == 0 {
                    self.resets += 1;
                    self.rings = Default::default();
                    self.accepted = 0;
                }
                let refused = self.is_choosy || self.accepted & !self.offered != 0;
                self.status = if refused { value & !8 } else { value };
            }
            0x80 | 0x84 | 0x90 | 0x94 | 0xa0 | 0xa4 if !is_legacy => {
                let address = &mut ring.addresses[(register as usize - 0x80) / 16];
                let shift = 32 * ((register / 4) & 1);
                *address = *address & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            0x108 => self.out.push(value as u8),
            _ => panic!("no such register to be written: {register:#x}"),
        }
    }
}

impl Registers for &Simulated {
    fn read(&self, register: u32, width: u8) -> u32 {
        assert_eq!(width, 4);
        let device = self.device.borrow();
        match register {
            0x00 => device.magic,
            0x04 => device.version,
            0x08 => device.id,
            0x10 => (device.offered >> (32 * device.selected[0])) as u32,
            0x34 => device.most,
            0x70 => device.status,
            _ => panic!("no such register to be read: {register:#x}"),
        }
    }

    fn write(&self, register: u32, width: u8, value: u32) {
        assert_eq!(width, 4);
        self.device.borrow_mut().write(register, value);
    }

    fn wait(&self, is_patient: bool, mut ready: impl FnMut() -> bool) -> bool {
        let is_ready = (0..if is_patient { 20 } else { 1 }).any(|_| ready());
        self.waits.set(self.waits.get() + usize::from(is_patient && !is_ready));
        is_ready
    }
}

impl Dma for &Simulated {
    fn bus_address(&self, start: u64) -> u64 {
        start - self.driver.address() + BUS + self.distance.get()
    }

    fn exchange(&self, start: u64, len: usize) {
        let mut device = self.device.borrow_mut();
        let from = (start - self.driver.address()) as usize;
        assert!(len > 0 && from + len <= 2 * PAGE);
        for at in from / LINE * LINE..(from + len).next_multiple_of(LINE) {
            // A line that the driver has written goes to memory, any other one comes from there.
            if at % PAGE < PAGE / 2 || !device.is_live() {
                device.memory[at] = self.driver.byte(at);
            } else {
                self.driver.set_byte(at, device.memory[at]);
            }
        }
    }
}

fn simulated(device: Device) -> Simulated {
    Simulated {
        device: RefCell::new(device),
        driver: Box::leak(Box::new(VirtioMemory::new())),
        waits: Cell::new(0),
        distance: Cell::new(0),
    }
}

fn out(simulated: &Simulated) -> String {
    String::from_utf8(core::mem::take(&mut simulated.device.borrow_mut().out)).expect("text")
}

const LINES: &[u8] = b"cpu 0 online\ncpu 1 online\n";

#[test]
fn they_speak() {
    for version in [1, 2] {
        for platform in [0, PLATFORM] {
            let mut device = Device::new(version);
            device.offered |= platform;
            let simulated = simulated(device);
            let console = Virtio::new(&simulated, simulated.driver).expect("a console");
            let wanted = if version == 2 { VERSION_1 | platform } else { 0 };
            assert_eq!(simulated.device.borrow().accepted, wanted);
            assert_eq!(simulated.device.borrow().status, if version == 2 { 0xf } else { 7 });
            assert_eq!(simulated.device.borrow().resets, 1, "it was in use");
            for _ in 0..3 {
                console.send(LINES, true);
                console.send(LINES, false);
                assert!(console.flush());
                assert_eq!(out(&simulated), "cpu 0 online\r\ncpu 1 online\r\ncpu 0 online\ncpu 1 online\n");
            }
            // What fills the buffer, to the byte, with ends of lines wherever it ends; round the index.
            for len in (1000..1050).chain([5000, 100_000]) {
                let text: Vec<u8> = (0..len).map(|at| if at % 3 == 1 { b'\n' } else { b'a' }).collect();
                console.send(&text, true);
                console.send(&text, false);
                console.flush();
                let text = String::from_utf8(text).expect("text");
                assert_eq!(out(&simulated), format!("{}{text}", text.replace('\n', "\r\n")), "{len}");
            }
            for _ in 0..if platform == 0 { 70_000 } else { 0 } {
                console.send(b".", true);
            }
            assert_eq!(simulated.waits.get(), 0);
        }
    }
}

#[test]
fn no_console_is_an_error() {
    let mut seen = Vec::new();
    let changes: [fn(&mut Device); 8] = [
        |device| device.magic = 0,
        |device| device.version = 3,
        |device| device.version = 0,
        |device| device.id = 0,
        |device| device.is_wedged = true,
        |device| device.most = 1,
        |device| device.is_choosy = true,
        |device| device.offered &= !VERSION_1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut device = Device::new(2);
        change(&mut device);
        let simulated = simulated(device);
        let error = Virtio::new(&simulated, simulated.driver).err().expect("no console");
        let device = simulated.device.borrow();
        match number {
            0..4 => assert_eq!(device.writes, 0, "nothing is written to what is no console"),
            4 => assert_eq!(simulated.waits.get(), 1),
            _ => assert_eq!((device.status, device.resets), (128, 2), "it forgets what it was given"),
        }
        seen.push(error);
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            "no virtio device of a known version",
            "not a virtio console",
            "it cannot be reset",
            "it lacks a queue",
            "its features do not fit"
        ]
    );
    // Of the old kind there are no such features.
    let mut device = Device::new(1);
    device.is_choosy = true;
    let simulated = simulated(device);
    assert!(Virtio::new(&simulated, simulated.driver).is_ok());
    simulated.distance.set(1 << 44);
    let error = Virtio::new(&simulated, simulated.driver).err();
    assert_eq!(error, Some("the image is beyond its reach"));
    assert_eq!(simulated.device.borrow().status, 128);
}

/// Somebody was stopped anywhere in the middle of a write.
#[test]
fn it_is_taken_over() {
    for version in [1, 2] {
        let simulated = simulated(Device::new(version));
        let console = Virtio::new(&simulated, simulated.driver).expect("a console");
        // It was offered, and the device was not told.
        simulated.device.borrow_mut().deaf = 1;
        console.send(b"begun ", true);
        assert_eq!(out(&simulated), "");
        console.send(b"report\n", true);
        assert!(console.flush());
        assert_eq!((out(&simulated).as_str(), simulated.waits.get()), ("begun report\r\n", 0));
        // The buffer was being filled.
        simulated.driver.set_byte(PAGE + 42, b'x');
        console.send(b"report\n", true);
        assert_eq!(out(&simulated), "report\r\n");
    }
}

#[test]
fn it_gives_up() {
    let simulated = simulated(Device::new(2));
    let console = Virtio::new(&simulated, simulated.driver).expect("a console");
    simulated.device.borrow_mut().deaf = usize::MAX;
    for _ in 0..100 {
        console.send(LINES, true);
        console.flush();
    }
    assert_eq!(simulated.waits.get(), 1, "only the first piece waits");
    simulated.device.borrow_mut().deaf = 0;
    console.send(b"again", true);
    console.flush();
    assert_eq!(out(&simulated), "cpu 0 online\r\ncpu 1 online\r\nagain", "the rest was dropped");
    assert_eq!(simulated.waits.get(), 1);
}

/// A device that asks for a reset, or that somebody has reset, is set up anew.
#[test]
fn it_begins_again() {
    for reset in [false, true] {
        let simulated = simulated(Device::new(2));
        let console = Virtio::new(&simulated, simulated.driver).expect("a console");
        console.send(b"a", true);
        {
            let mut device = simulated.device.borrow_mut();
            device.rings = Default::default();
            device.status = if reset { 0 } else { 0x4f };
            device.deaf = 1;
        }
        if reset {
            // The device would not take it kindly to be told of anything.
            simulated.device.borrow_mut().status = 0x4f;
        }
        console.send(b"b", true);
        console.send(b"c", true);
        console.send(b"d", true);
        console.flush();
        assert_eq!((out(&simulated).as_str(), simulated.waits.get()), ("acd", 1));
        simulated.device.borrow_mut().input.extend(b"xyz");
        simulated.device.borrow_mut().look();
        assert_eq!(core::iter::from_fn(|| console.receive()).collect::<Vec<_>>(), b"xyz");
    }
}

/// The same if it was only slow before, when nobody waits for it any more.
#[test]
fn it_begins_again_after_it_was_slow() {
    let simulated = simulated(Device::new(2));
    let console = Virtio::new(&simulated, simulated.driver).expect("a console");
    simulated.device.borrow_mut().deaf = usize::MAX;
    console.send(b"a", true);
    console.send(b"b", true);
    assert_eq!(simulated.waits.get(), 1);
    {
        let mut device = simulated.device.borrow_mut();
        device.rings = Default::default();
        device.status = 0x4f;
        device.deaf = 0;
    }
    console.send(b"c", true);
    console.flush();
    assert_eq!((out(&simulated).as_str(), simulated.waits.get()), ("c", 1), "and without another wait");
}

#[test]
fn they_listen() {
    for version in [1, 2] {
        let simulated = simulated(Device::new(version));
        let console = Virtio::new(&simulated, simulated.driver).expect("a console");
        let arrive = |bytes: &[u8]| {
            let mut device = simulated.device.borrow_mut();
            device.input.extend(bytes);
            device.look();
        };
        let take = || core::iter::from_fn(|| console.receive()).collect::<Vec<_>>();
        assert_eq!(take(), b"");
        for len in [1, 2, 3, 1023, 1024, 1025, 5000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            arrive(&bytes);
            assert_eq!(take(), bytes);
        }
        // Nonsense is nothing, and what comes after it comes.
        for lie in [(0, 0), (1, 1), (2, 1), (u32::MAX, 1), (0, 1025), (0, u32::MAX)] {
            simulated.device.borrow_mut().lie = Some(lie);
            arrive(b"lost");
            assert_eq!(take(), b"", "{lie:?}");
            arrive(b"found");
            assert_eq!(take(), b"found", "{lie:?}");
        }
        // An index that jumps is no index.
        for jump in [0, 2, 0xffff] {
            simulated.device.borrow_mut().jump = jump;
            arrive(b"lost");
            assert_eq!(take(), b"");
        }
    }
}

/// Whatever the device says, nothing panics, nothing hangs, and no address but the driver's own memory is given out.
#[test]
fn it_lies() {
    struct Liar {
        state: Cell<u64>,
        truth: u64,
        driver: &'static VirtioMemory,
        addresses: Cell<[u32; 2]>,
        looks: Cell<usize>,
    }
    impl Liar {
        fn next(&self) -> u64 {
            let mut x = self.state.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.state.set(x);
            x
        }
        fn count(&self) {
            self.looks.set(self.looks.get() + 1);
            assert!(self.looks.get() < 100_000, "it goes on and on");
        }
    }
    impl Registers for &Liar {
        fn read(&self, register: u32, _: u8) -> u32 {
            self.count();
            let value = self.next() as u32;
            // Now and then the truth, so that it gets further.
            match register {
                _ if self.next() % 64 >= self.truth => value,
                0x00 => 0x7472_6976,
                0x04 => 1 + value % 2,
                0x08 => 3,
                0x10 => value | 1,
                0x70 if value.is_multiple_of(2) => 0,
                0x70 => 0xf,
                _ => value,
            }
        }
        fn write(&self, register: u32, _: u8, value: u32) {
            self.count();
            let inside =
                |address: u64| assert!((BUS..BUS + 2 * PAGE as u64).contains(&address), "{address:#x}");
            match register {
                0x40 => inside(u64::from(value) * PAGE as u64),
                0x80 | 0x90 | 0xa0 => self.addresses.set([value, 0]),
                0x84 | 0x94 | 0xa4 => inside(u64::from(value) << 32 | u64::from(self.addresses.get()[0])),
                _ => {}
            }
        }
        fn wait(&self, is_patient: bool, mut ready: impl FnMut() -> bool) -> bool {
            (0..if is_patient { 20 } else { 1 }).any(|_| ready())
        }
    }
    impl Dma for &Liar {
        fn bus_address(&self, start: u64) -> u64 {
            start - self.driver.address() + BUS
        }

        fn exchange(&self, start: u64, len: usize) {
            self.count();
            let from = (start - self.driver.address()) as usize;
            for at in (from..from + len).filter(|at| at % PAGE >= PAGE / 2) {
                let random = self.next();
                // The index, the ids and the lengths mostly: right, nearly right, or anything.
                match (at % PAGE - PAGE / 2, random % 8) {
                    (2, 0..4) => self.driver.set_byte(at, self.driver.byte(at - PAGE / 2 + 32)),
                    (3, 0..6) => self.driver.set_byte(at, self.driver.byte(at - PAGE / 2 + 32)),
                    (4..20, 0..4) => self.driver.set_byte(at, 0),
                    _ => self.driver.set_byte(at, (random >> 8) as u8),
                }
            }
            for (page, is_input) in [(0, true), (PAGE, false)] {
                let address =
                    (0..8).rev().fold(0, |sum, at| sum << 8 | u64::from(self.driver.byte(page + at)));
                let len = (8..12).rev().fold(0, |sum, at| sum << 8 | u64::from(self.driver.byte(page + at)));
                let first = BUS + page as u64 + if is_input { PAGE as u64 / 2 } else { 0 };
                let room = first..first + PAGE as u64 / 2;
                assert!(
                    len == 0 || room.contains(&address) && address + len <= room.end,
                    "{address:#x} {len}"
                );
            }
        }
    }
    let mut opened = 0;
    let driver: &VirtioMemory = Box::leak(Box::new(VirtioMemory::new()));
    let mut received = 0;
    for seed in 1..=3000 {
        let liar = Liar {
            state: Cell::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)),
            truth: 48 + seed % 17,
            driver,
            addresses: Cell::new([0; 2]),
            looks: Cell::new(0),
        };
        let Ok(console) = Virtio::new(&liar, driver) else { continue };
        opened += 1;
        for _ in 0..20 {
            console.send(LINES, liar.next().is_multiple_of(2));
            received += (0..liar.next() % 40).filter(|_| console.receive().is_some()).count();
            console.flush();
        }
    }
    assert!(opened > 100 && received > 1000, "{opened} {received}");
}

/// Without memory, by the row of the table.
#[test]
fn it_speaks_in_an_emergency() {
    let simulated = simulated(Device::new(2));
    let uart = Uart::new(ConsoleKind::Virtio, &simulated);
    LINES.iter().for_each(|byte| uart.send(*byte));
    uart.flush();
    assert_eq!((out(&simulated).as_bytes(), uart.receive()), (LINES, None));
    assert_eq!(simulated.device.borrow().writes, LINES.len());
    assert_eq!(ConsoleKind::by_name("virtio,mmio"), Some(ConsoleKind::Virtio));
    assert_eq!((ConsoleKind::Virtio.name(), ConsoleKind::Virtio.is_in_memory()), ("virtio", true));
}
