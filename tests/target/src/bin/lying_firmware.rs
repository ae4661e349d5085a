//! Firmware that lies: every lie has its verdict, the machine works on, and an honest start later succeeds.
//!
//! With the shim at EL2 as firmware, and at least 4 CPUs. The bootarg `twice=WHEN` instead has a CPU that is in use
//! sent to its entry point again, and the panic report is the result. With the feature `el2` the only lie is the exception
//! level: a CPU comes at EL2, and the others, the boot CPU among them, live at EL1.

#![no_std]
#![no_main]

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, println};
use reveille_tests::lives::{self, await_run, is_penned, last_run, secondary};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{check, eventually, pause};

reveille::entry!(main, secondary = secondary);

/// Time for a start that is to succeed: machines that run tests are slow at times.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for one that is not.
const SHORT: Duration = Duration::from_millis(10);

/// High half of a context id.
const TAG: u64 = 0x5256_4c4c << 32;

fn main(system: &'static System) -> ExitCode {
    if !shim::is_present(system) || cpu::possible().len() < 4 {
        println!("lying_firmware: wants the shim as firmware, and 4 CPUs");
        return ExitCode::FAILURE;
    }
    let mut secondaries = cpu::possible().without(CpuId::BOOT).into_iter();
    let (Some(subject), Some(worker), Some(fresh)) =
        (secondaries.next(), secondaries.next(), secondaries.next())
    else {
        return ExitCode::FAILURE;
    };
    // Who arrives in time is to come online, however short that time was and however long its host lets it wait then.
    fault::limit_online(Some((Instant::from_ticks(0) + PATIENCE).ticks()));
    check(cpu_up(worker, PATIENCE) == Verdict::Online, "a start without lies succeeds");
    if let Some(when) = system.arg("twice") {
        let context = system.arg("context").unwrap_or("token");
        return twice(subject, when, context, system.arg("mmu") == Some("on"));
    }
    if cfg!(feature = "el2") {
        other_level(&Test { subject, worker }, fresh);
        println!("lying firmware: 1 cases, 0 wrong");
        return ExitCode::SUCCESS;
    }
    let test = Test { subject, worker };
    let mut cases = 0;
    for case in CASES {
        test.run(case);
        cases += 1;
    }
    for special in [unasked, unasked_again, stays, overtaken, stale, both_at_once, mmu_on] {
        special(&test);
        cases += 1;
    }
    unasked_first(&test, fresh);
    println!("lying firmware: {} cases, 0 wrong", cases + 1);
    ExitCode::SUCCESS
}

/// What a start under a lie may come to.
#[derive(Clone, Copy)]
enum Want {
    /// It comes online.
    Online,
    /// The verdict, and the CPU does not come.
    Never(Verdict),
    /// The verdict, and the CPU comes all the same, later; it may also have been quick enough to be online.
    Loses(Verdict),
}
use Want::{Loses, Never, Online};

struct Case {
    name: &'static str,
    plan: &'static [Plan],
    time: Duration,
    want: Want,
}

const fn case(name: &'static str, plan: &'static [Plan], time: Duration, want: Want) -> Case {
    Case { name, plan, time, want }
}

