//! Deadlines that fall just when the CPU comes: whoever wins, both sides agree on it.
//!
//! Bootargs: `race=arrive` (default), a CPU that arrives against the booter that calls its start off; or `race=online`,
//! a CPU that comes online against the booter that declares it wedged. `rounds=N` (default 400), `seed=S` (default 1).
//! The last line says how often which side won; the run fails if one of them had less than a tenth.
//!
//! Where the deadline has to lie depends on the machine, so it follows the outcomes, with a spread around it.
//!
//! Under counted instructions CPUs take turns, and a turn ends when a timer is due. `slice=N` makes the last CPU set its
//! timer again and again, to a time within N ticks that is as random as the seed: all CPUs then advance by a few
//! instructions at a time, and where one is interrupted is different in every round, and the same in every run.
//!
//! A CPU that firmware has just started arrives before its booter has had time to look. With the shim as firmware
//! `delay=N` has it come N ticks later, when the booter is waiting.

#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet, LaunchError};
use reveille::fault::{self, State};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, println};
use reveille_tests::lives::{self, await_run, is_penned, last_run, secondary};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{Random, check, eventually, pause, set_patience};

reveille::entry!(main, secondary = secondary);

/// Time for a start that is to succeed: machines that run tests are slow at times.
const PATIENCE: Duration = Duration::from_secs(20);

fn main(system: &'static System) -> ExitCode {
    let number = |name: &str, default: u64| match system.arg(name) {
        None => default,
        Some(value) => match value.parse() {
            Ok(number) => number,
            Err(_) => panic!("{name}={value}: not a number"),
        },
    };
    let (rounds, seed) = (number("rounds", 400), number("seed", 1));
    let numbers = Random::new(seed);
    let mut secondaries = cpu::possible().without(CpuId::BOOT);
    let slice = number("slice", 0);
    if slice != 0 {
        let last = secondaries.into_iter().last().unwrap_or(CpuId::BOOT);
        secondaries.remove(last);
        beat(last, slice, seed);
        // Guest time is dear then, and nothing has to wait for a busy host.
        set_patience(Duration::from_millis(50));
    }
    check(!secondaries.is_empty(), "there are CPUs to race");
    match system.arg("race").unwrap_or("arrive") {
        "arrive" => {
            let delay = number("delay", 0);
            if delay != 0 {
                check(shim::is_present(system), "the firmware is one that can delay a start");
                secondaries.into_iter().for_each(|cpu| shim::plan(cpu, Plan::Delay(delay)));
            }
            // Without firmware to turn them off, CPUs that leave wait in the pen.
            arrive(secondaries, rounds, numbers, system.machine().psci.is_err())
        }
        "online" => online(secondaries, rounds, numbers),
        other => panic!("race={other}: unknown"),
    }
}

/// A time that is sought: where both outcomes come up alike. Long strides until both have been seen.
struct Middle {
    ticks: u64,
    stride: u64,
    last: Option<bool>,
    /// So many times "too short" count as one "too long".
    weight: u64,
}

impl Middle {
    fn new(ticks: u64, weight: u64) -> Self {
        Self { ticks, stride: 2, last: None, weight }
    }

    /// It was too short, or too long.
    fn learn(&mut self, too_short: bool) {
        if self.last.replace(too_short) == Some(!too_short) {
            self.stride = (self.stride * 2).min(16);
        }
        let step = self.ticks / self.stride + 1;
        self.ticks = if too_short { self.ticks + step / self.weight } else { (self.ticks - step).max(16) };
    }
}

/// Has `cpu` end everybody's turn every few instructions, from now on; see above.
fn beat(cpu: CpuId, slice: u64, seed: u64) {
    check(cpu_up(cpu, PATIENCE) == Verdict::Online, "a start without a deadline succeeds");
    let beat = move || {
        let mut numbers = Random::new(!seed);
        loop {
            let ticks = 1 + numbers.below(slice);
            // SAFETY: EL1 may use the physical timer; at EL2 the same names mean EL1's, which nobody else uses either.
            // Its interrupt is masked in its control register. WFE ends the turn, and touches nothing.
            unsafe {
                asm!(
                    "mrs {now}, cntpct_el0",
                    "add {now}, {now}, {ticks}",
                    "msr cntp_cval_el0, {now}",
                    "msr cntp_ctl_el0, {on}",
                    "isb",
                    "wfe",
                    now = out(reg) _, ticks = in(reg) ticks, on = in(reg) 3_u64,
                    options(nomem, nostack, preserves_flags)
                );
            }
        }
    };
    eventually("a CPU that is online takes a closure", || cpu::launch(cpu, beat).is_ok());
}

