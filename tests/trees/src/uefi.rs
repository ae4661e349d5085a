//! What UEFI firmware leaves, as bytes that may be anything: each reader asked everything, and held against a second way to know.
//!
//! An input is eight bytes that say how it is to be read, and the rest of it: as a memory map, as a system table and the tables that it leads to, as
//! load options.

use crate::blobs::compile;
use reveille_machine::uefi::{
    ACPI_1, ACPI_2, DEVICE_TREE, LISTED, Listed, MemoryMap, SYSTEM_TABLE_SIZE, Standing, SystemTable,
    TABLE_SIZE, arguments, find_table, listed, longest,
};
use reveille_machine::{Error, Machine, Region, ReservedBy};
use std::sync::OnceLock;

/// Pieces that make sense in an input.
pub const PIECES: &[&[u8]] = &[
    &[40, 0, 1, 0, 0, 0, 0, 0],
    &[48, 0, 1, 0, 0, 0, 0, 0],
    b"IBI SYST",
    &DEVICE_TREE,
    &ACPI_1,
    &ACPI_2,
    &LISTED,
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xf, 0, 0, 0, 0, 0, 0, 0],
    &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[1, 0, 0, 0, 0, 0, 0, 0],
    &[0, 0, 0, 0x40, 0, 0, 0, 0],
    b".\0e\0f\0I\0 \0",
    b"\\\0",
    b"\"\0",
];

/// A map, a system table with its tables, and load options, all sound.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut map = vec![48, 0, 1, 0, 0, 0, 0, 0];
    for (index, kind) in [7_u64, 4, 5, 6, 9, 10, 0, 11, 14].into_iter().enumerate() {
        let runtime = if matches!(kind, 5 | 6) { 1 << 63 } else { 0 };
        let seen = if runtime != 0 { 0x2000_0000 + index as u64 * 0x4000 } else { 0 };
        for word in [kind, 0x4000_0000 + index as u64 * 0x4000, seen, 4, 0xf | runtime, 0] {
            map.extend(word.to_le_bytes());
        }
    }
    let mut tables = vec![0; 8];
    tables.extend(b"IBI SYST");
    tables.resize(8 + 104, 0);
    tables.extend(3_u64.to_le_bytes());
    tables.extend(0x2000_4000_u64.to_le_bytes());
    for kind in [ACPI_1, ACPI_2, DEVICE_TREE] {
        tables.extend(kind);
        tables.extend(0x4000_0000_u64.to_le_bytes());
    }
    let mut list = vec![0; 8];
    for word in [2 << 32 | 3, 0x4000_4000_u64, 0x4100_0000, 0x1_0000, 0x4200_0000, 0x1000, 0, 0] {
        list.extend(word.to_le_bytes());
    }
    let mut options = vec![0; 8];
    options.extend("FS0:\\a.efi log=info json".encode_utf16().flat_map(u16::to_le_bytes));
    vec![map, tables, list, options]
}

/// Asks everything about an input.
///
/// # Panics
/// If something does not hold.
pub fn everything(input: &[u8]) {
    let Some((how, bytes)) = input.split_first_chunk::<8>() else { return };
    let [low, high, version, page, offset, rest @ ..] = *how;
    let size = u64::from(u16::from_le_bytes([rest[0], rest[1]]));
    let stride = u64::from(u16::from_le_bytes([low, high]));
    let region = Region { base: 0x4000_0000 + u64::from(page) * 0x1000 + u64::from(offset), size };
    map(bytes, stride, version.into(), region);
    tables(bytes);
    lists(bytes);
    options(bytes);
}

fn check_error(error: &Error<'_>) {
    let text = error.to_string();
    assert!(text.starts_with("UEFI: ") && text.len() > 20, "{text:?}");
    assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
}

fn machine() -> Machine<'static> {
    static BLOB: OnceLock<Vec<u8>> = OnceLock::new();
    Machine::parse(BLOB.get_or_init(|| compile("narrow"))).expect("a sound tree")
}

