//! Telling tasks that their CPU is to leave.

use crate::kind::Kind;
use crate::node::Node;
use crate::roll::Entry;
use crate::time::task_of;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

/// Waits until the CPU on which the task is polled is asked to leave ([`cpu_down`](reveille::hotplug::cpu_down)): for a task that cannot move, and is to end
/// then, because until it has the CPU stays.
///
/// It counts from the first poll. A CPU that was asked, and kept by something else until it was asked no more, has been asked.
///
/// # Panics
///
/// If it is polled by another executor than this crate's.
pub fn leaving() -> Leaving {
    Leaving { begun: None, entry: Entry::new() }
}

/// The future of [`leaving()`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Leaving {
    /// The CPU on which it was polled first, or has moved to since, and how often that had been asked then.
    begun: Option<(&'static Node, u64)>,
    entry: Entry,
}

impl Future for Leaving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let node = Node::here();
        // SAFETY: nothing is moved out; the entry is referred to pinned.
        let this = unsafe { self.get_unchecked_mut() };
        match this.begun {
            Some((before, asked)) if before.cpu == node.cpu => {
                // Relaxed: it was raised before the waking.
                if node.asked.load(Ordering::Relaxed) != asked {
                    return Poll::Ready(());
                }
            }
            _ => {
                this.entry.leave();
                this.begun = Some((node, node.asked.load(Ordering::Relaxed)));
                // A waker of this crate's, or embassy's: what it does takes no lock.
                let _ = task_of(context.waker());
                // SAFETY: part of what is pinned.
                let entry = unsafe { Pin::new_unchecked(&this.entry) };
                node.leavers.enter(entry, "", Kind::Local, Some(context.waker().clone()));
                // Between the look and the roll.
                if this.begun.is_some_and(|(_, asked)| node.asked.load(Ordering::Relaxed) != asked) {
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}
