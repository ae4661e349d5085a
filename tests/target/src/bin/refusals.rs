//! What must not compile: guards that leave their CPU, closures that may not be sent or lent, ids and keys out of nothing.
//!
//! As it stands this compiles and runs, and shows that what is allowed beside it is. With `--cfg refused="NAME"` there is an
//! error, and it is that of NAME: the lines `//= NAME [+ FEATURE] | CODE | TEXT` say which, and 62-refusals.sh reads them.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, reason = "`refused` is for the test that compiles this")]
#![allow(unused_imports, dead_code, reason = "what must not compile uses them")]

use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet, PerCpu};
use reveille::sync::{Mutex, SpinLock};
use reveille::{
    ExitCode, System, call, hotplug, irq, nmi, panic, percpu, println, stop_machine, stop_machine_each, time,
};
use reveille_tests::{check, eventually};

reveille::entry!(main);

/// Belongs to the CPU that made it, like an `Rc`.
struct Local(PhantomData<*const u8>);

const LOCAL: Local = Local(PhantomData);
const SOON: Duration = Duration::from_secs(10);

static SPIN: SpinLock<u32> = SpinLock::new(0);
static MUTEX: Mutex<u32> = Mutex::new(0);
static CELL: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));
static RAN: AtomicU32 = AtomicU32::new(0);

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    let local = AtomicU32::new(1);
    check(call::on(last, || local.fetch_add(1, Ordering::Relaxed)) == Ok(1), "a call may borrow");
    check(call::on_each(&cpu::online(), |_| _ = local.load(Ordering::Relaxed)).is_ok(), "and a call to all");
    let cell = Cell::new(0);
    check(
        stop_machine(SOON, || cell.set(1)).is_ok() && cell.get() == 1,
        "a job stays on this CPU, and may use a cell",
    );
    let _ = stop_machine(SOON, || LOCAL);
    CELL.lock().set(1);
    let seen = AtomicU32::new(0);
    check(
        stop_machine_each(SOON, |_| _ = seen.fetch_add(1, Ordering::Relaxed)).is_ok(),
        "a job for each may borrow",
    );
    let count = RAN.load(Ordering::Relaxed);
    check(call::post(last, move || RAN.store(count + 1, Ordering::Relaxed)).is_ok(), "a post may own");
    eventually("it runs", || RAN.load(Ordering::Relaxed) == 1);
    {
        let guard = MUTEX.lock();
        check(
            call::on(last, || *guard == 0) == Ok(true),
            "a guard of what is shareable may be looked at from elsewhere",
        );
    }
    println!("refusals: all that is allowed is");
    ExitCode::SUCCESS
}

// Guards belong to the CPU that made them.

//= masked/post | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/post")]
fn refused() {
    let guard = irq::mask();
    let _ = call::post(CpuId::BOOT, move || drop(guard));
}

//= masked/on | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/on")]
fn refused() {
    let guard = irq::mask();
    let _ = call::on(CpuId::BOOT, move || drop(guard));
}

//= masked/on-borrowed | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "masked/on-borrowed")]
fn refused() {
    let guard = irq::mask();
    let _ = call::on(CpuId::BOOT, || _ = &guard);
}

//= masked/on-returned | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/on-returned")]
fn refused() {
    let _ = call::on(CpuId::BOOT, irq::mask);
}

//= masked/on-each | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "masked/on-each")]
fn refused() {
    let guard = irq::mask();
    let _ = call::on_each(&cpu::online(), |_| _ = &guard);
}

//= masked/on-deadline | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/on-deadline")]
fn refused() {
    let guard = irq::mask();
    let _ = call::on_deadline(CpuId::BOOT, SOON, move || drop(guard));
}

//= masked/launch | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/launch")]
fn refused() {
    let guard = irq::mask();
    let _ = cpu::launch(CpuId::BOOT, move || drop(guard));
}

//= masked/after | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/after")]
fn refused() {
    let guard = irq::mask();
    let _ = time::after(SOON, move || drop(guard));
}

//= masked/stop-machine-each | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "masked/stop-machine-each")]
fn refused() {
    let guard = irq::mask();
    let _ = stop_machine_each(SOON, |_| _ = &guard);
}

//= masked/static | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "masked/static")]
static REFUSED: Option<irq::Masked> = None;

//= masked/static-lock | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/static-lock")]
static REFUSED: SpinLock<Option<irq::Masked>> = SpinLock::new(None);

//= masked/percpu | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "masked/percpu")]
percpu! {
    static REFUSED: Option<irq::Masked> = None;
}

//= masked/percpu-lock | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "masked/percpu-lock")]
percpu! {
    static REFUSED: SpinLock<Option<irq::Masked>> = SpinLock::new(None);
}

