//! The end of an image on a CPU that it was not compiled for, in one line.
//!
//! Nothing here, and nothing that is called from here, may use an atomic read-modify-write, or a load or store that orders: with the
//! features for atomics these are the instructions that the CPU may lack. So no locks, and nothing that happens once.

use super::left::find_blob;
use crate::arch;
use crate::arch::needs::{self, Lacking};
use crate::console::{BUILT_IN, Bare};
use crate::dt::{self, Salvaged};
use crate::ending::{self, ExitCode};
use crate::memory::Alone;
use core::fmt::Write;
use reveille_machine::BootArgs;

/// The boot CPU lacks something that the code is compiled for. On the boot stack, MMU on with the early tables, alone; in place of `boot`.
/// `x0` is what firmware left in that register.
pub(super) extern "C" fn unfit(x0: u64) -> ! {
    if !needs::ANY {
        // Nobody comes here, and there is nothing to say.
        arch::park()
    }
    // SAFETY: the entry code calls this function once, on one CPU, in place of `boot`.
    let Some(mut memory) = (unsafe { Alone::new() }) else {
        arch::last_word(c"cannot start: the image does not fit its own page tables")
    };
    let blob = find_blob(x0, |at| memory.tree_at(at)).map_or(&[][..], |blob| blob.bytes);
    let Salvaged { console: described, bootargs } = dt::salvage(blob);
    let args = BootArgs(bootargs);
    let named = || args.get("earlycon").and_then(|text| dt::Console::by_hand(text).ok());
    let found = named().or(described).or(BUILT_IN);
    if let Some(found) = found
        && (!found.kind.is_in_memory()
            || memory.map_device(found.registers.base, found.registers.size.max(1)).is_ok())
        && let Ok(mut console) = Bare::new(&found)
    {
        let _ = writeln!(console, "reveille: cannot start: this image is built for a CPU with {Lacking}");
        console.flush();
    }
    if args.get("reveille.exit") == Some("semihosting") {
        ending::use_semihosting();
        ending::try_exit(ExitCode::FAILURE);
    }
    arch::park()
}
