//! What `System::map_device` refuses, and that a refusal has changed nothing: the image with the holes in it, RAM, the windows
//! of the runtime, more than there are tables for. Afterwards CPUs come up and go, and keys are patched.
//!
//! With `--cpu max`, or another that addresses 48 bits, the windows are physical addresses too.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, MapError, System, fault, hotplug, println, static_key};
use reveille_tests::{check, eventually};

reveille::entry!(main);

static_key!(KEY, false);

const PAGE: u64 = 4096;
/// The windows: stacks, patcher, device tree.
const WINDOWS: [u64; 3] = [0xf000_0000_0000, 0xf800_0000_0000, 0xf900_0000_0000];
const END: u64 = 1 << 48;

fn main(system: &'static System) -> ExitCode {
    let mut refused = 0;
    let mut refuse = |start: u64, len: u64| {
        let error = system.map_device(start, len).err();
        assert!(error.is_some(), "mapped: {len:#x} bytes at {start:#x}");
        refused += 1;
        error
    };
    // Before any other CPU has come up, and again when all are there.
    for round in 0..2 {
        if round == 1 {
            check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
        }
        for base in WINDOWS {
            // The guards lie between the stacks: sixteen pages for each CPU.
            for page in 0..16 * cpu::possible().len() as u64 + 2 {
                let start = base + page * PAGE;
                let bad = Some(MapError::BadRange { start, len: PAGE });
                check(refuse(start, PAGE) == bad, "a page of a window");
            }
            refuse(base - PAGE, 2 * PAGE);
            refuse(base - 1, 2);
            check(!fault::is_accessible(base - PAGE, false), "nothing is mapped below a window either");
        }
        refuse(END - PAGE, PAGE);
        refuse(0, END);
        refuse(END, PAGE);
        refuse(u64::MAX - PAGE, PAGE);
        refuse(u64::MAX, 1);
        refuse(0, 0);
        refuse(WINDOWS[0], 0);
        refuse(1, u64::MAX);

        // RAM and what lies in it: the image, its guards, the device tree.
        let mut lowest = u64::MAX;
        for piece in system.machine().memory().flatten() {
            lowest = lowest.min(piece.base);
            for start in (piece.base..piece.base + piece.size.min(0x400_0000)).step_by(PAGE as usize) {
                check(refuse(start, 1) == Some(MapError::Conflict { at: start }), "a page of RAM");
            }
        }
        // Half of it is free to be had: no half is mapped.
        let below = lowest - 4 * PAGE;
        check(
            refuse(below, 8 * PAGE) == Some(MapError::Conflict { at: lowest }),
            "a range that ends in RAM is refused where RAM begins",
        );
        check(!fault::is_accessible(below, false), "and nothing of it is mapped");

        // More than there are tables for.
        let far = lowest + 0x80_0000_0000 + round * 0x20_0000_0000;
        if system.map_device(WINDOWS[0] - 2 * PAGE, PAGE).is_ok() {
            let large = 0x4000_0000_0000;
            check(refuse(far, large) == Some(MapError::NoTables), "there are not that many tables");
            check(!fault::is_accessible(far, false), "and nothing of it is mapped");
            // Now all that there are.
            let mut at = far;
            while system.map_device(at, PAGE).is_ok() {
                check(fault::is_accessible(at, false), "what was mapped can be read");
                at += 0x80_4000_0000;
            }
            check(!fault::is_accessible(at, false), "what was refused is not mapped");
        }

        check(KEY.enable().is_ok_and(|sites| sites == 1), "a key can be enabled");
        check(KEY.is_enabled(), "and is");
        check(KEY.disable().is_ok(), "and disabled");
    }
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    if last != CpuId::BOOT {
        check(hotplug::cpu_down(last, Duration::from_secs(10)).is_ok(), "a CPU can leave");
        let all = system.bring_up_all(system.deadline());
        check(all.is_complete(), "and come back");
        eventually("and take a closure", || cpu::launch(last, || println!("mapping: back")).is_ok());
        eventually("and run it", || cpu::launch(last, || ()).is_ok());
    }
    println!("mapping: {refused} ranges refused, all good");
    ExitCode::SUCCESS
}