/// In this order: once a CPU has been seen in the pen, firmware's refusals are no longer final.
const CASES: &[Case] = &[
    case("honest", &[], PATIENCE, Online),
    case("NOT_SUPPORTED", &[always(-1)], SHORT, Never(Verdict::Refused(-1))),
    case("INVALID_PARAMETERS", &[always(-2)], SHORT, Never(Verdict::Refused(-2))),
    case("DENIED", &[always(-3)], SHORT, Never(Verdict::Refused(-3))),
    case("NOT_PRESENT", &[always(-7)], SHORT, Never(Verdict::Refused(-7))),
    case("DISABLED", &[always(-8)], SHORT, Never(Verdict::Refused(-8))),
    case("INVALID_ADDRESS", &[always(-9)], SHORT, Never(Verdict::Refused(-9))),
    case("a code that does not exist", &[always(-1234)], SHORT, Never(Verdict::Refused(-1234))),
    case("a positive code", &[always(7)], SHORT, Never(Verdict::Refused(7))),
    case("success, but never starts", &[always(0)], SHORT, Never(Verdict::Revoked)),
    case("ALREADY_ON 3 times", &[Plan::Answer { code: -4, times: 3 }], PATIENCE, Online),
    case("ON_PENDING 3 times", &[Plan::Answer { code: -5, times: 3 }], PATIENCE, Online),
    case("ALREADY_ON for ever", &[always(-4)], SHORT, Never(Verdict::Refused(-4))),
    case("ON_PENDING for ever", &[always(-5)], SHORT, Never(Verdict::Refused(-5))),
    case("ALREADY_ON, and starts", &[Plan::Say(-4)], PATIENCE, Online),
    case("ALREADY_ON, and starts late", &[Plan::Say(-4), Plan::Delay(5_000_000)], PATIENCE, Online),
    case("context id 0", &[replace(0)], PATIENCE, Online),
    case("context id of all ones", &[replace(u64::MAX)], PATIENCE, Online),
    case("context id at random", &[replace(0x9e37_79b9_7f4a_7c15)], PATIENCE, Online),
    case("context id cut to 32 bits", &[Plan::Context { keep: 0xffff_ffff, add: 0 }], PATIENCE, Online),
    case("late, but in time", &[Plan::Delay(5_000_000)], PATIENCE, Online),
    case("INTERNAL_FAILURE, and starts", &[Plan::Say(-6)], SHORT, Loses(Verdict::Refused(-6))),
    case(
        "INTERNAL_FAILURE, and starts late",
        &[Plan::Say(-6), Plan::Delay(30_000_000)],
        SHORT,
        Loses(Verdict::Refused(-6)),
    ),
    case("DENIED, and starts, with CPUs known to be in the pen", &[Plan::Say(-3)], PATIENCE, Online),
    case(
        "context id of the start before",
        &[Plan::Context { keep: u64::MAX, add: u64::MAX }],
        PATIENCE,
        Online,
    ),
    case("context id of the next start", &[Plan::Context { keep: u64::MAX, add: 1 }], PATIENCE, Online),
    case("context id of a start long ago", &[replace(TAG)], PATIENCE, Online),
    case("too late", &[Plan::Delay(30_000_000)], SHORT, Loses(Verdict::Revoked)),
    case(
        "too late, and without a token",
        &[Plan::Delay(30_000_000), replace(0)],
        SHORT,
        Loses(Verdict::Revoked),
    ),
    case("DENIED, with CPUs known to be in the pen", &[always(-3)], SHORT, Never(Verdict::Refused(-3))),
    case("never starts, with CPUs known to be in the pen", &[always(0)], SHORT, Never(Verdict::Revoked)),
];

const fn always(code: i32) -> Plan {
    Plan::Answer { code, times: u64::MAX }
}

/// Another context id.
const fn replace(add: u64) -> Plan {
    Plan::Context { keep: 0, add }
}

struct Test {
    subject: CpuId,
    worker: CpuId,
}

impl Test {
    /// The next start of the subject; returns the verdict, the generation, and what firmware did for it.
    #[track_caller]
    fn up(&self, time: Duration) -> (Verdict, u32, shim::Look) {
        let (slot, before) = (fault::slot(self.subject), shim::look(self.subject));
        let verdict = cpu_up(self.subject, time);
        let (now, after) = (fault::slot(self.subject), shim::look(self.subject));
        check(now.generation == slot.generation + 1, "every start has its own generation");
        let done = shim::Look {
            calls: after.calls - before.calls,
            starts: after.starts - before.starts,
            entries: after.entries - before.entries,
            ..after
        };
        (verdict, now.generation, done)
    }

    /// The machine works on: the worker runs what it is given.
    #[track_caller]
    fn works_on(&self) {
        static SUM: AtomicU64 = AtomicU64::new(0);
        let before = SUM.load(Ordering::Relaxed);
        let add = || {
            SUM.fetch_add(1, Ordering::Relaxed);
        };
        eventually("the worker takes a closure", || cpu::launch(self.worker, add).is_ok());
        eventually("the worker runs it", || SUM.load(Ordering::Relaxed) == before + 1);
    }

