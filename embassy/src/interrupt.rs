//! Interrupt mode: an executor on each CPU that a doorbell has polled.

use crate::kind::Kind;
use crate::node::Node;
use reveille::call::Doorbell;
use reveille::irq;
use reveille::time::{Alarm, Instant};

/// Has a CPU poll its executor of interrupt mode.
pub(crate) static BELL: Doorbell = Doorbell::new(poll);

reveille::percpu! {
    /// The same, as a CPU comes: until then it hears no bell.
    static FIRST_LOOK: Alarm = Alarm::new(poll);
}

/// The executor of `node`'s interrupt mode has something to poll. Where the CPU is not online it looks as it comes.
pub(crate) fn pend(node: &Node) {
    let _ = BELL.ring(node.cpu);
}

/// This CPU is about to be online.
pub(crate) fn arrive() {
    // Where there is no timer it looks as its loop begins.
    let _ = FIRST_LOOK.set(Instant::now());
}

/// Polls. In interrupt context.
fn poll() {
    let node = Node::here();
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
