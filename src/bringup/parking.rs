//! The parking protocol of ACPI machines without PSCI ("Multi-processor Startup for ARM Platforms", 1.1 and 1.2): firmware keeps each CPU
//! in a loop, and looks into its mailbox whenever an interrupt ends its WFI.

use crate::arch::mmu::MapError;
use crate::arch::{self, mmio};
use crate::percpu::area::Area;
use crate::{gic, memory};

/// Bytes of a mailbox: a page. The first half is the operating system's, the second firmware's.
pub(crate) const MAILBOX_SIZE: u64 = 0x1000;

/// Offset of the 32-bit word that says which CPU is to go.
const CPU_ID: u64 = 0;
/// Offset of the 64-bit physical address where to, which firmware clears as it goes there.
const JUMP_ADDRESS: u64 = 8;

/// What a CPU is refused with that firmware does not have: INTERNAL_FAILURE of PSCI (Arm DEN 0022, 5.2.2), as nearest to it.
pub(super) const NOT_PARKED: i32 = -6;

/// What firmware leaves in the first word: nobody.
const NOBODY: u32 = !0;

/// Maps the mailbox at `address`, once, before it is first used: as device memory, which is how the parked CPU sees it. Not a page is an error.
pub(crate) fn map(address: u64) -> Result<(), MapError> {
    if !address.is_multiple_of(MAILBOX_SIZE) {
        return Err(MapError::BadRange { start: address, len: MAILBOX_SIZE });
    }
    memory::map_device(address, MAILBOX_SIZE)
}

/// Sends the CPU of `area`, which looks into the mailbox at `address` and is called `id` there, to `entry`; nothing is left to do if firmware has let
/// it go already, by an earlier try. False if that is no mailbox of a CPU that firmware has: nothing is written then.
pub(super) fn release(area: &Area, address: u64, id: u32, entry: u64) -> bool {
    let (word, jump) = ((address + CPU_ID) as usize, (address + JUMP_ADDRESS) as usize);
    // SAFETY: firmware gives this address for the purpose, and `map` has mapped it; a CPU for which that failed has no method. Both
    // words are within the page, and aligned, as a page is.
    let found: (u32, u64) = unsafe { (mmio::read(word), mmio::read(jump)) };
    if found.0 == NOBODY {
        // SAFETY: as above.
        unsafe { mmio::write(jump, entry) };
        // Where to is in memory before the name: partner of the CPU's loads, of the name first.
        arch::dsb_sy();
        // SAFETY: as above.
        unsafe { mmio::write(word, id) };
    } else if found == (id, 0) {
        return true;
    } else if found != (id, entry) {
        return false;
    }
    // The name too, before the interrupt: what the SGI itself brings reaches the inner shareable domain alone, and the CPU has its MMU off.
    arch::dsb_sy();
    gic::wake_parked(area, id);
    true
}
