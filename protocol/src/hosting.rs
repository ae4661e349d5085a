//! Who runs the work of one CPU that may be run by any: its host.
//!
//! ```text
//!   bits 63 ............................. 32   31 ........................ 0
//!  +----------------------------------------+-------------------------------+
//!  | who wants to be the host, as below;    | the host: its number and 1    |
//!  | 0: nobody                              |                               |
//!  +----------------------------------------+-------------------------------+
//! ```
//!
//! The host alone works, and it alone gives the work away, between two rounds of it, by one compare-exchange: to the CPU that wants it, or
//! else to one of its choice, when it leaves. Then it tells the new host to look for whatever there is, always. Whoever queues work looks for
//! the host afterwards, and tells that one; if it tells the old one, which takes no notice any more, the new host finds the work all the
//! same.
//!
//! For the queue is one on which to put something and to take everything are read-modify-writes of one word, each of which acquires and
//! releases. Either the new host's first take comes after the work was put there, and finds it; or before, and then who puts it there
//! sees the take, and with it the change of hosts.

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

    /// Who is to be told of work that was queued before. A CPU asks too before each round of its own: if it is the host, it is that until it
    /// gives the work away.
    #[inline(always)]
    pub fn host(&self) -> u32 {
        // Acquire: pairs with the compare-exchange of `give`. Whatever the old hosts did in their rounds comes before those of this one. The
        // changes of `want` and `forgo` in between are read-modify-writes and continue that release.
        host_of(self.word.load(Acquire))
    }

    /// `cpu` wants to be the host. Who has to be told, to give it the work; `None`: it is the host already. If another CPU wanted to be, that
    /// is forgotten.
    #[must_use = "the host is to be told"]
    pub fn want(&self, cpu: u32) -> Option<u32> {
        // Relaxed, as the exchange: it hands over nothing, and whoever is the host asks `host` before it works. The old host gives away what
        // it was told of, and telling it is what lets it see this.
        let mut word = self.word.load(Relaxed);
        loop {
            let host = host_of(word);
            if host == cpu {
                return None;
            }
            match self.word.compare_exchange(word, pack(host, Some(cpu)), Relaxed, Relaxed) {
                Ok(_) => return Some(host),
                Err(now) => word = now,
            }
        }
    }

    /// `cpu` does not want it any more: it leaves. `true`: it is the host, by now. If it stays after all, it has to want again.
    #[must_use = "a host that leaves gives away what it hosts"]
    pub fn forgo(&self, cpu: u32) -> bool {
        // Relaxed, as the exchange: what older hosts did goes with the word to the next one that works. A value that is old still says that
        // `cpu` wants it, and the exchange corrects that: `cpu` sees its own `want`, and what CPUs did that left before.
        let mut word = self.word.load(Relaxed);
        loop {
            if host_of(word) == cpu {
                return true;
            }
            if wanted_by(word) != Some(cpu) {
                return false;
            }
            match self.word.compare_exchange(word, pack(host_of(word), None), Relaxed, Relaxed) {
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
    }

    /// The host, which is `own`, gives the work to whoever wants it, or else to `to`. Who is to be told to look; `None`: `own` is not the host,
    /// or there is nobody to give it to. Between two rounds.
    #[must_use = "the new host is to be told"]
    pub fn give(&self, own: u32, to: Option<u32>) -> Option<u32> {
        // Relaxed: only the host changes who that is, and who wants it has told the host so.
        let mut word = self.word.load(Relaxed);
        loop {
            if host_of(word) != own {
                return None;
            }
            let next = wanted_by(word).or(to)?;
            // Release: pairs with `host`, by which the new one sees what was done in the rounds of this one.
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
