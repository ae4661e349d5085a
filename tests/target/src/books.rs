//! Accounts of what every CPU posts to every other: what was accepted ran once, in the order of sending.
//!
//! Each post has a number of its sender. Numbers go up, so its target can tell what comes twice or out of order; and in
//! the end both sides have counted, and summed up, the same numbers.

use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu::{CpuId, CpuSet};

/// CPUs that there is room for.
pub const MOST: usize = 64;

/// One number for each CPU.
type PerPeer = [AtomicU64; MOST];

/// What a CPU keeps of one side. Written by that CPU alone, interrupts masked, and read by others in the end; so all of
/// it is relaxed.
struct Side {
    /// Posts to, or of, each other CPU; the sum of their scrambled numbers; and the last number among them.
    posts: PerPeer,
    sums: PerPeer,
    last: PerPeer,
}

impl Side {
    const fn new() -> Self {
        const fn zeros() -> PerPeer {
            [const { AtomicU64::new(0) }; MOST]
        }
        Self { posts: zeros(), sums: zeros(), last: zeros() }
    }

    fn note(&self, peer: CpuId, number: u64) {
        add(&self.posts[peer.index()], 1);
        add(&self.sums[peer.index()], scrambled(number));
        self.last[peer.index()].store(number, Ordering::Relaxed);
    }
}

reveille::percpu! {
    /// What it has sent, and was accepted.
    static SENT: Side = Side::new();
    /// What it has run.
    static RAN: Side = Side::new();
    /// The number that it gave last.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
}

/// Adds to a counter that only this CPU writes, interrupts masked.
pub fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// A number as it goes into a sum: one that is lost is not made up for by another that comes twice. (The last steps of
/// SplitMix64, by Steele, Lea and Flood.)
pub fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// What is wrong with a post that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It has run before.
    Doubled,
    /// Something that was sent later has run before.
    Reordered,
    /// Its sender has not got that far: what it wrote before is not seen.
    Unseen,
}

/// The next number of this CPU, interrupts masked. What was stored before the post, the callee sees: the number itself.
pub fn next_number() -> u64 {
    add(&NUMBER, 1);
    NUMBER.load(Ordering::Relaxed)
}

/// `target` has accepted post `number` of this CPU. In the same masked section as the post.
pub fn accepted(target: CpuId, number: u64) {
    SENT.note(target, number);
}

/// Post `number` of `sender` runs here.
///
/// # Errors
///
/// What is wrong with that. It is counted all the same.
pub fn ran(sender: CpuId, number: u64) -> Result<(), Wrong> {
    let last = last_ran(sender);
    let seen = NUMBER.of(sender).load(Ordering::Relaxed) >= number;
    RAN.note(sender, number);
    if number == last {
        Err(Wrong::Doubled)
    } else if number < last {
        Err(Wrong::Reordered)
    } else if !seen {
        Err(Wrong::Unseen)
    } else {
        Ok(())
    }
}

/// The number of the last post of `sender` that ran here.
pub fn last_ran(sender: CpuId) -> u64 {
    RAN.last[sender.index()].load(Ordering::Relaxed)
}

/// The number of the last post of this CPU that `target` accepted.
pub fn last_sent(target: CpuId) -> u64 {
    SENT.last[target.index()].load(Ordering::Relaxed)
}

/// One sender and one target.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The sender.
    pub from: CpuId,
    /// The target.
    pub to: CpuId,
    /// Posts that were accepted.
    pub sent: u64,
    /// Posts that ran.
    pub ran: u64,
    /// Whether they are the same ones, as far as their sums tell.
    pub same: bool,
}

impl Account {
    /// What has been sent from `from` to `to`.
    pub fn of(from: CpuId, to: CpuId) -> Self {
        let (sent, ran) = (SENT.of(from), RAN.of(to));
        let get = |peers: &PerPeer, peer: CpuId| peers[peer.index()].load(Ordering::Relaxed);
        Self {
            from,
            to,
            sent: get(&sent.posts, to),
            ran: get(&ran.posts, from),
            same: get(&sent.sums, to) == get(&ran.sums, from),
        }
    }

    /// Posts that did not run.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.ran)
    }

    /// Posts that ran too often.
    pub fn doubled(&self) -> u64 {
        self.ran.saturating_sub(self.sent)
    }
}

/// The accounts of everyone with everyone.
pub fn accounts(cpus: &CpuSet) -> impl Iterator<Item = Account> + '_ {
    cpus.iter().flat_map(move |from| cpus.iter().map(move |to| Account::of(from, to)))
}
