//! The image itself: where it lies, what of it is text, its functions as numbers, and which build it is.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __relro_end: u8;
    static __image_end: u8;
    static __rela_start: u8;
    static __rela_end: u8;
}

fn address(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol) as u64
}

/// Where the image lies: `[start, end)`.
pub(crate) fn image() -> (u64, u64) {
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    unsafe { (address(&__image_start), address(&__image_end)) }
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

/// A function of the image as a number: its distance from the start of the image, which is at most 4 MiB long.
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

/// The build id, once it is known.
static BUILD_ID: AtomicU64 = AtomicU64::new(0);

/// Bytes of the arm64 header at the start of the image. Whoever loads it may have changed it.
const IMAGE_HEADER: u64 = 64;

/// An entry of the table of relocations (ELF for the Arm 64-bit Architecture, 5.7: Elf64_Rela).
#[repr(C)]
struct Relocation {
    /// The address that is changed, as the image was linked.
    offset: u64,
    _info: u64,
    _addend: u64,
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
/// image lies.
///
/// First asked for at boot, before any code is patched.
pub(crate) fn build_id() -> u64 {
    let known = BUILD_ID.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let (text, never_patch) = text();
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    let (constants, table) =
        unsafe { (address(&__text_end)..address(&__rela_end), address(&__rela_start)..address(&__rela_end)) };
    let count = (table.end - table.start) as usize / size_of::<Relocation>();
    // SAFETY: the table by which the image was relocated, of entries of this kind, constant from then on.
    let relocations = unsafe { core::slice::from_raw_parts(table.start as *const Relocation, count) };
    // Each changed 8 bytes, which count as 0, which is what the linker leaves there; what belongs there is in the table. In the order of
    // their places, as the linker sorts them.
    let moved = text.start.wrapping_sub(link_base());
    let mut relocated = relocations.iter().map(|relocation| relocation.offset.wrapping_add(moved)).peekable();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [text.start + IMAGE_HEADER..never_patch.end, constants] {
        let len = (part.end - part.start) as usize / 4;
        // SAFETY: text and constants of the image, mapped, aligned to more than a word, and not written yet.
        let words = unsafe { core::slice::from_raw_parts(part.start as *const u32, len) };
        for (at, word) in (part.start..).step_by(4).zip(words) {
            while relocated.next_if(|place| place + 8 <= at).is_some() {}
            let word = if relocated.peek().is_some_and(|place| *place <= at) { 0 } else { *word };
            hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
        }
    }
    BUILD_ID.store(hash, Ordering::Relaxed);
    hash
}

/// The text of the image, and the part of it that is never patched.
pub(crate) fn text() -> (core::ops::Range<u64>, core::ops::Range<u64>) {
    unsafe extern "C" {
        static __never_patch_start: u8;
        static __never_patch_end: u8;
    }
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    unsafe {
        (
            address(&__image_start)..address(&__text_end),
            address(&__never_patch_start)..address(&__never_patch_end),
        )
    }
}

/// Where the parts of the image end that are mapped in different ways: text, constants, what relocation wrote, all.
pub(super) fn parts() -> [u64; 4] {
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    unsafe { [address(&__text_end), address(&__rodata_end), address(&__relro_end), address(&__image_end)] }
}
