//! A command line written with async: the console by interrupt, tasks on all CPUs, CPUs that leave and come back.
//!
//! Nothing polls: while nobody types and nothing is due, every CPU is in WFI. What takes its time - to take a CPU down, to bring one up - is a task
//! on another CPU than that of the command line, and says when it is done. `help` lists the commands; `scripts/run async_server` gives it the terminal.

#![no_std]
#![no_main]

mod terminal;

use core::fmt;
use core::str::SplitAsciiWhitespace;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time;
use embassy_futures::select::{Either, select};
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Instant, Timer};
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{HotplugError, cpu_down};
use reveille::{ExitCode, System, power, println};
use reveille_embassy::{Console, SpinRawMutex, spawner};
use terminal::Terminal;

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

/// Sleepers that there is room for.
const MOST: usize = 64;
/// CPUs that may be going or coming at a time, one after the other.
const CHANGES: usize = 4;
/// Time for a CPU to go or to come.
const PATIENCE: time::Duration = time::Duration::from_secs(10);

const HELP: &[&str] = &[
    "cpus         every CPU: state, generation, sleepers on it, how much of the time since it was last asked it was idle",
    "down N       takes CPU N down; its sleepers go on elsewhere",
    "up N         brings CPU N up; its sleepers come back",
    "spawn N MS   N sleepers, each of which wakes up every MS milliseconds, on one CPU after the other",
    "tasks        the sleepers: of which CPU, where they woke up last, how often they did",
    "stop         ends all sleepers",
    "uptime       how long it has been up",
    "exit         turns the machine off",
    "help         this",
];

/// A task that sleeps most of the time, as `tasks` shows it.
struct Sleeper {
    /// 0: there is none.
    period_ms: AtomicU64,
    home: AtomicUsize,
    seen_on: AtomicUsize,
    times: AtomicU64,
    stop: Signal<SpinRawMutex, ()>,
}

static SLEEPERS: [Sleeper; MOST] = [const {
    Sleeper {
        period_ms: AtomicU64::new(0),
        home: AtomicUsize::new(0),
        seen_on: AtomicUsize::new(0),
        times: AtomicU64::new(0),
        stop: Signal::new(),
    }
}; MOST];

reveille::percpu! {
    /// How long the CPU had been idle when that was last asked.
    static IDLE_MS: AtomicU64 = AtomicU64::new(0);
}

/// When that was.
static ASKED_MS: AtomicU64 = AtomicU64::new(0);

/// What a CPU is to do.
#[derive(Clone, Copy)]
enum Change {
    Down,
    Up,
}

/// What came of it.
struct News {
    cpu: CpuId,
    by: CpuId,
    took_ms: u64,
    result: Result<&'static str, Trouble>,
}

enum Trouble {
    Down(HotplugError),
    Up(Verdict),
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu;
        match &self.result {
            Ok(state) => write!(f, "cpu {cpu} is {state}, said cpu {} after {} ms", self.by, self.took_ms),
            Err(Trouble::Down(error)) => write!(f, "cpu {cpu} stays: {error}"),
            Err(Trouble::Up(verdict)) => write!(f, "cpu {cpu} does not come: {verdict:?}"),
        }
    }
}

/// What has happened meanwhile, for the command line to say.
static NEWS: Channel<SpinRawMutex, News, CHANGES> = Channel::new();

