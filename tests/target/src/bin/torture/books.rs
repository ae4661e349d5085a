//! The accounts of this run: what was begun on one CPU and has to end on another, once.

use crate::verdict::{self, Wrong, expect, violated};
use crate::{Event, bells, contexts, faults, long, maps, note};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::Deadline;
use reveille_tests::books::{self, Account, MOST, Pair};
use reveille_tests::pause;

pub use reveille_tests::books::{accepted, add, ended, last_ran, last_sent, next_number, ran, scrambled};

reveille::percpu! {
    /// Closures launched here, by whomever, those of which that is not sure yet, and those that ran.
    pub static LAUNCHED: AtomicU64 = AtomicU64::new(0);
    pub static LAUNCHING: AtomicU64 = AtomicU64::new(0);
    pub static LAUNCHES_RUN: AtomicU64 = AtomicU64::new(0);
    /// Timers set here, and those that have fired and are through.
    pub static TIMERS_SET: AtomicU64 = AtomicU64::new(0);
    pub static TIMERS_FIRED: AtomicU64 = AtomicU64::new(0);
    /// The same for interrupts of the physical timer: those that were wanted, and those that have been, or will not be any more.
    pub static TICKS_WANTED: AtomicU64 = AtomicU64::new(0);
    pub static TICKS_OVER: AtomicU64 = AtomicU64::new(0);
    /// Contexts made here, and those that ended here.
    pub static CONTEXTS_MADE: AtomicU64 = AtomicU64::new(0);
    pub static CONTEXTS_ENDED: AtomicU64 = AtomicU64::new(0);
    /// Deadlines of alarms of this CPU: those that were set, and those that it has fired for, or never will.
    pub static ALARMS_SET: AtomicU64 = AtomicU64::new(0);
    pub static ALARMS_OVER: AtomicU64 = AtomicU64::new(0);
    /// Calls with a deadline: those that were served, those that ran, and the number of the last one that is over.
    pub static SERVED: AtomicU64 = AtomicU64::new(0);
    pub static BEGUN: AtomicU64 = AtomicU64::new(0);
    pub static OVER: AtomicU64 = AtomicU64::new(0);
    /// Functions at NMI level that this CPU asked for, and those that ran here.
    pub static NMIS_ASKED: AtomicU64 = AtomicU64::new(0);
    pub static NMIS_RAN: AtomicU64 = AtomicU64::new(0);
    /// How often this CPU took the locks.
    pub static LOCKED: AtomicU64 = AtomicU64::new(0);
    /// What went there and came back: the number.
    pub static BACK: AtomicU64 = AtomicU64::new(0);
    /// Per-CPU data that is only there to be right.
    pub static LOCAL: AtomicU64 = AtomicU64::new(0);
    /// It has come to rest.
    static RESTS: AtomicBool = AtomicBool::new(false);
}

/// What each CPU's [`LOCAL`] should be.
pub static EXPECTED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// The locks, and what they keep.
pub static SPIN: SpinLock<u64> = SpinLock::new(0);
pub static MUTEX: Mutex<u64> = Mutex::new(0);

/// Reads a counter.
pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What is begun on one side and ends on the other, beside posts. Each is entered where it is begun, in the same masked section
/// or by a thread, and counts its end last: [`books::is_quiet`] relies on both.
const PAIRS: [(&str, Pair); 7] = [
    ("closures", (&LAUNCHED, &LAUNCHES_RUN)),
    ("timers", (&TIMERS_SET, &TIMERS_FIRED)),
    ("wanted interrupts", (&TICKS_WANTED, &TICKS_OVER)),
    ("calls with a deadline", (&SERVED, &BEGUN)),
    ("functions at NMI level", (&NMIS_ASKED, &NMIS_RAN)),
    ("contexts", (&CONTEXTS_MADE, &CONTEXTS_ENDED)),
    ("deadlines of alarms", (&ALARMS_SET, &ALARMS_OVER)),
];

/// A post begins to run here.
pub fn runs(sender: CpuId, number: u64) {
    note(Event::Ran, [sender.index() as u64, number]);
    let wrong = match books::runs(sender, number) {
        Ok(()) => return,
        Err(books::Wrong::Doubled) => Wrong::Doubled,
        Err(books::Wrong::Reordered | books::Wrong::Unseen) => Wrong::Reordered,
    };
    violated(wrong, format_args!("post {number} of cpu {sender}: {wrong:?}"));
}

/// What `cpu` had accepted and did not do, or did too often: which way it is wrong, what, how much of it there was, how
/// much ran.
fn left_undone(cpu: CpuId) -> Option<(Wrong, &'static str, u64, u64)> {
    // First: as long as somebody is about to launch a closure there, or to count it, nobody can tell. Acquire: pairs with
    // the launcher's.
    let quiet = LAUNCHING.of(cpu).load(Ordering::Acquire) == 0;
    let closures = (get(LAUNCHED.of(cpu)), get(LAUNCHES_RUN.of(cpu)));
    let rings = bells::left_unanswered(cpu);
    let posts =
        cpu::possible().iter().map(|from| Account::of(from, cpu)).find(|account| account.sent != account.ran);
    [
        ("posts", posts.map_or((0, 0), |account| (account.sent, account.ran))),
        ("closures", if quiet { closures } else { (0, 0) }),
        ("timers", (get(TIMERS_SET.of(cpu)), get(TIMERS_FIRED.of(cpu)))),
        (
            "rings, of which the last that was heard and the last that was found are told",
            rings.unwrap_or((0, 0)),
        ),
    ]
    .into_iter()
    .find(|(_, (begun, ran))| begun != ran)
    .map(|(what, (begun, ran))| (if begun > ran { Wrong::Lost } else { Wrong::Doubled }, what, begun, ran))
}

