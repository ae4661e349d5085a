//! What runs below the runtime where that lives at EL2: a few instructions at EL1, which count, call their host, are interrupted, left and
//! entered again, here or elsewhere; and find their registers as they left them.

use crate::kinds::{Kind, count};
use crate::verdict::{Wrong, expect, violated};
use crate::{bells, contexts, faults, maps, ops};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::cpu;
use reveille::exception::{self, Frame, Handlers, Kind as Exception, Outcome};
use reveille::irq;
use reveille_tests::Random;
use reveille_tests::books::scrambled;

// As many rounds as x0 says, each of which adds to each register its number, and every eighth of which is a call of the host, that changes x29; and a
// last call, that leaves.
global_asm!(
    r"
.balign 4
.global torture_guest
torture_guest:
1:  cbz     x0, 2f
    sub     x0, x0, #1
.irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,30
    add     x\n, x\n, #\n
.endr
.if {SIMD}
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    add     v\n\().2d, v\n\().2d, v31.2d
.endr
.endif
    tst     x0, #7
    b.ne    1b
    hvc     #1
    b       1b
2:  hvc     #2
    b       2b
",
    SIMD = const cfg!(target_feature = "neon") as u32,
);

unsafe extern "C" {
    fn torture_guest();
}

/// EL1, everything masked against itself, on `SP_EL1` or `SP_EL0`.
const EL1H: u64 = 0x3c5;
const EL1T: u64 = 0x3c4;

/// The runtime lives at EL2.
static ARE_HERE: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// The number of its next random choice.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// Whether there can be any.
pub fn are_here() -> bool {
    ARE_HERE.load(Ordering::Relaxed)
}

/// Looks whether there can be any.
pub fn begin() {
    let level: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, CurrentEL", out(reg) level, options(nomem, nostack, preserves_flags)) };
    ARE_HERE.store(level == 2 << 2, Ordering::Relaxed);
}

/// This CPU, with interrupts masked, comes online: guests have EL1 without an MMU, and SIMD.
pub fn comes() {
    if are_here() {
        // SAFETY: EL1 is the application's where the runtime lives at EL2: SCTLR_EL1 as after reset, CPACR_EL1.FPEN.
        unsafe {
            asm!("msr sctlr_el1, {}", "msr cpacr_el1, {}", "isb", in(reg) 0x30d0_0800_u64, in(reg) 3_u64 << 20, options(nomem, nostack));
        }
    }
}

/// The host, for `entry!`; and whoever tries what may be a fault.
pub struct Host;

/// What a call of the host makes of x29.
fn answer(value: u64) -> u64 {
    value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1)
}

fn choose() -> u64 {
    scrambled(CHOICES.fetch_add(1, Ordering::Relaxed) << 16 ^ cpu::current().index() as u64 ^ 1 << 13)
}

// SAFETY: a guest goes on behind its HVC, with x29 as it expects; who tries an access is told that it was a fault. All else goes on as it was.
unsafe impl Handlers for Host {
    fn synchronous(frame: &mut Frame, _: Exception) -> Outcome {
        maps::trap(frame)
    }

    fn lower_synchronous(frame: &mut Frame, _: Exception) -> Outcome {
        expect(
            irq::in_interrupt() && irq::is_masked(),
            Wrong::Unaccounted,
            "a handler runs in interrupt context",
        );
        // HVC, from AArch64.
        if frame.esr >> 26 != 0x16 {
            return Outcome::NotMine;
        }
        match frame.esr & 0xffff {
            1 => {
                frame.x[29] = answer(frame.x[29]);
                let choice = choose();
                if choice & 15 == 0 {
                    count(Kind::Post, !ops::post(ops::any(choice >> 8), 0));
                }
                Outcome::Resume
            }
            2 => Outcome::Leave,
            _ => Outcome::NotMine,
        }
    }

    fn lower_irq(_: &mut Frame) -> Outcome {
        let choice = choose();
        match choice & 15 {
            0..6 => Outcome::Leave,
            6 => {
                bells::ring(ops::any(choice >> 8), choice >> 32);
                Outcome::Resume
            }
            7 if choice >> 8 & 0xff == 0 => {
                faults::stand_still(choice);
                Outcome::Resume
            }
            _ => Outcome::Resume,
        }
    }
}

/// A guest, from its beginning to its end. In thread context.
pub fn operate(random: &mut Random) -> bool {
    if !are_here() {
        return false;
    }
    let rounds = if random.below(8) == 0 { random.below(2048) } else { random.below(64) };
    let mut frame = Frame::new();
    frame.elr = torture_guest as *const () as u64;
    frame.spsr = if random.below(2) == 0 { EL1H } else { EL1T };
    for register in 1..31 {
        frame.x[register] = random.number();
    }
    (frame.sp_el0, frame.tpidrro_el0) = (random.number(), random.number());
    frame.x[0] = rounds;
    #[cfg(target_feature = "neon")]
    for register in 0..32 {
        frame.q[register] = u128::from(random.number()) << 64 | u128::from(random.number());
    }
    let begun = frame.clone();
    let mut left = 0;
    loop {
        // SAFETY: the instructions above, which touch registers alone, at EL1, whose interrupts are ours (`HCR_EL2` as the runtime has it).
        match unsafe { exception::enter(&mut frame) } {
            Ok(Exception::Lower) => break,
            Ok(Exception::LowerIrq) => left += 1,
            Ok(kind) => {
                violated(Wrong::Unaccounted, format_args!("a guest was left because of {kind:?}: {frame:x?}"))
            }
            Err(error) => violated(Wrong::Lost, format_args!("{error}")),
        }
        // Others run, and it may go on elsewhere.
        if left & 1 == 0 {
            contexts::yield_now();
        }
    }
    check(&begun, &frame, rounds);
    true
}

/// What a guest has at its end.
fn check(begun: &Frame, frame: &Frame, rounds: u64) {
    let wrong = |what: &str, found: u64, right: u64| {
        if found != right {
            violated(
                Wrong::Lost,
                format_args!("a guest of {rounds} rounds ends with {found:#x} in {what}, not {right:#x}"),
            );
        }
    };
    wrong("x0", frame.x[0], 0);
    for register in (1..29).chain([30]) {
        let right = begun.x[register].wrapping_add(rounds.wrapping_mul(register as u64));
        wrong("a register that it adds to", frame.x[register], right);
    }
    let right = (0..rounds.div_ceil(8)).fold(begun.x[29], |value, _| answer(value));
    wrong("x29", frame.x[29], right);
    wrong("SP_EL0", frame.sp_el0, begun.sp_el0);
    wrong("TPIDRRO_EL0", frame.tpidrro_el0, begun.tpidrro_el0);
    #[cfg(target_feature = "neon")]
    for register in 0..31 {
        let half = |all: u128, shift: u32| (all >> shift) as u64;
        for shift in [0, 64] {
            let right =
                half(begun.q[register], shift).wrapping_add(rounds.wrapping_mul(half(begun.q[31], shift)));
            wrong("a SIMD register", half(frame.q[register], shift), right);
        }
    }
}
