//! The physical timer, which the runtime leaves alone: interrupts at random, and a look around for what hangs.

use crate::books::{TICKS_OVER, TICKS_WANTED, add, ended, get};
use crate::kinds::{Kind, count};
use crate::verdict::{Wrong, violated};
use crate::{faults, find_hang, ops};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::irq::{self, IrqError, Trigger};
use reveille::time::Instant;
use reveille::{System, cpu};

/// Each CPU looks around this often.
const LOOK: Duration = Duration::from_millis(100);
/// A CPU that has not taken such an interrupt for so long, and has come by so often since, does not get them. The time alone says
/// nothing: a host that is busy stops all of QEMU for as long.
const SILENCE: Duration = Duration::from_secs(2);
const PASSES: u64 = 1000;

reveille::percpu! {
    /// When it took the last one, or began its life, ticks.
    static LAST: AtomicU64 = AtomicU64::new(0);
    /// How often its thread has come by since then, and found that it is overdue.
    static OVERDUE: AtomicU64 = AtomicU64::new(0);
    /// The number of its next random choice.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// Handles the interrupts of the physical timer of every CPU. It is EL1's, at EL2 too.
///
/// # Errors
///
/// If they cannot be had.
pub fn begin(system: &System) -> Result<(), IrqError> {
    // Where the tree does not say: as the architecture's base system has it (Arm BSA, 3.6).
    let listed = system.machine().timer.as_ref().ok().and_then(|timer| timer.physical);
    irq::register(listed.map_or(30, |interrupt| interrupt.id), Trigger::Level, tick)
}

/// The timer of this CPU fires at this moment, or a moment later if that has passed.
fn set(at: Instant) {
    // SAFETY: the physical timer of EL1, which nobody else uses.
    unsafe {
        asm!(
            "msr cntp_cval_el0, {at}",
            "msr cntp_ctl_el0, {on}",
            "isb",
            at = in(reg) at.ticks(), on = in(reg) 1_u64,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// This CPU looks around from now on. In thread context: it has just come online.
pub fn arm() {
    // One that comes after all comes before this, or behind it.
    let _masked = irq::mask();
    if is_wanted() {
        // It went with the life before.
        ended(&TICKS_OVER);
    }
    LAST.store(Instant::now().ticks(), Ordering::Relaxed);
    OVERDUE.store(0, Ordering::Relaxed);
    set(Instant::now() + LOOK);
}

/// In thread context, interrupts open: they come.
pub fn check(now: u64) {
    let last = Instant::from_ticks(LAST.load(Ordering::Relaxed));
    if Instant::from_ticks(now).since(last) > SILENCE && OVERDUE.fetch_add(1, Ordering::Relaxed) >= PASSES {
        violated(
            Wrong::Lost,
            format_args!("the physical timer of cpu {} no longer interrupts it", cpu::current()),
        );
    }
}

/// Whether an interrupt is under way for an operation.
fn is_wanted() -> bool {
    get(&TICKS_WANTED) != get(&TICKS_OVER)
}

/// An interrupt after about this time, whose handler posts. `false` if one is under way.
pub fn want(after: Duration) -> bool {
    let _masked = irq::mask();
    if is_wanted() {
        return false;
    }
    add(&TICKS_WANTED, 1);
    set(Instant::now() + after + faults::lingers());
    true
}

fn tick(_: u32) {
    let now = Instant::now();
    LAST.store(now.ticks(), Ordering::Relaxed);
    OVERDUE.store(0, Ordering::Relaxed);
    set(now + LOOK);
    if is_wanted() {
        let choice = reveille_tests::books::scrambled(
            CHOICES.fetch_add(1, Ordering::Relaxed) << 16 ^ cpu::current().index() as u64,
        );
        faults::linger();
        count(Kind::Handler, !ops::post(ops::any(choice), 0));
        ended(&TICKS_OVER);
    }
    if let Some((cpu, what, age)) = find_hang(now.ticks()) {
        let (seconds, ms) = (age.as_secs(), age.subsec_millis());
        violated(Wrong::Hang, format_args!("cpu {cpu} has been in {what} for {seconds}.{ms:03} s"));
    }
}
