//! From the entry point of an application to the entry of an image that a boot loader has loaded.
//!
//! In firmware's address space, on its stack and under its vectors: nothing here may panic, or use what a CPU of the runtime has.

use super::firmware::{Firmware, MapSize, Status};
use super::left::Left;
use crate::arch::cache;
use crate::dt::{self, Machine};
use core::ffi::c_void;
use core::fmt::{self, Write};
use reveille_machine::uefi::{ACPI_1, ACPI_2, DEVICE_TREE, Handover, arguments, find_table, longest};

unsafe extern "C" {
    fn reveille_from_firmware(tree: u64) -> !;
}

/// How often the end of boot services is asked for. The specification knows of one more than the first (7.4.6).
const TRIES: usize = 4;
/// How many descriptors the memory map may grow by until boot services have ended.
const SLACK: usize = 16;

/// Why the image goes back to firmware.
enum Trouble {
    /// What describes the machine cannot be read.
    Tree(dt::Error<'static>),
    /// Nothing describes the machine that is read. Where the RSDP of ACPI lies, if there is one.
    Nothing(Option<u64>),
    /// A function of firmware refused.
    Refused(&'static str, Status),
    /// The end of boot services was refused, and nothing can be said any more.
    Silent(Status),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(f),
            Self::Nothing(rsdp) => {
                let rsdp = rsdp.unwrap_or(0);
                write!(f, "UEFI: no device tree of this machine, and ACPI (RSDP at {rsdp:#x}) is not read")
            }
            Self::Refused(what, status) => write!(f, "UEFI: {what} refused, status {:#x}", status.0),
            Self::Silent(_) => Ok(()),
        }
    }
}

impl Trouble {
    fn status(&self) -> Status {
        match self {
            Self::Tree(_) => Status::LOAD_ERROR,
            Self::Nothing(_) => Status::UNSUPPORTED,
            Self::Refused(_, status) | Self::Silent(status) => *status,
        }
    }
}

/// The image was started by UEFI firmware. It comes back, with what firmware makes of an error, only if firmware goes on.
///
/// Called by the entry code, relocated, once, with what firmware gave it.
pub(crate) extern "C" fn enter(image: *mut c_void, table: *const c_void) -> usize {
    // SAFETY: as the entry code got it.
    let mut firmware = unsafe { Firmware::new(image, table.cast()) };
    let Err(trouble) = leave(&mut firmware);
    if !matches!(trouble, Trouble::Silent(_)) {
        // Where there is no console the status has to do.
        let _ = write!(firmware, "reveille: cannot start: {trouble}\r\n");
    }
    trouble.status().0
}