/// A number most often close to `middle`, and sometimes anywhere up to twice that.
fn around(middle: u64, numbers: &mut Random) -> u64 {
    let reach = middle / [1, 4, 16, 64][numbers.below(4) as usize];
    middle - reach + numbers.below(2 * reach + 1)
}

fn ticks(duration: Duration) -> u64 {
    (Instant::from_ticks(0) + duration).ticks()
}

fn until(ticks: u64) -> Deadline {
    Deadline::at(Instant::from_ticks(Instant::now().ticks() + ticks))
}

/// The one line that counts.
struct Tally {
    race: &'static str,
    rounds: u64,
    won: u64,
    lost: u64,
}

impl Tally {
    fn exit_code(&self) -> ExitCode {
        let decided = self.won + self.lost;
        ExitCode::from(decided != 0 && self.won * 10 >= decided && self.lost * 10 >= decided)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "collide: race {} rounds {}: {} came first, {} came too late",
            self.race, self.rounds, self.won, self.lost
        )
    }
}

/// A CPU comes from firmware after a life, and from the pen after a start that was called off, or if nothing turned it off:
/// the two take different times and different paths.
struct Origin {
    name: &'static str,
    /// Limit to arrive.
    middle: Middle,
    won: u64,
    /// The losers by how far they had come when it was all over: not entered, entered, about to turn the MMU on or
    /// further.
    lost: [u64; 3],
}

impl Origin {
    fn new(name: &'static str, span: u64) -> Self {
        Self { name, middle: Middle::new(span, 1), won: 0, lost: [0; 3] }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, middle, won, lost: [off, entered, further] } = self;
        write!(
            f,
            "collide: from {name}: {won} came first, too late were {off} before entry, {entered} after, "
        )?;
        write!(f, "{further} with the MMU on or nearly; limits around {} ticks", middle.ticks)
    }
}

/// `Kicked` to `Alive` by the CPU, or to `Revoked` by the booter. `always_penned`: nothing turns a CPU off here.
fn arrive(cpus: CpuSet, rounds: u64, mut numbers: Random, always_penned: bool) -> ExitCode {
    let mut span = 0;
    for cpu in cpus {
        let begun = Instant::now();
        check(cpu_up(cpu, PATIENCE) == Verdict::Online, "a start without a deadline succeeds");
        span = Instant::now().ticks() - begun.ticks();
        lives::leave(cpu);
    }
    // Who arrives in time is to come online, however short that time was.
    fault::limit_online(Some(ticks(PATIENCE)));
    let mut origins = [Origin::new("firmware", span), Origin::new("the pen", span)];
    for (_, cpu) in (0..rounds).zip(core::iter::repeat_with(|| cpus.into_iter()).flatten()) {
        let before = fault::slot(cpu);
        let penned = is_penned(cpu, before.generation);
        check(
            penned == (always_penned || before.state == State::Revoked),
            "after a lost race a CPU waits in the pen, otherwise it is off",
        );
        let origin = &mut origins[usize::from(penned)];
        let stage = arrive_once(cpu, around(origin.middle.ticks, &mut numbers));
        origin.middle.learn(stage.is_some());
        match stage {
            None => origin.won += 1,
            Some(stage) => origin.lost[stage] += 1,
        }
    }
    // Nobody has come to life since.
    for cpu in cpus {
        let slot = fault::slot(cpu);
        check(matches!(slot.state, State::Gone | State::Revoked), "a CPU is gone or called off");
        if slot.state == State::Revoked {
            check(last_run(cpu) != Some(slot.generation), "who lost the last race never ran");
        }
        check(cpu_up(cpu, PATIENCE) == Verdict::Online, "and can be started");
        await_run(cpu);
    }
    for origin in &origins {
        println!("{origin}");
    }
    let won = origins.iter().map(|origin| origin.won).sum();
    let lost = origins.iter().flat_map(|origin| origin.lost).sum();
    let tally = Tally { race: "arrive", rounds, won, lost };
    println!("{tally}");
    tally.exit_code()
}

/// One race. `None` if the CPU won, otherwise how far it had come. Afterwards it is off, or in the pen.
fn arrive_once(cpu: CpuId, limit: u64) -> Option<usize> {
    let before = fault::slot(cpu);
    fault::forget_stage(cpu);
    let verdict = cpu_up(cpu, until(limit));
    let stage = fault::crumbs(cpu).map_or(0, |crumbs| crumbs.stage);

    let generation = before.generation + 1;
    let expect = |state: State| {
        let slot = fault::slot(cpu);
        assert!(
            slot.state == state && slot.generation == generation,
            "cpu {cpu} limit {limit}: {verdict:?} generation {generation}, but the slot is {slot:?}"
        );
    };
    match verdict {
        Verdict::Online => {
            expect(State::Online);
            lives::leave(cpu);
            check(last_run(cpu) == Some(generation), "who won the race runs");
            None
        }
        Verdict::Revoked => {
            expect(State::Revoked);
            eventually("who lost the race comes to the pen", || is_penned(cpu, generation));
            expect(State::Revoked);
            check(last_run(cpu) != Some(generation), "who lost the race does not run");
            Some(stage.min(2) as usize)
        }
        other => panic!("cpu {cpu} limit {limit}: {other:?}, not online or revoked"),
    }
}

