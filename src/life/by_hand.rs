//! The console: the one that the description of the machine has, or the one that the bootarg `earlycon` names, which counts; and where neither
//! can be used, the first of those that nobody has named.

use crate::console;
use crate::dt::{self, Console, ConsoleKind, Machine, Region, Salvaged};
use crate::memory::Blob;
use reveille_machine::BootArgs;

/// What a tree that may be damaged says of a console.
pub(super) struct Consoles {
    blob: &'static [u8],
    described: Option<Console<'static>>,
    /// It has been tried.
    is_tried: bool,
    /// What is the console in its place, because it cannot be used or is not there.
    other: Option<Console<'static>>,
    /// The value of `earlycon`. Without one it asks for what is described, as in Linux.
    text: &'static str,
}

impl Consoles {
    /// Reads it, before anything else is made of the tree; the one that is described is the console from here on, unless another is named.
    ///
    /// `tree` is the device tree, if there is one, `arguments` the command line, if it is not that of the tree.
    ///
    /// # Safety
    ///
    /// As for [`console::answers`].
    #[inline(never)]
    pub(super) unsafe fn find(tree: Option<&Blob>, arguments: Option<&'static str>) -> Self {
        let blob = tree.map_or(&[][..], |blob| blob.bytes);
        let Salvaged { console: described, bootargs } = dt::salvage(blob);
        let text = BootArgs(arguments.unwrap_or(bootargs)).get("earlycon").unwrap_or("");
        let mut all = Self { blob, described, is_tried: false, other: None, text };
        if text.is_empty() || all.named().is_ok_and(|named| all.is_same(named, described)) {
            // SAFETY: the caller's.
            all.other = unsafe { all.begin(described) };
            all.is_tried = described.is_some();
        }
        all
    }

    /// Has `described` be the console, or, where that cannot be used, the first in the tree that can, which is returned then.
    ///
    /// # Safety
    ///
    /// As for [`console::answers`].
    #[inline(never)]
    unsafe fn begin(&self, described: Option<Console<'static>>) -> Option<Console<'static>> {
        let begin = |console: &Console<'_>| {
            // Nobody has said of one that is not chosen that it is there.
            if console.kind == ConsoleKind::Virtio || !console.is_chosen {
                // SAFETY: the caller's.
                unsafe { console::answers(console) }?;
            }
            console::init(console)
        };
        let wrong = match &described {
            None => None,
            Some(console) => match begin(console) {
                Ok(()) => return None,
                wrong => Some((console, wrong)),
            },
        };
        let other = dt::find_unasked(self.blob, &mut |console| begin(console).is_ok());
        if let Some((console, Err(what))) = wrong {
            console::print_raw(format_args!("reveille: console {}: {what}\n", console.path));
        }
        other
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
        let named = match self.named() {
            _ if self.text.is_empty() => Ok(None),
            // The description knows more of the same one.
            Ok(named) if self.is_same(named, described) => Ok(None),
            // A machine that cannot be read may have RAM there.
            Ok(_) if machine.is_none() && described.is_some() => Ok(None),
            Ok(named) if machine.as_deref().is_some_and(|machine| is_ram(machine, named.registers)) => {
                Err("there is RAM at this address")
            }
            Ok(named) => {
                // SAFETY: the caller's.
                let answers = unsafe { console::answers(&named) };
                answers.and_then(|()| console::init(&named)).map(|()| Some(named))
            }
            Err(what) => Err(what),
        };
        let used = match named {
            Ok(Some(named)) => Some(named),
            _ if self.is_tried => self.other,
            // SAFETY: the caller's.
            _ => self.other.or_else(|| unsafe { self.begin(described) }),
        };
        if let (Some(used), Some(machine)) = (used, machine) {
            machine.console = Ok(used);
            if used.is_chosen {
                machine.console_note = None;
            }
        }
        if let Err(what) = named {
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
