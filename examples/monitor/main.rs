//! A small command line to look at a machine with: what its CPUs do, take them down and up, call them, patch them.
//!
//! `help` lists the commands. What is typed arrives by interrupt where the console has one; the line can be edited, and
//! the arrow keys bring back what was typed before. `scripts/run monitor` gives it the terminal.

#![no_std]
#![no_main]

mod line;
mod screen;
#[cfg(feature = "trace")]
mod timeline;
mod top;

use core::fmt;
use core::str::SplitAsciiWhitespace;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use line::Lines;
use reveille::bringup::cpu_up;
use reveille::cpu::{self, CpuId};
use reveille::sync::Mutex;
use reveille::time::Instant;
use reveille::{ExitCode, System, call, console, hotplug, power, println, static_key, stop_machine};
use screen::key_typed;

reveille::entry!(main);

static_key!(LOUD, false);

/// Of `main` alone, whose stack has no room for it.
static LINES: Mutex<Lines> = Mutex::new(Lines::new());

/// Time for a CPU to go, or to be called.
const PATIENCE: Duration = Duration::from_secs(10);

const HELP: &str = "\
cpus         every CPU: state, mpidr, generation, how far it came with its MMU off, calls to and from it, idle share
up N         brings CPU N up
down N       takes CPU N down
call N       calls CPU N and waits
top [S]      who is how busy, with how many interrupts and calls, every S seconds until a key
load P       the other CPUs compute and call each other for P % of their time; 0 ends it
trace on|off the CPUs note what they do, in an image with the feature trace
trace [N]    the last N things that they noted
timeline [M] what each did in the last M milliseconds, a character for a moment
storm S      calls and posts from here to all CPUs for S seconds, or until a key
bench        what a call and a stop-machine cost here, in ticks of the counter
key on|off   patches a static key, which call and storm ask
dt [PATH]    a node of the device tree: its properties and children
mem          free memory
backtrace    where every other CPU is
panic        panics
reset        resets the machine
off          turns the machine off
help         this";

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    println!("{roll_call}");
    println!("{}; \"help\" lists the commands", system.machine().model);
    let started = Instant::now();
    let listening = match &system.machine().console {
        Ok(found) => console::listen(found, || ()),
        Err(_) => Err(console::InputError::NoInterrupt),
    };
    if let Err(error) = listening {
        println!("console: {error}: it is asked again and again instead");
    }
    let mut lines = LINES.lock();
    loop {
        match lines.read(listening.is_ok()) {
            Ok(line) => {
                if let Err(error) = run(system, started, line) {
                    println!("{error}");
                }
            }
            Err(error) => println!("{error}"),
        }
    }
}