//= masked/clone | E0599 | no method named `clone` found for struct `(reveille::irq::)?Masked`
#[cfg(refused = "masked/clone")]
fn refused() {
    let _ = irq::mask().clone();
}

//= masked/made | E0451 | of struct `Masked` (is|are) private
#[cfg(refused = "masked/made")]
fn refused(other: irq::Masked) {
    let _ = irq::Masked { ..other };
}

//= spin-guard/post | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "spin-guard/post")]
fn refused() {
    let guard = SPIN.lock();
    let _ = call::post(CpuId::BOOT, move || drop(guard));
}

//= spin-guard/on-returned | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "spin-guard/on-returned")]
fn refused() {
    let _ = call::on(CpuId::BOOT, || SPIN.lock());
}

//= spin-guard/launch | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "spin-guard/launch")]
fn refused() {
    let guard = SPIN.try_lock();
    let _ = cpu::launch(CpuId::BOOT, move || drop(guard));
}

//= spin-guard/shared | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "spin-guard/shared")]
fn refused() {
    let guard = SPIN.lock();
    let _ = call::on_each(&cpu::online(), |_| _ = *guard);
}

//= spin-guard/clone | E0277 | the trait bound `SpinGuard<'_, _>: Clone` is not satisfied
#[cfg(refused = "spin-guard/clone")]
fn refused() {
    let guard = SPIN.lock();
    let _ = reveille::sync::SpinGuard::clone(&guard);
}

//= mutex-guard/post | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "mutex-guard/post")]
fn refused() {
    let guard = MUTEX.lock();
    let _ = call::post(CpuId::BOOT, move || drop(guard));
}

//= mutex-guard/launch | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "mutex-guard/launch")]
fn refused() {
    let guard = MUTEX.try_lock();
    let _ = cpu::launch(CpuId::BOOT, move || drop(guard));
}

//= mutex-guard/on-returned | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "mutex-guard/on-returned")]
fn refused() {
    let _ = call::on(CpuId::BOOT, || MUTEX.try_lock());
}

//= mutex-guard/shared-cell | E0277 | `Cell<u32>` cannot be shared between threads safely
#[cfg(refused = "mutex-guard/shared-cell")]
fn refused() {
    let guard = CELL.lock();
    let _ = call::on(CpuId::BOOT, || guard.set(1));
}

//= pin/post | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "pin/post")]
fn refused() {
    let pin = hotplug::pin();
    let _ = call::post(CpuId::BOOT, move || drop(pin));
}

//= pin/launch | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "pin/launch")]
fn refused() {
    let pin = hotplug::pin();
    let _ = cpu::launch(CpuId::BOOT, move || drop(pin));
}

//= pin/on-returned | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "pin/on-returned")]
fn refused() {
    let _ = call::on(CpuId::BOOT, hotplug::pin);
}

//= pin/static | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "pin/static")]
static REFUSED: SpinLock<Option<hotplug::Pin>> = SpinLock::new(None);

//= pin/clone | E0599 | no method named `clone` found for struct `(reveille::hotplug::)?Pin`
#[cfg(refused = "pin/clone")]
fn refused() {
    let _ = hotplug::pin().clone();
}

//= doorbell/local | E0597 | `bell` does not live long enough
#[cfg(refused = "doorbell/local")]
fn refused() {
    let bell = call::Doorbell::new(|| ());
    let _ = bell.register();
}

//= doorbell/captures | E0308 | mismatched types
#[cfg(refused = "doorbell/captures")]
fn refused(what: u32) {
    let _ = call::Doorbell::new(move || drop(what));
}

//= alarm/local | E0597 | `alarm` does not live long enough
#[cfg(refused = "alarm/local")]
fn refused() {
    let alarm = time::Alarm::new(|| ());
    let _ = alarm.after(SOON);
}

//= timer/clone | E0599 | no method named `clone` found for struct `(reveille::time::)?Timer`
#[cfg(refused = "timer/clone")]
fn refused(timer: time::Timer) {
    let _ = timer.clone();
}

// The token of a critical section ends with it, and is of no use elsewhere.

//= token/post + critical-section | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "token/post")]
fn refused() {
    critical_section::with(|token| {
        let _ = call::post(CpuId::BOOT, move || drop(token));
    });
}

//= token/on + critical-section | E0277 | `\*mut \(\)` cannot be sent between threads safely
#[cfg(refused = "token/on")]
fn refused() {
    critical_section::with(|token| call::on(CpuId::BOOT, move || drop(token))).ok();
}

//= token/on-each + critical-section | E0277 | `\*mut \(\)` cannot be shared between threads safely
#[cfg(refused = "token/on-each")]
fn refused() {
    critical_section::with(|token| call::on_each(&cpu::online(), |_| _ = &token)).ok();
}