reveille_embassy::task! {
    /// The command line. It stays on its CPU, which is that of `main`, and gets the console's interrupts.
    async fn shell(system: &'static System, console: Console) {
        let mut terminal = Terminal::new(console);
        terminal.say(format_args!("{}; \"help\" lists the commands", system.machine().model)).await;
        terminal.prompt().await;
        loop {
            match select(terminal.wait(), NEWS.receive()).await {
                Either::First(()) => {
                    while let Some(line) = terminal.edit().await {
                        if let Err(refused) = run(&mut terminal, line.as_str()).await {
                            terminal.say(format_args!("{refused}")).await;
                        }
                        terminal.prompt().await;
                    }
                }
                Either::Second(news) => terminal.interject(format_args!("{news}")).await,
            }
        }
    }

    /// Takes a CPU down, or brings it up. Neither awaits anything: meanwhile nothing else in thread mode is polled on the CPU that does it.
    #[pool_size = CHANGES]
    movable async fn change(cpu: CpuId, what: Change) {
        let begun = Instant::now();
        let by = cpu::current();
        let result = match what {
            Change::Down => cpu_down(cpu, PATIENCE).map(|()| "gone").map_err(Trouble::Down),
            Change::Up => match cpu_up(cpu, PATIENCE) {
                Verdict::Online => Ok("online"),
                verdict => Err(Trouble::Up(verdict)),
            },
        };
        NEWS.send(News { cpu, by, took_ms: begun.elapsed().as_millis(), result }).await;
    }

    /// Wakes up every so often. It may do so anywhere: when its CPU leaves, the timer that it waits for goes with it.
    #[pool_size = MOST]
    movable async fn sleeper(sleeper: &'static Sleeper) {
        let period_ms = sleeper.period_ms.load(Ordering::Relaxed);
        while let Either::First(()) = select(Timer::after_millis(period_ms), sleeper.stop.wait()).await {
            sleeper.times.fetch_add(1, Ordering::Relaxed);
            sleeper.seen_on.store(cpu::current().index(), Ordering::Relaxed);
        }
        // Release: pairs with `spawn`, which has the place again.
        sleeper.period_ms.store(0, Ordering::Release);
    }
}

/// Why a command was not carried out.
enum Refused<'a> {
    Unknown(&'a str),
    Missing(&'static str),
    TooMuch(&'a str),
    NotANumber(&'a str),
    NoSuchCpu(usize),
    Own,
    Busy,
    Full(usize),
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(command) => write!(f, "{command}: no such command; \"help\" lists them"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::TooMuch(word) => write!(f, "{word}: one word too many"),
            Self::NotANumber(word) => write!(f, "{word}: not a number from 1"),
            Self::NoSuchCpu(cpu) => {
                write!(f, "there is no cpu {cpu}; the last one is {}", cpu::possible().len() - 1)
            }
            Self::Own => f.write_str("the command line runs there"),
            Self::Busy => write!(f, "{CHANGES} CPUs are going or coming already"),
            Self::Full(spawned) => write!(f, "{spawned} were spawned: there is room for {MOST} in all"),
        }
    }
}

async fn run<'a>(terminal: &mut Terminal, line: &'a str) -> Result<(), Refused<'a>> {
    let mut words = line.split_ascii_whitespace();
    let Some(command) = words.next() else { return Ok(()) };
    match command {
        "cpus" => {
            end(words)?;
            cpus(terminal).await;
        }
        "down" => begin(cpu_of(words)?, Change::Down)?,
        "up" => begin(cpu_of(words)?, Change::Up)?,
        "spawn" => {
            let count = number(&mut words, "the number of sleepers")?;
            let period_ms = number(&mut words, "the number of milliseconds")?;
            end(words)?;
            spawn(count, period_ms)?;
        }
        "tasks" => {
            end(words)?;
            tasks(terminal).await;
        }
        "stop" => {
            end(words)?;
            for sleeper in running() {
                sleeper.stop.signal(());
            }
        }
        "uptime" => {
            end(words)?;
            let now = Instant::now().as_millis();
            terminal.say(format_args!("up {}.{:03} s", now / 1000, now % 1000)).await;
        }
        "exit" => {
            end(words)?;
            power::exit(ExitCode::SUCCESS)
        }
        "help" => {
            end(words)?;
            for line in HELP {
                terminal.say(format_args!("{line}")).await;
            }
        }
        other => return Err(Refused::Unknown(other)),
    }
    Ok(())
}

fn end<'a>(mut words: SplitAsciiWhitespace<'a>) -> Result<(), Refused<'a>> {
    words.next().map_or(Ok(()), |word| Err(Refused::TooMuch(word)))
}

/// The next word, a number from 1.
fn number<'a>(words: &mut SplitAsciiWhitespace<'a>, what: &'static str) -> Result<u64, Refused<'a>> {
    let word = words.next().ok_or(Refused::Missing(what))?;
    word.parse().ok().filter(|number| *number > 0).ok_or(Refused::NotANumber(word))
}

