//! From the entry point of an application to the entry of an image that a boot loader has loaded.
//!
//! In firmware's address space, on its stack and under its vectors: nothing here may panic, or use what a CPU of the runtime has.

use super::firmware::{Firmware, MapSize, Status};
use super::left::Left;
use crate::arch::cache;
use crate::dt::{self, Machine, Region};
use core::ffi::c_void;
use core::fmt::{self, Write};
use reveille_machine::uefi::{
    ACPI_1, ACPI_2, DEVICE_TREE, Handover, MemoryMap, arguments, find_table, longest,
};

unsafe extern "C" {
    fn reveille_from_firmware(tree: u64) -> !;
}

/// How often the end of boot services is asked for again. The specification knows of once (7.4.6).
const TRIES: usize = 4;
/// How many descriptors the memory map may grow by until boot services have ended.
const SLACK: usize = 32;

/// The image was started by UEFI firmware. It comes back, with a status, only if firmware goes on: why, it has said by then.
///
/// Called by the entry code, relocated, once.
///
/// # Safety
///
/// With the image handle and the system table that firmware gave to the entry point.
pub(crate) unsafe extern "C" fn enter(image: *mut c_void, table: *const c_void) -> usize {
    // SAFETY: the caller's; nobody has ended boot services yet.
    let mut firmware = unsafe { Firmware::new(image, table.cast()) };
    leave(&mut firmware).0
}

/// Says why the image goes back to firmware, and with which status.
#[inline(never)]
fn refuse(firmware: &mut Firmware, status: Status, why: fmt::Arguments<'_>) -> Status {
    // Where there is no console the status has to do.
    let _ = write!(firmware, "reveille: cannot start: {why}\r\n");
    status
}

/// Takes what firmware has, ends its boot services, and enters the image. It comes back if that cannot be.
fn leave(firmware: &mut Firmware) -> Status {
    let tables = firmware.tables();
    let rsdp = find_table(tables, &ACPI_2).or_else(|| find_table(tables, &ACPI_1)).unwrap_or(0);
    let mut tree: &[u8] = &[];
    if let Some(at) = find_table(tables, &DEVICE_TREE) {
        // SAFETY: it is copied before boot services end, and not used any more then.
        let read = unsafe { tree_at(at) }.and_then(|blob| Ok((blob, Machine::parse(blob)?.is_described())));
        match read {
            Ok((blob, true)) => tree = blob,
            // Of `/chosen` alone.
            Ok(_) => {}
            Err(error) => return refuse(firmware, Status::LOAD_ERROR, format_args!("{error}")),
        }
    }
    if tree.is_empty() && rsdp == 0 {
        let why = format_args!("UEFI: neither a device tree of this machine nor ACPI tables");
        return refuse(firmware, Status::UNSUPPORTED, why);
    }

    // One piece for all that is handed over: the tree, the memory map, the command line. Firmware's own are in memory that is free once boot
    // services have ended.
    let options = firmware.load_options();
    // SAFETY: no room, which is asked for nothing.
    let (needed, _) = unsafe { firmware.memory_map(core::ptr::null_mut(), 0) };
    let map_at = tree.len().next_multiple_of(8);
    let map_room = needed.size.saturating_add(needed.stride.saturating_mul(SLACK));
    let line_at = map_at.saturating_add(map_room);
    let total = line_at.saturating_add(longest(options.len()));
    let block = match firmware.allocate(total) {
        Ok(block) => block,
        Err(status) => return refuse(firmware, status, format_args!("UEFI: no memory, {total} bytes")),
    };
    // SAFETY: `total` bytes, just allocated, that the places lie in; the tree is somewhere else.
    let (map, line) = unsafe {
        core::ptr::copy_nonoverlapping(tree.as_ptr(), block, tree.len());
        core::ptr::write_bytes(block.add(line_at), 0, total - line_at);
        (block.add(map_at), core::slice::from_raw_parts_mut(block.add(line_at), total - line_at))
    };
    let line = match arguments(options, line) {
        Ok(line) => line,
        Err(error) => {
            let _ = write!(firmware, "reveille: {error}: ignored\r\n");
            ""
        }
    };
    // What will be read later, when there may be no console to say that it cannot be.
    // SAFETY: `map_room` bytes of the block, at a multiple of 8 in whole pages.
    let (found, answer) = unsafe { firmware.memory_map(map, map_room) };
    let checked = match answer {
        Ok(()) => {
            // SAFETY: firmware has filled so many, and they stay as they are until it is asked again.
            let bytes = unsafe { core::slice::from_raw_parts(map, found.size) };
            check(if tree.is_empty() { rsdp } else { 0 }, bytes, &found).map_err(Trouble::Wrong)
        }
        Err(status) => Err(Trouble::Map(status)),
    };
    let ended = checked.and_then(|()| {
        firmware.stop_watchdog();
        // SAFETY: as above.
        unsafe { end_boot_services(firmware, map, map_room) }
    });
    let found = match ended {
        Ok(found) => found,
        Err(Trouble::End(status)) => return status,
        Err(trouble) => {
            // SAFETY: nobody has been told of it.
            unsafe { firmware.free(block, total) };
            return match trouble {
                Trouble::Wrong(error) => refuse(firmware, Status::LOAD_ERROR, format_args!("{error}")),
                Trouble::Map(status) | Trouble::End(status) => {
                    refuse(firmware, status, format_args!("UEFI: memory map: firmware does not say"))
                }
            };
        }
    };

    // From here on there is no firmware to call, and nothing of it to go back to.
    Left {
        tree: block as u64,
        rsdp,
        map: Handover {
            system_table: 0,
            map: map as u64,
            map_size: found.size as u64,
            stride: found.stride as u64,
            version: found.version.into(),
        },
        arguments: line.as_ptr() as u64,
        arguments_size: line.len() as u64,
    }
    .write();
    let (start, end) = image();
    // The image is entered with the MMU off, so it has to be in memory: what firmware has loaded, what relocation wrote and the above; and over what
    // has yet to be cleared no line is left that could be written back. What is handed over is read with caches on, as it was written.
    cache::clean_invalidate(start, end - start);
    // SAFETY: boot services have ended, and the image is in memory, relocated.
    unsafe { reveille_from_firmware(block as u64) }
}

