//! The scenarios of Linux's scftorture: every CPU calls every other, in all ways at once, and everything is counted.
//!
//! Each CPU, in thread context, makes calls at random: to one CPU, to some, to all, waiting or not, to itself, with
//! deadlines, there and back, with interrupts masked now and then; what is posted posts on, and so do timers. A posted
//! closure carries the number that its sender gave it. Numbers go up, so each target can tell what comes twice or out
//! of order, and in the end both sides have counted, and summed up, the same numbers. A call that waits checks what it
//! lent to the other side and what it got back.
//!
//! Bootargs: `ops=N` operations, all CPUs together (default 100000), `seed=N`; `lose=N`: about one operation in N makes an
//! SGI get lost (default: none).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{LostSgi, lose_sgis, lost_sgis};
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, System, irq, println};
use reveille_tests::books::{self, Account, MOST, Wrong, accepted, add, next_number, scrambled};
use reveille_tests::{Random, argument, check, eventually, on_all_others};

reveille::entry!(main);

/// What the operations are, for the totals.
#[derive(Clone, Copy)]
enum Kind {
    Single,
    SingleWait,
    Many,
    ManyWait,
    All,
    AllWait,
    OnTime,
    TimedOut,
    ThereAndBack,
    Forwarded,
    FromTimer,
    Wake,
}

const KINDS: [(Kind, &str); 12] = [
    (Kind::Single, "single"),
    (Kind::SingleWait, "single, wait"),
    (Kind::Many, "many"),
    (Kind::ManyWait, "many, wait"),
    (Kind::All, "all"),
    (Kind::AllWait, "all, wait"),
    (Kind::OnTime, "deadline kept"),
    (Kind::TimedOut, "deadline passed"),
    (Kind::ThereAndBack, "there and back"),
    (Kind::Forwarded, "posted by a callback"),
    (Kind::FromTimer, "posted by a timer"),
    (Kind::Wake, "wake"),
];

/// What a CPU keeps of what it sent. Written by that CPU alone, interrupts masked, and read by others in the end; so all
/// of it is relaxed.
struct Sent {
    /// Posts that were refused.
    busy: AtomicU64,
    /// Its calls with a deadline: the number of the last one that is over.
    over: AtomicU64,
    /// What came back of what went there and back: the number.
    back: AtomicU64,
    /// Timers that are set.
    timers: AtomicU64,
    kinds: [AtomicU64; KINDS.len()],
}

/// What a CPU keeps of what it ran. As above.
struct Ran {
    doubled: AtomicU64,
    reordered: AtomicU64,
    /// What it does at random in interrupt context: the number of the next choice.
    random: AtomicU64,
}

reveille::percpu! {
    static SENT: Sent = Sent {
        busy: AtomicU64::new(0),
        over: AtomicU64::new(0),
        back: AtomicU64::new(0),
        timers: AtomicU64::new(0),
        kinds: [const { AtomicU64::new(0) }; KINDS.len()],
    };
    static RAN: Ran = Ran {
        doubled: AtomicU64::new(0),
        reordered: AtomicU64::new(0),
        random: AtomicU64::new(0),
    };
}

/// CPUs that have made all their calls.
static DONE: AtomicU32 = AtomicU32::new(0);

fn count(kind: Kind) {
    let _masked = irq::mask();
    add(&SENT.kinds[kind as usize], 1);
}

fn main(system: &'static System) -> ExitCode {
    let number = |name, default| argument(system, name, default);
    let (ops, seed, lose) = (number("ops", 100_000), number("seed", 1), number("lose", 0));
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let cpus = cpu::online();
    check(cpus.len() <= MOST, "there are at most 64 CPUs");
    for cpu in &cpus {
        RAN.of(cpu).random.store(scrambled(seed ^ (1 + cpu.index() as u64) << 32), Ordering::Relaxed);
    }
    let share = ops / cpus.len() as u64;
    println!("scf: {} CPUs, seed {seed}, {share} operations each", cpus.len());
    let start = Instant::now();
    let work = move || {
        work(share, seed, lose);
        DONE.fetch_add(1, Ordering::Release);
    };
    on_all_others(work);
    work();
    until("every CPU has made its calls", 3600, || DONE.load(Ordering::Acquire) as usize == cpus.len());
    let took = Instant::now() - start;
    // Nothing new begins any more, but for what callbacks post on: timers have fired, and are through.
    let deadline = Deadline::after(Duration::from_secs(10));
    while !books::is_quiet(&cpus, &[]) && !deadline.has_passed() {
        cpu::idle();
    }
    report(&cpus, took)
}