/// `cpu` has just been taken down: whatever it had accepted has run. Says nothing if it is coming back already.
pub fn check_gone(cpu: CpuId) {
    let before = fault::slot(cpu);
    if before.state != State::Gone {
        return;
    }
    let found = left_undone(cpu);
    if fault::slot(cpu) != before {
        return;
    }
    if let Some((wrong, what, begun, ran)) = found {
        violated(wrong, format_args!("cpu {cpu} has left: of {begun} {what}, {ran} ran"));
    }
}

/// `own` comes up, and can accept nothing yet: all that it had accepted in its former lives has run.
pub fn check_comes(own: CpuId) {
    if fault::slot(own).state == State::Online {
        // It could not leave, and has never been closed.
        return;
    }
    if let Some((wrong, what, begun, ran)) = left_undone(own) {
        violated(
            wrong,
            format_args!("cpu {own} comes back: of {begun} {what} in its former lives, {ran} ran"),
        );
    }
}

/// Whether a launched closure waits for this CPU.
pub fn is_launched() -> bool {
    get(&LAUNCHED) != get(&LAUNCHES_RUN)
}

/// Whether `cpu` has no operation under way any more: it runs what is launched there.
pub fn rests(cpu: CpuId) -> bool {
    if !RESTS.of(cpu).load(Ordering::Acquire) {
        // Its answer comes later, if this is taken at all.
        let _ = cpu::launch(cpu, || RESTS.store(true, Ordering::Release));
    }
    RESTS.of(cpu).load(Ordering::Acquire)
}

/// Waits until everything that was begun has ended, and if it does not, says so.
pub fn close(own: CpuId) {
    let limit = Deadline::after(long());
    let cpus = cpu::possible();
    let pairs = PAIRS.map(|(_, pair)| pair);
    // Every CPU rests, so no thread begins anything.
    let is_quiet = || books::is_quiet(&cpus, &pairs) && bells::are_quiet();
    while !is_quiet() && !limit.has_passed() {
        if is_launched() {
            cpu::idle();
        }
        contexts::wake_one();
        if !contexts::yield_now() {
            pause();
        }
    }
    let sums = || PAIRS.map(|(what, (begun, ran))| (what, books::sum(&cpus, begun), books::sum(&cpus, ran)));
    let moved = || books::accounts(&cpus).map(|account| account.sent + account.ran).sum::<u64>();
    let (before, until) = ((sums(), moved()), Deadline::after(4 * faults::lingers()));
    while !until.has_passed() {
        pause();
    }
    expect((sums(), moved()) == before, Wrong::Lost, "nothing moves once the books are closed");
    let mut what_is_wrong = None;
    for (what, begun, ran) in sums() {
        verdict::add(Wrong::Lost, begun.saturating_sub(ran));
        verdict::add(Wrong::Doubled, ran.saturating_sub(begun));
        if begun != ran {
            what_is_wrong = Some((what, own, own, begun, ran));
        }
    }
    for account in books::accounts(&cpus) {
        verdict::add(Wrong::Lost, account.lost());
        verdict::add(Wrong::Doubled, account.doubled());
        if account.sent != account.ran || !account.same {
            what_is_wrong = Some(("posts", account.from, account.to, account.sent, account.ran));
            if account.sent == account.ran {
                // One for another.
                verdict::add(Wrong::Lost, 1);
                verdict::add(Wrong::Doubled, 1);
            }
        }
    }
    if let Some((what, from, to, begun, ran)) = what_is_wrong {
        panic!("{what} from cpu {from} to cpu {to}: {begun} begun, {ran} ran");
    }
    bells::close();
    contexts::close();
    maps::close();
    let limit = Deadline::after(long());
    for cpu in &cpus {
        // Whoever closes the books is pinned.
        let left = || fault::left_behind(cpu).filter(|what| cpu != own || *what != fault::A_PIN);
        // The watchdog may be asking a CPU that stood still with its host.
        while left().is_some() && !limit.has_passed() {
            pause();
        }
        if let Some(what) = left() {
            violated(Wrong::Lost, format_args!("cpu {cpu} has {what} left"));
        }
    }
    // One after the other: a mutex is not for sections with interrupts masked.
    let spin = *SPIN.lock();
    let mutex = *MUTEX.lock();
    let locked = books::sum(&cpus, &LOCKED);
    if spin != locked || mutex != locked {
        violated(
            Wrong::Lost,
            format_args!("locked {locked} times: {spin} by the spin lock, {mutex} by the mutex"),
        );
    }
    for cpu in &cpus {
        let (found, expected) = (get(LOCAL.of(cpu)), get(&EXPECTED[cpu.index()]));
        if found != expected {
            violated(Wrong::Lost, format_args!("cpu {cpu}: {found} in its own data, not {expected}"));
        }
    }
}
