//! The report as a record in RAM that survives a warm reset. `docs/last-words.md` describes the format for others.
//!
//! The region lies at the top of the highest free piece of RAM that is large enough, before anything else is carved: the
//! next boot of the same machine, whose memory map is the same, finds it there. It has two slots. What a boot finds in
//! one of them stays readable as long as that boot lives, so its own panic goes to the other.

use crate::arch::cache;
use crate::arch::mmu::PAGE;
use crate::arch::regs;
use crate::clock::Instant;
use crate::memory;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use reveille_machine::dump::crc;
use spin::Once;

/// `REVEILLE`, as it stands in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"REVEILLE");
const VERSION: u32 = 1;
/// The text was longer than the slot.
const CUT: u32 = 1 << 0;
/// The report itself failed: what there is of it, and one line about that.
const NESTED: u32 = 1 << 1;

/// What stands before the text. All fields are little-endian.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    magic: u64,
    version: u32,
    /// Bytes of this header; the text follows it.
    header_len: u32,
    /// Which build wrote it.
    build: u64,
    /// One more than that of the last record that the writer knew of.
    sequence: u64,
    /// Time since the counter started, ns.
    uptime: u64,
    /// Affinity of the CPU that reported.
    mpidr: u64,
    text_len: u32,
    flags: u32,
    reserved: u32,
    /// CRC-32 of the 60 bytes before and of the text.
    crc: u32,
}

const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 64 && core::mem::offset_of!(Header, crc) == 60);

/// Bytes of text for the reporter, and for each CPU.
const TEXT: usize = 4096;
const TEXT_PER_CPU: usize = 1024;

/// Bytes of RAM that each CPU adds to the two records, so long as they do not come to a page more.
pub(crate) const BYTES_PER_CPU: usize = 2 * TEXT_PER_CPU;

/// Bytes of RAM for the records of a machine with `cpus` CPUs.
pub(crate) const fn region_size(cpus: usize) -> u64 {
    2 * ((HEADER + TEXT + TEXT_PER_CPU * cpus).next_multiple_of(PAGE)) as u64
}

/// One slot of the region.
#[derive(Clone, Copy)]
struct Slot {
    base: usize,
    size: usize,
}

impl Slot {
    fn header(self) -> Header {
        // SAFETY: a slot lies in the region, which is mapped RAM of the runtime's own; every bit pattern is a header.
        unsafe { (self.base as *const Header).read_volatile() }
    }

    fn text(self, len: usize) -> &'static [u8] {
        let len = len.min(self.size - HEADER);
        // SAFETY: within the slot. Nobody writes the text of a slot that has been read: see `init`, and `text_so_far`.
        unsafe { core::slice::from_raw_parts((self.base + HEADER) as *const u8, len) }
    }

    /// The record in this slot: `None` if there is none, else its header, and its text if the checksum is right.
    fn read(self) -> Option<(Header, Option<&'static [u8]>)> {
        let header = self.header();
        if header.magic != MAGIC {
            return None;
        }
        let plausible = header.version == VERSION
            && header.header_len as usize == HEADER
            && header.text_len as usize <= self.size - HEADER;
        if !plausible {
            return Some((header, None));
        }
        let text = self.text(header.text_len as usize);
        Some((header, (checksum(self, text) == header.crc).then_some(text)))
    }

    /// There is no record here any more. The text stays.
    fn clear(self) {
        // SAFETY: as for `header`; the first word of the slot.
        unsafe { (self.base as *mut u64).write_volatile(0) };
        cache::clean_invalidate(self.base, HEADER);
    }
}

/// CRC-32 (IEEE 802.3, as zlib's) of the header's first 60 bytes and the text.
fn checksum(slot: Slot, text: &[u8]) -> u32 {
    // SAFETY: within the slot, mapped RAM.
    let header =
        unsafe { core::slice::from_raw_parts(slot.base as *const u8, core::mem::offset_of!(Header, crc)) };
    !crc(crc(u32::MAX, header), text)
}