/// What a map says is what each of its descriptors says, read once more from where the specification has it.
fn map(bytes: &[u8], stride: u64, version: u64, region: Region) {
    let map = match MemoryMap::new(bytes, stride, version) {
        Ok(map) => map,
        Err(error) => return check_error(&error),
    };
    assert!(version == 1 && (40..=4096).contains(&stride) && stride.is_multiple_of(8));
    let word =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let pieces: Vec<_> = bytes
        .chunks_exact(stride as usize)
        .map(|piece| [0, 8, 16, 24, 32].map(|at| word(piece, at)))
        .collect();
    assert_eq!(map.descriptors().count(), pieces.len());
    for (found, piece) in map.descriptors().zip(&pieces) {
        let [kind, physical, seen, pages, attributes] = *piece;
        assert_eq!(
            [u64::from(found.kind), found.physical, found.virtual_, found.pages, found.attributes],
            [kind & 0xffff_ffff, physical, seen, pages, attributes]
        );
        // Nothing is nobody's by mistake.
        if found.standing() == Standing::Free {
            assert!(matches!(found.kind, 1..=4 | 7) && attributes & 8 != 0);
        }
        if attributes >> 63 != 0 && matches!(found.kind, 5 | 6) {
            assert!(matches!(found.standing(), Standing::Taken | Standing::NoMemory));
        }
    }

    // In 128 bits nothing wraps.
    let whole = |piece: &[u64; 5]| {
        let (start, end) = (u128::from(piece[1]), u128::from(piece[1]) + u128::from(piece[3]) * 4096);
        // A size of 64 bits: all of the address space has none.
        (piece[1].is_multiple_of(4096) && end <= 1 << 64 && start < end && end - start < 1 << 64)
            .then_some((start, end))
    };
    let covered = |at: u128| {
        pieces.iter().any(|piece| {
            // Devices are none, whatever they can be mapped as.
            let is_ram = piece[4] & 8 != 0 && !matches!(piece[0] as u32, 11 | 12);
            is_ram && whole(piece).is_some_and(|(start, end)| at >= start && at < end)
        })
    };
    let (base, end) = (u128::from(region.base), u128::from(region.base) + u128::from(region.size));
    let all = (base..end).step_by(4096).chain((end > base).then(|| end - 1)).all(covered);
    assert_eq!(map.has(region), all, "{region:?}");

    for address in [0, region.base, 0x2000_4000 + region.size, u64::MAX] {
        let expected = pieces.iter().find_map(|piece| {
            let offset = address.checked_sub(piece[2]).filter(|_| piece[2] != 0 && piece[4] >> 63 != 0)?;
            let (start, end) = whole(piece)?;
            (u128::from(offset) < end - start).then(|| piece[1] + offset)
        });
        assert_eq!(map.to_physical(address), expected.unwrap_or(address));
    }

    let machine = machine().with_memory_map(map);
    let memory: Vec<_> = machine.memory().collect();
    assert!(!memory.is_empty() && memory.len() <= pieces.len().max(1));
    for region in &memory {
        match region {
            Ok(region) => assert!(region.base.checked_add(region.size - 1).is_some()),
            Err(error) => check_error(error),
        }
    }
    for reserved in machine.reserved().flatten().filter(|reserved| reserved.source == ReservedBy::Firmware) {
        assert!(memory.iter().flatten().any(|region| *region == reserved.region), "{reserved:?}");
    }
}

fn tables(bytes: &[u8]) {
    let (tables, rest) = bytes.split_at(bytes.len().min(SYSTEM_TABLE_SIZE));
    if let Some(table) = tables.first_chunk() {
        match SystemTable::read(table) {
            Ok(table) => assert!(tables.starts_with(b"IBI SYST") && table.count <= 512),
            Err(error) => check_error(&error),
        }
    }
    for kind in [DEVICE_TREE, ACPI_1, ACPI_2] {
        let first = rest.chunks_exact(TABLE_SIZE).find(|table| table[..16] == kind);
        let at = first.map(|table| u64::from_le_bytes(table[16..].try_into().expect("eight bytes")));
        assert_eq!(find_table(rest, &kind), at.filter(|at| *at != 0));
    }
}

fn lists(bytes: &[u8]) {
    let Some(header) = bytes.first_chunk() else { return };
    let node = match Listed::read(header) {
        Ok(node) => node,
        Err(error) => return check_error(&error),
    };
    assert!(16 <= node.used && node.used <= node.length && node.length <= 16 + 16 * 4096);
    let regions: Vec<_> = listed(bytes.get(..node.used).unwrap_or(bytes)).collect();
    assert_eq!(regions.len(), (bytes.len().min(node.used) - 16) / 16);
    for (region, entry) in regions.iter().zip(bytes[16..].chunks_exact(16)) {
        assert_eq!(region.base.to_le_bytes(), entry[..8]);
        assert!(region.base.checked_add(region.size).is_some());
        assert!(region.size.to_le_bytes() == entry[8..] || region.base + region.size == u64::MAX);
    }
}

fn options(bytes: &[u8]) {
    let mut to = vec![0; longest(bytes.len())];
    let units: Vec<_> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let text =
        String::from_utf16_lossy(&units[..units.iter().position(|unit| *unit == 0).unwrap_or(units.len())]);
    let is_text = text.bytes().all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic());
    match arguments(bytes, &mut to) {
        Ok(line) => {
            assert!(is_text, "{text:?}");
            assert!(text.trim_ascii().ends_with(line) && line.trim_ascii() == line, "{text:?}: {line:?}");
            let program =
                text.trim_ascii().strip_suffix(line).unwrap_or("").trim_ascii().to_ascii_lowercase();
            let named = program.starts_with('"') || program.contains('\\') || program.ends_with(".efi");
            assert!(program.is_empty() || named, "{text:?}: {line:?}");
        }
        Err(error) => {
            assert!(!is_text, "{text:?}");
            check_error(&error);
        }
    }
}
