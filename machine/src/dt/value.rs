//! What the bytes of a property mean (Devicetree Specification 2.2.4).

use fdt::properties::values::PropertyValue;

/// Most cells that an address or a size may have; Linux knows no more either.
pub(super) const MAX_CELLS: u32 = 4;

/// The big-endian 32-bit word at `at`, of any alignment.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// The big-endian 64-bit word at `at`, of any alignment.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_be_bytes(*word))
}

/// The value of up to four cells.
pub(super) fn number(cells: &[u8]) -> Option<u128> {
    let (cells, rest) = cells.as_chunks::<4>();
    if !rest.is_empty() || cells.len() > MAX_CELLS as usize {
        return None;
    }
    Some(cells.iter().fold(0, |number, cell| number << 32 | u128::from(u32::from_be_bytes(*cell))))
}

/// The value of a property that is one cell.
pub(super) fn cell(value: Option<&[u8]>) -> Option<u32> {
    value.and_then(|value| u32::parse(value).ok())
}

/// A `#...-cells` property; one that is not a cell becomes a count that nothing accepts.
pub(super) fn cells_or(value: Option<&[u8]>, default: u32) -> u32 {
    match value {
        Some(value) => cell(Some(value)).unwrap_or(u32::MAX),
        None => default,
    }
}

/// A string property, or the first of a list, without its terminator.
pub(super) fn string(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.split(|&byte| byte == 0).next()?).ok()
}

/// The strings of a list such as `compatible`.
pub(super) fn strings(value: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    value.unwrap_or(&[]).split(|&byte| byte == 0).filter(|string| !string.is_empty())
}

/// True if `compatible` has a string that `known` has too. Lists of names are kept as the tree keeps them, in one
/// piece: a position-independent image pays for every pointer in a table with a relocation.
pub(super) fn any_of(compatible: Option<&[u8]>, known: &[u8]) -> bool {
    strings(compatible).any(|name| is_one_of(name, known))
}

/// True if `name` is one of the NUL-separated `known` ones.
pub(super) fn is_one_of(name: &[u8], known: &[u8]) -> bool {
    strings(Some(known)).any(|known| known == name)
}
