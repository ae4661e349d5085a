//! No-wait calls.

use super::part::{self, CALL, POSTS_PER_CPU, Part, QueueLine};
use super::wait;
use crate::gic::SgiBatch;
use crate::masking;
use crate::note::note;
use crate::percpu::area::Part as _;
use crate::percpu::{CpuId, CpuSet};
use crate::sync::Atomics;
use core::fmt;
use reveille_protocol::{Closed, Pushed};

/// Why a post was refused. The closure comes back inside; nothing else has happened.
///
/// ```no_run
/// use reveille::call::{self, PostError};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// if let Err(PostError::Busy(again)) = call::post(cpu, || { /* .. */ }) {
///     // All nodes of this CPU are under way: the closure has come back, to be posted later.
///     let _ = call::post(cpu, again);
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PostError<F> {
    /// This CPU has [`POSTS_PER_CPU`] closures under way; or it is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have
    /// interrupted another post of its own.
    Busy(F),
    /// The CPU is not online.
    Offline(F),
}

impl<F> PostError<F> {
    /// The closure.
    ///
    /// ```no_run
    /// use reveille::call;
    ///
    /// # fn example(cpu: reveille::cpu::CpuId) {
    /// if let Err(error) = call::post(cpu, || { /* .. */ }) {
    ///     // If it cannot be done there, it is done here.
    ///     error.into_inner()();
    /// }
    /// # }
    /// ```
    pub fn into_inner(self) -> F {
        match self {
            Self::Busy(f) | Self::Offline(f) => f,
        }
    }

    /// Whether a later attempt may succeed without the CPU coming online.
    ///
    /// ```no_run
    /// use reveille::{call, cpu};
    ///
    /// # fn example(cpu: reveille::cpu::CpuId) {
    /// let mut work = || { /* .. */ };
    /// while let Err(error) = call::post(cpu, work) {
    ///     if !error.is_busy() {
    ///         break;
    ///     }
    ///     work = error.into_inner();
    ///     cpu::idle();
    /// }
    /// # }
    /// ```
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_busy() { "Busy" } else { "Offline" })
    }
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_busy() {
            "too many posted closures are under way, or a post at NMI level"
        } else {
            "the CPU is not online"
        })
    }
}

/// What became of a [`post_each`].
///
/// ```no_run
/// use reveille::{call, cpu, println};
///
/// # fn example() {
/// let posted = call::post_each(&cpu::possible(), |cpu| println!("cpu {cpu}"));
/// println!("{} will run it, {} may be tried again", posted.accepted.len(), posted.busy.len());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Where the closure will run, exactly once.
    pub accepted: CpuSet,
    /// Refused: all [`POSTS_PER_CPU`] nodes of this CPU were under way, or it is at NMI level. Posting to these again reaches them,
    /// once some have been taken up.
    pub busy: CpuSet,
    /// Refused: not online.
    pub offline: CpuSet,
}

/// Runs `f` on `cpu`, soon, in interrupt context, and does not wait for it, whatever that CPU does.
///
/// Accepted means that `f` runs exactly once there; if the CPU is taken offline, before it goes. What the caller
/// wrote before, `f` sees. May be used anywhere: with interrupts masked, in handlers, in closures that were posted
/// themselves; at NMI level it is always refused. A post to the CPU itself runs as soon as its interrupts are open.
///
/// `f` is stored in place: it may capture at most [`POST_BYTES`](super::POST_BYTES) (checked by the compiler).
///
/// # Errors
///
/// At once, with `f`, and without any other effect: [`PostError::Busy`], [`PostError::Offline`].
///
/// # Examples
///
/// ```no_run
/// use reveille::{call, cpu, println};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// let sender = cpu::current();
/// let sent = call::post(cpu, move || println!("cpu {}: a word from cpu {sender}", cpu::current()));
/// if sent.is_err() {
///     println!("cpu {cpu} takes none now");
/// }
/// # }
/// ```
#[inline]
pub fn post<F: FnOnce() + Send + 'static>(cpu: CpuId, f: F) -> Result<(), PostError<F>> {
    let Some((closed, own)) = masking::close_below_nmi_here() else { return Err(PostError::Busy(f)) };
    let line = Part::of(own).queue_of(cpu);
    let pushed = push(Part::of(own), line, cpu, f)?;
    if pushed.first || wait::is_stalled(line, cpu) {
        line.bell.ring();
    }
    drop(closed);
    Ok(())
}

