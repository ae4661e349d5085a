//! What ends in a panic: tasks that do, of which the report says the name and the CPU, and what safe code can do wrong, each in a message that says what;
//! and what looks wrong and is not. The bootarg `case=NAME` chooses.

#![no_std]
#![no_main]

use core::future::pending;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use embassy_executor::SendSpawner;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::Timer;
use reveille::cpu::{self, CpuId};
use reveille::hotplug::cpu_down;
use reveille::{ExitCode, System, call, irq, nmi, power, println};
use reveille_embassy::{SpinRawMutex, leaving, spawner};
use reveille_tests::{check, come_to_idle, eventually};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

static DONE: AtomicU64 = AtomicU64::new(0);

fn done() {
    DONE.fetch_add(1, Ordering::Release);
}

reveille_embassy::task! {
    async fn fails_in_thread_mode() {
        Timer::after_millis(1).await;
        panic!("on purpose in a task");
    }

    async fn fails_in_interrupt_mode() {
        Timer::after_millis(1).await;
        panic!("on purpose in a task");
    }

    movable async fn fails_elsewhere() {
        let home = cpu::current();
        while cpu::current() == home {
            Timer::after_millis(1).await;
        }
        panic!("on purpose in a task, cpu {}", cpu::current());
    }

    async fn runs_executors() {
        reveille_embassy::run(|_| ());
    }

    movable async fn looks_for_its_executor() {
        let _ = SendSpawner::for_current_executor().await;
    }

    #[pool_size = 2]
    movable async fn waits() {
        pending().await
    }

    #[pool_size = 4]
    async fn counts() {
        Timer::after_millis(1).await;
        done();
    }

    async fn sends() {
        for number in 0..NUMBERS {
            CHANNEL.send(number).await;
        }
    }

    async fn receives() {
        for number in 0..NUMBERS {
            check(CHANNEL.receive().await == number, "each number comes once, and in order");
        }
        done();
    }

    async fn sleeps() {
        Timer::after_millis(1).await;
        println!("async_misuse: without a timer");
    }
}

static MUTEX: Mutex<SpinRawMutex, ()> = Mutex::new(());

/// What goes through a channel under the one critical section of all CPUs.
const NUMBERS: u64 = 1000;
static CHANNEL: Channel<CriticalSectionRawMutex, u64, 4> = Channel::new();

/// Does `f` at NMI level on `cpu`.
fn at_nmi_level(cpu: CpuId, f: fn()) {
    let left = nmi::on_each(&[cpu].into_iter().collect(), f);
    println!("async_misuse: survived at NMI level: {}", left.is_complete());
}

