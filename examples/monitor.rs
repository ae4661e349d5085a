//! A small command line to look at a machine with: what its CPUs do, take them down and up, call them, patch them.
//!
//! `help` lists the commands. What is typed arrives by interrupt where the console has one; the line can be edited, and
//! the arrow keys bring back what was typed before.

#![no_std]
#![no_main]

use core::fmt;
use core::str::SplitAsciiWhitespace;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::cpu_up;
use reveille::cpu::{self, CpuId};
use reveille::time::Instant;
use reveille::{ExitCode, System, call, console, hotplug, power, print, println, static_key, stop_machine};

reveille::entry!(main);

static_key!(LOUD, false);

/// Columns of a line, and lines that are remembered.
const WIDTH: usize = 96;
const HISTORY: usize = 16;
/// Time for a CPU to go, or to be called.
const PATIENCE: Duration = Duration::from_secs(2);

const HELP: &str = "\
cpus         every CPU: state, mpidr, generation, breadcrumb, calls taken, idle share
up N         brings CPU N up
down N       takes CPU N down
call N       calls CPU N and waits
storm S      calls and posts from here to all CPUs for S seconds
bench        what a call and a stop-machine cost here, in ticks of the counter
key on|off   patches a static key, which call and storm ask
dt PATH      a node of the device tree: its properties and children
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
    let listening = match &system.machine().console {
        Ok(found) => console::listen(found, || ()),
        Err(_) => Err(console::InputError::NoInterrupt),
    };
    if let Err(error) = listening {
        println!("console: {error}: it is asked again and again instead");
    }
    let mut lines = Lines::new(listening.is_ok());
    loop {
        print!("> ");
        let mut line = [0; WIDTH];
        let Some(line) = lines.read(&mut line) else {
            println!("not text");
            continue;
        };
        if let Err(error) = run(system, line) {
            println!("{error}");
        }
    }
}

/// Why a command was not carried out.
enum Refused<'a> {
    Unknown(&'a str),
    Missing(&'static str),
    TooMuch(&'a str),
    NotANumber(&'a str),
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

fn run<'a>(system: &'static System, line: &'a str) -> Result<(), Refused<'a>> {
    let mut words = line.split_ascii_whitespace();
    let Some(command) = words.next() else { return Ok(()) };
    match command {
        "cpus" => end(words).map(|()| cpus()),
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
        "backtrace" => end(words).map(|()| reveille::nmi::backtrace(&cpu::online().without(cpu::current()))),
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

fn cpus() {
    let uptime = Instant::now().uptime().as_millis().max(1);
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
            status.idle.as_millis() * 100 / uptime
        );
    }
}

fn storm(seconds: usize) -> Result<(), Refused<'static>> {
    static RAN: AtomicU64 = AtomicU64::new(0);
    RAN.store(0, Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    let (mut calls, mut posts, mut refused) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < until {
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
        other => return Err(Refused::Unknown(other)),
    };
    println!("{} sites patched", patched.map_err(Refused::Patch)?);
    Ok(())
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

/// Reads lines, and remembers them.
struct Lines {
    history: [([u8; WIDTH], usize); HISTORY],
    /// Lines read so far.
    count: usize,
    by_interrupt: bool,
}

impl Lines {
    fn new(by_interrupt: bool) -> Self {
        Self { history: [([0; WIDTH], 0); HISTORY], count: 0, by_interrupt }
    }

    fn byte(&self) -> u8 {
        loop {
            if let Some(byte) = console::read_byte() {
                return byte;
            }
            if self.by_interrupt {
                cpu::idle();
            }
        }
    }

    /// A line, without its end; `None` if it is not text.
    fn read<'a>(&mut self, line: &'a mut [u8; WIDTH]) -> Option<&'a str> {
        let mut len = 0;
        let mut at = 0;
        let mut back = 0;
        loop {
            match self.byte() {
                b'\r' | b'\n' => break,
                8 | 127 if at > 0 => {
                    line.copy_within(at..len, at - 1);
                    at -= 1;
                    len -= 1;
                    redraw(&line[..len], at);
                }
                // Control-C and Control-U: the line is dropped.
                3 | 21 => {
                    (len, at) = (0, 0);
                    redraw(&[], 0);
                }
                27 if self.byte() == b'[' => match self.byte() {
                    b'A' if back < self.count.min(HISTORY) => {
                        back += 1;
                        (len, at) = self.recall(line, back);
                    }
                    b'B' if back > 0 => {
                        back -= 1;
                        (len, at) = self.recall(line, back);
                    }
                    b'C' if at < len => {
                        at += 1;
                        redraw(&line[..len], at);
                    }
                    b'D' if at > 0 => {
                        at -= 1;
                        redraw(&line[..len], at);
                    }
                    _ => {}
                },
                byte if byte >= b' ' && len < WIDTH => {
                    line.copy_within(at..len, at + 1);
                    line[at] = byte;
                    at += 1;
                    len += 1;
                    if at == len && byte.is_ascii() {
                        print!("{}", char::from(byte));
                    } else {
                        redraw(&line[..len], at);
                    }
                }
                _ => {}
            }
        }
        println!();
        if len > 0 {
            self.history[self.count % HISTORY] = (*line, len);
            self.count += 1;
        }
        core::str::from_utf8(&line[..len]).ok()
    }

    /// The line from `back` lines ago; none is the empty one.
    fn recall(&self, line: &mut [u8; WIDTH], back: usize) -> (usize, usize) {
        let len = match back {
            0 => 0,
            back => {
                let (old, len) = &self.history[(self.count - back) % HISTORY];
                *line = *old;
                *len
            }
        };
        redraw(&line[..len], len);
        (len, len)
    }
}

/// Shows the line anew, with the cursor at `at`.
fn redraw(line: &[u8], at: usize) {
    let text = core::str::from_utf8(line).unwrap_or("?");
    print!("\r> {text}\x1b[K\r\x1b[{}C", at + 2);
}