/// What the machine said before it was reset.
///
/// ```no_run
/// use reveille::{panic, println};
///
/// # fn example() {
/// if let Some(words) = panic::last_words() {
///     println!("the run before ended after {:?}:\n{}", words.uptime(), words.text());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LastWords {
    text: &'static str,
    uptime: Duration,
    mpidr: u64,
    flags: u32,
}

impl LastWords {
    /// The report, as it was printed.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(words: &reveille::panic::LastWords) {
    /// for line in words.text().lines() {
    ///     println!("before: {line}");
    /// }
    /// # }
    /// ```
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// How long the counter had been running when it was written.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(words: &reveille::panic::LastWords) {
    /// println!("it had run for {} s", words.uptime().as_secs());
    /// # }
    /// ```
    pub const fn uptime(&self) -> Duration {
        self.uptime
    }

    /// The affinity of the CPU that wrote it.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(words: &reveille::panic::LastWords) {
    /// println!("the CPU with affinity {:#x}", words.mpidr());
    /// # }
    /// ```
    pub const fn mpidr(&self) -> u64 {
        self.mpidr
    }

    /// Whether the end is missing because the record had no room for it.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(words: &reveille::panic::LastWords) {
    /// if words.is_cut() {
    ///     println!("..");
    /// }
    /// # }
    /// ```
    pub const fn is_cut(&self) -> bool {
        self.flags & CUT != 0
    }

    /// Whether the report itself failed: then it ends with a line about that.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(words: &reveille::panic::LastWords) {
    /// if words.is_nested() {
    ///     println!("and while that was reported, it panicked again");
    /// }
    /// # }
    /// ```
    pub const fn is_nested(&self) -> bool {
        self.flags & NESTED != 0
    }
}

static FOUND: Once<LastWords> = Once::new();

/// The report of the panic that ended the run before this one, if there was one and its record has survived.
///
/// A record is offered to one boot: it is printed on the console as the machine starts, and not again after the next
/// reset. Records that are damaged, or were written by another build, are not offered.
///
/// ```no_run
/// use reveille::{panic, println};
///
/// # fn example() {
/// match panic::last_words() {
///     Some(words) => println!("{}", words.text()),
///     None => println!("nothing was left by a panic"),
/// }
/// # }
/// ```
pub fn last_words() -> Option<LastWords> {
    FOUND.get().copied()
}

/// The slot that a panic of this boot writes to: base and size; 0 if there is none.
static BASE: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// The number of its record.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);
/// Bytes of text written so far.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
/// There was more than the slot could hold.
static IS_CUT: AtomicBool = AtomicBool::new(false);

