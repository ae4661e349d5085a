//! The console of the Virtual I/O Device (VIRTIO) Specification, version 1.2 (5.3), over MMIO (4.2), and the one before version 1.0 (4.2.4),
//! both by polling: one buffer on its way to the device, one from it.
//!
//! The driver keeps no count of its own: what is on its way is what the device has been offered and has not given back. So whoever stops
//! the machine in the middle of a write goes on with the queue as it finds it. Of what the device says only two things are believed, and
//! neither for more than it can be: that it has given back all it has, which is an index that must be equal, and how many bytes have come,
//! which must be no more than there is room for.
//!
//! A device that does not share the caches sees what [`Dma::exchange`] was called for, and nothing else: what the driver writes and what the
//! device writes never share a cache line.

use super::Registers;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Memory that the device reads and writes, beside its registers.
pub trait Dma: Registers {
    /// Exchanges `len` bytes at `start` with memory: what was written there is what the device reads from here on, and what the device has
    /// written there is what is read. All accesses before it, registers included, come before it, and all behind it come after.
    fn exchange(&self, start: u64, len: usize);

    /// What the device calls the memory at `start`.
    fn bus_address(&self, start: u64) -> u64 {
        start
    }
}

/// Entries of a queue (2.6: a power of 2). One of them is used at a time.
const ENTRIES: u16 = 2;
/// What a legacy device counts addresses in (4.2.4, GuestPageSize).
const PAGE: usize = 4096;
/// The half of a page: farther apart than any two bytes of a cache line.
const HALF: usize = PAGE / 2;
/// Bytes of a buffer.
const ROOM: u16 = 1024;

/// A queue (2.7), and the buffer that goes through it. First what the driver writes.
#[repr(C, align(4096))]
struct Queue {
    /// Only the first is used.
    descriptors: [Descriptor; ENTRIES as usize],
    flags: AtomicU16,
    /// How often the buffer was offered.
    index: AtomicU16,
    /// The descriptors that are offered: always the first.
    ring: [AtomicU16; ENTRIES as usize],
    event: AtomicU16,
    sent: [AtomicU8; ROOM as usize],
    used: Used,
}

/// Bytes of it that come before the buffer.
const HEAD: usize = core::mem::offset_of!(Queue, sent);

#[repr(C)]
struct Descriptor {
    address: AtomicU64,
    len: AtomicU32,
    flags: AtomicU16,
    next: AtomicU16,
}

/// What the device writes.
#[repr(C, align(2048))]
struct Used {
    flags: AtomicU16,
    /// How often it was given back.
    index: AtomicU16,
    ring: [Element; ENTRIES as usize],
    event: AtomicU16,
    received: [AtomicU8; ROOM as usize],
}

#[repr(C)]
struct Element {
    id: AtomicU32,
    len: AtomicU32,
}

const _: () = assert!(size_of::<Queue>() == PAGE && size_of::<Used>() == HALF);

impl Queue {
    const fn new() -> Self {
        Self {
            descriptors: [const {
                Descriptor {
                    address: AtomicU64::new(0),
                    len: AtomicU32::new(0),
                    flags: AtomicU16::new(0),
                    next: AtomicU16::new(0),
                }
            }; ENTRIES as usize],
            flags: AtomicU16::new(0),
            index: AtomicU16::new(0),
            ring: [const { AtomicU16::new(0) }; ENTRIES as usize],
            event: AtomicU16::new(0),
            sent: [const { AtomicU8::new(0) }; ROOM as usize],
            used: Used {
                flags: AtomicU16::new(0),
                index: AtomicU16::new(0),
                ring: [const { Element { id: AtomicU32::new(0), len: AtomicU32::new(0) } }; ENTRIES as usize],
                event: AtomicU16::new(0),
                received: [const { AtomicU8::new(0) }; ROOM as usize],
            },
        }
    }
}

/// What a device reads and writes: of one device at a time. In memory that lies where its addresses say, without a hole.
pub struct VirtioMemory([Queue; 2]);

impl VirtioMemory {
    /// Memory that no device has.
    #[expect(clippy::new_without_default, reason = "it is a static, for which there is no other way")]
    pub const fn new() -> Self {
        Self([Queue::new(), Queue::new()])
    }
}

/// receiveq and transmitq of port 0 (5.3.2).
const RECEIVE: usize = 0;
const SEND: usize = 1;

