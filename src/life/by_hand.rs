//! The console: the one that the device tree has, or the one that the bootarg `earlycon` names, which counts.

use crate::console;
use crate::dt::{self, Console, Machine, Region, Salvaged};
use crate::memory::Blob;
use reveille_machine::BootArgs;

/// What a tree that may be damaged says of a console.
pub(super) struct Consoles {
    described: Option<Console<'static>>,
    /// The value of `earlycon`. Without one it asks for what is described, as in Linux.
    text: &'static str,
}

impl Consoles {
    /// Reads it, before anything else is made of the tree; the one that is described is the console from here on, unless another is named.
    #[inline(never)]
    pub(super) fn find(blob: &Blob) -> Self {
        let Salvaged { console: described, bootargs } = dt::salvage(blob.bytes);
        let text = BootArgs(bootargs).get("earlycon").unwrap_or("");
        let all = Self { described, text };
        if text.is_empty() {
            all.use_described();
        }
        all
    }

    fn use_described(&self) {
        if let Some(console) = &self.described {
            // Without it there is nowhere to say so; the machine works on.
            let _ = console::init(console);
        }
    }

    /// Has the one that is named be the console, if it can be; `machine` is what was made of the tree, if anything.
    ///
    /// # Safety
    ///
    /// As for [`console::answers`].
    #[inline(never)]
    pub(super) unsafe fn settle(&self, machine: Option<&mut Machine<'static>>) {
        if self.text.is_empty() {
            return;
        }
        let wrong = match Console::by_hand(self.text) {
            // The tree knows more of the same one.
            Ok(named) if self.described.is_some_and(|one| one.registers.base == named.registers.base) => None,
            Ok(named) if machine.as_deref().is_some_and(|machine| is_ram(machine, named.registers)) => {
                Some("there is RAM at this address")
            }
            // SAFETY: the caller's.
            Ok(named) => match unsafe { console::answers(&named) } {
                Ok(()) => {
                    // Mapped already.
                    let _ = console::init(&named);
                    if let Some(machine) = machine {
                        (machine.console, machine.console_note) = (Ok(named), None);
                    }
                    return;
                }
                Err(what) => Some(what),
            },
            Err(what) => Some(what),
        };
        self.use_described();
        if let Some(what) = wrong {
            console::print_raw(format_args!("reveille: bootargs: earlycon={}: {what}\n", self.text));
        }
    }
}

/// Whether `registers` lie where `machine` has RAM.
fn is_ram(machine: &Machine<'_>, registers: Region) -> bool {
    let end = registers.base + registers.size;
    let is_here = |ram: Region| ram.base < end && registers.base < ram.base.saturating_add(ram.size);
    machine.memory().any(|ram| ram.is_ok_and(is_here))
}
