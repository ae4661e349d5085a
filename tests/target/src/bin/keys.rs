//! Static keys toggled while every CPU runs the code that they decide about, and CPUs come and go; and patches that are
//! refused, which change nothing.
//!
//! The bootarg `rounds=N` says how often (default 200). `case=write-text` and `case=window` write where nobody may, after
//! the code was patched, and the panic report is the result.

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::irq::Trigger;
use reveille::patch::{Batch, PatchError, Site, SiteFault, sites};
use reveille::time::Deadline;
use reveille::{ExitCode, StopError, System, call, hotplug, irq, nmi, println, static_key, stop_machine};
use reveille_tests::{Random, argument, check, come_to_idle, eventually, has_gic, pause, raise};

reveille::entry!(
    main,
    // SAFETY: all that `secondary` has on the stack at an offline point is numbers.
    leaving = unsafe { reveille::cpu::Leaving::new(secondary) }
);

static_key!(FAST, false);
static_key!(SAFE, true);
static_key!(PAIR_A, false);
static_key!(PAIR_B, false);
static_key!(OTHER, false);
static_key!(SPOILED, false);
static_key!(ILLEGAL, false);
static_key!(LOOP, false);

/// What `FAST` was last set to, before the change began and after it was over.
static BEFORE: AtomicU64 = AtomicU64::new(0);
static AFTER: AtomicU64 = AtomicU64::new(0);
static LOOPS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
/// The only site of `FAST`.
static FAST_AT: AtomicU64 = AtomicU64::new(0);

const LONG: Duration = Duration::from_secs(20);
const NOP: u32 = 0xd503_201f;

fn main(system: &'static System) -> ExitCode {
    let rounds = argument(system, "rounds", 200);
    check(fast() == 0 && safe() == 1, "keys begin with their defaults");
    check(SAFE.disable() == Ok(1) && safe() == 0, "a key that begins enabled can be disabled, alone");
    check(SAFE.enable() == Ok(1) && safe() == 1, "and enabled again");
    check(SAFE.enable() == Ok(0), "a key that has its value is left alone");
    FAST_AT.store(sites_of("FAST").next().map_or(0, |site| site.address), Ordering::Relaxed);
    check(sites_of("FAST").count() == 1, "a use that is not inlined is one site");

    check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
    if let Some(case) = system.arg("case") {
        wild_write(case);
        println!("keys: nothing was wrong with that");
        return ExitCode::FAILURE;
    }
    let masked = irq::mask();
    check(FAST.enable() == Err(PatchError::Stop(StopError::WouldDeadlock)), "not with interrupts masked");
    drop(masked);
    let inside = call::on(CpuId::BOOT, || FAST.enable());
    check(inside == Ok(Err(PatchError::Stop(StopError::WouldDeadlock))), "not in a callback");
    refused();
    never_writable();
    nmi_level_is_over();
    one_instruction();
    let toggles = toggles(rounds);
    println!("keys: {toggles} toggles, {} looks, {} sites", LOOPS.load(Ordering::Relaxed), sites().count());
    if cpu::possible().len() > 1 {
        wedged(system);
    }
    println!("keys: all good");
    ExitCode::SUCCESS
}

fn sites_of(key: &'static str) -> impl Iterator<Item = Site> {
    sites().filter(move |site| site.key == key)
}

// --- toggling ---------------------------------------------------------------------------------------------------------

#[inline(never)]
fn fast() -> u64 {
    if FAST.is_enabled() { 1 } else { 0 }
}

#[inline(never)]
fn safe() -> u64 {
    if SAFE.is_enabled() { 1 } else { 0 }
}

#[inline(never)]
fn other() -> bool {
    OTHER.is_enabled()
}

/// Both or neither: they change in one gathering.
#[inline(never)]
fn pair() -> (u64, u64) {
    let _masked = irq::mask();
    let a = if PAIR_A.is_enabled() { 1 } else { 0 };
    let b = if PAIR_B.is_enabled() { 1 } else { 0 };
    (a, b)
}

fn is_branch(instruction: u32) -> bool {
    instruction >> 26 == 0b000101
}

/// Looks at the keys, over and over: what it sees lies between what was set before and after.
fn look() {
    let after = AFTER.load(Ordering::Acquire);
    let seen = fast();
    // The value changes with each toggle, so a count that is even means off.
    core::sync::atomic::fence(Ordering::Acquire);
    let before = BEFORE.load(Ordering::Acquire);
    if after == before {
        check(seen == after % 2, "no CPU takes the old branch after the toggle has returned");
    }
    check(seen < 2, "a site is one of its two instructions");
    // SAFETY: a word of the text, which is readable.
    let word = unsafe { (FAST_AT.load(Ordering::Relaxed) as *const u32).read_volatile() };
    check(word == NOP || is_branch(word), "and reads as one of them");
    let (a, b) = pair();
    check(a == b, "keys of one batch change together");
    LOOPS.fetch_add(1, Ordering::Relaxed);
}