    /// An honest start succeeds, and the CPU can do what a CPU can do; afterwards it is off.
    #[track_caller]
    fn honest(&self) -> shim::Look {
        shim::plan(self.subject, Plan::Honest);
        let (verdict, generation, done) = self.up(PATIENCE);
        assert!(
            verdict == Verdict::Online,
            "an honest start after a lie: {verdict:?}, {:?}",
            fault::slot(self.subject)
        );
        await_run(self.subject);
        check(last_run(self.subject) == Some(generation), "the generation that was started runs");
        static MARK: AtomicU32 = AtomicU32::new(0);
        eventually("the CPU takes a closure", || {
            cpu::launch(self.subject, move || MARK.store(generation, Ordering::Release)).is_ok()
        });
        eventually("the CPU runs it", || MARK.load(Ordering::Acquire) == generation);
        lives::leave(self.subject);
        done
    }

    fn run(&self, case: &Case) {
        shim::plan(self.subject, Plan::Honest);
        for plan in case.plan {
            shim::plan(self.subject, *plan);
        }
        let (verdict, generation, done) = self.up(case.time);
        report(case.name, verdict, generation);
        self.works_on();
        let wrong = |what: &str| -> ! { panic!("{}: {verdict:?}, {done:?}: {what}", case.name) };
        match (case.want, verdict) {
            (Online | Loses(_), Verdict::Online) => {
                await_run(self.subject);
                if done.starts != 1 {
                    wrong("online without a start");
                }
                self.check_context(case, generation);
                lives::leave(self.subject);
            }
            (Never(want), got) if want == got => {
                if done.starts != 0 {
                    wrong("it was started");
                }
            }
            (Loses(want), got) if want == got => {
                eventually("it comes to the pen", || is_penned(self.subject, generation));
                self.check_revoked(generation);
            }
            _ => wrong("not the verdict that was expected"),
        }
        if let [Plan::Answer { times: 3, .. }] = case.plan
            && done.calls != 4
        {
            wrong("firmware was not asked again, or too often");
        }
        self.honest();
    }

    /// The lie about the context id was told.
    fn check_context(&self, case: &Case, generation: u32) {
        if let Some(&Plan::Context { keep, add }) = case.plan.last() {
            let told = ((TAG | u64::from(generation)) & keep).wrapping_add(add);
            let found = fault::crumbs(self.subject).map(|crumbs| crumbs.context);
            assert!(found == Some(told), "{}: arrived with {found:x?}, not {told:#x}", case.name);
        }
    }

    /// Start `generation` was called off, and the CPU never ran under it.
    #[track_caller]
    fn check_revoked(&self, generation: u32) {
        let slot = fault::slot(self.subject);
        check(
            slot.state == State::Revoked && slot.generation == generation,
            "what was called off stays called off",
        );
        check(last_run(self.subject) != Some(generation), "what was called off never ran");
    }
}

fn report(name: impl fmt::Display, verdict: Verdict, generation: u32) {
    println!("case {name}: {verdict:?} generation {generation}");
}

/// A CPU that left is started by nobody: it waits in the pen, and the next start is a word.
fn unasked(test: &Test) {
    let generation = fault::slot(test.subject).generation;
    check(shim::start(test.subject, TAG | u64::from(generation)) == 0, "firmware starts it");
    eventually("a CPU that nobody called waits in the pen", || is_penned(test.subject, generation));
    check(fault::slot(test.subject).state == State::Gone, "and its slot stays as it was");
    test.works_on();
    let done = test.honest();
    check(done.calls == 0, "firmware is not asked for a CPU in the pen");
    println!("case started by nobody: in the pen, then online");
}

/// The same with a context id that says nothing.
fn unasked_again(test: &Test) {
    let generation = fault::slot(test.subject).generation;
    check(shim::start(test.subject, 0) == 0, "firmware starts it");
    eventually("a CPU that nobody called waits in the pen", || is_penned(test.subject, generation));
    check(fault::slot(test.subject).state == State::Gone, "and its slot stays as it was");
    check(test.honest().calls == 0, "firmware is not asked for a CPU in the pen");
    println!("case started by nobody, without a token: in the pen, then online");
}

/// A CPU that never was called at all.
fn unasked_first(test: &Test, fresh: CpuId) {
    check(fault::slot(fresh).generation == 0, "nobody has called it yet");
    check(shim::start(fresh, 0x1234) == 0, "firmware starts it");
    eventually("a CPU that nobody called waits in the pen", || is_penned(fresh, 0));
    test.works_on();
    check(cpu_up(fresh, PATIENCE) == Verdict::Online, "it is brought up from the pen");
    await_run(fresh);
    check(shim::look(fresh).calls == 0, "firmware is not asked for a CPU in the pen");
    println!("case started by nobody, for the first time: in the pen, then online");
}

