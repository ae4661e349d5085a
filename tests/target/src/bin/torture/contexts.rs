//! Contexts, and who runs where: a small scheduler, which is as careless as it may be.
//!
//! Each CPU's loop is its home context. Others are made by operations, run wherever a CPU looks for them, are preempted, give up the CPU, park,
//! move, and end after a few steps, each of which is an operation like those of the loop. Their stacks come back.

use crate::books::{CONTEXTS_ENDED, CONTEXTS_MADE, add, ended, get};
use crate::kinds::{Kind, count, is_in_mix};
use crate::verdict::{Wrong, expect, violated};
use crate::{alarms, bells, faults, ops};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::hotplug;
use reveille::irq;
use reveille::memory::Stack;
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{Alarm, Instant};
use reveille_tests::books::scrambled;
use reveille_tests::{Random, registers};

/// Contexts that there are at most, beside homes.
const MOST: usize = 16;
/// Turns of what is not home are as long as this, or up to eight times as long.
const TURN_LASTS: Duration = Duration::from_micros(20);

struct Queue {
    list: [Option<Ready>; MOST],
    first: usize,
    len: usize,
}

impl Queue {
    const fn new() -> Self {
        Self { list: [const { None }; MOST], first: 0, len: 0 }
    }

    fn put(&mut self, context: Ready) {
        expect(self.len < MOST, Wrong::Doubled, "there are no more contexts than were made");
        self.list[(self.first + self.len) % MOST] = Some(context);
        self.len += 1;
    }

    fn take(&mut self) -> Option<Ready> {
        let context = self.list[self.first].take()?;
        self.first = (self.first + 1) % MOST;
        self.len -= 1;
        Some(context)
    }
}

/// Those that any CPU may run; and those that wait until they are woken.
static ANYWHERE: SpinLock<Queue> = SpinLock::new(Queue::new());
static PARKED: SpinLock<Queue> = SpinLock::new(Queue::new());
/// Stacks that wait for the next context.
static STACKS: SpinLock<[Option<Stack>; MOST]> = SpinLock::new([const { None }; MOST]);
/// A lock that contexts alone take, and keep while they are switched.
static KEPT: Mutex<u64> = Mutex::new(0);

/// Contexts that have not ended; stacks that were made, and that were given back.
static LIVE: AtomicU64 = AtomicU64::new(0);
static STACKS_MADE: AtomicU64 = AtomicU64::new(0);
static STACKS_BACK: AtomicU64 = AtomicU64::new(0);
/// How often [`KEPT`] was taken.
static KEPT_TIMES: AtomicU64 = AtomicU64::new(0);
static SWITCHES: AtomicU64 = AtomicU64::new(0);
static PREEMPTIONS: AtomicU64 = AtomicU64::new(0);
static MOVES: AtomicU64 = AtomicU64::new(0);

