//! Cross-calls: every form, from everywhere, to everywhere; results, order, refusals, memory.

#![no_std]
#![no_main]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::call::{self, CallError, POSTS_PER_CPU, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, System, irq, println};
use reveille_tests::{check, eventually, nothing_left, on_all_others, pause};

reveille::entry!(main);

reveille::percpu! {
    /// Closures that ran on this CPU.
    static RAN: AtomicU64 = AtomicU64::new(0);
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    values();
    broadcasts();
    posts();
    order();
    refusals();
    gate();
    exhaustion();
    masked_target();
    deadlines();
    mutual();
    ring();
    nothing_left();
    println!("calls: all good");
    ExitCode::SUCCESS
}

fn others() -> CpuSet {
    cpu::online().without(cpu::current())
}

fn values() {
    for cpu in cpu::online() {
        for round in 0..200_u64 {
            let mut local = [round; 8];
            let answer = call::on(cpu, || {
                check(cpu::current() == cpu, "a call runs where it was sent");
                check(irq::is_masked(), "a call runs with interrupts masked");
                local[3] += 1;
                local.iter().sum::<u64>()
            });
            check(answer == Ok(8 * round + 1), "a call brings its value back");
            check(local[3] == round + 1, "a call may write to the caller's stack");
        }
    }
}

fn broadcasts() {
    let all = cpu::online();
    let count = AtomicU32::new(0);
    for _ in 0..200 {
        count.store(0, Ordering::Relaxed);
        let offline = call::on_each(&all, |cpu| {
            check(cpu == cpu::current(), "each is told which CPU it runs on");
            count.fetch_add(1, Ordering::Relaxed);
        });
        check(offline == Ok(CpuSet::EMPTY), "nobody was offline");
        check(count.load(Ordering::Relaxed) as usize == all.len(), "each CPU ran it once");
    }
    check(call::on_each(&CpuSet::EMPTY, |_| panic!()) == Ok(CpuSet::EMPTY), "the empty set is nobody");
    let own = CpuSet::default();
    let mut own = own;
    own.insert(cpu::current());
    let ran = AtomicU32::new(0);
    check(
        call::on_each(&own, |_| _ = ran.fetch_add(1, Ordering::Relaxed)) == Ok(CpuSet::EMPTY)
            && ran.load(Ordering::Relaxed) == 1,
        "a set of oneself is oneself",
    );
}

fn posts() {
    let before: u64 = cpu::online().iter().map(|cpu| RAN.of(cpu).load(Ordering::Relaxed)).sum();
    let mut accepted = 0;
    for _ in 0..500 {
        for cpu in cpu::online() {
            if call::post(cpu, || _ = RAN.fetch_add(1, Ordering::Relaxed)).is_ok() {
                accepted += 1;
            }
        }
        let posted = call::post_each(&cpu::online(), |cpu| {
            check(cpu == cpu::current(), "each is told which CPU it runs on");
            RAN.fetch_add(1, Ordering::Relaxed);
        });
        check(posted.offline.is_empty(), "nobody is offline");
        check(
            posted.accepted.len() + posted.busy.len() == cpu::online().len(),
            "each is accepted or refused",
        );
        accepted += posted.accepted.len() as u64;
    }
    eventually("every accepted post runs", || {
        cpu::online().iter().map(|cpu| RAN.of(cpu).load(Ordering::Relaxed)).sum::<u64>() == before + accepted
    });
    println!("posts: {accepted} accepted, all ran");
}

fn order() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    for cpu in others() {
        LAST.store(0, Ordering::Relaxed);
        let mut sent = 0;
        for _ in 0..1000 {
            let number = sent + 1;
            let posted = call::post(cpu, move || {
                check(
                    LAST.swap(number, Ordering::Relaxed) == number - 1,
                    "posts run in the order of sending",
                );
            });
            match posted {
                Ok(()) => sent += 1,
                Err(error) => {
                    check(error.is_busy(), "an online CPU refuses only for want of nodes");
                    // A call is never refused, and waits behind the posts.
                    let seen = call::on(cpu, || LAST.load(Ordering::Relaxed));
                    check(seen == Ok(sent), "a call runs after the posts that were sent before it");
                }
            }
        }
        check(call::on(cpu, || LAST.load(Ordering::Relaxed)) == Ok(sent), "a call runs after all posts");
    }
}