/// CPU_OFF is denied: the CPU waits in the pen instead.
fn stays(test: &Test) {
    shim::plan(test.subject, Plan::Honest);
    shim::plan(test.subject, Plan::Stay(-3));
    let (verdict, generation, _) = test.up(PATIENCE);
    check(verdict == Verdict::Online, "it starts");
    lives::leave(test.subject);
    check(is_penned(test.subject, generation), "a CPU that cannot be turned off is in the pen");
    test.works_on();
    check(test.honest().calls == 0, "firmware is not asked for a CPU in the pen");
    println!("case CPU_OFF denied: in the pen, then online");
}

/// The next start has begun when the CPU arrives with the token of the last: it goes over the pen, and comes online.
fn overtaken(test: &Test) {
    for (name, context) in
        [("the last start's token", None), ("no token", Some(0)), ("an older token", Some(TAG))]
    {
        shim::plan(test.subject, Plan::Honest);
        shim::plan(test.subject, Plan::Hold);
        if let Some(add) = context {
            shim::plan(test.subject, replace(add));
        }
        let (verdict, generation, first) = test.up(SHORT);
        check(verdict == Verdict::Revoked, "it is held, so it is too late");
        let subject = test.subject;
        let calls = shim::look(subject).calls;
        let release = move || {
            eventually("the next start begins", || shim::look(subject).calls > calls);
            shim::release(subject);
        };
        eventually("the worker takes a closure", || cpu::launch(test.worker, release).is_ok());
        let (verdict, next, second) = test.up(PATIENCE);
        report(format_args!("arrives in the middle of the next start with {name}"), verdict, next);
        check(verdict == Verdict::Online, "it comes online under the start that is under way");
        check(first.starts == 1 && second.starts == 0, "and was started once");
        await_run(test.subject);
        check(last_run(test.subject) == Some(next), "with the generation of that start");
        check(next == generation + 1, "which is the next one");
        lives::leave(test.subject);
        test.works_on();
        test.honest();
    }
}

/// The start was called off long ago when the CPU arrives, with whatever context id.
fn stale(test: &Test) {
    for (name, context) in [
        ("its token", None),
        ("no token", Some(0)),
        ("garbage", Some(0xdead_beef_dead_beef)),
        ("an older token", Some(TAG)),
        ("a newer token", Some(TAG | 0x0fff_ffff)),
    ] {
        shim::plan(test.subject, Plan::Honest);
        shim::plan(test.subject, Plan::Hold);
        if let Some(add) = context {
            shim::plan(test.subject, replace(add));
        }
        let (verdict, generation, _) = test.up(SHORT);
        check(verdict == Verdict::Revoked, "it is held, so it is too late");
        eventually("it is held", || shim::look(test.subject).stage == shim::HELD);
        shim::release(test.subject);
        eventually("it comes to the pen", || is_penned(test.subject, generation));
        test.check_revoked(generation);
        test.works_on();
        check(test.honest().calls == 0, "firmware is not asked for a CPU in the pen");
        report(format_args!("arrives after its start was called off, with {name}"), verdict, generation);
    }
}

/// Two CPUs start a third at the same moment: it is started once, and both see it online.
fn both_at_once(test: &Test) {
    static OTHER: AtomicU64 = AtomicU64::new(0);
    const ROUNDS: u32 = 20;
    shim::plan(test.subject, Plan::Honest);
    for round in 0..ROUNDS {
        OTHER.store(0, Ordering::Relaxed);
        let (subject, before) = (test.subject, shim::look(test.subject));
        let generation = fault::slot(subject).generation;
        let boot_at = move |begin| {
            while Instant::now() < begin {
                pause();
            }
            cpu_up(subject, PATIENCE)
        };
        let mut begin = Instant::now();
        eventually("the worker takes a closure", || {
            begin = Instant::now() + Duration::from_micros(200);
            let begin = begin;
            cpu::launch(test.worker, move || {
                let verdict = boot_at(begin);
                OTHER.store(1 + u64::from(verdict != Verdict::Online), Ordering::Release);
            })
            .is_ok()
        });
        let mine = boot_at(begin);
        eventually("the other has its verdict", || OTHER.load(Ordering::Acquire) != 0);
        check(mine == Verdict::Online && OTHER.load(Ordering::Acquire) == 1, "both see it online");
        check(fault::slot(subject).generation == generation + 1, "one of them started it");
        let after = shim::look(subject);
        check(
            after.starts == before.starts + 1 && after.calls == before.calls + 1,
            "and firmware was asked once",
        );
        lives::leave(subject);
        if round + 1 == ROUNDS {
            println!("case two booters at once, {ROUNDS} times: started once each time");
        }
    }
}

