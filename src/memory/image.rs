//! The image itself: where it lies, what of it is text, its functions as numbers, and which build it is.

use crate::arch::mmu::Table;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The address of a symbol of the linker script. By its distance: an entry of the GOT would be relocated, which takes four times the room.
macro_rules! address {
    ($symbol:literal) => {{
        let address: u64;
        // SAFETY: computes an address, and accesses nothing.
        unsafe {
            asm!(
                concat!("adrp {0}, ", $symbol), concat!("add {0}, {0}, :lo12:", $symbol),
                out(reg) address, options(pure, nomem, nostack, preserves_flags)
            );
        }
        address
    }};
}

/// Where the image lies: `[start, end)`.
pub(crate) fn image() -> (u64, u64) {
    (address!("__image_start"), address!("__image_end"))
}

/// The page tables to start with, as many as the image needs (`memory/map.rs`), and how many they are.
pub(super) fn first_tables() -> (*mut Table, usize) {
    let (start, end) = (address!("__first_tables"), address!("__first_tables_end"));
    (start as *mut Table, (end - start) as usize / size_of::<Table>())
}

/// Whether `address` lies in the text of the image.
pub(crate) fn is_text(address: u64) -> bool {
    text().0.contains(&address)
}

/// The instruction at `at`, if it is one of the image.
pub(crate) fn instruction(at: u64) -> Option<u32> {
    // SAFETY: the text of the image is mapped readable for as long as it runs, whatever else is, and this is an aligned word of it.
    // Volatile: it may be patched meanwhile. (Not a device: the rule about MMIO does not apply.)
    (at.is_multiple_of(4) && is_text(at)).then(|| unsafe { (at as *const u32).read_volatile() })
}

/// A function of the image as a number: its distance from the start of the image, which is not much longer than 64 MiB.
pub(crate) fn offset_of_function(f: fn()) -> u32 {
    (f as usize as u64).wrapping_sub(image().0) as u32
}

/// The function with this number.
///
/// # Safety
///
/// [`offset_of_function`] gave the number out.
pub(crate) unsafe fn function_at(offset: u32) -> fn() {
    let address = image().0 + u64::from(offset);
    debug_assert!(is_text(address));
    // SAFETY: the number came from a function of this type, and the image has not moved.
    unsafe { core::mem::transmute::<*const (), fn()>(address as *const ()) }
}

/// What of the image is written, the page tables aside: its address, and bytes.
pub(crate) fn written() -> (u64, usize) {
    let start = address!("__rodata_end");
    (start, (address!("__contents_end") - start) as usize)
}

/// The build id, once it is known.
static BUILD_ID: AtomicU64 = AtomicU64::new(0);

/// An entry of the table of relocations (ELF for the Arm 64-bit Architecture, 5.7: Elf64_Rela).
#[repr(C)]
struct Relocation {
    /// The address that is changed, as the image was linked.
    offset: u64,
    _info: u64,
    _addend: u64,
}

/// The places of words by the packed table of relocations (generic ABI, "Relative Relocation Table"): an even entry is the place of a word,
/// an odd one has a bit, from bit 1 on, for each of the 63 words that follow what the entries before it are about.
struct Packed {
    entries: core::slice::Iter<'static, u64>,
    /// What is left of a bitmap, bit 0 for the word at `next`, and a 1 behind its last bit.
    bits: u64,
    next: u64,
}

impl Iterator for Packed {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            while self.bits <= 1 {
                let entry = *self.entries.next()?;
                if entry & 1 == 0 {
                    self.next = entry + 8;
                    return Some(entry);
                }
                self.bits = entry >> 1 | 1 << 63;
            }
            let (place, wanted) = (self.next, self.bits & 1);
            self.next += 8;
            self.bits >>= 1;
            if wanted != 0 {
                return Some(place);
            }
        }
    }
}

/// Where the image was linked to be.
fn link_base() -> u64 {
    let base: u64;
    // SAFETY: computes a number that the linker knows.
    unsafe {
        asm!(
            "movz {0}, #:abs_g3:__link_base",
            "movk {0}, #:abs_g2_nc:__link_base",
            "movk {0}, #:abs_g1_nc:__link_base",
            "movk {0}, #:abs_g0_nc:__link_base",
            out(reg) base, options(nomem, nostack, preserves_flags)
        );
    }
    base
}

/// A number that tells builds apart: 64-bit FNV-1a over the 32-bit words of text and constants as they were linked, wherever the
/// image lies. Without its headers, which whoever loads it may have changed.
///
/// First asked for at boot, before any code is patched.
pub(crate) fn build_id() -> u64 {
    let known = BUILD_ID.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let text = address!("__code_start")..address!("__code_end");
    let (packed, table) =
        (address!("__relr_start")..address!("__relr_end"), address!("__rela_start")..address!("__rela_end"));
    let constants = address!("__text_end")..table.end;
    let relocated = address!("__rodata_end")..address!("__relro_end");
    let count = (table.end - table.start) as usize / size_of::<Relocation>();
    // SAFETY: the table by which the image was relocated, of entries of this kind, constant from then on.
    let table = unsafe { core::slice::from_raw_parts(table.start as *const Relocation, count) };
    let count = (packed.end - packed.start) as usize / size_of::<u64>();
    // SAFETY: as above.
    let packed = unsafe { core::slice::from_raw_parts(packed.start as *const u64, count) };
    // Both in the order of their places, as the linker sorts them.
    let moved = image().0.wrapping_sub(link_base());
    let mut replaced = table.iter().map(|relocation| relocation.offset.wrapping_add(moved)).peekable();
    let mut added =
        Packed { entries: packed.iter(), bits: 0, next: 0 }.map(|place| place.wrapping_add(moved)).peekable();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [text, constants, relocated] {
        for at in part.step_by(4) {
            while replaced.next_if(|place| place + 8 <= at).is_some() {}
            while added.next_if(|place| place + 8 <= at).is_some() {}
            let word = if replaced.peek().is_some_and(|place| *place < at + 4) {
                // As the linker leaves it there; what belongs there is in the table.
                0
            } else if let Some(place) = added.peek().filter(|place| **place <= at) {
                // SAFETY: an address in a constant of the image, mapped, and not written again after relocation.
                let linked = unsafe { (*place as *const u64).read_unaligned() }.wrapping_sub(moved);
                (linked >> (8 * (at - place))) as u32
            } else {
                // SAFETY: text and constants of the image, mapped, aligned to a word, and not written yet.
                unsafe { (at as *const u32).read() }
            };
            hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
        }
    }
    BUILD_ID.store(hash, Ordering::Relaxed);
    hash
}

/// The text of the image, and the part of it that is never patched.
pub(crate) fn text() -> (core::ops::Range<u64>, core::ops::Range<u64>) {
    (
        address!("__image_start")..address!("__text_end"),
        address!("__never_patch_start")..address!("__never_patch_end"),
    )
}

/// Where the parts of the image end that are mapped in different ways: text, constants, what relocation wrote, all.
pub(super) fn parts() -> [u64; 4] {
    [address!("__text_end"), address!("__rodata_end"), address!("__relro_end"), address!("__image_end")]
}