/// Registers (4.2.2, 4.2.4).
mod register {
    pub const MAGIC: u32 = 0x00;
    pub const VERSION: u32 = 0x04;
    pub const DEVICE: u32 = 0x08;
    pub const OFFERED: u32 = 0x10;
    pub const OFFERED_SELECT: u32 = 0x14;
    pub const ACCEPTED: u32 = 0x20;
    pub const ACCEPTED_SELECT: u32 = 0x24;
    pub const LEGACY_PAGE: u32 = 0x28;
    pub const QUEUE: u32 = 0x30;
    pub const MOST_ENTRIES: u32 = 0x34;
    pub const ENTRIES: u32 = 0x38;
    pub const LEGACY_ALIGN: u32 = 0x3c;
    pub const LEGACY_ADDRESS: u32 = 0x40;
    pub const READY: u32 = 0x44;
    pub const NOTIFY: u32 = 0x50;
    pub const STATUS: u32 = 0x70;
    /// Descriptors, what the driver offers, what the device gives back: each in two halves, 16 bytes apart.
    pub const ADDRESSES: u32 = 0x80;
}

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const CONSOLE: u32 = 3;

/// Device status (2.1).
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;
const FAILED: u32 = 128;

/// Features (6), less 32. With the second, addresses are translated if there is something that does so; there is nothing.
const VERSION_1: u32 = 1 << 0;
const ACCESS_PLATFORM: u32 = 1 << 1;

/// VIRTQ_DESC_F_WRITE (2.7.5), VIRTQ_AVAIL_F_NO_INTERRUPT (2.7.6).
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

/// The console.
pub struct Virtio<R> {
    registers: R,
    memory: &'static VirtioMemory,
    /// It let the last wait run out: until it is ready again nothing waits for it.
    stuck: AtomicBool,
    /// Which of the bytes received comes next, and, in the upper half, how many there are.
    held: AtomicU32,
}

impl<R: Dma> Virtio<R> {
    /// The console whose registers are `registers`. It is reset, whoever has used it before, and gets `memory`, which no other device has.
    ///
    /// Takes as long as two waits for a byte at most. Nothing is written to a device that is not one.
    ///
    /// # Errors
    ///
    /// Why it is none, or none that can be used.
    pub fn new(registers: R, memory: &'static VirtioMemory) -> Result<Self, &'static str> {
        let it = Self { registers, memory, stuck: AtomicBool::new(false), held: AtomicU32::new(0) };
        it.set_up(true)?;
        Ok(it)
    }

    /// How its registers are reached.
    pub fn registers(&self) -> &R {
        &self.registers
    }

    fn read(&self, register: u32) -> u32 {
        self.registers.read(register, 4)
    }

    #[inline(never)]
    fn write(&self, register: u32, value: u32) {
        self.registers.write(register, 4, value);
    }

    /// Device initialization (3.1.1).
    #[inline(never)]
    fn set_up(&self, is_patient: bool) -> Result<(), &'static str> {
        let is_legacy = match (self.read(register::MAGIC), self.read(register::VERSION)) {
            (MAGIC, 1) => true,
            (MAGIC, 2) => false,
            _ => return Err("no virtio device of a known version"),
        };
        if self.read(register::DEVICE) != CONSOLE {
            return Err("not a virtio console");
        }
        self.write(register::STATUS, 0);
        let is_reset = || self.read(register::STATUS) == 0;
        if !self.registers.wait(is_patient, is_reset) {
            return Err("it cannot be reset");
        }
        let done = self.begin(is_legacy);
        if done.is_err() {
            // First of all it is to leave the memory alone.
            self.write(register::STATUS, 0);
            self.registers.wait(is_patient, is_reset);
            self.write(register::STATUS, FAILED);
            // Nothing counts as given back.
            let queue = &self.memory.0[SEND];
            queue.index.store(1, Relaxed);
            queue.used.index.store(0, Relaxed);
        }
        done
    }