/// Looks for the record of the run before, says on the console what it was, and makes room for that of this run. By the
/// boot CPU, once; `size` bytes at `base` were reserved for the purpose and are mapped, if there was room.
pub(crate) fn remember(base: Option<u64>, size: u64) {
    let Some(base) = base else {
        return log::warn!("last words: no free RAM for {size} bytes of them: a panic will leave none");
    };
    let size = size as usize / 2;
    let slots = [0, 1].map(|index| Slot { base: base as usize + index * size, size });
    let build = memory::build_id();
    let mut newest: Option<(usize, Header, &'static str)> = None;
    let mut sequence = 0;
    for (index, slot) in slots.iter().enumerate() {
        match slot.read() {
            None => {}
            Some((_, None)) => {
                log::warn!("last words at {:#x}: the record is damaged, ignored", slot.base);
                slot.clear();
            }
            Some((header, Some(_))) if header.build != build => {
                log::warn!(
                    "last words at {:#x}: from another build ({:016x}), ignored",
                    slot.base,
                    header.build
                );
            }
            Some((header, Some(text))) => {
                slot.clear();
                sequence = header.sequence.max(sequence);
                let text = core::str::from_utf8(text).unwrap_or("");
                if newest.as_ref().is_none_or(|(_, other, _)| other.sequence < header.sequence) {
                    newest = Some((index, header, text));
                }
            }
        }
    }
    // Not over what is offered now; and a record of another build may still find its reader.
    let free = match &newest {
        Some((index, ..)) => 1 - index,
        None => slots.iter().position(|slot| slot.header().magic != MAGIC).unwrap_or(0),
    };
    SEQUENCE.store(sequence.wrapping_add(1), Ordering::Relaxed);
    SIZE.store(slots[free].size, Ordering::Relaxed);
    BASE.store(slots[free].base, Ordering::Relaxed);
    if let Some((_, header, text)) = newest {
        crate::println!("last words of the run before:");
        for line in text.lines() {
            crate::println!("| {line}");
        }
        FOUND.call_once(|| LastWords {
            text,
            uptime: Duration::from_nanos(header.uptime),
            mpidr: header.mpidr,
            flags: header.flags,
        });
    }
}

/// The slot of this run. The functions below are for the CPU with the panic gate alone.
fn own() -> Option<Slot> {
    let base = BASE.load(Ordering::Relaxed);
    (base != 0).then(|| Slot { base, size: SIZE.load(Ordering::Relaxed) })
}

/// Adds to the record.
pub(super) fn append(text: &str) {
    let Some(slot) = own() else { return };
    let written = WRITTEN.load(Ordering::Relaxed);
    if written == 0 {
        slot.clear();
    }
    let room = slot.size - HEADER - written;
    let mut len = text.len();
    if IS_CUT.load(Ordering::Relaxed) {
        return;
    }
    if len > room {
        IS_CUT.store(true, Ordering::Relaxed);
        len = (0..=room).rev().find(|len| text.is_char_boundary(*len)).unwrap_or(0);
    }
    // SAFETY: within the slot, of which only the CPU with the gate writes the text, as this one does.
    unsafe {
        core::ptr::copy_nonoverlapping(text.as_ptr(), (slot.base + HEADER + written) as *mut u8, len);
    }
    WRITTEN.store(written + len, Ordering::Relaxed);
}

/// What has been added. The hook of a panic borrows it until the end of the world.
pub(super) fn text_so_far() -> &'static str {
    let text = own().map_or(&[][..], |slot| slot.text(WRITTEN.load(Ordering::Relaxed)));
    core::str::from_utf8(text).unwrap_or("")
}

/// Makes a record of what has been added, complete and in memory.
pub(super) fn seal(nested: bool) {
    let Some(slot) = own() else { return };
    let text_len = WRITTEN.load(Ordering::Relaxed);
    let cut = if IS_CUT.load(Ordering::Relaxed) { CUT } else { 0 };
    let mut header = Header {
        magic: MAGIC,
        version: VERSION,
        header_len: HEADER as u32,
        build: memory::build_id(),
        sequence: SEQUENCE.load(Ordering::Relaxed),
        // 584 years.
        uptime: Instant::now().uptime().as_nanos() as u64,
        mpidr: regs::affinity(),
        text_len: text_len as u32,
        flags: cut | if nested { NESTED } else { 0 },
        reserved: 0,
        crc: 0,
    };
    let at = slot.base as *mut Header;
    // SAFETY: the slot's own header; this CPU has the gate, so nobody else touches it.
    unsafe { at.write_volatile(header) };
    header.crc = checksum(slot, slot.text(text_len));
    // SAFETY: as above.
    unsafe { at.write_volatile(header) };
    cache::clean_invalidate(slot.base, HEADER + text_len);
}

/// Where the records lie, for tests that damage them.
///
/// ```no_run
/// use reveille::{panic, println};
///
/// # fn example() {
/// if let Some(address) = panic::record_address() {
///     println!("a debugger finds the record of a panic at {address:#x}");
/// }
/// # }
/// ```
#[cfg(feature = "fault-injection")]
pub fn record_address() -> Option<usize> {
    own().map(|slot| slot.base)
}