fn cpu_of(mut words: SplitAsciiWhitespace<'_>) -> Result<CpuId, Refused<'_>> {
    let word = words.next().ok_or(Refused::Missing("the number of a CPU"))?;
    end(words)?;
    let index = word.parse().map_err(|_| Refused::NotANumber(word))?;
    cpu::get(index).ok_or(Refused::NoSuchCpu(index))
}

/// Has a CPU go or come, and does not wait for that.
fn begin<'a>(cpu: CpuId, what: Change) -> Result<(), Refused<'a>> {
    let own = cpu::current();
    if cpu == own {
        return Err(Refused::Own);
    }
    let mut token = change(cpu, what).map_err(|_| Refused::Busy)?;
    // By a CPU that has nothing to do with it, so that nobody who types has to wait. Of two CPUs there is none.
    for by in cpu::online().without(own).without(cpu) {
        match spawner(by).spawn_movable(token) {
            Ok(()) => return Ok(()),
            Err(refused) => token = refused.into_token(),
        }
    }
    spawner(own).spawn_movable(token).expect("the CPU of main does not leave");
    Ok(())
}

/// Sleepers, on one CPU after the other.
fn spawn<'a>(count: u64, period_ms: u64) -> Result<(), Refused<'a>> {
    let mut cpus = cpu::online().into_iter().cycle();
    for spawned in 0..count as usize {
        // Acquire: pairs with the end of the one that had the place.
        let is_free = |sleeper: &&Sleeper| {
            let period = &sleeper.period_ms;
            period.compare_exchange(0, period_ms, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let place = SLEEPERS.iter().find(is_free).ok_or(Refused::Full(spawned))?;
        place.stop.reset();
        place.times.store(0, Ordering::Relaxed);
        let Ok(mut token) = sleeper(place) else {
            // The one before is about to end.
            place.period_ms.store(0, Ordering::Relaxed);
            return Err(Refused::Full(spawned));
        };
        loop {
            let cpu = cpus.next().expect("a CPU");
            place.home.store(cpu.index(), Ordering::Relaxed);
            place.seen_on.store(cpu.index(), Ordering::Relaxed);
            match spawner(cpu).spawn_movable(token) {
                Ok(()) => break,
                // It has just left, or is about to.
                Err(refused) => token = refused.into_token(),
            }
        }
    }
    Ok(())
}

fn running() -> impl Iterator<Item = &'static Sleeper> {
    SLEEPERS.iter().filter(|sleeper| sleeper.period_ms.load(Ordering::Relaxed) != 0)
}

async fn tasks(terminal: &mut Terminal) {
    let mut count = 0;
    for (number, sleeper) in SLEEPERS.iter().enumerate() {
        let period_ms = sleeper.period_ms.load(Ordering::Relaxed);
        if period_ms == 0 {
            continue;
        }
        let home = sleeper.home.load(Ordering::Relaxed);
        let seen_on = sleeper.seen_on.load(Ordering::Relaxed);
        let times = sleeper.times.load(Ordering::Relaxed);
        terminal
            .say(format_args!(
                "sleeper {number}: of cpu {home}, every {period_ms} ms, woke up {times} times, last on cpu {seen_on}"
            ))
            .await;
        count += 1;
    }
    terminal.say(format_args!("{count} sleepers")).await;
}

async fn cpus(terminal: &mut Terminal) {
    let now = Instant::now().as_millis();
    let span = (now - ASKED_MS.swap(now, Ordering::Relaxed)).max(1);
    for cpu in cpu::possible() {
        let status = cpu::status(cpu);
        let idle = status.idle.as_millis() as u64;
        let share = idle.saturating_sub(IDLE_MS.of(cpu).swap(idle, Ordering::Relaxed)) * 100 / span;
        let sleepers =
            running().filter(|sleeper| sleeper.seen_on.load(Ordering::Relaxed) == cpu.index()).count();
        terminal
            .say(format_args!(
                "cpu {cpu:<3} {:<8} generation {:<3} {sleepers:>3} sleepers, idle {:>3} %",
                status.state,
                status.generation,
                share.min(100)
            ))
            .await;
    }
}

fn main(system: &'static System) -> ExitCode {
    println!("{}", system.bring_up_all(system.deadline()));
    // Its interrupt comes to this CPU from now on.
    let console = match Console::take(system) {
        Ok(console) => console,
        Err(error) => {
            println!("console: {error}");
            return ExitCode::FAILURE;
        }
    };
    reveille_embassy::run(|spawner| spawner.spawn(shell(system, console).unwrap()))
}
