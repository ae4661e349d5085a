//! What no masked section holds back: running a function on CPUs that take no interrupts.
//!
//! The channel that a panic uses to stop them ([`panic`](mod@crate::panic)), for others: an NMI-class SGI, which comes
//! through where interrupts are masked by priority, as the runtime masks them, and through `DAIF.I` where the machine has
//! FEAT_NMI. Where the interrupt controller has no priorities (BCM2836) it comes through nothing: a CPU that has interrupts masked, or is in a
//! handler, is silent. The protocol is `reveille_protocol::Summons`.
//!
//! What runs there may have interrupted anything: the holder of a lock, another handler, the console in the middle of a
//! line, a post half way into its queue. So the CPU is at **NMI level** meanwhile ([`irq::in_nmi`](crate::irq::in_nmi)), and whatever relies on masked
//! sections refuses there:
//!
//! | at NMI level | |
//! |---|---|
//! | atomics, [`percpu!`](crate::percpu!) variables, [`Instant::now`](crate::time::Instant::now), [`cpu::current`](crate::cpu::current), [`cpu::online`](crate::cpu::online), [`cpu::status`](crate::cpu::status()), keys, [`hotplug::pin`](crate::hotplug::pin), [`irq::mask`](crate::irq::mask) | work |
//! | [`cpu::wake`](crate::cpu::wake), [`Doorbell::ring`](crate::call::Doorbell::ring), [`irq::Sgi::send`](crate::irq::Sgi::send), [`cpu::launch()`](crate::cpu::launch()): what is rung, and what its owner does in its own time | work |
//! | [`Timer::cancel`](crate::time::Timer::cancel) | works |
//! | [`call::post`](crate::call::post()), [`call::post_each`](crate::call::post_each) | `Busy`, all `busy` |
//! | [`call::on`](crate::call::on), [`on_each`](crate::call::on_each), [`on_deadline`](crate::call::on_deadline), [`stop_machine`](crate::stop_machine), [`cpu_down`](crate::hotplug::cpu_down), changes of keys | `WouldDeadlock` |
//! | [`time::after`](crate::time::after), [`Alarm::set`](crate::time::Alarm::set), [`irq::register`](crate::irq::register), [`irq::set_affinity`](crate::irq::set_affinity) and what else changes or asks for an interrupt, [`console::listen`](crate::console::listen), [`watchdog::start`](crate::watchdog::start), [`hotplug::register`](crate::hotplug::register), [`hotplug::register_callbacks`](crate::hotplug::register_callbacks), [`System::map_device`](crate::System::map_device) | `Nmi` |
//! | [`SpinLock::try_lock`](crate::sync::SpinLock::try_lock), [`Mutex::try_lock`](crate::sync::Mutex::try_lock), [`console::read_byte`](crate::console::read_byte) | `None` |
//! | [`print!`](crate::print), `log` | dropped, and counted: the next line that is printed says how many |
//! | [`SpinLock::lock`](crate::sync::SpinLock::lock), [`Mutex::lock`](crate::sync::Mutex::lock), `critical_section::with`, [`cpu::idle`](crate::cpu::idle()) | panic |
//!
//! A panic there is reported like any other.

#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod note;

use crate::arch::exception::IrqFrame;
use crate::arch::{self, Hw, HwWord, regs};
use crate::clock::Deadline;
use crate::gic::{self, NMI, Reminder};
use crate::masking::{self, Masking};
use crate::percpu::area::{self, Area, Part as _};
use crate::percpu::{self, CpuId, CpuSet, MAX_CPUS};
use crate::{gate, memory};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
pub(crate) use note::Noted;
use note::{NOTE, Note};
use reveille_machine::BootArgs;
use reveille_protocol::{Summons, SummonsProgress as Progress};

/// Milliseconds that an NMI-class interrupt may take to be taken; bootarg `nmi_ms`.
static MS: AtomicU64 = AtomicU64::new(100);

/// Reads the bootarg. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    MS.store(args.milliseconds_or("nmi_ms", MS.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// The time for an NMI-class interrupt to be taken.
pub(crate) fn time() -> Duration {
    Duration::from_millis(MS.load(Ordering::Relaxed))
}

/// One CPU's part: the word by which it is summoned, and what it notes down about itself.
pub(crate) struct Part {
    summons: Summons<Hw>,
    note: Note,
}