/// The CPU that toggles a key of its own all the while, if there are enough of them; it does not leave.
fn toggler() -> Option<CpuId> {
    cpu::get(1).filter(|_| cpu::possible().len() > 2)
}

fn secondary(own: CpuId) -> ! {
    let mut random = Random::new(own.index() as u64);
    loop {
        if STOP.load(Ordering::Relaxed) {
            cpu::idle();
            continue;
        }
        if AFTER.load(Ordering::Relaxed) != 0 {
            look();
            if toggler() == Some(own) && random.below(64) == 0 {
                let wanted = !other();
                let done = if wanted { OTHER.enable() } else { OTHER.disable() };
                check(done == Ok(1) && other() == wanted, "several CPUs can patch, one after the other");
            }
        }
        cpu::offline_point();
        pause();
    }
}

fn toggle(count: u64) {
    BEFORE.store(count, Ordering::Release);
    let done = if count % 2 == 1 { FAST.enable() } else { FAST.disable() };
    check(done == Ok(1), "a toggle patches its site");
    AFTER.store(count, Ordering::Release);
    check(fast() == count % 2, "the toggling CPU sees it at once");
}

/// Toggles one key, and two at once, in turn; now and then a CPU leaves or comes back.
fn toggles(rounds: u64) -> u64 {
    let mut random = Random::new(5);
    let mut count = 0;
    for round in 0..rounds {
        count += 1;
        toggle(count);
        let both = if round % 2 == 0 {
            Batch::new().enable(&PAIR_A).enable(&PAIR_B)
        } else {
            Batch::new().disable(&PAIR_A).disable(&PAIR_B)
        };
        check(both.apply() == Ok(2), "a batch patches all its sites");
        look();
        // CPUs come and go: one that comes back sees what was patched while it was away.
        if round % 8 == 7 && cpu::possible().len() > 1 {
            let index = 1 + random.below(cpu::possible().len() as u64 - 1) as usize;
            let cpu = cpu::get(index).expect("below the count");
            if cpu::online().contains(cpu) {
                if toggler() != Some(cpu) {
                    check(hotplug::cpu_down(cpu, LONG) == Ok(()), "a CPU leaves");
                }
            } else {
                check(cpu_up(cpu, LONG) == Verdict::Online, "a CPU comes back");
                check(call::on(cpu, fast) == Ok(count % 2), "and sees what was patched meanwhile");
            }
        }
    }
    STOP.store(true, Ordering::Relaxed);
    for cpu in cpu::online().without(CpuId::BOOT) {
        come_to_idle(cpu);
    }
    for site in sites() {
        let meant = if site.enabled { is_branch(site.instruction) } else { site.instruction == NOP };
        check(meant, "every site reads back as what it should be");
    }
    count
}

// --- patches that are refused -----------------------------------------------------------------------------------------

#[inline(never)]
fn spoiled_one() -> u32 {
    if SPOILED.is_enabled() { 1 } else { 0 }
}

#[inline(never)]
fn spoiled_two() -> u32 {
    if SPOILED.is_enabled() { 2 } else { 0 }
}

#[inline(never)]
fn legal_site() -> bool {
    ILLEGAL.is_enabled()
}

/// A site where there must not be any.
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
fn illegal_site() -> bool {
    ILLEGAL.is_enabled()
}

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __never_patch_start: u8;
}

/// A number that changes with any byte of the text (FNV-1a).
fn text() -> u64 {
    let (start, end) = (&raw const __image_start as u64, &raw const __text_end as u64);
    // SAFETY: symbols of the linker script: words of the text, which is readable. Volatile: they change.
    let words = (start..end).step_by(4).map(|at| unsafe { (at as *const u32).read_volatile() });
    words
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3))
}