reveille::percpu! {
    /// Those that this CPU alone may run.
    static HERE: SpinLock<Queue> = SpinLock::new(Queue::new());
    /// Its home, while another runs.
    static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
    /// The turn of what runs here is over.
    static TURN: AtomicBool = AtomicBool::new(false);
    /// Until when the CPU takes nothing new, because somebody has asked it to leave; ticks.
    static DRAINS: AtomicU64 = AtomicU64::new(0);
    static TICK: Alarm = Alarm::new(tick);
    /// The number of its next random choice.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// The scheduler, for `entry!`.
pub struct Careless;

impl Scheduler for Careless {
    fn preempt() -> Option<Ready> {
        if !TURN.swap(false, Ordering::Relaxed) {
            return None;
        }
        let at_home = HOME.lock().is_none();
        let choice = choose();
        if !at_home && drains() && choice & 7 != 0 {
            // It goes by itself soon; preempted, it might be bound to a CPU that is to leave.
            set_tick(choice);
            return None;
        }
        let next = take(at_home, choice);
        // Who waits may hold what all others wait for: one that takes nothing now, because it drains, looks again.
        if next.is_none() && ANYWHERE.lock().len != 0 {
            set_tick(choice);
        }
        next
    }

    fn preempted(context: Ready) {
        PREEMPTIONS.fetch_add(1, Ordering::Relaxed);
        put(context);
    }

    fn end() -> Ready {
        match take(false, choose()) {
            Some(next) => next,
            None => violated(Wrong::Lost, format_args!("the home of cpu {} is not there", cpu::current())),
        }
    }

    fn ended(context: Ended) {
        let stack = context.into_stack();
        expect(stack.name() == NAME, Wrong::Unaccounted, "a context that has ended gives its own stack back");
        let unwanted = keep_stack(stack);
        if unwanted.is_some() {
            STACKS_BACK.fetch_add(1, Ordering::Relaxed);
        }
        drop(unwanted);
        LIVE.fetch_sub(1, Ordering::Relaxed);
        ended(&CONTEXTS_ENDED);
    }
}

/// What a report calls the stack of each.
const NAME: &str = "a context under torture";

/// A random number of this CPU. With interrupts masked.
fn choose() -> u64 {
    scrambled(CHOICES.fetch_add(1, Ordering::Relaxed) << 16 ^ cpu::current().index() as u64 ^ 1 << 12)
}

/// Whether this CPU was asked to leave not long ago.
fn drains() -> bool {
    Instant::now().ticks() < DRAINS.load(Ordering::Relaxed)
}

/// Keeps one for the next context, or gives it back if there are enough.
fn keep_stack(stack: Stack) -> Option<Stack> {
    let mut stacks = STACKS.lock();
    // As often as not, so that they are made anew.
    match stacks.iter_mut().step_by(2).find(|place| place.is_none()) {
        Some(place) => {
            *place = Some(stack);
            None
        }
        None => Some(stack),
    }
}

/// Puts a context where it is found. In any context but NMI level.
fn put(context: Ready) {
    if context.is_home() {
        expect(context.bound_to() == Some(cpu::current()), Wrong::Unaccounted, "a CPU's home is bound to it");
        let before = HOME.lock().replace(context);
        expect(before.is_none(), Wrong::Doubled, "a CPU has one home");
    } else if let Some(cpu) = context.bound_to() {
        HERE.of(cpu).lock().put(context);
    } else {
        ANYWHERE.lock().put(context);
    }
}

/// The next turn ends soon.
fn set_tick(choice: u64) {
    // Refused on a CPU that leaves, which is at home and stays there.
    let _ = TICK.after(TURN_LASTS * (1 + (choice >> 32 & 7) as u32));
}

/// Who runs here next; where the caller is not at home, somebody does. With interrupts masked.
fn take(at_home: bool, choice: u64) -> Option<Ready> {
    let here = || HERE.lock().take();
    let anywhere = || if drains() { None } else { ANYWHERE.lock().take() };
    let next = if at_home {
        here().or_else(anywhere)
    } else if choice & 3 == 0 || drains() {
        here().or_else(anywhere).or_else(|| HOME.lock().take())
    } else {
        HOME.lock().take()
    };
    // After the last turn too: who is preempted is put back after this.
    if next.is_some() {
        set_tick(choice);
    }
    next
}

/// The handler of [`TICK`].
fn tick() {
    alarms::another_fires(alarms::COUNT);
    look();
}

/// This CPU looks who is to run, at the end of the interrupt.
pub fn look() {
    TURN.store(true, Ordering::Relaxed);
}

/// One that has parked is woken, if there is one. In any context but NMI level.
pub fn wake_one() {
    let parked = PARKED.lock().take();
    if let Some(context) = parked {
        put(context);
    }
}

/// Runs another in place of the caller, whose right to run `then` gets. `false`: there is none.
fn switch(then: fn(Ready)) -> bool {
    let choose = || {
        let at_home = HOME.lock().is_none();
        take(at_home, choose())
    };
    match context::switch_with(choose, then) {
        Ok(switched) => {
            SWITCHES.fetch_add(u64::from(switched), Ordering::Relaxed);
            switched
        }
        Err(failed) => violated(Wrong::Unaccounted, format_args!("a switch: {}", failed.error)),
    }
}

/// Gives up the CPU for a while. `false`: nobody wants it.
pub fn yield_now() -> bool {
    switch(put)
}

/// The same, until somebody wakes the caller, which is not at home.
fn park() {
    switch(|context| {
        // A home stays where it is found.
        if context.bound_to().is_some() { put(context) } else { PARKED.lock().put(context) }
    });
}

/// Makes one.
pub fn make(random: &mut Random) -> bool {
    let most = (2 * cpu::possible().len()).min(MOST) as u64;
    let more = |live: u64| (live < most).then_some(live + 1);
    if faults::are_over() || LIVE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
        return false;
    }
    let kept = STACKS.lock().iter_mut().find_map(Option::take);
    let stack = kept.unwrap_or_else(|| {
        STACKS_MADE.fetch_add(1, Ordering::Relaxed);
        match Stack::new(NAME, (16 << 10) + (random.number() as usize & 0x3fff)) {
            Ok(stack) => stack,
            Err(error) => violated(Wrong::Lost, format_args!("{error}")),
        }
    });
    let seed = random.number();
    let context = match context::new(stack, move || run(seed)) {
        Ok(context) => context,
        Err(error) => violated(Wrong::Lost, format_args!("{error}")),
    };
    expect(
        context.bound_to().is_none() && !context.is_home(),
        Wrong::Unaccounted,
        "a new context is bound to no CPU",
    );
    {
        let _masked = irq::mask();
        add(&CONTEXTS_MADE, 1);
    }
    put(context);
    bells::ring_for_contexts(ops::any(random.number() >> 8));
    true
}

