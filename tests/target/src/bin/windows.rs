//! What cannot be mapped as a device's registers: where the runtime has mapped things of its own, and the holes that it has left there on purpose.
//!
//! Before any CPU is up, and with whatever addresses the CPU has: `--cpu max` has 48 bits and more.

#![no_std]
#![no_main]

use reveille::{ExitCode, MapError, System, cpu, fault, println, static_key};
use reveille_tests::check;

reveille::entry!(main);

static_key!(KEY, false);

const PAGE: u64 = 4096;

fn main(system: &'static System) -> ExitCode {
    let mut refused = 0;
    let mut refuse = |start: u64, len: u64| {
        let mapped = system.map_device(start, len);
        assert!(mapped.is_err(), "{len:#x} bytes at {start:#x} are mapped as a device");
        check(!fault::is_accessible(start, true) || len == 0, "and cannot be written to");
        refused += 1;
    };
    // The windows: stacks with their guards, the patcher's page, the tree; their ends, what crosses their beginning.
    for window in [0x0000_f000_0000_0000, fault::PATCH_WINDOW, 0x0000_f900_0000_0000] {
        for page in [0, 1, 2, 4, 5, 16, 0x1000] {
            // Some pages of stacks are mapped, and stay as they are.
            let mapped = system.map_device(window + page * PAGE, 1);
            check(mapped.is_err(), "nothing is mapped in a window");
        }
    }
    refuse(fault::PATCH_WINDOW, PAGE);
    refuse(0x0000_f000_0000_0000, PAGE);
    refuse(0x0000_ffff_ffff_f000, PAGE);
    check(system.map_device(0x0000_efff_ffff_f000, 2 * PAGE).is_err(), "nor what reaches into one");
    refuse(1 << 48, PAGE);
    refuse(u64::MAX - PAGE, 1);
    refuse(u64::MAX, 1);
    // The image: the guards under the boot stacks are its holes.
    let (image, end) = fault::image();
    let mut holes = 0;
    for page in (image..end).step_by(PAGE as usize) {
        let at = match system.map_device(page, 1) {
            Err(MapError::Conflict { at }) => at,
            other => panic!("a page of the image: {other:?}"),
        };
        check(at == page, "the error says where");
        holes += u64::from(!fault::is_accessible(page, false));
    }
    check(holes == 3, "the guards of three stacks are still there");
    check(system.map_device(image - PAGE, 2 * PAGE).is_err(), "nor what reaches into it");
    // And everything works.
    check(KEY.enable().is_ok() && KEY.is_enabled(), "keys can be patched");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    check(KEY.disable().is_ok() && !KEY.is_enabled(), "keys can be patched");
    println!("windows: {refused} refused, {} CPUs online", cpu::online().len());
    ExitCode::SUCCESS
}