/// Everything is checked before the first store.
fn refused() {
    let untouched = text();
    // What stands at one of its sites is not what should: the other one, earlier in the text or later, stays too.
    check(spoiled_one() + spoiled_two() == 0 && sites_of("SPOILED").count() == 2, "a key can have two sites");
    const WRONG: u32 = 0xd503_203f;
    for nth in 0..2 {
        let at = sites_of("SPOILED").nth(nth).map_or(0, |site| site.address);
        // SAFETY: a YIELD in the place of a NOP, in a function that no CPU calls meanwhile.
        check(unsafe { fault::spoil(at, WRONG) } == Ok(()), "the test can spoil a site");
        let spoiled = text();
        check(spoiled != untouched, "and the sum shows it");
        let fault = SiteFault::Unexpected { found: WRONG, expected: NOP };
        check(SPOILED.enable() == Err(PatchError::Site { at, fault }), "a spoiled site is found");
        let batch = Batch::new().enable(&PAIR_A).enable(&SPOILED).enable(&PAIR_B).apply();
        check(batch == Err(PatchError::Site { at, fault }), "among those of other keys too");
        check(text() == spoiled && pair() == (0, 0), "and nothing has changed");
        check(!sites_of("SPOILED").any(|site| site.enabled), "nor does the key say so");
        // SAFETY: puts it right.
        check(unsafe { fault::spoil(at, NOP) } == Ok(()), "the test can put it right");
    }
    check(text() == untouched, "it is right again");
    check(SPOILED.enable() == Ok(2) && spoiled_one() + spoiled_two() == 3, "then the patch is made");
    check(SPOILED.disable() == Ok(2) && text() == untouched, "and back: byte for byte what it was");

    // A site in code that patching relies on.
    check(!legal_site() && !illegal_site(), "the key is off");
    let at = illegal_site as *const () as u64;
    let at =
        sites_of("ILLEGAL").map(|site| site.address).find(|site| (at..at + 64).contains(site)).unwrap_or(0);
    let error = PatchError::Site { at, fault: SiteFault::NeverPatched };
    check(ILLEGAL.enable() == Err(error), "code that patching relies on is never patched");
    check(Batch::new().enable(&FAST).enable(&ILLEGAL).apply() == Err(error), "in a batch neither");
    check(text() == untouched && fast() == 0 && !legal_site(), "and nothing has changed");

    places();
}

/// Places that are no sites, and branches that do not reach.
fn places() {
    static CONSTANT: u32 = 7;
    let main = main as *const () as u64;
    let never = &raw const __never_patch_start as u64;
    for (at, fault) in [
        (main + 2, SiteFault::Unaligned),
        (&raw const CONSTANT as u64, SiteFault::NotText),
        (&raw const __text_end as u64, SiteFault::NotText),
        (0, SiteFault::NotText),
        (fault::PATCH_WINDOW, SiteFault::NotText),
        (never, SiteFault::NeverPatched),
    ] {
        check(fault::patch_place(at) == Err(PatchError::Site { at, fault }), "a bad place is refused");
    }
    check(fault::patch_place(main) == Ok(()), "a good one is not");
    const REACH: u64 = 128 << 20;
    let from = 0x4020_0000;
    for (to, branch) in [
        (from, Some(0x1400_0000)),
        (from + 8, Some(0x1400_0002)),
        (from - 4, Some(0x17ff_ffff)),
        (from + REACH - 4, Some(0x15ff_ffff)),
        (from - REACH, Some(0x1600_0000)),
        (from + REACH, None),
        (from - REACH - 4, None),
        (from + 2, None),
        (from | 1 << 60, None),
    ] {
        check(fault::patch_branch(from, to) == branch, "a branch is what the manual says, or there is none");
    }
}

// --- W^X --------------------------------------------------------------------------------------------------------------

static HOOKS: AtomicU64 = AtomicU64::new(0);

/// The text is writable through a window, for as long as the patch takes, and nowhere else.
fn never_writable() {
    fn inside() {
        let text = fast as *const () as u64;
        check(fault::is_accessible(text, false), "the text is readable where it runs");
        check(!fault::is_accessible(text, true), "but not writable, not even while it is patched");
        check(fault::is_accessible(fault::PATCH_WINDOW, true), "it is written through the window");
        check(irq::is_masked(), "while nothing else happens");
        HOOKS.fetch_add(1, Ordering::Relaxed);
    }
    fault::while_patching(Some(inside));
    for round in 0..4 {
        let done = if round % 2 == 0 { FAST.enable() } else { FAST.disable() };
        check(done == Ok(1), "a toggle patches its site");
        let closed = |_| {
            let text = fast as *const () as u64;
            for write in [false, true] {
                check(!fault::is_accessible(fault::PATCH_WINDOW, write), "no window is left on any CPU");
            }
            check(!fault::is_accessible(text, true), "and the text is not writable");
        };
        check(call::on_each(&cpu::online(), closed).is_ok(), "all can be asked");
    }
    fault::while_patching(None);
    check(HOOKS.load(Ordering::Relaxed) == 4, "the test has looked during each patch");
}