fn report(cpus: &CpuSet, took: Duration) -> ExitCode {
    let mut operations = 0;
    for (kind, name) in KINDS {
        let total: u64 =
            cpus.iter().map(|cpu| SENT.of(cpu).kinds[kind as usize].load(Ordering::Relaxed)).sum();
        println!("scf: {total:9} {name}");
        operations += total;
    }
    let mut lost = 0;
    let mut doubled: u64 = cpus.iter().map(|cpu| RAN.of(cpu).doubled.load(Ordering::Relaxed)).sum();
    let reordered: u64 = cpus.iter().map(|cpu| RAN.of(cpu).reordered.load(Ordering::Relaxed)).sum();
    let mut wrong = false;
    for account in books::accounts(cpus) {
        lost += account.lost();
        doubled = doubled.max(account.doubled());
        if !account.same {
            let Account { from, to, sent, ran, .. } = account;
            println!("scf: cpu {to} did not run what cpu {from} sent ({ran} of {sent})");
            wrong = true;
        }
    }
    let busy: u64 = cpus.iter().map(|cpu| SENT.of(cpu).busy.load(Ordering::Relaxed)).sum();
    let rate = u128::from(operations) * 1_000_000 / took.as_micros().max(1);
    println!(
        "scf: {busy} posts refused, {} SGIs lost; {rate} operations per second of guest time",
        lost_sgis()
    );
    println!("scf: {operations} operations, {lost} lost, {doubled} doubled, {reordered} reordered");
    if wrong || lost + doubled + reordered != 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Waits, interrupts open, this CPU idle.
fn until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let deadline = Deadline::after(Duration::from_secs(seconds));
    while !done() {
        check(!deadline.has_passed(), what);
        cpu::idle();
    }
}

fn pause(span: Duration) {
    let end = Deadline::after(span);
    while !end.has_passed() {
        core::hint::spin_loop();
    }
}

/// Posts to one CPU; what is posted is posted on so many `times`.
fn post(target: CpuId, times: u32, kind: Kind) -> bool {
    let _masked = irq::mask();
    let (own, number) = (cpu::current(), next_number());
    match call::post(target, move || ran(own, number, times)) {
        Ok(()) => {
            accepted(target, number);
            count(kind);
            true
        }
        Err(PostError::Busy(_)) => {
            add(&SENT.busy, 1);
            false
        }
        Err(PostError::Offline(_)) => panic!("cpu {target} is not offline"),
    }
}

/// Posts to some CPUs.
fn post_each(targets: &CpuSet, kind: Kind) {
    let _masked = irq::mask();
    let (own, number) = (cpu::current(), next_number());
    let posted = call::post_each(targets, move |target| {
        check(target == cpu::current(), "each is told which CPU it runs on");
        ran(own, number, 0);
    });
    check(posted.offline.is_empty(), "nobody is offline");
    check(posted.accepted.len() + posted.busy.len() == targets.len(), "each has accepted or refused");
    for target in &posted.accepted {
        accepted(target, number);
    }
    add(&SENT.busy, posted.busy.len() as u64);
    count(kind);
}

/// A posted closure runs.
fn ran(sender: CpuId, number: u64, times: u32) {
    check(irq::is_masked() && irq::in_interrupt(), "a posted closure runs in interrupt context");
    let ran = RAN.here();
    match books::runs(sender, number) {
        Ok(()) => {}
        Err(Wrong::Doubled) => add(&ran.doubled, 1),
        Err(Wrong::Reordered) => add(&ran.reordered, 1),
        Err(Wrong::Unseen) => panic!("a callee does not see what its sender wrote"),
    }

    add(&ran.random, 1);
    let choice = scrambled(ran.random.load(Ordering::Relaxed));
    // Now and then one takes long.
    if choice.is_multiple_of(256) {
        pause(Duration::from_micros(choice >> 32 & 31));
    }
    if times != 0 {
        post(any(choice >> 8), times - 1, Kind::Forwarded);
    }
    if choice % 64 == 1 {
        check(
            call::on(any(choice >> 8), || ()) == Err(CallError::WouldDeadlock),
            "no call that waits from a callback",
        );
    }
    books::ran(sender, number);
}

/// Some CPU, itself included.
fn any(random: u64) -> CpuId {
    cpu::get((random % cpu::possible().len() as u64) as usize).expect("below the number of CPUs")
}

/// Some CPUs, itself included, or not.
fn some(random: u64) -> CpuSet {
    cpu::possible().iter().filter(|cpu| random >> cpu.index() & 1 != 0).collect()
}

