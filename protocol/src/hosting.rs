//! Who runs the work of one CPU that may be run by any: its host.
//!
//! ```text
//!   bits 63..32                      31..0
//!  +--------------------------------+-----------------------------+
//!  | who wants to be the host; 0: nobody | the host, its number and 1 |
//!  +--------------------------------+-----------------------------+
//! ```
//!
//! The host alone works, and it alone gives the work away, between two rounds of it, by one compare-exchange: to a CPU of its choice when it leaves, or to the one
//! that wants it. Whoever queues work looks for the host afterwards, and tells that one; if it has just given the work away, the new host
//! has been told by the old one, after the change, to look for whatever there is.
//!
//! The queue is one on which to put something and to take everything are read-modify-writes of one word, with acquire and release. Either
//! the new host's first take comes after the work was put there, and finds it; or before, and then who puts it there sees the take, and with it the
//! change of hosts.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

/// Who hosts the work of one CPU. CPUs are numbers below 2^32 - 1.
pub struct Hosting<A: Arch> {
    word: A::Word,
}

const fn pack(host: u32, wanted_by: Option<u32>) -> u64 {
    let wanted = match wanted_by {
        Some(cpu) => cpu as u64 + 1,
        None => 0,
    };
    wanted << 32 | (host as u64 + 1)
}

const fn host_of(word: u64) -> u32 {
    (word as u32).wrapping_sub(1)
}

const fn wanted_by(word: u64) -> Option<u32> {
    match (word >> 32) as u32 {
        0 => None,
        cpu => Some(cpu - 1),
    }
}

impl<A: Arch> Hosting<A> {
    /// The word of [`from_parts`](Self::from_parts) for work that `cpu` hosts.
    pub const fn hosted_by(cpu: u32) -> u64 {
        pack(cpu, None)
    }

    /// Around a word. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// Of work that `cpu` hosts.
    #[must_use]
    pub fn new(cpu: u32) -> Self {
        Self::from_parts(A::Word::new(Self::hosted_by(cpu)))
    }

    /// Who is to be told of work that was queued before. Who works himself asks too: if it is he, it is so until he gives it away.
    #[inline(always)]
    pub fn host(&self) -> u32 {
        // Acquire: pairs with the compare-exchange of `give`. Whatever the old host did in its rounds comes before those of the new one.
        host_of(self.word.load(Acquire))
    }

    /// `cpu`, which is not the host, wants to be. Who has to be told; `None`: it is the host.
    #[must_use = "the host is to be told"]
    pub fn want(&self, cpu: u32) -> Option<u32> {
        let mut word = self.word.load(Acquire);
        loop {
            let host = host_of(word);
            if host == cpu {
                return None;
            }
            // Acquire: pairs with `give`, as `host`.
            match self.word.compare_exchange(word, pack(host, Some(cpu)), Relaxed, Acquire) {
                Ok(_) => return Some(host),
                Err(now) => word = now,
            }
        }
    }

    /// `cpu` does not want it any more: it leaves. `true`: it is the host, by now.
    #[must_use = "a host that leaves gives away what it hosts"]
    pub fn forgo(&self, cpu: u32) -> bool {
        let mut word = self.word.load(Acquire);
        loop {
            if host_of(word) == cpu {
                return true;
            }
            if wanted_by(word) != Some(cpu) {
                return false;
            }
            // Acquire: pairs with `give`, as `host`.
            match self.word.compare_exchange(word, pack(host_of(word), None), Relaxed, Acquire) {
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
    }

    /// The host, which is `own`, gives the work to whoever wants it, or else to `to`. Who is to be told to look; `None`: `own` is not the host, or
    /// there is nobody to give it to. Between two rounds.
    #[must_use = "the new host is to be told"]
    pub fn give(&self, own: u32, to: Option<u32>) -> Option<u32> {
        let mut word = self.word.load(Relaxed);
        loop {
            if host_of(word) != own {
                return None;
            }
            let next = wanted_by(word).or(to)?;
            // Release: pairs with `host`.
            match self.word.compare_exchange(word, pack(next, None), Release, Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn goes_and_comes_back() {
        let hosting = Hosting::<Host>::new(3);
        assert_eq!(hosting.host(), 3);
        assert_eq!(hosting.want(3), None);
        assert_eq!(hosting.give(2, Some(1)), None, "not its host");
        assert_eq!(hosting.give(3, None), None, "nobody wants it");
        assert_eq!(hosting.give(3, Some(0)), Some(0));
        assert_eq!(hosting.host(), 0);
        assert_eq!(hosting.want(3), Some(0));
        assert_eq!(hosting.host(), 0, "until it is given");
        assert_eq!(hosting.give(0, Some(1)), Some(3), "who wants it comes first");
        assert!(hosting.forgo(3), "the host by now");
        assert_eq!(hosting.give(3, Some(1)), Some(1));
        assert_eq!(hosting.want(3), Some(1));
        assert!(!hosting.forgo(3));
        assert!(!hosting.forgo(3), "wanted no more");
        assert_eq!(hosting.give(1, None), None);
        assert_eq!(hosting.host(), 1);
    }
}