impl Part {
    pub(crate) const fn new() -> Self {
        Self { summons: Summons::from_parts(HwWord::with(Summons::<Hw>::ZERO)), note: Note::new() }
    }
}

/// What became of [`on_each`].
///
/// ```no_run
/// use reveille::{cpu, nmi, println};
///
/// # fn example() {
/// let answers = nmi::on_each(&cpu::online(), || {});
/// println!("{:?} did not answer", answers.silent);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a CPU may not have answered"]
pub struct Answers {
    /// It has run there.
    pub done: CpuSet,
    /// It was running there when the time was up, and may still be.
    pub running: CpuSet,
    /// It has not run there, and never will: the CPU did not answer in time, or somebody else's function kept it busy.
    pub silent: CpuSet,
    /// The CPU is not online.
    pub offline: CpuSet,
}

impl Answers {
    /// Whether it has run wherever it should.
    ///
    /// ```no_run
    /// use reveille::{cpu, nmi};
    ///
    /// # fn example() -> bool {
    /// nmi::on_each(&cpu::online(), || {}).is_complete()
    /// # }
    /// ```
    pub fn is_complete(&self) -> bool {
        self.running.is_empty() && self.silent.is_empty() && self.offline.is_empty()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, running, silent, offline } = self;
        write!(f, "done {done}, running {running}, silent {silent}, offline {offline}")
    }
}

/// Runs `f` on every CPU of `set`, interrupts masked there or not, and says where it has run.
///
/// Waits at most 100 ms (bootarg `nmi_ms=N`), and about as long again if somebody else's function was running on some of them
/// before, however many CPUs there are; `f` should take microseconds. If `set` contains the caller, `f` runs here too, first, interrupts
/// masked. See the [module](self) for what `f` can do.
///
/// From any context. At NMI level all of `set` is `silent`: the answers would not come until it ends.
///
/// ```no_run
/// use core::sync::atomic::{AtomicUsize, Ordering};
/// use reveille::{cpu, nmi};
///
/// # fn example() {
/// static SEEN: AtomicUsize = AtomicUsize::new(0);
///
/// // On CPUs that have masked interrupts too: it may interrupt anything, and takes no lock.
/// let answers = nmi::on_each(&cpu::online(), || {
///     SEEN.fetch_add(1, Ordering::Relaxed);
/// });
/// # }
/// ```
pub fn on_each(set: &CpuSet, f: fn()) -> Answers {
    let what = memory::offset_of_function(f);
    let mut answers = Answers {
        done: CpuSet::EMPTY,
        running: CpuSet::EMPTY,
        silent: CpuSet::EMPTY,
        offline: CpuSet::EMPTY,
    };
    if masking::in_nmi() {
        answers.silent = *set;
        return answers;
    }
    let (masked, own) = masking::mask_here();
    if set.contains(own.id) {
        Masking::of(own).at_nmi_level(f);
        answers.done.insert(own.id);
    }
    masked.end_on(own);
    summon(set.without(own.id), what, &mut answers);
    answers
}

/// Asks the CPUs of `set` to run `what`, all at the same time, and waits for them.
fn summon(mut set: CpuSet, what: u32, answers: &mut Answers) {
    let limit = time();
    let mut asked = CpuSet::EMPTY;
    // The number of the summons of each CPU that was asked.
    let mut serials = [0; MAX_CPUS];
    let summons = |cpu: CpuId, serials: &[u32; MAX_CPUS]| {
        Part::of(area::of(cpu)).summons.asked(serials[cpu.index()], what)
    };
    // Ask, and ask again those that are busy with somebody else's.
    let deadline = Deadline::after(limit);
    let mut reminder = Reminder::new(NMI, deadline);
    loop {
        let mut told = CpuSet::EMPTY;
        // Not preempted before they are told: whoever else asks them waits until they have answered.
        let masked = masking::mask();
        for cpu in set.iter() {
            let area = area::of(cpu);
            if !area::is_online(area) {
                answers.offline.insert(cpu);
                set.remove(cpu);
            } else if let Some(new) = Part::of(area).summons.ask(what) {
                serials[cpu.index()] = new.into_serial();
                told.insert(cpu);
                asked.insert(cpu);
                set.remove(cpu);
            }
        }
        gic::send_sgi_set(NMI, &told);
        drop(masked);
        if set.is_empty() || deadline.has_passed() {
            break;
        }
        reminder.look(|| asked);
        pause();
    }
    answers.silent = set;

    let deadline = Deadline::after(limit);
    loop {
        for cpu in asked.iter() {
            if summons(cpu, &serials).progress() == Progress::Done {
                answers.done.insert(cpu);
                asked.remove(cpu);
            }
        }
        if asked.is_empty() || deadline.has_passed() {
            break;
        }
        // One too many does no harm: there is nothing to take.
        reminder.look(|| asked);
        pause();
    }
    for cpu in asked {
        let word = summons(cpu, &serials);
        match word.progress() {
            Progress::Done => answers.done.insert(cpu),
            Progress::Running => answers.running.insert(cpu),
            Progress::Waiting => match word.withdraw() {
                Ok(()) => answers.silent.insert(cpu),
                Err(word) if word.progress() == Progress::Done => answers.done.insert(cpu),
                Err(_) => answers.running.insert(cpu),
            },
        };
    }
}

