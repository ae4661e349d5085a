//! Tasks on all CPUs pass tokens around, while timers run and a CPU leaves and comes back.
//!
//! Each CPU has an inbox, a channel, and a task that takes tokens out of it and puts them into the next CPU's. That task is movable: when its CPU
//! leaves it goes on on another one, and so does the ring. Each CPU also has a clock, which stays where it is, and ends when its CPU is asked to leave;
//! and the first has a task in interrupt mode, which is polled while the thread of its CPU is busy.
//!
//! Bootargs: `tokens=N`, at most 8 for each CPU; `rounds=N`, how often each goes around at least. The exit code is 0 if all came back, and had been everywhere
//! as often.

#![no_std]
#![no_main]

use core::hint;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Ticker, with_timeout};
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{HotplugError, cpu_down};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, power, println};
use reveille_embassy::{SpinRawMutex, leaving, spawner};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

/// Room for tasks is in the image: there is some for so many CPUs, as many as the runtime knows.
const MOST_CPUS: usize = cpu::MAX_CPUS;
/// Tokens that an inbox has room for. Were there more of them than room in all inboxes, each task might wait for the next.
const DEPTH: usize = 8;
/// How often the task in interrupt mode is to be polled.
const BEATS: u64 = 10;
/// Time for a CPU to go, or to come.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(30);
/// Time for everything.
const LIMIT: Duration = Duration::from_secs(90);

struct Token {
    /// The CPU at whose inbox it began, and is to end.
    start: CpuId,
    laps: u64,
    passes: u64,
    /// Of the numbers of the CPUs whose inboxes it was in.
    sum: u64,
}

reveille::percpu! {
    static INBOX: Channel<SpinRawMutex, Token, DEPTH> = Channel::new();
}

/// Tokens that have gone around often enough.
static BACK: Channel<SpinRawMutex, Token, DEPTH> = Channel::new();
/// The first tick of each clock.
static FIRST_TICK: Channel<SpinRawMutex, CpuId, DEPTH> = Channel::new();
/// The tokens of a CPU that is away are passed on.
static PASSED_ELSEWHERE: Signal<SpinRawMutex, CpuId> = Signal::new();
/// Until then tokens go around.
static ENOUGH: AtomicBool = AtomicBool::new(false);

static RETURNED: AtomicU64 = AtomicU64::new(0);
static PASSES: AtomicU64 = AtomicU64::new(0);
static ELSEWHERE: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
static EARLY: AtomicU64 = AtomicU64::new(0);
static BEATEN: AtomicU64 = AtomicU64::new(0);