/// A function at NMI level that begins while others are gathered, and takes its time, is waited for: it may have gone by what was there before.
fn nmi_level_is_over() {
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    fn takes_long() {
        INSIDE.fetch_add(1, Ordering::Relaxed);
        let end = Deadline::after(Duration::from_millis(250));
        while !end.has_passed() {
            core::hint::spin_loop();
        }
        INSIDE.fetch_sub(1, Ordering::Relaxed);
    }
    fn inside() {
        // They are still at it when it returns.
        let _ = nmi::on_each(&cpu::online().without(cpu::current()), takes_long);
    }
    fault::while_patching(Some(inside));
    check(FAST.enable() == Ok(1), "it is toggled");
    let inside = INSIDE.load(Ordering::Relaxed);
    fault::while_patching(None);
    check(inside == 0, "when it returns, no function is left that had begun");
    check(FAST.disable() == Ok(1), "and toggled again");
}

/// Writes to the text, or to where it was writable, after it was patched.
fn wild_write(case: &str) {
    check(FAST.enable() == Ok(1) && FAST.disable() == Ok(1), "the code was patched");
    let at = match case {
        "write-text" => fast as *const () as u64,
        "window" => fault::PATCH_WINDOW,
        _ => return,
    };
    // SAFETY: not safe at all: nothing is writable there, which is what the test is about.
    unsafe { black_box(at as *mut u32).write_volatile(0) };
}

// --- what a key costs -------------------------------------------------------------------------------------------------

/// Two loops, of which one asks a key that is off. A test of the scripts counts their instructions.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn loop_without_key(mut x: u64, count: u64) -> u64 {
    for _ in 0..count {
        // SAFETY: nothing. As opaque to the compiler as the key is.
        unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn loop_with_key(mut x: u64, count: u64) -> u64 {
    for _ in 0..count {
        if LOOP.is_enabled() {
            x = rare(x);
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

#[cold]
#[inline(never)]
fn rare(x: u64) -> u64 {
    x + 1
}

fn one_instruction() {
    check(loop_with_key(7, 1000) == loop_without_key(7, 1000), "a key that is off changes nothing");
    check(LOOP.enable() == Ok(1), "it can be turned on");
    check(loop_with_key(7, 1000) != loop_without_key(7, 1000), "and then it does");
    check(LOOP.disable() == Ok(1), "and off");
}

// --- CPUs that cannot be gathered -------------------------------------------------------------------------------------

/// An SPI that no device of the machine uses.
const SPI: u32 = 77;

/// A CPU that came, but never came online, may run anything: nothing is patched, and no lock relies on being alone.
fn wedged(system: &System) {
    static HELD: AtomicBool = AtomicBool::new(true);
    let Some(victim) = cpu::possible().iter().last() else { return };
    if cpu::online().contains(victim) {
        check(hotplug::cpu_down(victim, LONG) == Ok(()), "an idle CPU leaves");
    }
    static HANDLED: AtomicBool = AtomicBool::new(false);
    let set_up = |_| {
        let handler = |_| HANDLED.store(true, Ordering::Relaxed);
        check(
            irq::register(SPI, Trigger::Edge, handler).is_ok(),
            "an online callback can set up an interrupt",
        );
        Ok(())
    };
    check(hotplug::register(set_up, |_| ()).is_ok(), "callbacks can be registered");
    fault::before_online(Some(|_| {
        while HELD.load(Ordering::Relaxed) {
            pause();
        }
    }));
    fault::limit_online(Some(1000));
    check(cpu_up(victim, LONG) == Verdict::Wedged, "it arrives, and does not come online in time");
    fault::limit_online(None);
    for _ in 0..2 {
        let untouched = text();
        let was = fast() == 1;
        let refused = if was { FAST.disable() } else { FAST.enable() };
        check(refused == Err(PatchError::Busy(victim)), "nothing is patched under it, and it is named");
        check(text() == untouched && (fast() == 1) == was, "nothing has changed");
        check(stop_machine(LONG, || 1) == Ok(1), "the others are gathered without it");
        // The second time it has found out.
        HELD.store(false, Ordering::Relaxed);
        eventually("it parks", || fault::slot(victim).state == State::Wedged);
    }
    // It moves what goes to it away before it parks.
    eventually("an interrupt that it has set up is handled elsewhere", || {
        if has_gic(system) {
            raise(system, SPI);
        }
        !has_gic(system) || HANDLED.load(Ordering::Relaxed)
    });
    for cpu in cpu::online().without(CpuId::BOOT) {
        check(hotplug::cpu_down(cpu, LONG) == Ok(()), "the others leave");
    }
    check(cpu::online().len() == 1, "only one is online");
    check(!sites_of("ALONE").any(|site| site.enabled), "but its locks do not rely on that");
}