//= token/returned + critical-section | | lifetime may not live long enough
#[cfg(refused = "token/returned")]
fn refused() {
    let _ = critical_section::with(|token| token);
}

// What runs on another CPU may be sent there.

//= local/post | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/post")]
fn refused() {
    let local = LOCAL;
    let _ = call::post(CpuId::BOOT, move || drop(local));
}

//= local/post-each | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/post-each")]
fn refused() {
    let local: PhantomData<*const u8> = PhantomData;
    let _ = call::post_each(&cpu::online(), move |_| _ = &{ local });
}

//= local/on | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/on")]
fn refused() {
    let local = LOCAL;
    let _ = call::on(CpuId::BOOT, move || drop(local));
}

//= local/on-borrowed | E0277 | `Cell<i32>` cannot be shared between threads safely
#[cfg(refused = "local/on-borrowed")]
fn refused() {
    let cell = Cell::new(1);
    let _ = call::on(CpuId::BOOT, || cell.set(2));
}

//= local/on-value | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/on-value")]
fn refused() {
    let _ = call::on(CpuId::BOOT, || LOCAL);
}

//= local/on-each | E0277 | `Cell<i32>` cannot be shared between threads safely
#[cfg(refused = "local/on-each")]
fn refused() {
    let cell = Cell::new(1);
    let _ = call::on_each(&cpu::online(), |_| cell.set(2));
}

//= local/on-deadline | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/on-deadline")]
fn refused() {
    let local = LOCAL;
    let _ = call::on_deadline(CpuId::BOOT, SOON, move || drop(local));
}

//= local/on-deadline-value | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/on-deadline-value")]
fn refused() {
    let _ = call::on_deadline(CpuId::BOOT, SOON, || LOCAL);
}

//= local/launch | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/launch")]
fn refused() {
    let local = LOCAL;
    let _ = cpu::launch(CpuId::BOOT, move || drop(local));
}

//= local/after | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "local/after")]
fn refused() {
    let local = LOCAL;
    let _ = time::after(SOON, move || drop(local));
}

//= local/stop-machine-each | E0277 | `Cell<i32>` cannot be shared between threads safely
#[cfg(refused = "local/stop-machine-each")]
fn refused() {
    let cell = Cell::new(1);
    let _ = stop_machine_each(SOON, |_| cell.set(2));
}

// What may run after the caller has gone on borrows nothing from it.

//= borrowed/post | E0373 | closure may outlive the current function
#[cfg(refused = "borrowed/post")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = call::post(CpuId::BOOT, || local.store(1, Ordering::Relaxed));
}

//= borrowed/post-each | E0597 | `local` does not live long enough
#[cfg(refused = "borrowed/post-each")]
fn refused() {
    let local = AtomicU32::new(0);
    let lent = &local;
    let _ = call::post_each(&cpu::online(), move |_| lent.store(1, Ordering::Relaxed));
}

//= borrowed/on-deadline | E0373 | closure may outlive the current function
#[cfg(refused = "borrowed/on-deadline")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = call::on_deadline(CpuId::BOOT, SOON, || local.store(1, Ordering::Relaxed));
}

//= borrowed/launch | E0373 | closure may outlive the current function
#[cfg(refused = "borrowed/launch")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = cpu::launch(CpuId::BOOT, || local.store(1, Ordering::Relaxed));
}

//= borrowed/after | E0373 | closure may outlive the current function
#[cfg(refused = "borrowed/after")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = time::after(SOON, || local.store(1, Ordering::Relaxed));
}

//= borrowed/guard | E0505 | cannot move out of `lock` because it is borrowed
#[cfg(refused = "borrowed/guard")]
fn refused() {
    let lock = SpinLock::new(0);
    let guard = lock.lock();
    drop(lock);
    drop(guard);
}

//= borrowed/nmi | E0308 | expected fn pointer, found closure
#[cfg(refused = "borrowed/nmi")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = nmi::on_each(&cpu::online(), || local.store(1, Ordering::Relaxed));
}

//= borrowed/handler | E0308 | expected fn pointer, found closure
#[cfg(refused = "borrowed/handler")]
fn refused() {
    let local = AtomicU32::new(0);
    let _ = irq::register(32, irq::Trigger::Level, |intid| local.store(intid, Ordering::Relaxed));
}

//= borrowed/hook | E0308 | expected fn pointer, found closure
#[cfg(refused = "borrowed/hook")]
fn refused() {
    let local = AtomicU32::new(0);
    let hook = |_: &panic::CrashReport| loop {
        local.store(1, Ordering::Relaxed);
    };
    panic::set_action(panic::Action::Hook(hook));
}

// What all CPUs can reach they can share.