/// Why boot services do not end.
enum Trouble {
    /// What is to be handed over makes no sense.
    Wrong(dt::Error<'static>),
    /// Firmware does not give its memory map, and was not asked for the end yet.
    Map(Status),
    /// It refuses the end: nothing may be asked of it any more but its memory map (7.4.6), so the memory is not given back, and nothing said.
    End(Status),
}

/// Whether the memory map can be read, and the list of ACPI tables at `rsdp`, if that is not 0.
fn check(rsdp: u64, bytes: &[u8], found: &MapSize) -> Result<(), dt::Error<'static>> {
    let map = MemoryMap::new(bytes, found.stride as u64, found.version.into())?;
    if rsdp == 0 {
        return Ok(());
    }
    let mut read = |base, length| {
        let is_memory = map.has(Region { base, size: length as u64 });
        // SAFETY: memory, as firmware's map says, and firmware has all memory mapped where it is (2.3.6, AArch64 platforms); what is in tables stays
        // as it is.
        is_memory.then(|| unsafe { core::slice::from_raw_parts(base as *const u8, length) })
    };
    Machine::from_acpi(rsdp, "", &mut read).map(|_| ())
}

/// Ends boot services, and returns the memory map by which they ended. Firmware's timers and events may change it until then.
///
/// # Safety
///
/// As for [`Firmware::memory_map`]. When it succeeds, as for [`Firmware::exit`].
unsafe fn end_boot_services(firmware: &Firmware, map: *mut u8, room: usize) -> Result<MapSize, Trouble> {
    let mut attempt = 0;
    loop {
        // SAFETY: the caller's.
        let (found, status) = unsafe { firmware.memory_map(map, room) };
        if let Err(status) = status {
            return Err(if attempt == 0 { Trouble::Map(status) } else { Trouble::End(status) });
        }
        // SAFETY: the caller's.
        match unsafe { firmware.exit(found) } {
            Ok(()) => return Ok(found),
            Err(Status::INVALID_PARAMETER) if attempt < TRIES => attempt += 1,
            Err(status) => return Err(Trouble::End(status)),
        }
    }
}

/// The device tree that firmware has at `at`.
///
/// # Safety
///
/// It is not used once boot services have ended.
unsafe fn tree_at(at: u64) -> Result<&'static [u8], dt::Error<'static>> {
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
