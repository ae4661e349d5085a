//! What secondaries run, and whether they may leave it; and the CPU that booted, once `main` is over.

use super::options;
use crate::arch;
use crate::holds::Holds;
use crate::launch::Mailbox;
use crate::masking;
use crate::percpu::area::{self, Area, Part as _};

/// The CPU of `own`, which is the calling one, runs what the application has for secondaries, for the rest of its life.
pub(crate) fn run_secondary(own: &'static Area) -> ! {
    let secondary = options::chosen().secondary;
    Holds::of(own).set_frames(!secondary.may_be_left());
    secondary.function()(own.id)
}

/// Ends `main`: the CPU that booted the image becomes one like any other, and runs the secondary function. From then on
/// it may leave, if that may be abandoned (see [`entry!`](crate::entry)).
///
/// What `main` has on its stack stays where it is, for ever: no destructor runs, but neither is its memory used again. The
/// lives of this CPU take place below it, on what is left of the stack: a `main` that keeps large values there had better
/// call this from a function that does not. Whoever does not get by with it meets the guard page, as ever.
///
/// # Panics
///
/// Outside of `main`: on any other CPU, a second time, in a launched closure, in a callback of any kind, with interrupts
/// masked, or in interrupt context.
///
/// # Examples
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example(system: &'static reveille::System) -> ! {
/// system.bring_up_all(system.deadline());
/// // The boot CPU is like any other from here on, and may leave.
/// cpu::become_secondary()
/// # }
/// ```
pub fn become_secondary() -> ! {
    // A closure that `main` runs as it idles has frames of its own, on top of a `main` that has not ended.
    let main = area::here(|own| {
        let is_main = Holds::of(own).is_main() && !Holds::of(own).is_away() && !Mailbox::of(own).is_running();
        is_main.then_some(own)
    });
    let Some(area) = main.filter(|_| !masking::is_masked()) else {
        panic!("cpu::become_secondary() outside of main")
    };
    area.begin_below(arch::stack_pointer());
    Holds::of(area).set_main(false);
    run_secondary(area)
}