//= shared/percpu | E0277 | `Cell<u32>` cannot be shared between threads safely
#[cfg(refused = "shared/percpu")]
percpu! {
    static REFUSED: Cell<u32> = Cell::new(0);
}

//= shared/percpu-lock | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "shared/percpu-lock")]
percpu! {
    static REFUSED: Mutex<Local> = Mutex::new(LOCAL);
}

//= shared/spin-lock | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "shared/spin-lock")]
static REFUSED: SpinLock<Local> = SpinLock::new(LOCAL);

//= shared/mutex | E0277 | `\*const u8` cannot be sent between threads safely
#[cfg(refused = "shared/mutex")]
static REFUSED: Mutex<Local> = Mutex::new(LOCAL);

//= shared/template | E0133 | call to unsafe function `PerCpu::<T>::template` is unsafe
#[cfg(refused = "shared/template")]
static REFUSED: PerCpu<u32> = PerCpu::template(0);

//= shared/alignment | E0080 | a per-CPU variable is aligned to at most 128 bytes
#[cfg(refused = "shared/alignment")]
#[repr(align(256))]
struct Wide(u8);
#[cfg(refused = "shared/alignment")]
percpu! {
    static REFUSED: Wide = Wide(0);
}

// Nobody makes what stands for something of the machine.

//= made/cpu-id | E0423 | cannot initialize a tuple struct which contains private fields
#[cfg(refused = "made/cpu-id")]
fn refused() {
    let _ = CpuId(511);
}

//= made/cpu-id-from-index | E0624 | associated function `from_index` is private
#[cfg(refused = "made/cpu-id-from-index")]
fn refused() {
    let _ = CpuId::from_index(511);
}

//= made/cpu-set | E0423 | cannot initialize a tuple struct which contains private fields
#[cfg(refused = "made/cpu-set")]
fn refused() {
    let _ = CpuSet([u64::MAX; 8]);
}

//= made/cpu-set-first | E0624 | associated function `first` is private
#[cfg(refused = "made/cpu-set-first")]
fn refused() {
    let _ = CpuSet::first(512);
}

//= made/cpu-set-iter | E0451 | field `0` of struct `reveille::cpu::Iter` is private
#[cfg(refused = "made/cpu-set-iter")]
fn refused() {
    let _ = cpu::Iter { 0: loop {} };
}

//= made/site | E0451 | fields `site`, `target` and `key` of struct `(reveille::patch::)?SiteEntry` are private
#[cfg(refused = "made/site")]
fn refused() {
    let _ = reveille::patch::SiteEntry { site: 0, target: 0, key: 0 };
}

//= made/key-code | E0133 | use of inline assembly is unsafe
#[cfg(refused = "made/key-code")]
fn refused() -> bool {
    static KEY: u8 = 0;
    reveille::__static_key!(@asm "brk #0", KEY)
}

//= made/key-site | E0133 | use of inline assembly is unsafe
#[cfg(refused = "made/key-site")]
fn refused() -> bool {
    static KEY: u8 = 0;
    reveille::__static_key!(@site true, KEY)
}

//= made/key-default | | no rules expected
#[cfg(refused = "made/key-default")]
const ON: bool = true;
#[cfg(refused = "made/key-default")]
reveille::static_key!(REFUSED, ON);

//= made/main | E0308 | mismatched types
#[cfg(refused = "made/main")]
mod refused {
    reveille::entry!(other);
    fn other(_: u64) {}
}

//= entry/unknown | | `third` is not one of the keys
#[cfg(refused = "entry/unknown")]
mod refused {
    reveille::entry!(crate::main, third = crate::main);
}

//= entry/twice | E0080 | entry!: one of the keys `secondary` and `leaving`, once
#[cfg(refused = "entry/twice")]
mod refused {
    reveille::entry!(crate::main, secondary = reveille::cpu::idle_loop, secondary = reveille::cpu::idle_loop);
}

//= entry/stacks | E0080 | entry!: `stacks`: an exception stack has 8 KiB to 1 MiB, in whole pages of 4 KiB
#[cfg(refused = "entry/stacks")]
mod refused {
    use reveille::cpu::Stacks;
    reveille::entry!(crate::main, stacks = Stacks { exception: 9000, ..Stacks::DEFAULT });
}
#[cfg(refused = "entry/stacks")]
mod refused_too {
    use reveille::cpu::Stacks;
    reveille::entry!(crate::main, stacks = Stacks { thread: Stacks::MOST + 4096, ..Stacks::DEFAULT });
}

//= made/stop-report | E0451 | field `elapsed` of struct `StopReport` is private
#[cfg(refused = "made/stop-report")]
fn refused() {
    let _ = panic::StopReport { elapsed: 0 };
}