fn refusals() {
    let Some(cpu) = others().iter().next() else { return };
    let masked = irq::mask();
    check(call::on(cpu, || ()) == Err(CallError::WouldDeadlock), "no call with interrupts masked");
    check(
        call::on_each(&cpu::online(), |_| ()) == Err(CallError::WouldDeadlock),
        "no broadcast with interrupts masked",
    );
    check(
        call::on_deadline(cpu, Duration::from_secs(1), || ()) == Err(CallError::WouldDeadlock),
        "no call with a deadline with interrupts masked",
    );
    check(call::post(cpu, || ()).is_ok(), "a post with interrupts masked");
    drop(masked);
    let inside = call::on(cpu, move || {
        let back = call::post(CpuId::BOOT, || ()).is_ok();
        (call::on(CpuId::BOOT, || ()), back, call::on(cpu, || ()))
    });
    check(
        inside == Ok((Err(CallError::WouldDeadlock), true, Err(CallError::WouldDeadlock))),
        "a callback may post but not call",
    );
    static IN_TIMER: AtomicU32 = AtomicU32::new(0);
    let set = time::after(Duration::from_millis(1), move || {
        let refused = call::on(cpu, || ()) == Err(CallError::WouldDeadlock);
        let posted = call::post(cpu, || ()).is_ok();
        IN_TIMER.store(1 + u32::from(refused && posted), Ordering::Relaxed);
    });
    check(set.is_ok(), "a timer can be set");
    eventually("the timer fires", || IN_TIMER.load(Ordering::Relaxed) != 0);
    check(IN_TIMER.load(Ordering::Relaxed) == 2, "a handler may post but not call");
}

/// The pattern of the mail of 2009: all callees wait for the caller to open a gate.
fn gate() {
    static WAITING: AtomicU32 = AtomicU32::new(0);
    static OPEN: AtomicU32 = AtomicU32::new(0);
    let others = others();
    for round in 1..=50 {
        WAITING.store(0, Ordering::Relaxed);
        let posted = call::post_each(&others, move |_| {
            WAITING.fetch_add(1, Ordering::Relaxed);
            while OPEN.load(Ordering::Acquire) < round {
                core::hint::spin_loop();
            }
            WAITING.fetch_sub(1, Ordering::Relaxed);
        });
        check(posted.accepted == others, "every post is accepted");
        eventually("all callees wait at the gate", || {
            WAITING.load(Ordering::Relaxed) as usize == others.len()
        });
        // The caller can still send, though none of them moves, and does not wait.
        for cpu in &others {
            check(call::post(cpu, || ()).is_ok(), "a post to a CPU that waits for the caller");
        }
        OPEN.store(round, Ordering::Release);
        eventually("all callees leave", || WAITING.load(Ordering::Relaxed) == 0);
    }
}

fn exhaustion() {
    let Some(cpu) = others().iter().next() else { return };
    static OPEN: AtomicU32 = AtomicU32::new(0);
    static COUNT: AtomicU32 = AtomicU32::new(0);
    eventually("the pool is full", || {
        // Nodes come back as their closures are taken up.
        OPEN.store(0, Ordering::Relaxed);
        COUNT.store(0, Ordering::Relaxed);
        check(call::on(cpu, || ()).is_ok(), "the queue is drained");
        let entered = AtomicU32::new(0);
        check(call::on(cpu, || entered.store(1, Ordering::Relaxed)).is_ok(), "it answers");
        call::post(cpu, || {
            while OPEN.load(Ordering::Acquire) == 0 {
                pause();
            }
        })
        .is_ok()
    });
    // That one has been taken up, or will be: its node comes back. All others are ours to fill.
    let mut sent: u32 = 0;
    eventually("as many posts are accepted as there are nodes", || {
        match call::post(cpu, || _ = COUNT.fetch_add(1, Ordering::Relaxed)) {
            Ok(()) => sent += 1,
            Err(PostError::Busy(_)) => {}
            Err(PostError::Offline(_)) => panic!("an online CPU is not offline"),
        }
        sent as usize == POSTS_PER_CPU
    });
    check(matches!(call::post(cpu, || ()), Err(PostError::Busy(_))), "and no more");
    check(COUNT.load(Ordering::Relaxed) == 0, "none of them has run");
    OPEN.store(1, Ordering::Release);
    check(call::on(cpu, || ()).is_ok(), "the CPU comes back");
    check(COUNT.load(Ordering::Relaxed) == sent, "every accepted post ran, once");
    check(call::post(cpu, || ()).is_ok(), "and the nodes are free again");
}

