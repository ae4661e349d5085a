//! What safe programs must not do does not compile.
//!
//! As it stands this compiles, and shows that the same works where it may. With `--cfg wrong="NAME"` it must not, and the compiler says
//! why: `scripts/test.d/63-compile-fail.sh` has the names.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, unused_imports, reason = "`wrong` is for the test that compiles this")]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::sync::{Mutex, SpinLock};
use reveille::{ExitCode, System, call, hotplug, irq, println, time};

reveille::entry!(main);

static LOCK: SpinLock<u64> = SpinLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);

#[cfg(wrong = "masked_in_a_static")]
static WRONG: SpinLock<Option<irq::Masked>> = SpinLock::new(None);

#[cfg(wrong = "guard_in_a_static")]
static WRONG: Mutex<Option<reveille::sync::SpinGuard<'static, u64>>> = Mutex::new(None);

#[cfg(wrong = "masked_in_a_percpu")]
reveille::percpu! {
    static WRONG: SpinLock<Option<irq::Masked>> = SpinLock::new(None);
}

#[cfg(wrong = "cell_in_a_percpu")]
reveille::percpu! {
    static WRONG: core::cell::Cell<u64> = core::cell::Cell::new(0);
}

#[cfg(wrong = "pointer_in_a_lock")]
static WRONG: SpinLock<*mut u8> = SpinLock::new(core::ptr::null_mut());

/// Moves something that belongs to this CPU to another one, in the way that is tested.
macro_rules! moves {
    ($($name:literal $value:expr, $cpu:ident, $moved:ident => $send:expr;)*) => {$(
        #[cfg(wrong = $name)]
        {
            let $moved = $value;
            let _ = $send;
        }
    )*};
}

#[expect(unused_variables, reason = "not every way uses it")]
fn wrong(cpu: CpuId) {
    moves! {
        "masked_posted" irq::mask(), cpu, moved => call::post(cpu, move || drop(moved));
        "cell_posted_to_each" core::cell::Cell::new(&0), cpu, moved => call::post_each(&cpu::online(), move |_| _ = moved.get());
        "masked_called" irq::mask(), cpu, moved => call::on(cpu, move || drop(moved));
        "masked_shared" irq::mask(), cpu, moved => call::on(cpu, || _ = &moved);
        "masked_shared_by_each" irq::mask(), cpu, moved => call::on_each(&cpu::online(), |_| _ = &moved);
        "masked_brought_back" (), cpu, moved => call::on(cpu, irq::mask);
        "masked_launched" irq::mask(), cpu, moved => cpu::launch(cpu, move || drop(moved));
        "masked_in_a_timer" irq::mask(), cpu, moved => time::after(Duration::ZERO, move || drop(moved));
        "masked_with_deadline" irq::mask(), cpu, moved => call::on_deadline(cpu, Duration::ZERO, move || drop(moved));
        "guard_posted" LOCK.lock(), cpu, moved => call::post(cpu, move || drop(moved));
        "mutex_guard_posted" MUTEX.lock(), cpu, moved => call::post(cpu, move || drop(moved));
        "pin_posted" hotplug::pin(), cpu, moved => call::post(cpu, move || drop(moved));
        "timer_posted" time::after(Duration::ZERO, || ()), cpu, moved => call::post(cpu, move || drop(moved));
        "borrow_posted" AtomicU64::new(0), cpu, moved => call::post(cpu, || _ = moved.load(Ordering::Relaxed));
        "borrow_posted_to_each" AtomicU64::new(0), cpu, moved => call::post_each(&cpu::online(), |_| _ = moved.load(Ordering::Relaxed));
        "borrow_launched" AtomicU64::new(0), cpu, moved => cpu::launch(cpu, || _ = moved.load(Ordering::Relaxed));
        "borrow_in_a_timer" AtomicU64::new(0), cpu, moved => time::after(Duration::ZERO, || _ = moved.load(Ordering::Relaxed));
        "borrow_with_deadline" AtomicU64::new(0), cpu, moved => call::on_deadline(cpu, Duration::ZERO, || _ = moved.load(Ordering::Relaxed));
        "cell_shared_by_each" core::cell::Cell::new(0), cpu, moved => call::on_each(&cpu::online(), |_| moved.set(1));
        "id_made" (), cpu, moved => CpuId::from_index(1000);
        "template_made" (), cpu, moved => cpu::PerCpu::template(0_u64);
        "leaving_made" (), cpu, moved => cpu::Leaving::new(cpu::idle_loop);
    }
}

/// What is allowed of it.
fn right(cpu: CpuId) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let borrowed = AtomicU64::new(0);
    let _ = call::on(cpu, || borrowed.fetch_add(1, Ordering::Relaxed));
    let _ = call::post(cpu, || _ = COUNT.fetch_add(1, Ordering::Relaxed));
    drop((irq::mask(), LOCK.lock(), hotplug::pin()));
    drop(MUTEX.lock());
}

fn main(_: &'static System) -> ExitCode {
    right(cpu::current());
    wrong(cpu::current());
    println!("refused: what may be done is done");
    ExitCode::SUCCESS
}