reveille_embassy::task! {
    /// Passes on what comes into the inbox of `home`, on that CPU or, while it is away, on another.
    #[pool_size = MOST_CPUS]
    movable async fn pass(home: CpuId, rounds: u64) {
        let next = cpu::get(home.index() + 1).unwrap_or(CpuId::BOOT);
        loop {
            let mut token = INBOX.of(home).receive().await;
            if token.start == home && token.passes > 0 {
                token.laps += 1;
                if token.laps >= rounds && ENOUGH.load(Ordering::Relaxed) {
                    BACK.send(token).await;
                    continue;
                }
            }
            token.passes += 1;
            token.sum += home.index() as u64;
            if cpu::current() != home {
                ELSEWHERE.fetch_add(1, Ordering::Relaxed);
                PASSED_ELSEWHERE.signal(home);
            }
            INBOX.of(next).send(token).await;
            // Where there is always something in the inbox, and room in the next, nothing above ever waits.
            yield_now().await;
        }
    }

    /// Ticks for as long as its CPU is there: it does not move, and until it is over its CPU could not leave.
    #[pool_size = MOST_CPUS]
    async fn clock(period: Duration) {
        // By the counter, and not by embassy's clock, which is at most a tick behind it.
        let begun = Instant::now();
        let mut ticker = Ticker::every(period);
        let mut is_leaving = pin!(leaving());
        let mut ticks = 0;
        while let Either::First(()) = select(ticker.next(), is_leaving.as_mut()).await {
            ticks += 1;
            TICKS.fetch_add(1, Ordering::Relaxed);
            let due = period * ticks - Duration::from_ticks(1);
            if (Instant::now() - begun).as_micros() < u128::from(due.as_micros()) {
                EARLY.fetch_add(1, Ordering::Relaxed);
            }
            if ticks == 1 {
                FIRST_TICK.send(cpu::current()).await;
            }
        }
    }

    /// For interrupt mode: it comes in between whatever the thread of its CPU does.
    async fn urgent() {
        let mut ticker = Ticker::every(Duration::from_millis(1));
        for _ in 0..BEATS {
            ticker.next().await;
            BEATEN.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn referee(tokens: u64, rounds: u64) -> ! {
        let good = with_timeout(LIMIT, game(tokens, rounds)).await.unwrap_or_else(|_| {
            println!("the time is up");
            false
        });
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "async_ping: {} of {tokens} tokens came back: {} CPUs, {} passes, {} of them elsewhere, {} ticks, {} early, {} beats, {}",
            count(&RETURNED), cpu::possible().len(), count(&PASSES), count(&ELSEWHERE), count(&TICKS), count(&EARLY), count(&BEATEN),
            if good { "all good" } else { "not good" },
        );
        power::exit(good.into())
    }
}

/// Whether everything is as it should be.
async fn game(tokens: u64, rounds: u64) -> bool {
    let cpus = cpu::possible();
    let count = cpus.len() as u64;
    // A thousand ticks in a second, of all of them together.
    let period = Duration::from_millis(count);
    for cpu in &cpus {
        spawner(cpu).spawn_movable(pass(cpu, rounds).unwrap()).unwrap();
        spawner(cpu).spawn_with(|| clock(period)).unwrap();
    }
    for start in cpus.iter().cycle().take(tokens as usize) {
        INBOX.of(start).send(Token { start, laps: 0, passes: 0, sum: 0 }).await;
    }

    // For so long this thread does not wait for anything, and no other task in thread mode is polled here.
    spawner(cpu::current()).spawn_interrupt(urgent().unwrap()).unwrap();
    let until = Deadline::after(PATIENCE);
    while BEATEN.load(Ordering::Relaxed) < BEATS && !until.has_passed() {
        hint::spin_loop();
    }
    let mut good = BEATEN.load(Ordering::Relaxed) == BEATS;
    for _ in &cpus {
        FIRST_TICK.receive().await;
    }

    // The ring is whole all the time.
    let last = cpus.iter().last().unwrap_or(CpuId::BOOT);
    if last != CpuId::BOOT {
        match leave_and_return(last, 2 * tokens, period).await {
            Ok(Verdict::Online) => {}
            Ok(verdict) => {
                println!("cpu {last} does not come back: {verdict:?}");
                good = false;
            }
            Err(error) => {
                println!("cpu {last} stays: {error}");
                good = false;
            }
        }
    }

    ENOUGH.store(true, Ordering::Relaxed);
    for _ in 0..tokens {
        let token = BACK.receive().await;
        RETURNED.fetch_add(1, Ordering::Relaxed);
        PASSES.fetch_add(token.passes, Ordering::Relaxed);
        if token.laps < rounds
            || token.passes != token.laps * count
            || token.sum != token.laps * (count * (count - 1) / 2)
        {
            println!(
                "a token of cpu {}: {} laps, {} passes, sum {}",
                token.start, token.laps, token.passes, token.sum
            );
            good = false;
        }
    }
    good && EARLY.load(Ordering::Relaxed) == 0
}

/// Takes `cpu` down, waits until there were so many passes for it elsewhere, and brings it back, with its clock.
async fn leave_and_return(cpu: CpuId, passes: u64, period: Duration) -> Result<Verdict, HotplugError> {
    // Neither of the two awaits: while they wait all tasks of this CPU in thread mode do.
    cpu_down(cpu, PATIENCE)?;
    while ELSEWHERE.load(Ordering::Relaxed) < passes {
        PASSED_ELSEWHERE.wait().await;
    }
    let verdict = cpu_up(cpu, PATIENCE);
    if verdict == Verdict::Online {
        spawner(cpu).spawn_with(|| clock(period)).unwrap();
        FIRST_TICK.receive().await;
    }
    Ok(verdict)
}

/// A number in the bootargs, from 1 to `most`.
fn number(system: &System, name: &str, default: u64, most: u64) -> Option<u64> {
    let Some(value) = system.arg(name) else { return Some(default.min(most)) };
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    if number.is_none() {
        println!("bootargs: {name}={value}: not a number from 1 to {most}");
    }
    number
}

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    if !roll_call.is_complete() {
        println!("{roll_call}");
        return ExitCode::FAILURE;
    }
    let count = cpu::online().len();
    if count > MOST_CPUS {
        println!("{count} CPUs: this image has room for the tasks of {MOST_CPUS}");
        return ExitCode::FAILURE;
    }
    let most = (count * DEPTH) as u64;
    let (Some(tokens), Some(rounds)) =
        (number(system, "tokens", 8, most), number(system, "rounds", 20, u64::from(u32::MAX)))
    else {
        return ExitCode::FAILURE;
    };
    reveille_embassy::run(|spawner| spawner.spawn(referee(tokens, rounds).unwrap()))
}
