//! The UART to talk to.

use super::interrupt::Interrupts;
use super::node::Node;
use super::tree::Tree;
use super::value::{is_one_of, strings};
use super::walk::Walk;
use crate::console::{Console, ConsoleKind};
use crate::error::{Error, Fault};

impl<'a> Console<'a> {
    /// The console at `node`, and its interrupts still to be decoded.
    fn read(walk: &Walk<'a>, node: &Node<'a>, options: &'a str) -> Result<Found<'a>, Error<'a>> {
        let path = node.path;
        let kind = match model(node) {
            Some(Model::Pl011) => ConsoleKind::Pl011,
            Some(Model::Sbsa) => ConsoleKind::SbsaUart,
            Some(Model::Uart8250 { shift, width }) => {
                let reg_shift = node.cell("reg-shift")?.unwrap_or(shift);
                let reg_io_width = node.cell("reg-io-width")?.unwrap_or(width);
                let reg_offset = node.cell("reg-offset")?.unwrap_or(0);
                if reg_shift > 4 {
                    return Err(Error::property(path, "reg-shift", "more than 4").value(reg_shift.into()));
                }
                if !matches!(reg_io_width, 1 | 2 | 4) {
                    let error = Error::property(path, "reg-io-width", "not 1, 2 or 4");
                    return Err(error.value(reg_io_width.into()));
                }
                ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset }
            }
            None => return Err(Error::node_fault(Fault::Unsupported, path, "no driver for this console")),
        };
        let registers = walk.region(node, 0)?;
        let clock_frequency = node.cell("clock-frequency")?;
        let console =
            Self { path, kind, registers, interrupt: None, clock_frequency, options, is_chosen: false };
        Ok((console, Interrupts::of(node)))
    }

    /// `node` as a console, if it is one and can be used.
    pub(super) fn usable(walk: &Walk<'a>, node: &Node<'a>) -> Option<Found<'a>> {
        if !node.enabled || model(node).is_none() {
            return None;
        }
        Self::read(walk, node, "").ok()
    }

    /// The console that `/chosen` names (Devicetree Specification 3.6).
    pub(super) fn chosen(tree: Tree<'a>, chosen: &Node<'a>) -> Result<Found<'a>, Error<'a>> {
        let (name, text) = match chosen.string("stdout-path")? {
            Some(text) => ("stdout-path", text),
            None => match chosen.string("linux,stdout-path")? {
                Some(text) => ("linux,stdout-path", text),
                None => return Err(Error::absent("no stdout-path in /chosen")),
            },
        };
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut walk = Walk::new(tree);
        let Some(node) = walk.resolve(target) else {
            return Err(Error::property(chosen.path, name, "does not lead to a node"));
        };
        if !node.enabled {
            return Err(Error::node_fault(Fault::Absent, node.path, "the chosen console is disabled"));
        }
        let (console, interrupts) = Self::read(&walk, &node, options)?;
        Ok((Self { is_chosen: true, ..console }, interrupts))
    }
}

/// A console whose interrupt is not known yet.
pub(super) type Found<'a> = (Console<'a>, Interrupts<'a>);

/// The interrupt of a console, if it has one that goes to a GIC. A console can be polled, so that is all.
pub(super) fn with_interrupt<'a>(tree: Tree<'a>, (console, interrupts): Found<'a>) -> Console<'a> {
    let interrupt = interrupts.decode::<1>(tree).ok().and_then(|[first]| first);
    Console { interrupt, ..console }
}

#[derive(Clone, Copy)]
enum Model {
    Pl011,
    Sbsa,
    /// With the register layout that holds if the node does not give one.
    Uart8250 {
        shift: u32,
        width: u32,
    },
}

/// The 8250 class with the layout of the ISA bus, unless the node has another.
const BYTES_NAMES: &[u8] =
    b"ns16550a\0ns16550\0ns16450\0ns8250\0ns16850\0ns16750\0snps,dw-apb-uart\0fsl,ns16550\0\
    fsl,16550-FIFO64\0intel,xscale-uart\0mrvl,mmp-uart\0nvidia,tegra20-uart";
/// Those whose registers are words. Their drivers in Linux know it, so their nodes need not say so.
const WORDS_NAMES: &[u8] =
    b"brcm,bcm2835-aux-uart\0mediatek,mt6577-uart\0nuvoton,npcm750-uart\0ti,omap2-uart\0\
    ti,omap3-uart\0ti,omap4-uart\0ti,am3352-uart\0ti,am4372-uart\0ti,dra742-uart\0ti,am654-uart";

fn model(node: &Node<'_>) -> Option<Model> {
    strings(node.props.compatible).find_map(|name| match name {
        b"arm,pl011" => Some(Model::Pl011),
        b"arm,sbsa-uart" => Some(Model::Sbsa),
        _ if is_one_of(name, BYTES_NAMES) => Some(Model::Uart8250 { shift: 0, width: 1 }),
        _ if is_one_of(name, WORDS_NAMES) => Some(Model::Uart8250 { shift: 2, width: 4 }),
        _ => None,
    })
}