/// One CPU's share.
fn work(ops: u64, seed: u64, lose: u64) {
    let own = cpu::current();
    let others = cpu::online().without(own);
    let mut random = Random::new(scrambled(seed) ^ own.index() as u64);
    for _ in 0..ops {
        if lose != 0 && random.below(lose) == 0 {
            let kind = if random.below(4) == 0 { LostSgi::Wake } else { LostSgi::Call };
            lose_sgis(kind, any(random.number()), 1);
        }
        let choice = random.number();
        let low = choice % 128;
        match low {
            0..24 => {
                if !post(any(random.number()), 0, Kind::Single) && choice >> 20 & 3 == 0 {
                    // Lets the others get on.
                    cpu::wake(any(random.number()));
                }
            }
            24..32 => _ = post(any(random.number()), (choice >> 8 & 3) as u32, Kind::Single),
            32..64 => single_wait(any(random.number()), &mut random),
            64..72 => post_each(&some(random.number()), Kind::Many),
            72..80 => each_wait(&some(random.number()), Kind::ManyWait),
            80..84 => post_each(&others, Kind::All),
            84..88 => each_wait(&cpu::online(), Kind::AllWait),
            88..100 => deadline(any(random.number()), random.number()),
            100..106 => there_and_back(any(random.number())),
            106..112 => timer(random.number()),
            112..116 => {
                cpu::wake(any(random.number()));
                count(Kind::Wake);
            }
            // Interrupts masked for a while, in which it sends on.
            116..124 => {
                let masked = irq::mask();
                // Now and then more than it has nodes.
                let posts = if choice >> 8 & 15 == 0 { 20 } else { choice >> 8 & 3 };
                for _ in 0..posts {
                    post(any(random.number()), 1, Kind::Single);
                }
                pause(Duration::from_micros(choice >> 16 & 15));
                drop(masked);
            }
            // Nothing to do for a while.
            124..126 => {
                timer(random.number());
                cpu::idle();
            }
            _ => pause(Duration::from_micros(choice >> 16 & 15)),
        }
    }
    until("every timer fires", 60, || SENT.timers.load(Ordering::Relaxed) == 0);
}

/// A call that waits: the callee sees what the caller lent, the caller what the callee wrote there.
fn single_wait(target: CpuId, random: &mut Random) {
    let own = cpu::current();
    let lent = [random.number(), random.number()];
    let mut back = [0; 2];
    let mut times = 0;
    // Whatever was sent before has run by then.
    let before = if target == own { 0 } else { books::last_sent(target) };
    let answer = call::on(target, || {
        check(cpu::current() == target && irq::is_masked(), "a call runs where it was sent, masked");
        check(books::last_ran(own) >= before, "a call runs after earlier posts");
        back = [lent[1], lent[0]];
        times += 1;
        lent[0] ^ lent[1]
    });
    check(answer == Ok(lent[0] ^ lent[1]), "a call brings its value back");
    check(times == 1 && back == [lent[1], lent[0]], "a call runs once, and its caller sees what it wrote");
    count(Kind::SingleWait);
}

/// The same to several.
fn each_wait(targets: &CpuSet, kind: Kind) {
    let ran = AtomicU64::new(0);
    let doubled = AtomicU64::new(0);
    let offline = call::on_each(targets, |cpu| {
        check(cpu == cpu::current() && irq::is_masked(), "a call runs where it was sent, masked");
        let bit = 1 << cpu.index();
        if ran.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            doubled.fetch_add(1, Ordering::Relaxed);
        }
    });
    check(offline == Ok(CpuSet::EMPTY), "nobody is offline");
    let wanted = targets.iter().fold(0, |all, cpu| all | 1 << cpu.index());
    check(ran.into_inner() == wanted, "a call runs on each CPU of its set, and on no other");
    check(doubled.into_inner() == 0, "and once on each");
    count(kind);
}

/// A call that is taken back if it is not run in time: then it never runs.
fn deadline(target: CpuId, random: u64) {
    let own = cpu::current();
    let number = SENT.over.load(Ordering::Relaxed) + 1;
    let span = Duration::from_nanos(if random.is_multiple_of(4) { 50_000_000 } else { random >> 8 & 0x3fff });
    let result = call::on_deadline(target, span, move || {
        check(cpu::current() == target && irq::is_masked(), "a call runs where it was sent, masked");
        check(
            SENT.of(own).over.load(Ordering::Relaxed) == number - 1,
            "a call that was taken back, or has run, does not run",
        );
        number
    });
    SENT.over.store(number, Ordering::Relaxed);
    match result {
        Ok(answer) => {
            check(answer == number, "a call with a deadline brings its own value back");
            count(Kind::OnTime);
        }
        Err(CallError::TimedOut) => count(Kind::TimedOut),
        Err(error) => panic!("a call with a deadline to cpu {target}: {error}"),
    }
}

/// A post that is answered by a post.
fn there_and_back(target: CpuId) {
    let own = cpu::current();
    let number = SENT.back.load(Ordering::Relaxed) + 1;
    let there = move || {
        let back = move || SENT.of(own).back.store(number, Ordering::Relaxed);
        if let Err(refused) = call::post(own, back) {
            check(refused.is_busy(), "nobody is offline");
            // Refused, so it is ours to run.
            refused.into_inner()();
        }
    };
    if call::post(target, there).is_ok() {
        eventually("an answer comes back", || SENT.back.load(Ordering::Relaxed) == number);
        count(Kind::ThereAndBack);
    }
}

/// A timer that posts.
fn timer(random: u64) {
    let masked = irq::mask();
    let set = time::after(Duration::from_micros(random & 63), move || {
        post(any(random >> 8), 1, Kind::FromTimer);
        add(&SENT.timers, u64::MAX);
    });
    if set.is_ok() {
        add(&SENT.timers, 1);
    }
    drop(masked);
}
