//! Firmware that parks CPUs: the other end of the parking protocol ("Multi-processor Startup for ARM Platforms"), as firmware without EL3 has it.
//!
//! It is entered in the place of the image, with the device tree in x0, fetches all other CPUs by QEMU's PSCI, of which the image knows nothing, and
//! has each wait at its mailbox, with SGI 0 alone let in. Then it enters the image. Where that is, what the machine has, and where the mailboxes
//! are, stands in memory at `PARAMETERS`; scripts/test.d/acpi_machine.py writes it.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("an image for QEMU, built for target_os = \"none\"");
}

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("entry.s"));

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
