//! Interrupt mode: an executor on each CPU that a doorbell has polled.

use crate::node::{Kind, Node};
use crate::time;
use reveille::call::{Doorbell, DoorbellError};
use reveille::irq;

/// Has a CPU poll its executor of interrupt mode, and look after its sleepers.
static BELL: Doorbell = Doorbell::new(attend);

/// Makes the bell one that can be rung.
pub(crate) fn register() {
    match BELL.register() {
        Ok(()) | Err(DoorbellError::Registered) => {}
        Err(error) => panic!("reveille-embassy: {error}"),
    }
}

/// The executor of `node`'s interrupt mode has something to poll, or its alarm is to be set anew. Where the CPU is not online it looks as it comes.
pub(crate) fn pend(node: &Node) {
    let _ = BELL.ring(node.cpu);
}

/// What the bell has a CPU do. In interrupt context.
pub(crate) fn attend() {
    let node = Node::here();
    time::arm_anew(node);
    // In interrupt context one follows the other; but a task might have called what runs handlers while it waits.
    if node.interrupted.replace(true) {
        return node.again.set(true);
    }
    debug_assert!(irq::is_masked());
    // SAFETY: by its own CPU alone, and not by what it has itself interrupted, as the flag says.
    unsafe { node.executor(Kind::Interrupt).poll() };
    node.interrupted.set(false);
    if node.again.take() {
        pend(node);
    }
}
