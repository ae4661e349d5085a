//! The console: the one that the description of the machine has, or the one that the bootarg `earlycon` names, which counts.

use crate::console;
use crate::dt::{self, Console, ConsoleKind, Machine, Region, Salvaged};
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
    ///
    /// `tree` is the device tree, if there is one, `arguments` the command line, if it is not that of the tree.
    #[inline(never)]
    pub(super) fn find(tree: Option<&Blob>, arguments: Option<&'static str>) -> Self {
        let Salvaged { console: described, bootargs } =
            tree.map_or(Salvaged::default(), |blob| dt::salvage(blob.bytes));
        let text = BootArgs(arguments.unwrap_or(bootargs)).get("earlycon").unwrap_or("");
        let all = Self { described, text };
        if text.is_empty() || all.named().is_ok_and(|named| all.is_same(named, described)) {
            use_described(described);
        }
        all
    }

    fn named(&self) -> Result<Console<'static>, &'static str> {
        Console::by_hand(self.text)
    }

    /// Whether `described` is what was named: its model, where it is, and how it is accessed, if that was said.
    fn is_same(&self, named: Console<'_>, described: Option<Console<'_>>) -> bool {
        let Some(one) = described else { return false };
        let has_access = self.text.split(',').nth(1).is_some_and(|word| word.starts_with("mmio"));
        let is_kind = match (one.kind, named.kind) {
            (
                ConsoleKind::Uart8250 { reg_shift, reg_io_width, .. },
                ConsoleKind::Uart8250 { reg_shift: shift, reg_io_width: width, .. },
            ) => !has_access || (reg_shift, reg_io_width) == (shift, width),
            (described, named) => described == named,
        };
        is_kind && one.registers.base == named.registers.base
    }

    /// Has the one that is named be the console, if it can be, or else the one that is described; `machine` is what was made of the description,
    /// if anything, which may know of one where no tree does.
    ///
    /// # Safety
    ///
    /// As for [`console::answers`].
    #[inline(never)]
    pub(super) unsafe fn settle(&self, machine: Option<&mut Machine<'static>>) {
        let described = self.described.or(machine.as_ref().and_then(|machine| machine.console.ok()));
        if self.text.is_empty() {
            if self.described.is_none() {
                use_described(described);
            }
            return;
        }
        let wrong = match self.named() {
            // The description knows more of the same one.
            Ok(named) if self.is_same(named, described) => None,
            // A machine that cannot be read may have RAM there.
            Ok(_) if machine.is_none() && described.is_some() => None,
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
        use_described(described);
        if let Some(what) = wrong {
            console::print_raw(format_args!("reveille: bootargs: earlycon={}: {what}\n", self.text));
        }
    }
}

fn use_described(console: Option<Console<'static>>) {
    if let Some(console) = &console {
        // Without it there is nowhere to say so; the machine works on.
        let _ = console::init(console);
    }
}

/// Whether `registers` lie where `machine` has RAM.
fn is_ram(machine: &Machine<'_>, registers: Region) -> bool {
    let end = registers.base + registers.size;
    let is_here = |ram: Region| ram.base < end && registers.base < ram.base.saturating_add(ram.size);
    machine.memory().any(|ram| ram.is_ok_and(is_here))
}
