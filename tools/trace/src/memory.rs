//! A trace in a memory core: an ELF file with the RAM of the machine, as QEMU's `dump-guest-memory` and GDB's `gcore` write it.

use crate::text::{Cpu, Dump, Record, Site};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use reveille_protocol::trace_record;

/// The symbol that says where the rings are (src/unroll/mod.rs).
const SYMBOL: &str = "reveille_trace";
const WORDS: usize = 11;

/// Nothing was noted later: the counter of a machine that has a core taken shows less than this.
const LAST: u64 = (1 << 48) - 1;

/// Reads what the CPUs of `core` have noted, which ran the image of `elf`.
pub fn read(core: &[u8], image: &[u8], loaded: Option<u64>) -> Result<Dump, String> {
    let ram = Ram::of(core)?;
    let image: ElfFile64<'_, Endianness> =
        ElfFile64::parse(image).map_err(|error| format!("the image of it cannot be read: {error}"))?;
    let symbol =
        |name: &str| image.symbols().find(|symbol| symbol.name() == Ok(name)).map(|symbol| symbol.address());
    let layout = symbol(SYMBOL).ok_or_else(|| {
        format!("the image has no symbol '{SYMBOL}': it was built without the feature `trace`")
    })?;
    let linked = symbol("__image_start").ok_or("the image has no symbol '__image_start'")?;
    let words = ram.words::<WORDS>(layout.wrapping_add(loaded.unwrap_or(linked)).wrapping_sub(linked))?;
    let [version, _, size, count, heads, distance, frequency, log, sites, sites_end, affinity] = words;
    if version != 1
        || frequency == 0
        || !(1..=512).contains(&count)
        || !(1..=16).contains(&log)
        || size != 32 << log
    {
        return Err(format!(
            "what is at '{SYMBOL}' is no layout: another image, or another address (--image)"
        ));
    }
    let mut dump = Dump { frequency, ..Dump::default() };
    for at in (sites..sites_end).step_by(8) {
        let [entry] = ram.words::<1>(at)?;
        let event = (at + 4).wrapping_add_signed(i64::from((entry >> 32) as i32));
        let site = at.wrapping_add_signed(i64::from(entry as i32)) as u32;
        let [name, len, kind] = ram.words::<3>(event)?;
        let name = ram.bytes(name, usize::try_from(len.min(200)).unwrap_or_default())?;
        let (shape, value) = (char::from(kind as u8), char::from((kind >> 8) as u8));
        dump.sites.insert(site, Site { name: String::from_utf8_lossy(name).into_owned(), shape, value });
    }
    for cpu in 0..count {
        let at = heads.wrapping_add(cpu * distance);
        let [mpidr] = ram.words::<1>(at.wrapping_add(affinity))?;
        dump.cpus.push(Cpu { mpidr, ..ring(&ram, at, log, &dump.sites)? });
    }
    Ok(dump)
}

/// What the ring whose head is at `at` holds.
fn ring(
    ram: &Ram<'_>,
    at: u64,
    log: u64,
    sites: &std::collections::BTreeMap<u32, Site>,
) -> Result<Cpu, String> {
    let [head, limit, slots, first] = ram.words::<4>(at)?;
    let step = 1_u64 << (32 - log);
    // A core may be taken while it is being opened.
    let head = head.max(first);
    let end = head.min(limit.max(first));
    let begin = if end.wrapping_sub(first) > 1 << 32 { end - (1 << 32) } else { first };
    let mut cpu = Cpu { lost: [(head - end) / step, (begin - first) / step, 0], ..Cpu::default() };
    let mut number = begin;
    while number < end {
        let words = ram.words::<4>(slots + (number >> (32 - log) & ((1 << log) - 1)) * 32)?;
        match trace_record(number, words, LAST) {
            Some(record) if sites.contains_key(&record.site) => {
                cpu.records.push(Record { time: record.time, site: record.site, value: record.value });
            }
            _ => cpu.lost[2] += 1,
        }
        number += step;
    }
    Ok(cpu)
}

/// The memory of the machine.
struct Ram<'a> {
    /// Where each piece begins, physically, which is where the image has it too.
    pieces: Vec<(u64, &'a [u8])>,
}

impl<'a> Ram<'a> {
    fn of(core: &'a [u8]) -> Result<Self, String> {
        let bad = |error| format!("no memory core that can be read: {error}");
        let header = elf::FileHeader64::<Endianness>::parse(core).map_err(bad)?;
        let endian = header.endian().map_err(bad)?;
        let mut pieces = Vec::new();
        for segment in header.program_headers(endian, core).map_err(bad)? {
            if segment.p_type(endian) == elf::PT_LOAD {
                let bytes = segment
                    .data(endian, core)
                    .map_err(|()| "a piece of it is not in the file: it is cut off".to_owned())?;
                let physical = segment.p_paddr(endian);
                pieces.push((if physical == 0 { segment.p_vaddr(endian) } else { physical }, bytes));
            }
        }
        Ok(Self { pieces })
    }

    fn bytes(&self, at: u64, len: usize) -> Result<&'a [u8], String> {
        let inside = |(start, bytes): &(u64, &'a [u8])| {
            let begin = usize::try_from(at.checked_sub(*start)?).ok()?;
            bytes.get(begin..begin.checked_add(len)?)
        };
        self.pieces.iter().find_map(inside).ok_or_else(|| format!("{at:#x} is not in the core"))
    }

    fn words<const COUNT: usize>(&self, at: u64) -> Result<[u64; COUNT], String> {
        let bytes = self.bytes(at, 8 * COUNT)?;
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * index..8 * index + 8]);
            u64::from_le_bytes(word)
        };
        Ok(std::array::from_fn(word))
    }
}