/// What a context does.
fn run(seed: u64) {
    let mut random = Random::new(seed);
    let numbers: [u64; 4] = core::array::from_fn(|_| random.number());
    let kept = core::hint::black_box(numbers);
    let mut last = cpu::current();
    for _ in 0..2 + random.below(8) {
        step(&mut random);
        let now = cpu::current();
        if now != last {
            MOVES.fetch_add(1, Ordering::Relaxed);
            last = now;
        }
        let right = kept == numbers && context::current_name() == NAME && !irq::is_masked();
        expect(right, Wrong::Lost, "a context finds its own stack as it left it");
        // Who is asked to leave is let go.
        if drains() || random.below(4) == 0 {
            give_way();
        }
    }
}

/// Gives up the CPU, and counts that. Called by assembly too.
extern "C" fn give_way() {
    count(Kind::Switch, !yield_now());
}

fn step(random: &mut Random) {
    let number = random.number();
    match number & 15 {
        0..3 => {
            let over = (number >> 8 & 1 == 0).then_some(give_way as extern "C" fn());
            let kept = registers::are_kept(number, number >> 16 & 0xfff, over);
            expect(kept, Wrong::Lost, "a context finds its registers as it left them");
        }
        3 => park(),
        4 if number >> 8 & 3 == 0 => keep(),
        _ => ops::operate_in_context(random),
    }
}

/// What a context holds it keeps while it is switched; and the CPU where it took it stays meanwhile.
fn keep() {
    let mut guard = loop {
        match KEPT.try_lock() {
            Some(guard) => break guard,
            None => _ = yield_now(),
        }
    };
    let before = *guard;
    let pin = hotplug::pin();
    yield_now();
    expect(*guard == before, Wrong::Doubled, "a mutex excludes while its holder does not run");
    *guard += 1;
    KEPT_TIMES.fetch_add(1, Ordering::Relaxed);
    drop(pin);
    yield_now();
    drop(guard);
}

/// Somebody wants `own` to leave.
pub fn asked(own: CpuId) -> Result<(), &'static str> {
    expect(
        own == cpu::current() && irq::is_masked(),
        Wrong::Unaccounted,
        "a CPU is asked where it is, masked",
    );
    if !is_in_mix(Kind::Context) {
        return Ok(());
    }
    let until = Instant::now() + ops::patience();
    DRAINS.store(until.ticks(), Ordering::Relaxed);
    look();
    if choose() & 31 == 0 { Err("not now") } else { Ok(()) }
}

/// `own` goes: others run those who wait.
pub fn goes(own: CpuId) {
    for cpu in &cpu::online().without(own) {
        bells::ring_for_contexts(cpu);
    }
}

/// `own` comes, or stays.
pub fn comes(own: CpuId) {
    let stays = fault::slot(own).state == State::Online;
    let nobody = HERE.lock().len == 0 && HOME.lock().is_none();
    expect(stays || nobody, Wrong::Unaccounted, "a CPU does not leave while contexts are bound to it");
    DRAINS.store(0, Ordering::Relaxed);
    set_tick(choose());
}

/// How many were made, switches, preemptions, and how often one found itself on another CPU.
pub fn progress() -> [u64; 4] {
    let made = cpu::possible().iter().map(|cpu| get(CONTEXTS_MADE.of(cpu))).sum();
    [made, get(&SWITCHES), get(&PREEMPTIONS), get(&MOVES)]
}

/// All is over, and all contexts have ended: nothing of them is left. Their stacks are given back.
pub fn close() {
    expect(LIVE.load(Ordering::Relaxed) == 0, Wrong::Lost, "all contexts have ended");
    let mut left = ANYWHERE.lock().len + PARKED.lock().len;
    for cpu in cpu::possible() {
        // A CPU runs at home, or is on its way there.
        left += HERE.of(cpu).lock().len;
    }
    expect(left == 0, Wrong::Doubled, "no context waits that has ended");
    for place in 0..MOST {
        let stack = STACKS.lock()[place].take();
        if let Some(stack) = stack {
            STACKS_BACK.fetch_add(1, Ordering::Relaxed);
            drop(stack);
        }
    }
    let (made, back) = (get(&STACKS_MADE), get(&STACKS_BACK));
    expect(made >= back, Wrong::Doubled, "no stack comes back twice");
    expect(made == back, Wrong::Lost, "every stack comes back");
    let (kept, times) = (*KEPT.lock(), get(&KEPT_TIMES));
    expect(kept == times, Wrong::Lost, "no update of what a mutex keeps is lost");
}
