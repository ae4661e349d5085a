//! The bring-up handshake: one word per CPU that says whose the CPU is.
//!
//! A start is a race that the booter and the arriving CPU settle on one word, the [`Slot`] of that CPU. Each
//! start has a generation; every transition names the generation it means, so nobody can act on a start that
//! is not the current one.
//!
//! ```text
//!                 claim                kick                arrive             go_online
//!  Offline, Gone ------> Claimed(g+1) ------> Kicked(g+1) ------> Alive(g+1) ----------> Online(g+1)
//!  Revoked, Failed         | abandon            | revoke            | fail -> Failed        | begin_leave
//!                          v                    v                   | wedge -> Wedged       v
//!                        Revoked              Revoked                                     Dying -> Gone
//! ```
//!
//! Until [`Slot::arrive`] has returned [`Arrival::Won`] a CPU owns nothing but its registers and the stack it
//! arrived on. This is what lets `Revoked` mean that the start is over: however late the CPU comes, it loses.
//! Once it has won, it can no longer be declared dead, only `Wedged`, which gives nothing of it to anyone.
//!
//! The two sides of each race:
//!
//! | race | sides |
//! |---|---|
//! | who starts the CPU | [`Slot::claim`] against itself |
//! | did it arrive in time | [`Slot::arrive`] against [`Kicked::revoke`] and [`Slot::revoke_if_kicked`] |
//! | did it come up in time | [`Slot::go_online`] and [`Slot::fail`] against [`Kicked::wedge`] |
//! | is a panic under way | [`Slot::go_online`] against [`Gate::enter`](crate::Gate::enter), with a fence on each side |

mod booter;
mod life;
mod slot;
mod snapshot;
mod start;
mod token;

pub use booter::{Booter, Limits, Outcome, Step, Verdict};
pub use life::{Arrival, Entrance};
pub use slot::Slot;
pub use snapshot::{RESTARTED, Snapshot, State};
pub use start::{Claim, Kicked, Refusal};
pub use token::{Judgement, Token};

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::Gate;
    use crate::testing::Host;

    #[test]
    fn a_whole_life() {
        let slot = Slot::<Host>::new();
        assert_eq!(slot.read().to_bits(), Slot::<Host>::OFFLINE);
        let kicked = slot.claim().ok().unwrap().kick();
        assert_eq!(kicked.poll().state, State::Kicked);
        assert_eq!(slot.arrive(1), Arrival::Won);
        assert_eq!(slot.read(), Snapshot::new(1, 0, State::Alive));
        assert_eq!(slot.go_online(1, &Gate::new(), 0), Entrance::Online);
        assert_eq!(kicked.revoke(), Err(Snapshot::new(1, 0, State::Online)));
        assert!(slot.begin_leave(1));
        assert!(slot.cancel_leave(1));
        assert!(slot.begin_leave(1));
        assert!(slot.gone(1));
        assert!(!slot.gone(1));
        assert_eq!(slot.read(), Snapshot::new(1, 0, State::Gone));
    }

    #[test]
    fn a_corrupt_word_is_wedged() {
        for bits in [10, 0xff, 0x0104, 1 << 24, 0x0000_0001_8000_0004, u64::MAX] {
            let slot = Slot::<Host>::from_parts(AtomicU64::new(bits));
            let seen = slot.read();
            assert_eq!(seen.state, State::Wedged);
            assert!(!slot.is_online());
            assert_eq!(slot.claim().err(), Some(Refusal::Wedged { generation: seen.generation }));
            assert_eq!(slot.go_online(seen.generation, &Gate::new(), 0), Entrance::Wedged);
            assert_eq!(slot.arrive(1), Arrival::Restarted(seen));
        }
    }
}
