//! One look at a whole tree, for everything that a [`Machine`] keeps.

use super::node::Node;
use super::tree::Tree;
use super::value::string;
use super::walk::Walk;
use super::{blob, cpu, gic, psci, timer};
use crate::console::{Console, ConsoleKind};
use crate::error::Error;
use crate::gic::Gic;
use crate::machine::Machine;
use crate::psci::Psci;
use crate::source::Source;
use crate::timer::Timer;

/// One walk for everything that is a single node.
#[inline(never)]
pub(super) fn survey<'a>(tree: Tree<'a>) -> Machine<'a> {
    let mut model = "";
    let mut root_parent = None;
    let mut chosen = None;
    let mut gic = Err(Error::absent("no GIC that is known and enabled"));
    let mut is_root_gic = false;
    let mut psci = Err(Error::absent("no PSCI node"));
    let mut psci_rank = u8::MAX;
    let mut timer: Option<Node<'a>> = None;

    let mut walk = Walk::new(tree);
    while let Some(node) = walk.step() {
        if node.depth == 0 {
            root_parent = node.interrupt_parent;
            model = node.property("model").or(node.props.compatible).and_then(string).unwrap_or("");
        }
        if node.is_at(1, "chosen") {
            chosen.get_or_insert(node);
        }
        if !node.enabled || node.props.compatible.is_none() {
            continue;
        }
        if gic::is_gic(&node) && !is_root_gic {
            is_root_gic = root_parent.is_some() && node.phandle() == root_parent;
            let is_first = matches!(&gic, Err(error) if error.is_absent());
            if is_root_gic || is_first {
                gic = Gic::read(&walk, &node);
            }
        } else if psci::version(&node).is_some() {
            let rank = psci::rank(&node);
            if rank < psci_rank {
                psci_rank = rank;
                psci = Psci::read(&node);
            }
        } else if timer::is_timer(&node) {
            timer.get_or_insert(node);
        }
    }

    let (console, console_note) = find_console(tree, chosen.as_ref());
    let (timer, timer_note) = match timer {
        Some(node) => Timer::read(tree, &node),
        None => (Err(Error::absent("no generic timer")), None),
    };
    Machine {
        source: Source::Tree(tree),
        cpu_count: cpu::count(tree),
        memory_map: None,
        chosen: None,
        model,
        bootargs: chosen.map_or(Ok(""), |chosen| Ok(chosen.string("bootargs")?.unwrap_or(""))),
        gic,
        psci,
        timer,
        timer_note,
        console,
        console_note,
        source_note: None,
    }
}

/// What a tree that [`Machine::parse`] refuses still tells, in the part before the damage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Salvaged<'a> {
    /// The console: somewhere to say what is wrong.
    pub console: Option<Console<'a>>,
    /// The kernel command line, empty if there is none.
    pub bootargs: &'a str,
}

/// Looks for it. Of a tree that is sound it says what [`Machine::parse`] does.
#[inline(never)]
pub fn salvage(blob: &[u8]) -> Salvaged<'_> {
    let Ok((tree, _)) = blob::check(blob) else { return Salvaged::default() };
    let chosen = Walk::new(tree).first(|node| node.is_at(1, "chosen"));
    let console = find_console(tree, chosen.as_ref()).0.ok();
    let bootargs = chosen.and_then(|chosen| chosen.string("bootargs").ok()?).unwrap_or("");
    Salvaged { console, bootargs }
}

/// The chosen console, else the first there is; and why it is not the chosen one.
#[inline(never)]
fn find_console<'a>(
    tree: Tree<'a>,
    chosen: Option<&Node<'a>>,
) -> (Result<Console<'a>, Error<'a>>, Option<Error<'a>>) {
    let by_path = match chosen {
        Some(chosen) => Console::chosen(tree, chosen),
        None => Err(Error::absent("no /chosen node")),
    };
    match by_path {
        Ok(found) => (Ok(found.with_interrupt(tree)), None),
        Err(error) => match first_console(tree, &mut |console| console.kind != ConsoleKind::Virtio) {
            Some(console) => (Ok(console), Some(error)),
            None => (Err(error), Some(error)),
        },
    }
}

/// The first that `accepts` takes in a tree, of which the end may be damaged, of what may be a console although nobody chose it: a UART, as far
/// as one can be looked at unasked, or a virtio device over MMIO, which says itself whether it is one.
pub fn find_unasked<'a>(
    blob: &'a [u8],
    accepts: &mut dyn FnMut(&Console<'a>) -> bool,
) -> Option<Console<'a>> {
    let (tree, _) = blob::check(blob).ok()?;
    first_console(tree, accepts)
}

#[inline(never)]
fn first_console<'a>(tree: Tree<'a>, accepts: &mut dyn FnMut(&Console<'a>) -> bool) -> Option<Console<'a>> {
    let mut walk = Walk::new(tree);
    loop {
        let node = walk.step()?;
        if let Some(found) = Console::usable(&walk, &node) {
            let console = found.with_interrupt(tree);
            if accepts(&console) {
                return Some(console);
            }
        }
    }
}
