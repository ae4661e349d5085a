//! Telling tasks that their CPU is to leave.

use crate::kind::Kind;
use crate::node::Node;
use crate::roll::Entry;
use crate::time::task_of;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};

/// Waits until the CPU on which the task is polled is asked to leave ([`cpu_down`](reveille::hotplug::cpu_down)): for a task that cannot
/// move, and is to end then, because until it has the CPU stays.
///
/// It counts from the first poll. A CPU that was asked, and kept by something else until it was asked no more, has been asked.
///
/// # Panics
///
/// If it is polled by another executor than this crate's.
///
/// # Examples
///
/// ```no_run
/// use embassy_futures::select::{Either, select};
/// use embassy_time::Timer;
///
/// reveille_embassy::task! {
///     async fn sample() {
///         loop {
///             match select(Timer::after_millis(10), reveille_embassy::leaving()).await {
///                 Either::First(()) => { /* .. */ }
///                 // Its CPU is to leave, and stays until this task is over.
///                 Either::Second(()) => break,
///             }
///         }
///     }
/// }
/// ```
pub fn leaving() -> UntilLeaving {
    UntilLeaving { polled: None, entry: Entry::new() }
}

/// The future of [`leaving()`].
///
/// ```no_run
/// use reveille_embassy::{UntilLeaving, leaving};
///
/// async fn wait() {
///     let until: UntilLeaving = leaving();
///     until.await;
/// }
/// ```
#[must_use = "futures do nothing unless they are awaited"]
pub struct UntilLeaving {
    polled: Option<Polled>,
    entry: Entry,
}

/// How it was polled last.
struct Polled {
    /// The CPU.
    node: &'static Node,
    /// How often that had been asked the first time.
    asked: u64,
    waker: Waker,
}

impl Polled {
    fn is_asked(&self) -> bool {
        // Relaxed: it was raised before the waking.
        self.node.asked.load(Ordering::Relaxed) != self.asked
    }
}

impl Future for UntilLeaving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let node = Node::here();
        // SAFETY: nothing is moved out; the entry is referred to pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let before = this.polled.take();
        // Wherever that was: a task that has moved since was asked too.
        if before.as_ref().is_some_and(Polled::is_asked) {
            this.entry.leave();
            return Poll::Ready(());
        }
        let before = before.filter(|polled| polled.node.cpu == node.cpu);
        let asked = before.as_ref().map(|polled| polled.asked);
        let same = before.filter(|polled| polled.waker.will_wake(context.waker()));
        let polled = same.unwrap_or_else(|| {
            this.entry.leave();
            // A waker of this crate's, or embassy's: what it does takes no lock.
            let _ = task_of(context.waker());
            let waker = context.waker().clone();
            let asked = asked.unwrap_or_else(|| node.asked.load(Ordering::Relaxed));
            // SAFETY: part of what is pinned.
            let entry = unsafe { Pin::new_unchecked(&this.entry) };
            node.leavers.enter(entry, "", Kind::Local, Some(waker.clone()));
            Polled { node, asked, waker }
        });
        // Between the look and the roll.
        if polled.is_asked() {
            this.entry.leave();
            return Poll::Ready(());
        }
        this.polled = Some(polled);
        Poll::Pending
    }
}
