//! Per-CPU variables: instances of their own, initial values, alignment, the way to another CPU's.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId, PerCpu};
use reveille::sync::SpinLock;
use reveille::{ExitCode, System, call, hotplug, println};
use reveille_tests::{check, on_all_others};

reveille::entry!(main);

/// Asks for more room than it needs.
#[repr(C, align(128))]
struct Wide(AtomicU8);

/// Holds what has to be relocated: the image does not run where it was linked.
struct Pointers {
    name: &'static str,
    names: &'static [&'static str],
    double: fn(u64) -> u64,
    target: &'static AtomicU64,
}

fn double(number: u64) -> u64 {
    2 * number
}

static SHARED: AtomicU64 = AtomicU64::new(0);

reveille::percpu! {
    static BYTE: AtomicU8 = AtomicU8::new(0xa5);
    static WIDE: Wide = Wide(AtomicU8::new(0x5a));
    /// Between the others, so that there is something to be overwritten.
    static ODD: [AtomicU8; 3] = [AtomicU8::new(1), AtomicU8::new(2), AtomicU8::new(3)];
    static COUNT: AtomicU64 = AtomicU64::new(0xdead_beef_0000_0000);
    static LOCKED: SpinLock<[u32; 4]> = SpinLock::new([1, 2, 3, 4]);
    static ZERO: [AtomicU32; 100] = [const { AtomicU32::new(0) }; 100];
    static POINTERS: Pointers =
        Pointers { name: "a name", names: &["one", "two", "three"], double, target: &SHARED };
    /// Alive from module to module like any static.
    pub static PUBLIC: AtomicU32 = AtomicU32::new(7);
}

fn main(system: &'static System) -> ExitCode {
    // Before any other CPU runs: every instance is there.
    for cpu in cpu::possible() {
        initial(cpu);
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    distinct();
    let count = cpu::online().len() as u64;
    static DONE: AtomicU32 = AtomicU32::new(0);
    let work = || {
        initial(cpu::current());
        write();
        DONE.fetch_add(1, Ordering::Release);
    };
    on_all_others(work);
    work();
    while DONE.load(Ordering::Acquire) as u64 != count {
        cpu::idle();
    }
    for cpu in cpu::online() {
        check(as_written(cpu), "another CPU's variables read as it wrote them");
        check(
            call::on(cpu, || as_written(cpu::current())) == Ok(true),
            "in a callback they are those of its CPU",
        );
        COUNT.of(cpu).fetch_add(1, Ordering::Relaxed);
        check(
            call::on(cpu, || COUNT.load(Ordering::Relaxed)) == Ok(ROUNDS + 1),
            "a CPU sees what others add",
        );
    }
    check(
        SHARED.load(Ordering::Relaxed) == count,
        "a pointer in a per-CPU variable leads to one place for all",
    );
    if let Some(cpu) = cpu::online().without(CpuId::BOOT).iter().last() {
        check(hotplug::cpu_down(cpu, Duration::from_secs(20)).is_ok(), "a CPU leaves");
        check(COUNT.of(cpu).load(Ordering::Relaxed) == ROUNDS + 1, "what it had stays");
        check(cpu_up(cpu, Duration::from_secs(20)) == Verdict::Online, "it comes back");
        check(
            call::on(cpu, || COUNT.load(Ordering::Relaxed)) == Ok(ROUNDS + 1),
            "and finds its variables as it left them",
        );
    }
    println!("locals: all good");
    ExitCode::SUCCESS
}

const ROUNDS: u64 = 1000;

/// All variables of `cpu` are as they were declared.
fn initial(cpu: CpuId) {
    let good = BYTE.of(cpu).load(Ordering::Relaxed) == 0xa5
        && WIDE.of(cpu).0.load(Ordering::Relaxed) == 0x5a
        && ODD.of(cpu).each_ref().map(|byte| byte.load(Ordering::Relaxed)) == [1, 2, 3]
        && COUNT.of(cpu).load(Ordering::Relaxed) == 0xdead_beef_0000_0000
        && *LOCKED.of(cpu).lock() == [1, 2, 3, 4]
        && ZERO.of(cpu).iter().all(|word| word.load(Ordering::Relaxed) == 0)
        && PUBLIC.of(cpu).load(Ordering::Relaxed) == 7;
    check(good, "a variable begins with its initial value");
    let pointers = POINTERS.of(cpu);
    check(
        pointers.name == "a name" && pointers.names == ["one", "two", "three"],
        "a pointer leads where it did",
    );
    check((pointers.double)(21) == 42, "so does one to a function");
    check(core::ptr::eq(pointers.target, &SHARED), "so does one to a static");
}

fn address<T: Sync + 'static>(variable: &'static PerCpu<T>, cpu: CpuId) -> (usize, usize) {
    let instance = variable.of(cpu);
    check(
        core::ptr::from_ref(instance).addr().is_multiple_of(align_of::<T>()),
        "an instance is aligned as its type is",
    );
    (core::ptr::from_ref(instance).addr(), size_of::<T>())
}

/// No two instances overlap.
fn distinct() {
    let instances = |cpu| {
        [
            address(&BYTE, cpu),
            address(&WIDE, cpu),
            address(&ODD, cpu),
            address(&COUNT, cpu),
            address(&LOCKED, cpu),
            address(&ZERO, cpu),
            address(&POINTERS, cpu),
            address(&PUBLIC, cpu),
        ]
    };
    for a in cpu::possible() {
        for b in cpu::possible() {
            for (i, one) in instances(a).into_iter().enumerate() {
                for (j, other) in instances(b).into_iter().enumerate() {
                    let apart = one.0 + one.1 <= other.0 || other.0 + other.1 <= one.0;
                    check(apart || (a, i) == (b, j), "two instances do not overlap");
                }
            }
        }
    }
    let own = cpu::current();
    check(
        core::ptr::eq(COUNT.here(), COUNT.of(own)) && core::ptr::eq(&*COUNT, COUNT.of(own)),
        "one's own is one's own",
    );
}

/// Changes all variables of this CPU, as others do at the same time to theirs.
fn write() {
    let own = cpu::current().index();
    SHARED.fetch_add(1, Ordering::Relaxed);
    COUNT.store(0, Ordering::Relaxed);
    for _ in 0..ROUNDS {
        COUNT.store(COUNT.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    BYTE.store(own as u8, Ordering::Relaxed);
    WIDE.0.store(!own as u8, Ordering::Relaxed);
    ODD[1].store(own as u8, Ordering::Relaxed);
    *LOCKED.lock() = [own as u32; 4];
    ZERO[99].store(own as u32, Ordering::Relaxed);
}

fn as_written(cpu: CpuId) -> bool {
    let index = cpu.index();
    COUNT.of(cpu).load(Ordering::Relaxed) == ROUNDS
        && BYTE.of(cpu).load(Ordering::Relaxed) == index as u8
        && WIDE.of(cpu).0.load(Ordering::Relaxed) == !index as u8
        && ODD.of(cpu).each_ref().map(|byte| byte.load(Ordering::Relaxed)) == [1, index as u8, 3]
        && *LOCKED.of(cpu).lock() == [index as u32; 4]
        && ZERO.of(cpu)[98].load(Ordering::Relaxed) == 0
        && ZERO.of(cpu)[99].load(Ordering::Relaxed) == index as u32
        && PUBLIC.of(cpu).load(Ordering::Relaxed) == 7
}