/// Firmware loses the context id of a CPU that was off for a moment only, and leaves its MMU on.
fn mmu_on(test: &Test) {
    shim::plan(test.subject, Plan::Honest);
    shim::plan(test.subject, Plan::MmuOn);
    shim::plan(test.subject, replace(0));
    for _ in 0..10 {
        let (verdict, generation, _) = test.up(PATIENCE);
        check(verdict == Verdict::Online, "it starts with the MMU on");
        check(fault::crumbs(test.subject).is_some_and(|crumbs| crumbs.context == 0), "and without a token");
        await_run(test.subject);
        lives::leave(test.subject);
        report("enters with the MMU on and no token", verdict, generation);
    }
    test.honest();
}

/// A CPU comes at EL2 where the others live at EL1, with what EL1 wants in its registers: it goes to the pen before it has
/// used anything of that, start after start, and each start is called off.
fn other_level(test: &Test, fresh: CpuId) {
    /// Far more than an arrival takes: one that is taken must not be called off first.
    const TIME: Duration = Duration::from_secs(2);
    shim::plan(test.subject, Plan::Honest);
    shim::plan(test.subject, Plan::AtEl2);
    for starts in [1, 0] {
        let (verdict, generation, done) = test.up(TIME);
        report("comes at EL2", verdict, generation);
        check(verdict == Verdict::Revoked, "who comes at another level than the others is called off");
        check(done.starts == starts, "the first time it is started, and then it is in the pen");
        eventually("it comes to the pen", || is_penned(test.subject, generation));
        test.check_revoked(generation);
        check(
            fault::crumbs(test.subject).is_some_and(|crumbs| crumbs.stage == 1),
            "and never turned its MMU on with what the others have",
        );
        test.works_on();
    }
    check(cpu_up(fresh, PATIENCE) == Verdict::Online, "others come online as ever");
}

/// Sends a CPU that is in use to its entry point again.
fn twice(subject: CpuId, when: &str, context: &'static str, keep_mmu: bool) -> ExitCode {
    let again = move |cpu: CpuId| {
        let generation = fault::slot(cpu).generation;
        let context = match context {
            "token" => TAG | u64::from(generation),
            "old" => TAG | u64::from(generation.wrapping_sub(1)),
            _ => 0,
        };
        shim::again(cpu, context, keep_mmu);
    };
    if when == "alive" {
        fault::before_online(Some(|cpu| {
            shim::again(cpu, TAG | u64::from(fault::slot(cpu).generation), false)
        }));
    }
    let verdict = cpu_up(subject, PATIENCE);
    match when {
        "idle" => {
            await_run(subject);
            again(subject);
            cpu::wake(subject);
        }
        // In its thread, here; and where it is idle there is nobody else to send it on its way.
        "boot" => again(CpuId::BOOT),
        "printing" => {
            /// Resets its CPU while that holds the lock of the console.
            struct Reset<F>(F);
            impl<F: Fn(CpuId)> fmt::Display for Reset<F> {
                fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                    (self.0)(cpu::current());
                    Ok(())
                }
            }
            await_run(subject);
            let launched = cpu::launch(subject, move || println!("this line is cut here {}", Reset(again)));
            check(launched.is_ok(), "the CPU is idle");
        }
        _ => println!("twice={when}: unknown, or it had no effect: {verdict:?}"),
    }
    let deadline = Deadline::after(PATIENCE);
    while !deadline.has_passed() {
        cpu::idle();
    }
    println!("nobody noticed that cpu {subject} was started twice: {:?}", fault::slot(subject));
    ExitCode::FAILURE
}
