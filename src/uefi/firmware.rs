//! Firmware's tables and functions, as far as they are called. The one file that calls them.

use core::ffi::c_void;
use core::fmt::{self, Write};
use reveille_machine::uefi::{Guid, TABLE_SIZE};

/// A status that a function of firmware returns (Appendix D): 0, a warning, or an error with the highest bit set.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Status(pub(super) usize);

impl Status {
    pub(super) const LOAD_ERROR: Self = Self::error(1);
    pub(super) const INVALID_PARAMETER: Self = Self::error(2);
    pub(super) const UNSUPPORTED: Self = Self::error(3);

    const fn error(number: usize) -> Self {
        Self(number | 1 << (usize::BITS - 1))
    }

    fn result(self) -> Result<(), Self> {
        if self.0 >> (usize::BITS - 1) == 0 { Ok(()) } else { Err(self) }
    }
}

/// 4.3, EFI_SYSTEM_TABLE.
#[repr(C)]
pub(super) struct SystemTable {
    _header: [u64; 3],
    _vendor: [u64; 2],
    _input: [*mut c_void; 2],
    _output_handle: *mut c_void,
    output: *mut TextOutput,
    _error_output: [*mut c_void; 2],
    _runtime: *mut c_void,
    boot: *const BootServices,
    count: usize,
    tables: *const u8,
}

/// 12.4, EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.
#[repr(C)]
struct TextOutput {
    _reset: usize,
    output_string: unsafe extern "C" fn(*mut Self, *const u16) -> Status,
}

/// 4.4, EFI_BOOT_SERVICES. What is not called is a number.
#[repr(C)]
struct BootServices {
    _header: [u64; 3],
    _priorities: [usize; 2],
    allocate_pages: unsafe extern "C" fn(how: u32, kind: u32, pages: usize, at: *mut u64) -> Status,
    free_pages: unsafe extern "C" fn(at: u64, pages: usize) -> Status,
    get_memory_map: unsafe extern "C" fn(
        size: *mut usize,
        map: *mut c_void,
        key: *mut usize,
        stride: *mut usize,
        version: *mut u32,
    ) -> Status,
    _pools_events_protocols: [usize; 11],
    handle_protocol:
        unsafe extern "C" fn(handle: *mut c_void, kind: *const Guid, interface: *mut *mut c_void) -> Status,
    _protocols_images: [usize; 9],
    exit_boot_services: unsafe extern "C" fn(image: *mut c_void, key: usize) -> Status,
    _counter_stall: [usize; 2],
    set_watchdog_timer:
        unsafe extern "C" fn(seconds: usize, code: u64, size: usize, data: *const u16) -> Status,
}

const _: () = {
    assert!(
        core::mem::offset_of!(SystemTable, boot) == 96 && core::mem::offset_of!(SystemTable, tables) == 112
    );
    assert!(core::mem::offset_of!(BootServices, handle_protocol) == 24 + 16 * 8);
    assert!(core::mem::offset_of!(BootServices, exit_boot_services) == 24 + 26 * 8);
    assert!(core::mem::offset_of!(BootServices, set_watchdog_timer) == 24 + 29 * 8);
};

/// 9.1, EFI_LOADED_IMAGE_PROTOCOL.
#[repr(C)]
struct LoadedImage {
    _revision: u64,
    _whence: [usize; 5],
    options_size: u32,
    options: *const u8,
}

/// Its GUID: 5b1b31a1-9562-11d2-8e3f-00a0c969723b.
static LOADED_IMAGE: Guid =
    [0xa1, 0x31, 0x1b, 0x5b, 0x62, 0x95, 0xd2, 0x11, 0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b];

/// 7.2.1, EfiLoaderData: what a loader has allocated is an operating system's once boot services have ended.
const LOADER_DATA: u32 = 2;
/// 7.2.1, AllocateAnyPages.
const ANY_PAGES: u32 = 0;
/// Bytes of a page of firmware's, whatever the granule of page tables.
const PAGE: usize = 4096;

/// What firmware said of its memory map.
#[derive(Clone, Copy, Default)]
pub(super) struct MapSize {
    /// Bytes of it.
    pub(super) size: usize,
    /// Bytes from one descriptor to the next.
    pub(super) stride: usize,
    /// Version of the descriptors.
    pub(super) version: u32,
    /// Which map it is: another one has another key.
    key: usize,
}

/// Firmware that has started the image, with its boot services.
///
/// All of it by the CPU that it was started on, in thread context at TPL_APPLICATION: which is how applications are started (7.1).
pub(super) struct Firmware {
    image: *mut c_void,
    table: *const SystemTable,
}

