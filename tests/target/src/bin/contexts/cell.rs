//! One function in one context: what is to be called, and what became of it. Nothing here takes a lock, so it works at NMI level.

use crate::functions::FUNCTIONS;
use core::fmt::{self, Debug, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::irq;
use reveille::time::{Deadline, Instant};
use reveille_tests::pause;

/// What a call came to.
pub enum Outcome {
    /// It has done what it is for.
    Ran,
    /// It said no, with this value.
    Refused(Text),
    /// It has said what is to be known.
    Said(Text),
    /// There is nothing to call.
    Absent,
}

/// The beginning of a value's text: its name, and in brackets the name of what it holds.
pub struct Text {
    bytes: [u8; Self::ROOM],
    len: usize,
    over: bool,
}

impl Text {
    const ROOM: usize = 40;

    fn of(value: &dyn Debug) -> Self {
        let mut text = Self { bytes: [0; Self::ROOM], len: 0, over: false };
        // What does not fit is left out.
        let _ = write!(text, "{value:?}");
        let bytes = &text.bytes[..text.len];
        let count = |wanted: u8| bytes.iter().filter(|byte| **byte == wanted).count();
        if count(b'(') != count(b')') {
            text.len = bytes.iter().position(|byte| *byte == b'(').unwrap_or(text.len);
        }
        text
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // Numbers, fields and lists differ from machine to machine.
            self.over |= !(byte.is_ascii_alphabetic() || matches!(byte, b'(' | b')'));
            if self.over || self.len == Self::ROOM {
                return Ok(());
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Refused with `value`.
pub fn refused(value: impl Debug) -> Outcome {
    Outcome::Refused(Text::of(&value))
}

/// Said `value`.
pub fn value(value: impl Debug) -> Outcome {
    Outcome::Said(Text::of(&value))
}

/// Ran if `Ok`.
pub fn result<T, E: Debug>(result: Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ran,
        Err(error) => refused(error),
    }
}

/// Ran if it holds; else refused with what is in its place.
pub fn holds(holds: bool, otherwise: &'static str) -> Outcome {
    /// Without the quotes of a string.
    struct Word(&'static str);
    impl Debug for Word {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    if holds { Outcome::Ran } else { refused(Word(otherwise)) }
}

/// What was accepted to run later, and what of it has run.
static PROMISED: AtomicU64 = AtomicU64::new(0);
static KEPT: AtomicU64 = AtomicU64::new(0);

/// For something that runs later, by [`keep`]: if it was accepted, it has to.
pub fn promise<T, E: Debug>(accepted: Result<T, E>) -> Outcome {
    if accepted.is_ok() {
        promised(1);
    }
    result(accepted)
}

pub fn promised(count: u64) {
    PROMISED.fetch_add(count, Ordering::Relaxed);
}

/// What runs later.
pub fn keep() {
    KEPT.fetch_add(1, Ordering::Relaxed);
}

/// Promised and kept.
pub fn ledger() -> (u64, u64) {
    (PROMISED.load(Ordering::Relaxed), KEPT.load(Ordering::Relaxed))
}

static STAGE: AtomicU32 = AtomicU32::new(IDLE);
const IDLE: u32 = 0;
const ARMED: u32 = 1;
const BEGUN: u32 = 2;
const OVER: u32 = 3;

static NUMBER: AtomicUsize = AtomicUsize::new(0);
/// What stands before the text.
static KIND: AtomicU32 = AtomicU32::new(RAN);
const RAN: u32 = 0;
const REFUSED: u32 = 1;
const SAID: u32 = 2;
const ABSENT: u32 = 3;
static TEXT: [AtomicU8; Text::ROOM] = [const { AtomicU8::new(0) }; Text::ROOM];
static LEN: AtomicUsize = AtomicUsize::new(0);
static MICROS: AtomicU64 = AtomicU64::new(0);
/// Interrupts are not as they were.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// The next [`run`] calls this function.
pub fn arm(number: usize) {
    NUMBER.store(number, Ordering::Relaxed);
    // Release: pairs with the Acquire of `run`.
    STAGE.store(ARMED, Ordering::Release);
}

pub fn is_armed() -> bool {
    STAGE.load(Ordering::Relaxed) == ARMED
}

/// Calls the function that is armed, if one is. In the context that is tried.
pub fn run() {
    if STAGE.compare_exchange(ARMED, BEGUN, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    let before = (irq::is_masked(), irq::in_interrupt());
    let begun = Instant::now();
    let outcome = (FUNCTIONS[NUMBER.load(Ordering::Relaxed)].call)();
    MICROS.store((Instant::now() - begun).as_micros() as u64, Ordering::Relaxed);
    CHANGED.store(before != (irq::is_masked(), irq::in_interrupt()), Ordering::Relaxed);
    let (kind, text) = match outcome {
        Outcome::Ran => (RAN, None),
        Outcome::Refused(text) => (REFUSED, Some(text)),
        Outcome::Said(text) => (SAID, Some(text)),
        Outcome::Absent => (ABSENT, None),
    };
    KIND.store(kind, Ordering::Relaxed);
    if let Some(text) = text {
        for (place, byte) in TEXT.iter().zip(text.bytes) {
            place.store(byte, Ordering::Relaxed);
        }
        LEN.store(text.len, Ordering::Relaxed);
    }
    // Release: pairs with the Acquire of `is_over`.
    STAGE.store(OVER, Ordering::Release);
}

fn is_over() -> bool {
    STAGE.load(Ordering::Acquire) == OVER
}

/// How a call ended.
pub enum End {
    /// It has returned; see [`Report`].
    Over,
    /// The CPU that made it is gone.
    Left,
    /// Neither, for [`PATIENCE`].
    Hangs,
}

/// Many times what any call takes.
const PATIENCE: Duration = Duration::from_millis(50);

/// Waits until the call that CPU `actor` makes is over. On `own`.
pub fn wait(own: CpuId, actor: usize) -> End {
    let deadline = Deadline::after(PATIENCE);
    let is_gone = || {
        let state = cpu::get(actor).filter(|cpu| *cpu != own).map(|cpu| fault::slot(cpu).state);
        matches!(state, Some(State::Gone | State::Offline))
    };
    while !is_over() {
        if STAGE.load(Ordering::Relaxed) == BEGUN && is_gone() && !is_over() {
            return End::Left;
        }
        if deadline.has_passed() {
            return End::Hangs;
        }
        pause();
    }
    End::Over
}

/// What became of the call that is over.
pub struct Report;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KIND.load(Ordering::Relaxed);
        f.write_str(["runs", "refused:", "", "-"][kind as usize])?;
        if matches!(kind, REFUSED | SAID) {
            for byte in &TEXT[..LEN.load(Ordering::Relaxed)] {
                f.write_char(char::from(byte.load(Ordering::Relaxed)))?;
            }
        }
        write!(f, " {} us", MICROS.load(Ordering::Relaxed))?;
        if CHANGED.load(Ordering::Relaxed) {
            f.write_str(" interrupts changed")?;
        }
        Ok(())
    }
}