    /// The rest of it, once it has been reset.
    fn begin(&self, is_legacy: bool) -> Result<(), &'static str> {
        let mut status = ACKNOWLEDGE | DRIVER;
        self.write(register::STATUS, ACKNOWLEDGE);
        self.write(register::STATUS, status);
        // None of the console's own: one port, and nothing of a size.
        self.write(register::ACCEPTED_SELECT, 0);
        self.write(register::ACCEPTED, 0);
        if is_legacy {
            self.write(register::LEGACY_PAGE, PAGE as u32);
        } else {
            self.write(register::OFFERED_SELECT, 1);
            let accepted = self.read(register::OFFERED) & (VERSION_1 | ACCESS_PLATFORM);
            self.write(register::ACCEPTED_SELECT, 1);
            self.write(register::ACCEPTED, accepted);
            status |= FEATURES_OK;
            self.write(register::STATUS, status);
            if accepted & VERSION_1 == 0 || self.read(register::STATUS) & FEATURES_OK == 0 {
                return Err("its features do not fit");
            }
        }
        self.held.store(0, Relaxed);
        let bus = |address| self.registers.bus_address(address);
        for (number, queue) in self.memory.0.iter().enumerate() {
            let address = queue.address();
            let [first, ..] = &queue.descriptors;
            let is_input = number == RECEIVE;
            let (buffer, flags) = if is_input { (&queue.used.received, WRITE) } else { (&queue.sent, 0) };
            first.address.store(bus(core::ptr::from_ref(buffer).addr() as u64), Relaxed);
            first.len.store(ROOM.into(), Relaxed);
            first.flags.store(flags, Relaxed);
            queue.flags.store(NO_INTERRUPT, Relaxed);
            queue.index.store(is_input.into(), Relaxed);
            queue.used.index.store(0, Relaxed);
            self.registers.exchange(address, PAGE);
            let address = bus(address);

            self.write(register::QUEUE, number as u32);
            if self.read(register::MOST_ENTRIES) < ENTRIES.into() {
                return Err("it lacks a queue");
            }
            self.write(register::ENTRIES, ENTRIES.into());
            if is_legacy {
                let Ok(page) = u32::try_from(address / PAGE as u64) else {
                    return Err("the image is beyond its reach");
                };
                self.write(register::LEGACY_ALIGN, HALF as u32);
                self.write(register::LEGACY_ADDRESS, page);
                continue;
            }
            for (part, offset) in [0, core::mem::offset_of!(Queue, flags), HALF].into_iter().enumerate() {
                let (register, address) = (register::ADDRESSES + 16 * part as u32, address + offset as u64);
                self.write(register, address as u32);
                self.write(register + 4, (address >> 32) as u32);
            }
            self.write(register::READY, 1);
        }
        self.write(register::STATUS, status | DRIVER_OK);
        self.write(register::NOTIFY, RECEIVE as u32);
        if self.is_well() { Ok(()) } else { Err("it has failed") }
    }

    /// It works, as far as it knows, and nobody else has reset it.
    fn is_well(&self) -> bool {
        self.read(register::STATUS) & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    /// Whether the device has given back what was offered.
    fn is_back(&self, queue: &Queue) -> bool {
        self.registers.exchange(queue.address() + HALF as u64, size_of::<Used>() - usize::from(ROOM));
        queue.used.index.load(Relaxed) == queue.index.load(Relaxed)
    }

    /// Offers the buffer, with so many bytes of it.
    fn offer(&self, number: usize, len: u16) {
        let queue = &self.memory.0[number & 1];
        let [first, ..] = &queue.descriptors;
        first.len.store(len.into(), Relaxed);
        // Before the device finds it offered.
        self.registers.exchange(queue.address(), HEAD + usize::from(len));
        queue.index.store(queue.index.load(Relaxed).wrapping_add(1), Relaxed);
        // Before it is told to look.
        self.registers.exchange(queue.address(), HEAD);
        self.write(register::NOTIFY, number as u32);
    }

    /// Waits, a bounded time, until what was sent is the device's.
    pub fn flush(&self) -> bool {
        let queue = &self.memory.0[SEND];
        // A report on a console that is stuck must come to its end: only its first piece waits. Relaxed: a hint.
        let is_patient = !self.stuck.load(Relaxed);
        let mut is_told = false;
        let mut is_free = self.registers.wait(is_patient, || {
            // Whoever was stopped in the middle may not have come to offering it, where caches are not shared, or to telling it.
            self.is_back(queue)
                || !core::mem::replace(&mut is_told, true) && {
                    self.registers.exchange(queue.address(), HEAD);
                    self.write(register::NOTIFY, SEND as u32);
                    self.is_back(queue)
                }
        });
        if !is_free && !self.is_well() {
            // What was on its way is lost.
            is_free = self.set_up(is_patient).is_ok();
        }
        self.stuck.store(!is_free, Relaxed);
        is_free
    }

    /// Sends bytes, as soon as there is room; what does not find any within a bounded wait is dropped. In a text, each end of a line becomes
    /// what terminals want.
    pub fn send(&self, mut bytes: &[u8], is_text: bool) {
        while !bytes.is_empty() && self.flush() {
            let mut count = 0;
            let mut put = |byte| {
                if let Some(place) = self.memory.0[SEND].sent.get(usize::from(count)) {
                    place.store(byte, Relaxed);
                    count += 1;
                }
                count
            };
            while let [byte, rest @ ..] = bytes {
                if is_text && *byte == b'\n' {
                    put(b'\r');
                }
                bytes = rest;
                // There may be two next time.
                if put(*byte) > ROOM - 2 {
                    break;
                }
            }
            self.offer(SEND, count);
        }
    }

    /// Takes a byte that was received, if there is one. One caller at a time.
    pub fn receive(&self) -> Option<u8> {
        let queue = &self.memory.0[RECEIVE];
        let held = self.held.load(Relaxed);
        let (next, mut count) = (held as u16, held >> 16);
        if count == 0 {
            if !self.is_back(queue) {
                return None;
            }
            self.registers.exchange(queue.address() + HALF as u64, HALF);
            let last = queue.index.load(Relaxed).wrapping_sub(1) % ENTRIES;
            let Element { id, len } = &queue.used.ring[usize::from(last)];
            let len = len.load(Relaxed);
            // Otherwise it is nonsense, and nothing was received.
            count = if id.load(Relaxed) == 0 && len <= ROOM.into() { len } else { 0 };
        }
        let byte = match queue.used.received.get(usize::from(next)) {
            Some(byte) if count != 0 => Some(byte.load(Relaxed)),
            _ => None,
        };
        if u32::from(next) + 1 < count {
            self.held.store(count << 16 | (u32::from(next) + 1), Relaxed);
        } else {
            self.held.store(0, Relaxed);
            self.offer(RECEIVE, ROOM);
        }
        byte
    }
}

