//! The console: the one that the device tree has, or the one that the bootarg `earlycon` names, which counts.

use crate::console;
use crate::dt::{self, Console, Machine};
use crate::memory::Blob;
use reveille_machine::BootArgs;

/// Finds the console in a tree that may be damaged, before anything else is made of it: from here on whatever fails can be told. The answer
/// is the one that was named by hand, if that is not the tree's own.
///
/// # Safety
///
/// As for [`console::answers`].
#[inline(never)]
pub(super) unsafe fn find_console(blob: &Blob) -> Option<Console<'static>> {
    let described = dt::salvage_console(blob.bytes);
    let text = BootArgs(dt::salvage_bootargs(blob.bytes).unwrap_or("")).get("earlycon");
    let mut wrong = None;
    // Without a value it asks for what the tree has, as in Linux.
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        // SAFETY: the caller's.
        match unsafe { named(text, blob, described.as_ref()) } {
            // The tree knows more of the same one.
            Ok(None) => {}
            Ok(Some(console)) => {
                if console::init(&console).is_ok() {
                    return Some(console);
                }
            }
            Err(what) => wrong = Some((text, what)),
        }
    }
    if let Some(console) = &described {
        // Without it there is nowhere to say so; the machine works on.
        let _ = console::init(console);
    }
    if let Some((text, what)) = wrong {
        console::print_raw(format_args!("reveille: bootargs: earlycon={text}: {what}\n"));
    }
    None
}

/// What `text` names, if that is not what the tree describes.
///
/// # Safety
///
/// As for [`console::answers`].
unsafe fn named(
    text: &str,
    blob: &Blob,
    described: Option<&Console<'_>>,
) -> Result<Option<Console<'static>>, &'static str> {
    let console = Console::by_hand(text)?;
    if described.is_some_and(|described| described.registers.base == console.registers.base) {
        return Ok(None);
    }
    let (first, last) = (console.registers.base, console.registers.base + console.registers.size);
    let is_ram = Machine::parse(blob.bytes).is_ok_and(|machine| {
        machine.memory().flatten().any(|ram| ram.base < last && first < ram.base.saturating_add(ram.size))
    });
    if is_ram {
        return Err("there is RAM at this address");
    }
    // SAFETY: the caller's.
    unsafe { console::answers(&console) }?;
    Ok(Some(console))
}

/// Has `machine` say so.
pub(super) fn enter<'a>(machine: &mut Machine<'a>, by_hand: Option<Console<'a>>) {
    if let Some(console) = by_hand {
        (machine.console, machine.console_note) = (Ok(console), None);
    }
}