/// Why a command was not carried out.
enum Refused<'a> {
    Unknown(&'a str),
    Missing(&'static str),
    TooMuch(&'a str),
    NotANumber(&'a str),
    NotOnOrOff(&'a str),
    TooManyPercent(usize),
    #[cfg(not(feature = "trace"))]
    NoTrace,
    NoSuchCpu(usize),
    NoSuchNode(&'a str),
    Hotplug(hotplug::HotplugError),
    Call(call::CallError),
    Stop(reveille::StopError),
    Patch(reveille::patch::PatchError),
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(command) => write!(f, "{command}: no such command; \"help\" lists them"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::TooMuch(word) => write!(f, "{word}: one word too many"),
            Self::NotANumber(word) => write!(f, "{word}: not a number"),
            Self::NotOnOrOff(word) => write!(f, "{word}: neither on nor off"),
            Self::TooManyPercent(percent) => write!(f, "{percent}: more than 100 %"),
            #[cfg(not(feature = "trace"))]
            Self::NoTrace => f.write_str("this image was built without the feature trace"),
            Self::NoSuchCpu(cpu) => {
                write!(f, "there is no cpu {cpu}; the last one is {}", cpu::possible().len() - 1)
            }
            Self::NoSuchNode(path) => write!(f, "{path}: no such node"),
            Self::Hotplug(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Stop(error) => error.fmt(f),
            Self::Patch(error) => error.fmt(f),
        }
    }
}

fn run<'a>(system: &'static System, started: Instant, line: &'a str) -> Result<(), Refused<'a>> {
    let mut words = line.split_ascii_whitespace();
    let Some(command) = words.next() else { return Ok(()) };
    match command {
        "cpus" => end(words).map(|()| cpus(started)),
        "up" => {
            let cpu = number_of_cpu(words)?;
            println!("cpu {cpu}: {:?}", cpu_up(cpu, system.deadline()));
            Ok(())
        }
        "down" => {
            let cpu = number_of_cpu(words)?;
            if cpu == cpu::current() {
                // The command line runs in main, which is a hold; and nobody would be left to type to.
                return Err(Refused::Hotplug(hotplug::HotplugError::Held(hotplug::Hold::Main)));
            }
            hotplug::cpu_down(cpu, PATIENCE).map_err(Refused::Hotplug)?;
            println!("cpu {cpu} is gone");
            Ok(())
        }
        "call" => {
            let cpu = number_of_cpu(words)?;
            let start = Instant::now();
            let answer = call::on(cpu, answer).map_err(Refused::Call)?;
            let took = Instant::now() - start;
            println!("cpu {cpu} answers {answer} after {} ns", took.as_nanos());
            Ok(())
        }
        "top" => {
            let seconds = if words.clone().next().is_some() { number(words, "")? } else { 1 };
            top::top(Duration::from_secs(seconds as u64));
            Ok(())
        }
        "load" => {
            let percent = number(words, "the percentage")?;
            if percent > 100 {
                return Err(Refused::TooManyPercent(percent));
            }
            match (top::load(percent as u64), percent) {
                (cpus, 0) => println!("{cpus} CPUs are at rest"),
                (cpus, _) => println!("{cpus} CPUs are busy for {percent} % of their time"),
            }
            Ok(())
        }
        "trace" => trace(words),
        "timeline" => {
            let back = if words.clone().next().is_some() { number(words, "")? } else { 10 };
            timeline(Duration::from_millis(back.clamp(1, 10_000) as u64))
        }
        "storm" => storm(number(words, "the number of seconds")?),
        "bench" => end(words).and_then(|()| bench()),
        "key" => key(words),
        "dt" => {
            let path = words.next().unwrap_or("/");
            end(words)?;
            node(system, path)
        }
        "mem" => {
            end(words)?;
            for piece in system.free_memory() {
                println!("{:#014x} {:>8} KiB", piece.base, piece.size / 1024);
            }
            Ok(())
        }
        "backtrace" => end(words).map(|()| backtrace()),
        "panic" => {
            end(words)?;
            panic!("as you wish");
        }
        "reset" => {
            end(words)?;
            power::reset()
        }
        "off" => {
            end(words)?;
            power::exit(ExitCode::SUCCESS)
        }
        "help" => end(words).map(|()| println!("{HELP}")),
        other => Err(Refused::Unknown(other)),
    }
}

fn end(mut words: SplitAsciiWhitespace<'_>) -> Result<(), Refused<'_>> {
    words.next().map_or(Ok(()), |word| Err(Refused::TooMuch(word)))
}

fn number<'a>(mut words: SplitAsciiWhitespace<'a>, what: &'static str) -> Result<usize, Refused<'a>> {
    let word = words.next().ok_or(Refused::Missing(what))?;
    let number = word.parse().map_err(|_| Refused::NotANumber(word))?;
    end(words).map(|()| number)
}

fn number_of_cpu(words: SplitAsciiWhitespace<'_>) -> Result<CpuId, Refused<'_>> {
    let index = number(words, "the number of a CPU")?;
    cpu::get(index).ok_or(Refused::NoSuchCpu(index))
}

/// What a called CPU answers: with the key on it does a little more.
fn answer() -> u64 {
    let own = cpu::current().index() as u64;
    if LOUD.is_enabled() { 1000 + own } else { own }
}

fn cpus(started: Instant) {
    let runs = (Instant::now() - started).as_millis().max(1);
    for cpu in cpu::possible() {
        let status = cpu::status(cpu);
        println!(
            "cpu {cpu:<3} mpidr {:#012x} {:<8} generation {:<3} stage {}{} calls in {:<8} out {:<8} idle {:>3} %",
            status.mpidr,
            status.state,
            status.generation,
            status.stage,
            if status.in_pen { " penned" } else { "" },
            status.calls_in,
            status.calls_out,
            // It may have been idle for a moment before.
            (status.idle.as_millis() * 100 / runs).min(100)
        );
    }
}

fn backtrace() {
    let others = cpu::online().without(cpu::current());
    if others.is_empty() {
        println!("no other CPU is online");
    }
    reveille::nmi::backtrace(&others);
}

fn storm(seconds: usize) -> Result<(), Refused<'static>> {
    static RAN: AtomicU64 = AtomicU64::new(0);
    RAN.store(0, Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    let (mut calls, mut posts, mut refused) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < until && !key_typed() {
        for cpu in cpu::online() {
            match call::on(cpu, answer) {
                Ok(_) => calls += 1,
                Err(_) => refused += 1,
            }
            match call::post(cpu, || _ = RAN.fetch_add(1, Ordering::Relaxed)) {
                Ok(()) => posts += 1,
                Err(_) => refused += 1,
            }
        }
    }
    // A call comes after the posts that went before it.
    for cpu in cpu::online() {
        call::on(cpu, || ()).map_err(Refused::Call)?;
    }
    println!("{calls} calls, {posts} posts of which {} ran, {refused} refused", RAN.load(Ordering::Relaxed));
    Ok(())
}

fn bench() -> Result<(), Refused<'static>> {
    const ROUNDS: u64 = 100;
    let ticks = |start: Instant| (Instant::now().ticks() - start.ticks()) / ROUNDS;
    for cpu in cpu::online().without(cpu::current()).iter().take(1) {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            call::on(cpu, || ()).map_err(Refused::Call)?;
        }
        println!("a call of cpu {cpu}: {} ticks", ticks(start));
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        stop_machine(PATIENCE, || ()).map_err(Refused::Stop)?;
    }
    println!("a stop-machine of {} CPUs: {} ticks", cpu::online().len(), ticks(start));
    Ok(())
}

fn key(mut words: SplitAsciiWhitespace<'_>) -> Result<(), Refused<'_>> {
    let word = words.next().ok_or(Refused::Missing("on or off"))?;
    end(words)?;
    let patched = match word {
        "on" => LOUD.enable(),
        "off" => LOUD.disable(),
        other => return Err(Refused::NotOnOrOff(other)),
    };
    println!("{} sites patched", patched.map_err(Refused::Patch)?);
    Ok(())
}

#[cfg(feature = "trace")]
fn trace(mut words: SplitAsciiWhitespace<'_>) -> Result<(), Refused<'_>> {
    use reveille::trace::{self, Mode};
    match words.clone().next() {
        Some("on") => {
            words.next();
            end(words)?;
            trace::start(Mode::Overwrite).map_err(Refused::Patch)
        }
        Some("off") => {
            words.next();
            end(words)?;
            trace::stop().map_err(Refused::Patch)
        }
        Some(_) => number(words, "").map(timeline::records),
        None => {
            timeline::records(20);
            Ok(())
        }
    }
}

#[cfg(feature = "trace")]
fn timeline(back: Duration) -> Result<(), Refused<'static>> {
    timeline::timeline(back);
    Ok(())
}

#[cfg(not(feature = "trace"))]
fn trace(_: SplitAsciiWhitespace<'_>) -> Result<(), Refused<'_>> {
    Err(Refused::NoTrace)
}

#[cfg(not(feature = "trace"))]
fn timeline(_: Duration) -> Result<(), Refused<'static>> {
    Err(Refused::NoTrace)
}

fn node<'a>(system: &'static System, path: &'a str) -> Result<(), Refused<'a>> {
    // The tree lives as long as the machine, the line does not: nothing of it is kept.
    let Some(node) = system.machine().nodes().find(|node| is_at(node, path)) else {
        return Err(Refused::NoSuchNode(path));
    };
    println!("{}", node.path());
    for property in node.properties() {
        println!("  {property}");
    }
    for child in node.children() {
        println!("  {}/", child.name());
    }
    Ok(())
}

/// Whether `node` is at `path`.
fn is_at(node: &reveille::dt::NodeRef<'_>, path: &str) -> bool {
    struct Rest<'a>(&'a str, bool);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            match self.0.strip_prefix(text) {
                Some(rest) => self.0 = rest,
                None => self.1 = false,
            }
            Ok(())
        }
    }
    let mut rest = Rest(path, true);
    let _ = fmt::write(&mut rest, format_args!("{}", node.path()));
    rest.1 && rest.0.is_empty()
}