impl Queue {
    fn address(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }
}

/// Memory as the device has it: bytes, by their distance from the first.
#[cfg(test)]
impl VirtioMemory {
    pub(super) fn address(&self) -> u64 {
        self.0[0].address()
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.change(at, None)
    }

    pub(super) fn set_byte(&self, at: usize, value: u8) {
        self.change(at, Some(value));
    }

    fn change(&self, at: usize, value: Option<u8>) -> u8 {
        macro_rules! byte_of {
            ($word:expr, $type:ty) => {{
                let mut bytes = $word.load(Relaxed).to_le_bytes();
                let byte = &mut bytes[at % size_of::<$type>()];
                let old = core::mem::replace(byte, value.unwrap_or(*byte));
                $word.store(<$type>::from_le_bytes(bytes), Relaxed);
                old
            }};
        }
        let (queue, place) = (&self.0[at / PAGE], at % PAGE);
        let (descriptor, used) = (queue.descriptors.get(place / 16), &queue.used);
        match (place, descriptor) {
            (0..32, Some(descriptor)) => match place % 16 {
                0..8 => byte_of!(descriptor.address, u64),
                8..12 => byte_of!(descriptor.len, u32),
                12..14 => byte_of!(descriptor.flags, u16),
                _ => byte_of!(descriptor.next, u16),
            },
            (32..34, _) => byte_of!(queue.flags, u16),
            (34..36, _) => byte_of!(queue.index, u16),
            (36..40, _) => byte_of!(queue.ring[(place - 36) / 2], u16),
            (40..42, _) => byte_of!(queue.event, u16),
            (42..1066, _) => byte_of!(queue.sent[place - 42], u8),
            (2048..2050, _) => byte_of!(used.flags, u16),
            (2050..2052, _) => byte_of!(used.index, u16),
            (2052..2068, _) => match (place - 2052) % 8 {
                0..4 => byte_of!(used.ring[(place - 2052) / 8].id, u32),
                _ => byte_of!(used.ring[(place - 2052) / 8].len, u32),
            },
            (2068..2070, _) => byte_of!(used.event, u16),
            (2070..3094, _) => byte_of!(used.received[place - 2070], u8),
            _ => 0,
        }
    }
}