/// As [`post`], to every CPU of `set`, in ascending order; each is accepted or refused by itself. The empty set does nothing.
///
/// `f` is copied once for each CPU, and told which one it runs on.
///
/// Each copy takes one of the [`POSTS_PER_CPU`] nodes of this CPU until its target takes it up. So if all were free at
/// least that many CPUs are accepted, more only as far as the first of them have taken theirs up meanwhile, and the rest of a
/// larger set is [`Posted::busy`]. Two ways lead to all of them:
///
/// ```no_run
/// use reveille::{call, cpu};
///
/// # fn example(f: fn(cpu::CpuId)) -> Result<(), call::CallError> {
/// // Posting again to those that are left, for as long as there are any. Not at NMI level, where all stay busy, and with
/// // interrupts open, or this CPU's own copy stays.
/// let mut left = cpu::online();
/// while !left.is_empty() {
///     left = call::post_each(&left, f).busy;
/// }
/// // Or one call that waits until all have run it: it needs no node, whatever the number of CPUs.
/// let offline = call::on_each(&cpu::online(), f)?;
/// # Ok(()) }
/// ```
pub fn post_each<F: Fn(CpuId) + Copy + Send + 'static>(set: &CpuSet, f: F) -> Posted {
    let mut posted = Posted::default();
    let Some((_masked, own)) = masking::mask_below_nmi_here() else {
        return Posted { busy: *set, ..posted };
    };
    let mut sgis = SgiBatch::new(CALL);
    for cpu in set {
        let line = Part::of(own).queue_of(cpu);
        match push(Part::of(own), line, cpu, move || f(cpu)) {
            Ok(pushed) => {
                posted.accepted.insert(cpu);
                if pushed.first || wait::is_stalled(line, cpu) {
                    sgis.add_bell(&line.bell);
                }
            }
            Err(PostError::Busy(_)) => _ = posted.busy.insert(cpu),
            Err(PostError::Offline(_)) => _ = posted.offline.insert(cpu),
        }
    }
    posted
}

/// Puts `f` into a node and the node into a queue, that of `cpu`. Interrupts are masked until the SGI is sent.
#[inline(always)]
pub(super) fn push<F: FnOnce() + Send>(
    own: &Part,
    line: &QueueLine,
    cpu: CpuId,
    f: F,
) -> Result<Pushed, PostError<F>> {
    let Some(slot) = own.pool.acquire() else {
        // It may be the closed queues that have all nodes.
        return Err(if line.queue.is_closed() { PostError::Offline(f) } else { PostError::Busy(f) });
    };
    let block = own.block;
    let node = own.place * POSTS_PER_CPU as u32 + slot;
    let cell = &block.nodes[node as usize];
    // SAFETY: acquired, so ours alone, and empty: the receiver emptied it before it released the node.
    unsafe { cell.put(f) };
    note!(POST, crate::note::message(cell, cpu));
    match line.queue.post(block.links, node) {
        Ok(pushed) => {
            own.sent.add(1);
            Ok(pushed)
        }
        Err(Closed) => {
            // SAFETY: refused, so still ours, with the `F` that was put in just now.
            let f = unsafe { cell.take::<F>() };
            own.pool.put_back(slot);
            Err(PostError::Offline(f))
        }
    }
}

const _: () = assert!(POSTS_PER_CPU as u32 <= reveille_protocol::Pool::<Atomics>::NODES);
const _: () = assert!((POSTS_PER_CPU * part::BLOCK) as u32 <= reveille_protocol::Queue::<Atomics>::NODES);
