//! Accounts of what every CPU posts to every other: what was accepted ran once, in the order of sending.
//!
//! Each post has a number of its sender. Numbers go up, so its target can tell what comes twice or out of order; and in
//! the end both sides have counted, and summed up, the same numbers. When that end has come, [`is_quiet`] says.

use core::sync::atomic::{AtomicU64, Ordering, fence};
use reveille::cpu::{self, CpuId, CpuSet, PerCpu};

/// CPUs that there is room for.
pub const MOST: usize = 64;

/// One number for each CPU.
type PerPeer = [AtomicU64; MOST];

/// What a CPU keeps of one side. Written by that CPU alone, interrupts masked; so all of it is relaxed, and what orders it for
/// others stands in [`ended`] and [`is_quiet`].
struct Side {
    /// Posts to, or of, each other CPU; the sum of their scrambled names; and the last number among them.
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

    /// Counts post `number` of `sender`.
    fn count(&self, peer: CpuId, sender: CpuId, number: u64) {
        add(&self.sums[peer.index()], scrambled(number ^ (sender.index() as u64) << 48));
        add(&self.posts[peer.index()], 1);
    }

    fn set_last(&self, peer: CpuId, number: u64) {
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

/// Adds one to a counter of what has ended, which only this CPU writes, interrupts masked: the last thing that it does, when all
/// that it has begun itself is entered.
pub fn ended(counter: &AtomicU64) {
    // Pairs with the fence of `is_quiet`.
    fence(Ordering::Release);
    add(counter, 1);
}

/// `target` has accepted post `number` of this CPU. In the same masked section as the post.
pub fn accepted(target: CpuId, number: u64) {
    SENT.set_last(target, number);
    SENT.count(target, cpu::current(), number);
}

/// Post `number` of `sender` begins to run here.
///
/// # Errors
///
/// What is wrong with that.
pub fn runs(sender: CpuId, number: u64) -> Result<(), Wrong> {
    let last = last_ran(sender);
    let seen = NUMBER.of(sender).load(Ordering::Relaxed) >= number;
    RAN.set_last(sender, number);
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

/// Post `number` of `sender` has run here: the last thing that it does, as for [`ended`].
pub fn ran(sender: CpuId, number: u64) {
    // Pairs with the fence of `is_quiet`.
    fence(Ordering::Release);
    RAN.count(sender, sender, number);
}

/// The number of the last post of `sender` that ran here, or runs.
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

/// Counters of what was begun, and of what has ended.
pub type Pair = (&'static PerCpu<AtomicU64>, &'static PerCpu<AtomicU64>);

/// The sum of a counter of all `cpus`.
pub fn sum(cpus: &CpuSet, counter: &'static PerCpu<AtomicU64>) -> u64 {
    cpus.iter().fold(0, |sum, cpu| sum.wrapping_add(counter.of(cpu).load(Ordering::Relaxed)))
}

/// Posts, and the sum of their scrambled names.
fn total(cpus: &CpuSet, side: &'static PerCpu<Side>) -> (u64, u64) {
    let all = |peers: &PerPeer| {
        cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(peers[cpu.index()].load(Ordering::Relaxed)))
    };
    cpus.iter().fold((0, 0), |(posts, sums), cpu| {
        let side = side.of(cpu);
        (posts + all(&side.posts), sums.wrapping_add(all(&side.sums)))
    })
}

/// Whether nothing is under way any more on `cpus`: no post, and nothing that `pairs` counts. Then nothing ever will be, for
/// no thread begins anything any more, as the caller has seen of each; only handlers and callbacks do.
///
/// Why a `true` is right: counters only go up, and all that has ended is read before all that was begun. Think of the
/// moment between the two, and say that something is under way then: begun, but not counted as ended. What began that may
/// be under way as well, and what began this; go up as far as that goes. The one at the top was begun by a thread, or by
/// something that has ended; either enters what it begins before it counts its own end, which is the last thing that it
/// does. So the one at the top is entered by that moment: it is among what is read as begun, and not among what was read as ended.
/// The two can agree all the same only if something else is in the latter and not in the former: it has ended, and whoever
/// began it has not come to entering it. For a timer that cannot be: it fires on the CPU that sets it, which is masked
/// until it is entered. For a post it can, but that one has another name, so the sums differ.
pub fn is_quiet<const N: usize>(cpus: &CpuSet, pairs: &[Pair; N]) -> bool {
    let (ran, ended) = (total(cpus, &RAN), pairs.map(|(_, ended)| sum(cpus, ended)));
    // Pairs with the fences of `ended` and `ran`: what was begun before an end that was seen is seen.
    fence(Ordering::Acquire);
    ran == total(cpus, &SENT) && ended == pairs.map(|(begun, _)| sum(cpus, begun))
}