/// A target that masks interrupts until the post has been accepted, and a while longer.
fn masked_target() {
    let Some(cpu) = others().iter().next() else { return };
    static MASKED: AtomicU32 = AtomicU32::new(0);
    static POSTED: AtomicU32 = AtomicU32::new(0);
    static RAN_AT: AtomicU64 = AtomicU64::new(0);
    let hold = || {
        let masked = irq::mask();
        MASKED.store(1, Ordering::Relaxed);
        // A post that waited for this CPU would wait until it gives up.
        let limit = Deadline::after(Duration::from_secs(20));
        while POSTED.load(Ordering::Relaxed) == 0 && !limit.has_passed() {
            core::hint::spin_loop();
        }
        let until = Deadline::after(Duration::from_millis(300));
        while POSTED.load(Ordering::Relaxed) == 1 && !until.has_passed() {
            core::hint::spin_loop();
        }
        MASKED.store(0, Ordering::Relaxed);
        drop(masked);
    };
    eventually("an idle CPU takes a closure", || cpu::launch(cpu, hold).is_ok());
    eventually("the target masks", || MASKED.load(Ordering::Relaxed) == 1);
    let posted = call::post(cpu, || RAN_AT.store(Instant::now().ticks(), Ordering::Relaxed));
    check(posted.is_ok(), "a masked CPU takes a post");
    check(MASKED.load(Ordering::Relaxed) == 1, "the post did not wait for the target");
    POSTED.store(1, Ordering::Relaxed);
    check(call::on(cpu, || ()).is_ok(), "a call waits until it unmasks");
    check(MASKED.load(Ordering::Relaxed) == 0 && RAN_AT.load(Ordering::Relaxed) != 0, "then both have run");
}

fn deadlines() {
    let Some(cpu) = others().iter().next() else { return };
    for round in 0..100 {
        check(
            call::on_deadline(cpu, Duration::from_secs(10), move || round + 1) == Ok(round + 1),
            "a call with a deadline brings its value back",
        );
    }
    static HOLD: AtomicU32 = AtomicU32::new(0);
    static RAN_LATE: AtomicU32 = AtomicU32::new(0);
    for _ in 0..20 {
        HOLD.store(1, Ordering::Relaxed);
        let launched = cpu::launch(cpu, || {
            let masked = irq::mask();
            while HOLD.load(Ordering::Relaxed) == 1 {
                core::hint::spin_loop();
            }
            drop(masked);
            HOLD.store(2, Ordering::Relaxed);
        });
        if launched.is_err() {
            continue;
        }
        // It may or may not be masked yet; either is a legal outcome, but never both.
        let before = RAN_LATE.load(Ordering::Relaxed);
        let result = call::on_deadline(cpu, Duration::from_millis(5), || {
            RAN_LATE.fetch_add(1, Ordering::Relaxed);
        });
        HOLD.store(0, Ordering::Relaxed);
        eventually("the target unmasks", || HOLD.load(Ordering::Relaxed) == 2);
        check(call::on(cpu, || ()).is_ok(), "everything queued has been looked at");
        let ran = RAN_LATE.load(Ordering::Relaxed) - before;
        match result {
            Ok(()) => check(ran == 1, "a call that returned ran once"),
            Err(error) => {
                check(error == CallError::TimedOut, "a call to an online CPU can only time out");
                check(ran == 0, "a call that timed out never ran");
            }
        }
    }
}

/// Every CPU calls every other at once, from its thread context.
fn mutual() {
    static DONE: AtomicU32 = AtomicU32::new(0);
    let rounds = 200;
    let work = move || {
        let own = Cell::new(0_u64);
        for _ in 0..rounds {
            for cpu in cpu::online().without(cpu::current()) {
                let here = cpu::current();
                check(
                    call::on(cpu, move || (here, cpu::current())) == Ok((here, cpu)),
                    "mutual calls complete",
                );
                own.set(own.get() + 1);
            }
        }
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    on_all_others(work);
    work();
    eventually("all CPUs have called all others", || {
        DONE.load(Ordering::Relaxed) as usize == cpu::online().len()
    });
}

/// Each CPU calls its neighbour, all at once, round and round.
fn ring() {
    static DONE: AtomicU32 = AtomicU32::new(0);
    let work = || {
        let count = cpu::possible().len();
        let next = cpu::get((cpu::current().index() + 1) % count).expect("below the count");
        for round in 0..500_u64 {
            check(call::on(next, move || round) == Ok(round), "a ring of calls completes");
        }
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    on_all_others(work);
    work();
    eventually("the ring is done", || DONE.load(Ordering::Relaxed) as usize == cpu::online().len());
}
