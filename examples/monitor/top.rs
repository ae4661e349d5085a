//! Who does how much: the share of its time that each CPU is busy, its interrupts and its calls, again and again.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, State};
use reveille::sync::Mutex;
use reveille::time::{Alarm, Instant};
use reveille::{call, percpu, print, println};

use crate::screen::{Bar, Colour, Coloured, Screen, wait_for_key};

/// Columns of all but the bars; and of a terminal that nobody knows.
const TEXT: usize = 52;
const USUAL: usize = 100;
/// Rows for what is no CPU.
const HEAD: usize = 3;

/// What a CPU had counted when it was last looked at, and had done since the time before. Of `main` alone.
struct Seen {
    idle: u64,
    interrupts: u64,
    calls: u64,
    did: Did,
}

/// What a CPU did for a while.
#[derive(Clone, Copy)]
struct Did {
    /// Hundredths of its time.
    busy: u64,
    /// Each second.
    interrupts: u64,
    calls: u64,
}

percpu! {
    static SEEN: Mutex<Seen> = Mutex::new(Seen::NONE);
    static ROUND: Alarm = Alarm::new(|| ());
}

impl Seen {
    const NONE: Self =
        Self { idle: 0, interrupts: 0, calls: 0, did: Did { busy: 0, interrupts: 0, calls: 0 } };

    /// Looks at `cpu` after so long.
    fn look(&mut self, cpu: CpuId, nanoseconds: u64) -> Did {
        let status = cpu::status(cpu);
        let new = |seen: &mut u64, now: u64| now.saturating_sub(core::mem::replace(seen, now));
        let idle = new(&mut self.idle, status.idle.as_nanos() as u64).min(nanoseconds);
        let each_second = |count: u64| (u128::from(count) * 1_000_000_000 / u128::from(nanoseconds)) as u64;
        self.did = Did {
            busy: if status.state == State::Online {
                100 - (u128::from(idle) * 100 / u128::from(nanoseconds)) as u64
            } else {
                0
            },
            interrupts: each_second(new(&mut self.interrupts, status.interrupts)),
            calls: each_second(new(&mut self.calls, status.calls_in.wrapping_add(status.calls_out))),
        };
        self.did
    }
}

/// Shows it every so often, until a key is typed: in place, in colour and as wide as the terminal, or line by line if there is none.
pub fn top(every: Duration) {
    let screen = Screen::ask();
    let mut looked = Instant::now();
    for cpu in cpu::possible() {
        SEEN.of(cpu).lock().look(cpu, 1);
    }
    if screen.is_some() {
        print!("\x1b[2J");
    }
    while !wait_for_key(looked + every) {
        let now = Instant::now();
        let nanoseconds = ((now - looked).as_nanos() as u64).max(1);
        looked = now;
        show(screen, nanoseconds);
    }
}

fn show(screen: Option<Screen>, nanoseconds: u64) {
    let (home, rest) = if screen.is_some() { ("\x1b[H", "\x1b[K") } else { ("", "") };
    let columns = screen.map_or(USUAL, |screen| screen.columns);
    let rows = screen.map_or(usize::MAX, |screen| screen.rows.saturating_sub(HEAD).max(1));
    let width = (columns.saturating_sub(TEXT) / 3).clamp(1, 40);
    // Bars are parts of what is the most, so all are looked at before the first line.
    let mut most = Did { busy: 0, interrupts: 1, calls: 1 };
    let mut all = Did { busy: 0, interrupts: 0, calls: 0 };
    for cpu in cpu::possible() {
        let did = SEEN.of(cpu).lock().look(cpu, nanoseconds);
        most.interrupts = most.interrupts.max(did.interrupts);
        most.calls = most.calls.max(did.calls);
        all.busy += did.busy;
        all.interrupts += did.interrupts;
        all.calls += did.calls;
    }
    println!(
        "{home}{} of {} CPUs online, {} % busy, {} interrupts/s, {} calls/s; a key ends this{rest}",
        cpu::online().len(),
        cpu::possible().len(),
        all.busy / cpu::online().len().max(1) as u64,
        all.interrupts,
        all.calls
    );
    for cpu in cpu::possible().iter().take(rows) {
        line(cpu, most, width, screen.is_some(), rest);
    }
    let more = cpu::possible().len().saturating_sub(rows);
    if more > 0 {
        println!("and {more} more{rest}");
    }
}

fn line(cpu: CpuId, most: Did, width: usize, colours: bool, rest: &str) {
    let did = SEEN.of(cpu).lock().did;
    let state = cpu::status(cpu).state;
    if state != State::Online {
        let colour = colours.then_some(Colour::Yellow);
        return println!("cpu {cpu:<3} {}{rest}", Coloured { what: state, colour });
    }
    let heat = match did.busy {
        0..50 => Colour::Green,
        50..90 => Colour::Yellow,
        _ => Colour::Red,
    };
    let bar =
        |share, of, colour| Coloured { what: Bar { share, of, width }, colour: colours.then_some(colour) };
    println!(
        "cpu {cpu:<3} busy {:>3} % {}  irq/s {:>7} {}  calls/s {:>8} {}{rest}",
        did.busy,
        bar(did.busy, 100, heat),
        did.interrupts,
        bar(did.interrupts, most.interrupts, Colour::Cyan),
        did.calls,
        bar(did.calls, most.calls, Colour::Cyan)
    );
}

/// How much of each round other CPUs have to do.
static LOAD: AtomicU64 = AtomicU64::new(0);
const LOAD_ROUND: Duration = Duration::from_millis(10);

/// Something to look at: every other CPU computes for `percent` of its time, and calls its neighbour in between. 0 ends it. The number of CPUs
/// that do it, or did.
pub fn load(percent: u64) -> usize {
    LOAD.store(percent, Ordering::Relaxed);
    let others = cpu::online().without(cpu::current());
    if percent > 0 {
        for cpu in others.iter() {
            // One that does it already is busy, and reads the new share.
            let _ = cpu::launch(cpu, work);
        }
    }
    others.len()
}

/// Rounds of work, until there is to be none.
fn work() {
    let own = cpu::current();
    loop {
        let percent = LOAD.load(Ordering::Relaxed);
        if percent == 0 {
            return;
        }
        let start = Instant::now();
        let neighbour = || {
            let online = cpu::online();
            online.iter().find(|cpu| cpu.index() > own.index()).or_else(|| online.iter().next())
        };
        while Instant::now() - start < LOAD_ROUND * percent as u32 / 100 {
            // Refused by one that leaves.
            let _ = neighbour().map(|cpu| call::on(cpu, || ()));
            for _ in 0..1000 {
                core::hint::spin_loop();
            }
        }
        // A timer that is refused is no reason to go on without rest: idling ends by itself too.
        let _ = ROUND.set(start + LOAD_ROUND);
        while Instant::now() - start < LOAD_ROUND {
            cpu::idle();
        }
    }
}
