//! The generic timer (Arm binding `arm,arch_timer.yaml`).

use super::interrupt::Interrupts;
use super::node::Node;
use super::tree::Tree;
use super::value::{any_of, strings};
use crate::counter::CounterErrata;
use crate::error::Error;
use crate::timer::Timer;

/// In the order of the binding, which is also that of lists without names.
const NAMES: &[u8] = b"sec-phys\0phys\0virt\0hyp-phys\0hyp-virt";

impl Timer {
    /// The timer, and what is wrong with its frequency: that is no reason to do without the timer.
    pub(super) fn read<'a>(tree: Tree<'a>, node: &Node<'a>) -> (Result<Self, Error<'a>>, Option<Error<'a>>) {
        let (clock_frequency, note) = match node.cell("clock-frequency") {
            Ok(frequency) => (frequency, None),
            Err(error) => (None, Some(error)),
        };
        (Self::with_frequency(tree, node, clock_frequency), note)
    }

    fn with_frequency<'a>(
        tree: Tree<'a>,
        node: &Node<'a>,
        clock_frequency: Option<u32>,
    ) -> Result<Self, Error<'a>> {
        let listed = Interrupts::of(node).decode::<5>(tree)?;
        let mut views = [None; 5];
        match node.property("interrupt-names") {
            None => views = listed,
            names => {
                for (name, interrupt) in strings(names).zip(listed) {
                    if let Some(view) = strings(Some(NAMES)).position(|known| known == name)
                        && let Some(slot) = views.get_mut(view)
                    {
                        *slot = interrupt;
                    }
                }
            }
        }
        let [secure_physical, physical, virtual_timer, hyp_physical, hyp_virtual] = views;
        let errata = CounterErrata::told(|name| node.property(name).is_some());
        Ok(Self {
            secure_physical,
            physical,
            virtual_timer,
            hyp_physical,
            hyp_virtual,
            clock_frequency,
            errata,
        })
    }
}

/// True for the node of the generic timer.
pub(super) fn is_timer(node: &Node<'_>) -> bool {
    any_of(node.props.compatible, b"arm,armv8-timer\0arm,armv7-timer")
}