fn poll_by_hand(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

fn have(count: u64) {
    eventually("tasks are over", || DONE.load(Ordering::Acquire) == count);
}

fn spawn_to(cpu: CpuId) {
    let token = counts().expect("there is room");
    check(spawner(cpu).spawn(token).is_ok(), "an online CPU takes tasks");
}

/// What may look wrong.
fn allowed(other: CpuId) {
    // A mutex of a mutex: a channel may wake who looks at the same channel.
    let deep = MUTEX.lock(|()| MUTEX.lock(|()| MUTEX.lock(|()| irq::is_masked())));
    check(deep && !irq::is_masked(), "a mutex that is locked is let in again, and opened in the end");
    check(call::on(other, || MUTEX.lock(|()| ())) == Ok(()), "and nobody has it");
    let in_handler = call::on(other, || {
        MUTEX.lock(|()| MUTEX.lock(|()| spawn_to(cpu::current())));
    });
    check(in_handler == Ok(()), "tasks are spawned with it held, and in handlers");
    have(1);
    // From wherever.
    let masked = irq::mask();
    spawn_to(other);
    drop(masked);
    have(2);
    check(
        reveille::stop_machine(Duration::from_secs(1), || spawn_to(cpu::get(1).expect("four"))).is_ok(),
        "it stops",
    );
    have(3);
    // One that is at NMI level may wake: `cpu` sleeps, and its task is of the kind that only waits.
    static WAKER: reveille::sync::SpinLock<Option<Waker>> = reveille::sync::SpinLock::new(None);
    static PLACE: AtomicU64 = AtomicU64::new(0);
    reveille_embassy::task! {
        async fn is_woken() {
            let mut woken = false;
            core::future::poll_fn(|context| {
                if core::mem::replace(&mut woken, true) {
                    return core::task::Poll::Ready(());
                }
                *WAKER.lock() = Some(context.waker().clone());
                PLACE.store(1, Ordering::Release);
                core::task::Poll::Pending
            })
            .await;
            done();
        }
    }
    check(spawner(other).spawn(is_woken().expect("once")).is_ok(), "an online CPU takes tasks");
    eventually("it waits", || PLACE.load(Ordering::Acquire) == 1);
    come_to_idle(other);
    at_nmi_level(other, || {
        // Nobody has this lock: there is one who uses it.
        if let Some(mut waker) = WAKER.try_lock() {
            waker.take().into_iter().for_each(Waker::wake);
        } else {
            PLACE.store(2, Ordering::Relaxed);
        }
    });
    if PLACE.load(Ordering::Relaxed) == 2 {
        WAKER.lock().take().into_iter().for_each(Waker::wake);
    }
    have(4);
    // That is not promised, and breaks nothing.
    at_nmi_level(other, || spawn_to(cpu::current()));
    have(5);
    // Under the lock that `embassy-sync` brings, from thread mode to interrupt mode.
    let third = cpu::get(2).expect("four");
    check(spawner(third).spawn_interrupt(receives().expect("once")).is_ok(), "an online CPU takes tasks");
    check(spawner(other).spawn(sends().expect("once")).is_ok(), "an online CPU takes tasks");
    have(6);
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let other = cpu::get(1).expect("there are some");
    let here = CpuId::BOOT;
    let taken = |taken: bool| check(taken, "an online CPU takes tasks");
    match system.arg("case").unwrap_or("allowed") {
        "allowed" => {
            allowed(other);
            println!("async_misuse: all good");
            return ExitCode::SUCCESS;
        }
        "thread" => taken(spawner(other).spawn(fails_in_thread_mode().expect("once")).is_ok()),
        "interrupt" => {
            taken(spawner(other).spawn_interrupt(fails_in_interrupt_mode().expect("once")).is_ok())
        }
        "movable" => {
            taken(spawner(other).spawn_movable(fails_elsewhere().expect("once")).is_ok());
            check(cpu_down(other, Duration::from_secs(60)).is_ok(), "its task moves");
        }
        "run-in-task" => taken(spawner(other).spawn(runs_executors().expect("once")).is_ok()),
        "run-in-interrupt" => taken(spawner(other).spawn_interrupt(runs_executors().expect("once")).is_ok()),
        "run-in-handler" => _ = call::on(other, || reveille_embassy::run(|_| ())),
        "run-masked" => {
            let _masked = irq::mask();
            reveille_embassy::run(|_| ());
        }
        "executor-of-movable" => {
            taken(spawner(other).spawn_movable(looks_for_its_executor().expect("once")).is_ok());
        }
        "dropped" => drop(waits().expect("there is room")),
        "timer-by-hand" => poll_by_hand(Timer::after_millis(1)),
        "leaving-by-hand" => poll_by_hand(leaving()),
        "nmi-mutex" => at_nmi_level(other, || MUTEX.lock(|()| ())),
        "nmi-mutex-inside" => MUTEX.lock(|()| at_nmi_level(here, || MUTEX.lock(|()| ()))),
        "nmi-run" => at_nmi_level(other, || reveille_embassy::run(|_| ())),
        "no-timer" => taken(spawner(other).spawn(sleeps().expect("once")).is_ok()),
        other => panic!("what is the case {other}?"),
    }
    eventually("it ends", || DONE.load(Ordering::Relaxed) == u64::MAX);
    power::exit(ExitCode::FAILURE)
}
