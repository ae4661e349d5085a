//! What the CPUs did lately: the last records of all, and a line of characters for each CPU.

use core::fmt;
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::time::Instant;
use reveille::trace::{self, Event, Record, Shape, Value};
use reveille::{print, println};

use crate::screen::{Colour, Coloured, Screen};

/// Records that are shown at most; and columns.
const MOST: usize = 64;
const WIDEST: usize = 240;
const USUAL: usize = 100;
/// Columns for the name of a CPU.
const NAME: usize = 8;
/// Things that are under way on a CPU, one in the other, as far as they are looked at.
const NESTED: usize = 8;

/// Shows the last records, in the order of time; `count` of them at most.
pub fn records(count: usize) {
    let count = count.clamp(1, MOST);
    // In order; those of one CPU nearly come so.
    let mut last: [Option<(Record, CpuId)>; MOST] = [None; MOST];
    let mut kept = 0;
    let mut missing = 0;
    for cpu in cpu::possible() {
        let counted = trace::read(cpu, |record| {
            let at = last[..kept]
                .partition_point(|other| other.is_some_and(|(other, _)| other.time <= record.time));
            if kept < count {
                last[at..=kept].rotate_right(1);
                last[at] = Some((record, cpu));
                kept += 1;
            } else if at > 0 {
                last[..at].rotate_left(1);
                last[at - 1] = Some((record, cpu));
            }
        });
        missing += counted.noted - counted.read;
    }
    let colours = Screen::ask().is_some();
    for (record, cpu) in last[..kept].iter().flatten() {
        let since_boot = to_duration(record.time);
        let event = trace::event(record.site);
        let colour = Kind::of(event).colour().filter(|_| colours);
        println!(
            "{:>6}.{:09} cpu {cpu:<3} {}",
            since_boot.as_secs(),
            since_boot.subsec_nanos(),
            Coloured { what: Shown(*record, event), colour }
        );
    }
    if missing > 0 {
        println!("{missing} older records are no longer there");
    }
}

/// A record in words.
struct Shown(Record, Option<&'static Event>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Record { value, .. }, Some(event)) = *self else {
            return write!(f, "site {:#x}", self.0.site);
        };
        f.write_str(event.name())?;
        f.write_str(match event.shape() {
            Shape::Begin => " begins",
            Shape::End => " ends",
            Shape::Instant => "",
        })?;
        match event.value() {
            Value::None => Ok(()),
            Value::Number | Value::Interrupt => write!(f, " {value}"),
            Value::Cpu => write!(f, " cpu {value}"),
            Value::To => write!(f, " to cpu {}", value >> 48),
            // Where ICC_SGI1R_EL1 has it (Arm IHI 0069, 12.2).
            Value::Sgi => write!(f, " {}", value >> 24 & 0xf),
            Value::From | Value::Application => write!(f, " {value:#x}"),
        }
    }
}

fn to_duration(ticks: u64) -> Duration {
    Instant::from_ticks(ticks) - Instant::from_ticks(0)
}

/// What a character of the timeline stands for, the least interesting first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unknown,
    Idle,
    Thread,
    Interrupt,
    Runs,
    Calls,
    Stop,
    Leaves,
    Noted,
}

impl Kind {
    fn of(event: Option<&Event>) -> Self {
        let Some(event) = event else { return Self::Unknown };
        match (event.name(), event.shape()) {
            ("idle", _) => Self::Idle,
            ("interrupt", _) => Self::Interrupt,
            ("run call" | "run post", _) => Self::Runs,
            ("call" | "call each", _) => Self::Calls,
            ("stop machine" | "attend" | "job", _) => Self::Stop,
            ("cpu_down" | "leave", _) => Self::Leaves,
            (_, Shape::Instant) => Self::Noted,
            _ => Self::Thread,
        }
    }

    const fn character(self) -> char {
        match self {
            Self::Unknown => ' ',
            Self::Idle => '.',
            Self::Thread => '-',
            Self::Interrupt => 'i',
            Self::Runs => 'r',
            Self::Calls => 'c',
            Self::Stop => 's',
            Self::Leaves => 'l',
            Self::Noted => '*',
        }
    }

    const fn colour(self) -> Option<Colour> {
        match self {
            Self::Unknown | Self::Idle | Self::Thread => None,
            Self::Interrupt => Some(Colour::Yellow),
            Self::Runs | Self::Calls => Some(Colour::Green),
            Self::Stop | Self::Leaves => Some(Colour::Red),
            Self::Noted => Some(Colour::Cyan),
        }
    }
}