impl Firmware {
    /// # Safety
    ///
    /// What firmware gave the image's entry point, and boot services have not ended.
    pub(super) unsafe fn new(image: *mut c_void, table: *const SystemTable) -> Self {
        Self { image, table }
    }

    fn table(&self) -> &SystemTable {
        // SAFETY: firmware's system table, as `new` was promised; firmware alone writes to it, and not while its caller reads.
        unsafe { &*self.table }
    }

    fn boot(&self) -> &BootServices {
        // SAFETY: there as long as boot services have not ended, and so is `self`.
        unsafe { &*self.table().boot }
    }

    /// The configuration tables.
    pub(super) fn tables(&self) -> &[u8] {
        let SystemTable { count, tables, .. } = *self.table();
        if tables.is_null() {
            return &[];
        }
        // SAFETY: as many as firmware says (4.6), and nothing here installs another one.
        unsafe { core::slice::from_raw_parts(tables, count.saturating_mul(TABLE_SIZE)) }
    }

    /// What the image was given to do: in UCS-2, if it is text.
    pub(super) fn load_options(&self) -> &[u8] {
        let mut interface = core::ptr::null_mut();
        // SAFETY: a handle and a GUID, and a place for a pointer.
        let status =
            unsafe { (self.boot().handle_protocol)(self.image, &raw const LOADED_IMAGE, &raw mut interface) };
        if status.result().is_err() || interface.is_null() {
            return &[];
        }
        // SAFETY: the interface of that protocol, there for as long as the image is loaded.
        let loaded = unsafe { &*interface.cast::<LoadedImage>() };
        if loaded.options.is_null() {
            return &[];
        }
        // SAFETY: as long as firmware says (9.1), and the image's to read.
        unsafe { core::slice::from_raw_parts(loaded.options, loaded.options_size as usize) }
    }

    /// Memory that stays when boot services end, whose bytes may be anything.
    pub(super) fn allocate(&self, bytes: usize) -> Result<*mut u8, Status> {
        let mut at = 0;
        // SAFETY: a place for an address.
        unsafe { (self.boot().allocate_pages)(ANY_PAGES, LOADER_DATA, bytes.div_ceil(PAGE), &raw mut at) }
            .result()?;
        Ok(at as *mut u8)
    }

    /// Gives back what [`allocate`](Self::allocate) gave for as many bytes.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    pub(super) unsafe fn free(&self, at: *mut u8, bytes: usize) {
        // SAFETY: the caller's. That it cannot be freed changes nothing here.
        let _ = unsafe { (self.boot().free_pages)(at as u64, bytes.div_ceil(PAGE)) };
    }

    /// Writes the memory map to `map`, if it is no longer than `size` bytes. How long it is comes back either way.
    ///
    /// # Safety
    ///
    /// `size` bytes at `map` are the caller's, and aligned to 8.
    pub(super) unsafe fn memory_map(&self, map: *mut u8, size: usize) -> (MapSize, Result<(), Status>) {
        let mut found = MapSize { size, ..MapSize::default() };
        let MapSize { size, stride, version, key } = &mut found;
        // SAFETY: the caller's; and places for numbers.
        let status = unsafe { (self.boot().get_memory_map)(size, map.cast(), key, stride, version) };
        (found, status.result())
    }

    /// No watchdog of firmware's resets a machine that is an operating system's: it would after five minutes (7.5).
    pub(super) fn stop_watchdog(&self) {
        // SAFETY: 0 seconds, which is never. One that there is not cannot be stopped.
        let _ = unsafe { (self.boot().set_watchdog_timer)(0, 0, 0, core::ptr::null()) };
    }

    /// Ends boot services, if `map` is the memory map as it still is. After the first error nothing but the memory map may be asked for (7.4.6).
    ///
    /// # Safety
    ///
    /// When it succeeds, no function of `self` is called any more, and nothing that it gave out used but what was allocated.
    pub(super) unsafe fn exit(&self, map: MapSize) -> Result<(), Status> {
        // SAFETY: the caller's.
        unsafe { (self.boot().exit_boot_services)(self.image, map.key) }.result()
    }
}

impl Firmware {
    /// Puts one letter on the console that firmware uses. One at a time, as a string ends with a 0 and has to lie somewhere.
    fn put(&self, letter: u16) {
        let output = self.table().output;
        if !output.is_null() {
            let units = [letter, 0];
            // SAFETY: firmware's console, and a string that ends with 0. What cannot be shown is not.
            let _ = unsafe { ((*output).output_string)(output, units.as_ptr()) };
        }
    }
}

/// The console that firmware uses. Where there is none nothing comes of it.
impl Write for Firmware {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|letter| self.put(letter.into()));
        Ok(())
    }

    fn write_char(&mut self, letter: char) -> fmt::Result {
        self.put(letter as u16);
        Ok(())
    }
}