fn pause() {
    gate::poll();
    arch::yield_now();
}

/// Whether the CPU of `area` is asked for nothing.
#[cfg(feature = "fault-injection")]
pub(crate) fn is_quiet(area: &Area) -> bool {
    Part::of(area).summons.is_idle()
}

/// Answers an NMI-class interrupt that was not sent to stop this CPU.
pub(crate) fn answer(area: &Area, frame: &IrqFrame) {
    let Some(answering) = Part::of(area).summons.take() else { return };
    match answering.what() {
        NOTE => Part::of(area).note.take(frame),
        what => {
            // Whoever has changed code, and finds that this CPU is at nothing (`await_begun`), has the new code run here: that it was taken up is
            // seen before anything of it is fetched.
            arch::dsb_ish();
            arch::isb();
            // SAFETY: beside `NOTE` only `on_each` asks, and for what `offset_of_function` gave it.
            let f = unsafe { memory::function_at(what) };
            Masking::of(area).at_nmi_level(f);
        }
    }
}

/// Waits until every function is over that a CPU has begun at NMI level before this was called. The caller has changed code, and that is
/// complete, for all CPUs: a function that begins later runs the new one.
///
/// # Panics
///
/// If one does not end for `limit`.
pub(crate) fn await_begun(limit: Duration) {
    let deadline = Deadline::after(limit);
    for area in area::areas() {
        let Some(asked) = Part::of(area).summons.running() else { continue };
        while asked.progress() == Progress::Running {
            assert!(!deadline.has_passed(), "cpu {}: a function at NMI level does not end", area.id);
            pause();
        }
    }
}

/// Has `cpu` note down what it is doing. `None` if it does not answer in time.
pub(crate) fn note(cpu: CpuId) -> Option<Noted> {
    let part = Part::of(area::of(cpu));
    let deadline = Deadline::after(time());
    let mut reminder = Reminder::at_once(NMI);
    let mut asked = None;
    loop {
        // Not preempted before it is told: as in `summon`. A few instructions, so by `DAIF`.
        let daif = regs::daif_mask();
        asked = asked.or_else(|| part.summons.ask(NOTE));
        if asked.is_some() {
            reminder.look(|| [cpu].into_iter().collect());
        }
        regs::daif_restore(daif);
        if asked.as_ref().is_some_and(|asked| asked.progress() == Progress::Done) {
            return Some(Noted(&part.note));
        }
        if deadline.has_passed() {
            break;
        }
        pause();
    }
    match asked?.withdraw() {
        Err(asked) if asked.progress() == Progress::Done => Some(Noted(&part.note)),
        _ => None,
    }
}

/// Prints what every CPU of `set` is doing, but for the caller: place and backtrace, interrupts masked there or not.
///
/// In the form of a panic's report, so that `scripts/symbolize` can read it. A CPU that does not answer in time (see
/// [`on_each`]) is named.
///
/// What is printed waits for the console: best from thread context. At NMI level nothing is asked, and nothing printed.
///
/// ```no_run
/// use reveille::{cpu, nmi};
///
/// # fn example() {
/// // What does everybody do?
/// nmi::backtrace(&cpu::online());
/// # }
/// ```
pub fn backtrace(set: &CpuSet) {
    if masking::in_nmi() {
        return;
    }
    for cpu in set.without(percpu::current()) {
        if !area::is_online(area::of(cpu)) {
            crate::println!("cpu {cpu} is not online");
            continue;
        }
        match note(cpu) {
            Some(noted) => crate::println!("cpu {cpu} is here:\n{noted}"),
            None => crate::println!("cpu {cpu} does not answer"),
        }
    }
}