/// A CPU's line.
struct Line {
    cells: [Kind; WIDEST],
    width: usize,
    start: u64,
    end: u64,
    /// What is under way, the outermost first.
    open: [Kind; NESTED],
    depth: usize,
    /// Up to where the line is drawn.
    at: u64,
    /// Nothing is known of what was before the first record.
    begun: bool,
}

impl Line {
    fn new(start: u64, end: u64, width: usize) -> Self {
        Self {
            cells: [Kind::Unknown; WIDEST],
            width,
            start,
            end,
            open: [Kind::Thread; NESTED],
            depth: 0,
            at: start,
            begun: false,
        }
    }

    fn column(&self, time: u64) -> usize {
        let part = u128::from(time.clamp(self.start, self.end) - self.start) * self.width as u128;
        ((part / u128::from(self.end - self.start)) as usize).min(self.width - 1)
    }

    /// What is the innermost that is under way, up to then.
    fn draw(&mut self, time: u64) {
        let kind = match self.depth {
            _ if !self.begun => Kind::Unknown,
            0 => Kind::Thread,
            depth => self.open[depth.min(NESTED) - 1],
        };
        if time > self.start {
            for column in self.column(self.at)..=self.column(time) {
                self.cells[column] = self.cells[column].max(kind);
            }
        }
        self.at = self.at.max(time);
    }

    fn record(&mut self, record: Record) {
        let event = trace::event(record.site);
        let kind = Kind::of(event);
        self.draw(record.time);
        self.begun = true;
        if event.is_some_and(|event| event.name() == "gone" && event.value() == Value::None) {
            self.depth = 0;
        }
        match event.map(Event::shape) {
            Some(Shape::Begin) => {
                if self.depth < NESTED {
                    self.open[self.depth] = kind;
                }
                self.depth += 1;
                let column = self.column(record.time);
                if record.time >= self.start {
                    self.cells[column] = self.cells[column].max(kind);
                }
            }
            // One that began before the oldest record was open all the time.
            Some(Shape::End) => self.depth = self.depth.saturating_sub(1),
            _ if record.time >= self.start => {
                let column = self.column(record.time);
                self.cells[column] = self.cells[column].max(kind);
            }
            _ => {}
        }
    }
}

/// Shows what each CPU did in that time, up to now.
pub fn timeline(back: Duration) {
    let screen = Screen::ask();
    let width = screen.map_or(USUAL, |screen| screen.columns).saturating_sub(NAME + 1).clamp(10, WIDEST);
    let end = Instant::now();
    let start = Instant::from_ticks(end.ticks().saturating_sub((end + back).ticks() - end.ticks()));
    println!(
        "the last {} ms, {} us a character",
        back.as_millis(),
        ((end - start) / width as u32).as_micros()
    );
    for cpu in cpu::online() {
        let mut line = Line::new(start.ticks(), end.ticks().max(start.ticks() + 1), width);
        trace::read(cpu, |record| {
            if record.time <= line.end {
                line.record(record);
            }
        });
        line.draw(line.end);
        println!("cpu {cpu:<3} {}", Cells { line: &line, colours: screen.is_some() });
    }
    let kinds = [
        (Kind::Thread, "thread"),
        (Kind::Idle, "idle"),
        (Kind::Interrupt, "interrupt"),
        (Kind::Runs, "runs for another"),
        (Kind::Calls, "calls"),
        (Kind::Stop, "stop-machine"),
        (Kind::Leaves, "leaves"),
        (Kind::Noted, "something noted"),
    ];
    for (kind, what) in kinds {
        let colour = kind.colour().filter(|_| screen.is_some());
        print!("{} {what}  ", Coloured { what: kind.character(), colour });
    }
    println!();
}

struct Cells<'a> {
    line: &'a Line,
    colours: bool,
}

impl fmt::Display for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = &self.line.cells[..self.line.width];
        for same in cells.chunk_by(|one, other| one == other) {
            let colour = same[0].colour().filter(|_| self.colours);
            let run = Run { character: same[0].character(), count: same.len() };
            Coloured { what: run, colour }.fmt(f)?;
        }
        Ok(())
    }
}

struct Run {
    character: char,
    count: usize,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.count).try_for_each(|_| fmt::Write::write_char(f, self.character))
    }
}
