//! Closures that are stored in place capture so much and no more.
//!
//! As it stands this compiles, and shows that each way of sending takes the most that it promises. With
//! `--cfg too_large="NAME"` it must not compile, and say why.

#![no_std]
#![no_main]
#![allow(unexpected_cfgs, reason = "`too_large` is for the test that compiles this")]

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::call::{self, POST_BYTES};
use reveille::cpu::{self, CpuId, LAUNCH_BYTES};
use reveille::time::{self, TIMER_BYTES};
use reveille::{ExitCode, System, println};
use reveille_tests::{check, eventually};

reveille::entry!(main);

/// One byte more than there is room for, in the way that is tested.
mod excess {
    pub const POST: usize = cfg!(too_large = "post") as usize;
    pub const POST_EACH: usize = cfg!(too_large = "post_each") as usize;
    pub const ON_DEADLINE: usize = cfg!(too_large = "on_deadline") as usize;
    pub const TIMER: usize = cfg!(too_large = "timer") as usize;
    pub const LAUNCH: usize = cfg!(too_large = "launch") as usize;
}

#[cfg(too_large = "alignment")]
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Wide([u8; 32]);

static RAN: AtomicU64 = AtomicU64::new(0);

/// Uses all of what was captured.
fn ran<const N: usize>(bytes: &[u8; N]) {
    check(black_box(bytes).iter().all(|byte| *byte == 1), "what was captured is there");
    RAN.fetch_add(1, Ordering::Relaxed);
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let target = cpu::online().iter().last().unwrap_or(CpuId::BOOT);

    let bytes = [1; POST_BYTES + excess::POST];
    check(call::post(target, move || ran(&bytes)).is_ok(), "a post is accepted");

    // Its own two bytes tell the closure which CPU it runs on.
    let bytes = [1; POST_BYTES - 2 + excess::POST_EACH];
    check(call::post_each(&cpu::online(), move |_| ran(&bytes)).busy.is_empty(), "posts are accepted");

    let bytes = [1; POST_BYTES - 24 + excess::ON_DEADLINE];
    check(
        call::on_deadline(target, Duration::from_secs(10), move || ran(&bytes)).is_ok(),
        "a call runs in time",
    );

    let bytes = [1; TIMER_BYTES + excess::TIMER];
    check(time::after(Duration::from_micros(1), move || ran(&bytes)).is_ok(), "a timer can be set");

    let mut expected = 3 + cpu::online().len() as u64;
    if target != CpuId::BOOT {
        let bytes = [1; LAUNCH_BYTES + excess::LAUNCH];
        check(cpu::launch(target, move || ran(&bytes)).is_ok(), "an idle CPU takes a closure");
        expected += 1;
    }
    #[cfg(too_large = "alignment")]
    {
        let wide = Wide([1; 32]);
        let aligned = move || {
            let Wide(bytes) = &{ wide };
            ran(bytes);
        };
        check(call::post(target, aligned).is_ok(), "a post is accepted");
    }
    eventually("everything runs", || RAN.load(Ordering::Relaxed) == expected);
    println!("captures: {expected} closures, all of the largest size");
    ExitCode::SUCCESS
}