/// Takes what firmware has, ends its boot services, and enters the image.
fn leave(firmware: &mut Firmware) -> Result<core::convert::Infallible, Trouble> {
    let tables = firmware.tables();
    let rsdp = find_table(tables, &ACPI_2).or_else(|| find_table(tables, &ACPI_1));
    let tree = find_table(tables, &DEVICE_TREE).ok_or(Trouble::Nothing(rsdp))?;
    let tree = tree_at(tree).map_err(Trouble::Tree)?;
    if !Machine::parse(tree).map_err(Trouble::Tree)?.is_described() {
        return Err(Trouble::Nothing(rsdp));
    }

    // One piece for all that is handed over: the tree, the memory map, the command line. Firmware's own are in memory that is free once boot
    // services have ended.
    // SAFETY: no room, which is asked for nothing.
    let (needed, _) = unsafe { firmware.memory_map(core::ptr::null_mut(), 0) };
    let map_at = tree.len().next_multiple_of(8);
    let map_room = needed.size.saturating_add(needed.stride.saturating_mul(SLACK));
    let arguments_at = map_at.saturating_add(map_room);
    let options = firmware.load_options();
    let total = arguments_at.saturating_add(longest(options.len()));
    let block = firmware
        .allocate(total)
        .map_err(|status| Trouble::Refused("memory for what is handed over", status))?;
    // SAFETY: `total` bytes, just allocated, that the places lie in.
    let (map, line) = unsafe {
        core::ptr::copy_nonoverlapping(tree.as_ptr(), block, tree.len());
        core::ptr::write_bytes(block.add(arguments_at), 0, total - arguments_at);
        (block.add(map_at), core::slice::from_raw_parts_mut(block.add(arguments_at), total - arguments_at))
    };
    let (line, wrong) = match arguments(options, line) {
        Ok(line) => (line, None),
        Err(error) => ("", Some(error)),
    };
    let (line, line_size) = (line.as_ptr() as u64, line.len() as u64);
    let tree_size = tree.len();
    if let Some(error) = wrong {
        let _ = write!(firmware, "reveille: {error}: ignored\r\n");
    }
    firmware.stop_watchdog();
    // SAFETY: `map_room` bytes of the block, at a multiple of 8 in whole pages.
    let found = match unsafe { end_boot_services(firmware, map, map_room) } {
        Ok(found) => found,
        Err(trouble) => {
            if !matches!(trouble, Trouble::Silent(_)) {
                // SAFETY: nobody has been told of it.
                unsafe { firmware.free(block, total) };
            }
            return Err(trouble);
        }
    };

    // From here on there is no firmware to call, and nothing of it to go back to.
    let tree = if tree_size == 0 { 0 } else { block as u64 };
    let handed = Left {
        tree,
        rsdp: rsdp.unwrap_or(0),
        map: Handover {
            system_table: 0,
            map: map as u64,
            map_size: found.size as u64,
            stride: found.stride as u64,
            version: found.version.into(),
        },
        arguments: line,
        arguments_size: line_size,
    };
    handed.write();
    let (start, end) = image();
    // The image is entered with the MMU off, so it has to be in memory: what firmware has loaded, what relocation wrote and the above; and over what
    // has yet to be cleared no line is left that could be written back. What is handed over is read with caches on, as it was written.
    cache::clean_invalidate(start, end - start);
    // SAFETY: boot services have ended, and the image is in memory, relocated.
    unsafe { reveille_from_firmware(tree) }
}

/// Ends boot services, and returns the memory map by which they ended. Firmware's timers and events may change it until then.
///
/// # Safety
///
/// As for [`Firmware::memory_map`]. When it succeeds, as for [`Firmware::exit`].
unsafe fn end_boot_services(firmware: &Firmware, map: *mut u8, room: usize) -> Result<MapSize, Trouble> {
    let mut refused = Status::BUFFER_TOO_SMALL;
    for attempt in 0..TRIES {
        // SAFETY: the caller's.
        let (found, status) = unsafe { firmware.memory_map(map, room) };
        match status {
            Err(status) if attempt == 0 => return Err(Trouble::Refused("memory map", status)),
            Err(status) => return Err(Trouble::Silent(status)),
            Ok(()) => {}
        }
        // SAFETY: the caller's.
        match unsafe { firmware.exit(found) } {
            Ok(()) => return Ok(found),
            Err(status) => refused = status,
        }
        if refused != Status::INVALID_PARAMETER {
            break;
        }
    }
    Err(Trouble::Silent(refused))
}

/// The device tree that firmware has at `at`.
fn tree_at(at: u64) -> Result<&'static [u8], dt::Error<'static>> {
    let tree = at as *const u8;
    // SAFETY: firmware says that there is one, in memory of its own that it leaves alone; mapped, as all memory of its is. A header has this size.
    let header = unsafe { &*tree.cast::<[u8; dt::HEADER_SIZE]>() };
    let size = dt::blob_size(header)?;
    // SAFETY: as long as it says, and that is no more than can be.
    Ok(unsafe { core::slice::from_raw_parts(tree, size) })
}

/// Where the image lies: `[start, end)`.
fn image() -> (usize, usize) {
    let (start, end);
    // SAFETY: computes addresses, and accesses nothing.
    unsafe {
        core::arch::asm!(
            "adrp {0}, __image_start", "add {0}, {0}, :lo12:__image_start",
            "adrp {1}, __image_end", "add {1}, {1}, :lo12:__image_end",
            out(reg) start, out(reg) end, options(pure, nomem, nostack, preserves_flags)
        );
    }
    (start, end)
}