/// How long the CPU that is coming up takes, ticks, from its arrival on; and whether it lets others go first meanwhile.
static HOLD: AtomicU64 = AtomicU64::new(0);
static POLITE: AtomicBool = AtomicBool::new(false);
/// The CPU that got to the end of that last.
static CAME: AtomicU64 = AtomicU64::new(0);

fn dawdle(cpu: CpuId) {
    let end = Instant::now().ticks() + HOLD.load(Ordering::Relaxed);
    while Instant::now().ticks() < end {
        if POLITE.load(Ordering::Relaxed) {
            pause();
        }
    }
    CAME.store(cpu.index() as u64, Ordering::Release);
}

/// `Alive` to `Online` by the CPU, or to `Wedged` by the booter. A CPU that lost is lost for good, so the race goes on
/// until no CPU is left.
fn online(cpus: CpuSet, rounds: u64, mut numbers: Random) -> ExitCode {
    let mut tally = Tally { race: "online", rounds: 0, won: 0, lost: 0 };
    let mut slowest = 0;
    for cpu in cpus {
        let begun = Instant::now();
        check(cpu_up(cpu, PATIENCE) == Verdict::Online, "a start without a deadline succeeds");
        slowest = slowest.max(Instant::now().ticks() - begun.ticks());
        lives::leave(cpu);
    }
    let limit = 2 * slowest;
    // Who wins can run again, who loses cannot.
    let mut middle = Middle::new(limit, 2);
    let mut left = cpus;
    fault::before_online(Some(dawdle));
    fault::limit_online(Some(limit));
    while tally.rounds < rounds && !left.is_empty() {
        for cpu in left {
            if tally.rounds == rounds {
                break;
            }
            tally.rounds += 1;
            let generation = fault::slot(cpu).generation + 1;
            let hold = around(middle.ticks, &mut numbers);
            HOLD.store(hold, Ordering::Relaxed);
            POLITE.store(numbers.below(2) == 0, Ordering::Relaxed);
            CAME.store(u64::MAX, Ordering::Relaxed);
            let verdict = cpu_up(cpu, PATIENCE);
            let expect = |state: State| {
                let slot = fault::slot(cpu);
                assert!(
                    slot.state == state && slot.generation == generation,
                    "cpu {cpu} limit {limit} hold {hold}: {verdict:?} generation {generation}, but the slot is {slot:?}"
                );
            };
            match verdict {
                Verdict::Online => {
                    expect(State::Online);
                    middle.learn(true);
                    tally.won += 1;
                    lives::leave(cpu);
                    check(last_run(cpu) == Some(generation), "who won the race runs");
                }
                Verdict::Wedged => {
                    expect(State::Wedged);
                    // It may still be held, and might never go on: nothing is to be left with it.
                    check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "it takes no posts");
                    check(call::on(cpu, || ()) == Err(CallError::Offline), "and no call waits for it");
                    eventually("it goes on, not knowing", || {
                        CAME.load(Ordering::Acquire) == cpu.index() as u64
                    });
                    middle.learn(false);
                    tally.lost += 1;
                    left.remove(cpu);
                }
                other => panic!("cpu {cpu} limit {limit} hold {hold}: {other:?}, not online or wedged"),
            }
        }
    }
    fault::before_online(None);
    fault::limit_online(None);
    for cpu in cpus {
        let slot = fault::slot(cpu);
        if left.contains(cpu) {
            check(cpu_up(cpu, PATIENCE) == Verdict::Online, "who never lost can be started");
            await_run(cpu);
            continue;
        }
        check(slot.state == State::Wedged, "wedged is final");
        check(last_run(cpu) != Some(slot.generation), "who was declared wedged never runs");
        check(!cpu::online().contains(cpu), "and is not online");
        check(matches!(cpu::launch(cpu, || ()), Err(LaunchError::Offline(_))), "and takes no closures");
        check(cpu_up(cpu, PATIENCE) == Verdict::Wedged && fault::slot(cpu) == slot, "and cannot be started");
    }
    println!(
        "collide: {} CPUs wedged, {} left; limit {limit} ticks, held around {}",
        tally.lost,
        left.len(),
        middle.ticks
    );
    println!("{tally}");
    tally.exit_code()
}
