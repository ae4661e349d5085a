//! The console: the one that the description of the machine has, or the one that the bootarg `earlycon` names, which counts.

use crate::console;
use crate::dt::{self, Console, Machine, Salvaged};
use crate::memory::Blob;
use reveille_machine::BootArgs;

/// What a tree that may be damaged says of a console.
pub(super) struct Consoles {
    described: Option<Console<'static>>,
    /// The value of `earlycon`, and what it names, if that is not the same.
    named: Option<(&'static str, Result<Console<'static>, &'static str>)>,
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
        let mut named = None;
        // Without a value it asks for what the tree has, as in Linux; and the tree knows more of the same one.
        if !text.is_empty() {
            let console = Console::by_hand(text);
            let base = described.map(|console| console.registers.base);
            if console.is_err() || console.is_ok_and(|console| base != Some(console.registers.base)) {
                named = Some((text, console));
            }
        }
        let all = Self { described, named };
        if all.named.is_none() {
            use_described(described);
        }
        all
    }

    /// Has the one that is named be the console, if it can be, or else the one that is described; `machine` is what was made of the description,
    /// if anything, which may know of one that no tree does.
    ///
    /// # Safety
    ///
    /// As for [`console::answers`].
    #[inline(never)]
    pub(super) unsafe fn settle(&self, machine: Option<&mut Machine<'static>>) {
        let described = self.described.or(machine.as_ref().and_then(|machine| machine.console.ok()));
        let is_described = |named: Console<'_>| {
            described.is_some_and(|console| console.registers.base == named.registers.base)
        };
        let Some((text, named)) = self.named.filter(|(_, named)| !named.is_ok_and(is_described)) else {
            if self.described.is_none() {
                use_described(described);
            }
            return;
        };
        // SAFETY: the caller's.
        match named.and_then(|named| unsafe { usable(named, machine.as_deref()) }) {
            Ok(console) => {
                // Mapped already.
                let _ = console::init(&console);
                if let Some(machine) = machine {
                    (machine.console, machine.console_note) = (Ok(console), None);
                }
            }
            Err(what) => {
                use_described(described);
                console::print_raw(format_args!("reveille: bootargs: earlycon={text}: {what}\n"));
            }
        }
    }
}

fn use_described(console: Option<Console<'static>>) {
    if let Some(console) = &console {
        // Without it there is nowhere to say so; the machine works on.
        let _ = console::init(console);
    }
}

/// # Safety
///
/// As for [`console::answers`].
unsafe fn usable(
    console: Console<'static>,
    machine: Option<&Machine<'_>>,
) -> Result<Console<'static>, &'static str> {
    let (first, size) = (console.registers.base, console.registers.size);
    let is_ram = machine.is_some_and(|machine| {
        let is_here = |ram: dt::Region| ram.base < first + size && first < ram.base.saturating_add(ram.size);
        machine.memory().any(|ram| ram.is_ok_and(is_here))
    });
    if is_ram {
        return Err("there is RAM at this address");
    }
    // SAFETY: the caller's.
    unsafe { console::answers(&console) }?;
    Ok(console)
}
