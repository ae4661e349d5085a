//! The booter's side of one start, from the kick to the verdict.

use super::snapshot::{RESTARTED, Snapshot, State};
use super::start::{Kicked, Refusal};
use crate::Arch;

/// What became of one CPU in a roll call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is online.
    Online,
    /// It did not arrive in time and never will.
    Revoked,
    /// Firmware refused to start it, with this error code.
    Refused(i32),
    /// It arrived and gave up, for this reason.
    Failed(u16),
    /// It arrived and did not come up in time. It may be running, and is never used again.
    Wedged,
    /// The machine's description does not say how to start it.
    NoMethod,
    /// The machine's description says not to use it.
    Disabled,
    /// Somebody else is starting it, or it is just leaving.
    Busy,
    /// Its generations are used up.
    Exhausted,
    /// The machine was stopped: the CPU is parked for good, or would be as soon as it came.
    Parked,
    /// Nobody tried: whoever asked cannot wait for other CPUs where it asked.
    WouldDeadlock,
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy(_) => Self::Busy,
            Refusal::Online { .. } => Self::Online,
            Refusal::Exhausted => Self::Exhausted,
            Refusal::Wedged { .. } => Self::Wedged,
            Refusal::Restarted { .. } => Self::Failed(RESTARTED),
        }
    }
}

/// How long a booter waits, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the kick to the arrival. After this the start is called off.
    pub arrive: u64,
    /// From the arrival, as the booter saw it, to `Online`. After this the CPU counts as wedged.
    pub online: u64,
}

/// How one start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of the CPU.
    pub verdict: Verdict,
    /// The number of the start.
    pub generation: u32,
    /// Ticks from the kick to the moment when the booter knew.
    pub elapsed: u64,
}

/// How one start stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a start is over only when it is settled"]
pub enum Step {
    /// Nothing to say yet: step again.
    Waiting,
    /// The start is over.
    Settled(Outcome),
}

/// The booter's side of one start, from the kick to the verdict.
///
/// It never blocks: the caller steps all the CPUs it awaits in turn, and passes the time in between. Every
/// start is settled once both limits have passed, at the latest.
pub struct Booter<'a, A: Arch> {
    kicked: Kicked<'a, A>,
    limits: Limits,
    kicked_at: u64,
    alive_at: Option<u64>,
    refusal: Option<i32>,
    outcome: Option<Outcome>,
}

impl<'a, A: Arch> Booter<'a, A> {
    /// Begins to await `kicked`, which was kicked at `now`.
    #[must_use = "a start that is not awaited is called off"]
    pub fn new(kicked: Kicked<'a, A>, limits: Limits, now: u64) -> Self {
        Self { kicked, limits, kicked_at: now, alive_at: None, refusal: None, outcome: None }
    }

    /// The number of the start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.kicked.generation()
    }

    /// Whether the CPU was still not seen to have arrived when last looked at: while this is so, a firmware
    /// that asked for patience may be asked again.
    #[must_use]
    pub fn is_awaiting_arrival(&self) -> bool {
        self.outcome.is_none() && self.alive_at.is_none()
    }

    /// Firmware accepted the start.
    pub fn accepted(&mut self) {
        self.refusal = None;
    }

    /// Firmware answered `code`, which may pass (the CPU is still on, or an older start is pending). The start
    /// stays open; if it ends without an arrival, this code is the verdict.
    pub fn deferred(&mut self, code: i32) {
        self.refusal = Some(code);
    }

    /// Firmware refused with `code`, for good. The start is called off; but if the CPU has arrived all the
    /// same, its word counts and not the firmware's, and it is awaited like any other.
    pub fn refuse(&mut self, code: i32, now: u64) -> Step {
        if let Some(outcome) = self.outcome {
            return Step::Settled(outcome);
        }
        self.refusal = Some(code);
        match self.kicked.revoke() {
            Ok(()) => self.settle(Verdict::Refused(code), now),
            Err(winner) => self.look(winner, now),
        }
    }

    /// Looks how the start stands at `now`, and ends it if its time is up. Settled once, settled for good.
    pub fn step(&mut self, now: u64) -> Step {
        if let Some(outcome) = self.outcome {
            return Step::Settled(outcome);
        }
        self.look(self.kicked.poll(), now)
    }

    fn look(&mut self, mut seen: Snapshot, now: u64) -> Step {
        // A lost race shows the winner's state, which is a later one: at most three rounds.
        loop {
            if seen.generation != self.kicked.generation() {
                return self.settle(Verdict::Busy, now);
            }
            let verdict = match seen.state {
                State::Kicked => {
                    if now.saturating_sub(self.kicked_at) < self.limits.arrive {
                        return Step::Waiting;
                    }
                    match self.kicked.revoke() {
                        Ok(()) => self.called_off(),
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }
                    }
                }
                State::Alive => {
                    let alive_at = *self.alive_at.get_or_insert(now);
                    if now.saturating_sub(alive_at) < self.limits.online {
                        return Step::Waiting;
                    }
                    match self.kicked.wedge() {
                        Ok(()) => Verdict::Wedged,
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }
                    }
                }
                // It was online, even if it has left by now.
                State::Online | State::Dying | State::Gone | State::Offline => Verdict::Online,
                State::Revoked => self.called_off(),
                State::Failed => Verdict::Failed(seen.reason),
                State::Wedged => Verdict::Wedged,
                // A start that was kicked is never claimed again under its own number.
                State::Claimed => Verdict::Busy,
            };
            return self.settle(verdict, now);
        }
    }

    fn called_off(&self) -> Verdict {
        self.refusal.map_or(Verdict::Revoked, Verdict::Refused)
    }

    fn settle(&mut self, verdict: Verdict, now: u64) -> Step {
        let elapsed = now.saturating_sub(self.kicked_at);
        let outcome = Outcome { verdict, generation: self.kicked.generation(), elapsed };
        Step::Settled(*self.outcome.insert(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::{Arrival, Entrance};
    use super::super::slot::tests::slot;
    use super::*;
    use crate::Gate;

    const LIMITS: Limits = Limits { arrive: 100, online: 50 };

    fn settled(verdict: Verdict, generation: u32, elapsed: u64) -> Step {
        Step::Settled(Outcome { verdict, generation, elapsed })
    }

    #[test]
    fn a_cpu_that_never_comes_is_revoked() {
        let slot = slot(1, 0, State::Gone);
        let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 1000);
        assert_eq!(booter.generation(), 2);
        assert_eq!(booter.step(1000), Step::Waiting);
        assert_eq!(booter.step(1099), Step::Waiting);
        assert!(booter.is_awaiting_arrival());
        assert_eq!(booter.step(1100), settled(Verdict::Revoked, 2, 100));
        assert!(!booter.is_awaiting_arrival());
        assert_eq!(booter.step(5000), settled(Verdict::Revoked, 2, 100));
        assert_eq!(slot.arrive(2), Arrival::Lost);
    }

    #[test]
    fn a_cpu_that_never_comes_up_is_wedged() {
        let slot = slot(1, 0, State::Gone);
        let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 1000);
        assert_eq!(slot.arrive(2), Arrival::Won);
        // The second limit runs from the moment when the booter saw the CPU, even past the first.
        assert_eq!(booter.step(1099), Step::Waiting);
        assert!(!booter.is_awaiting_arrival());
        assert_eq!(booter.step(1148), Step::Waiting);
        assert_eq!(booter.step(1149), settled(Verdict::Wedged, 2, 149));
        assert_eq!(slot.read(), Snapshot::new(2, 0, State::Wedged));
        assert_eq!(slot.go_online(2, &Gate::new(), 0), Entrance::Wedged);
    }

    #[test]
    fn a_firmware_error_ends_the_start_unless_the_cpu_came() {
        let absent = slot(1, 0, State::Gone);
        let mut booter = Booter::new(absent.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(booter.refuse(-2, 3), settled(Verdict::Refused(-2), 2, 3));
        assert_eq!(booter.refuse(-7, 4), settled(Verdict::Refused(-2), 2, 3));

        let present = slot(1, 0, State::Gone);
        let mut booter = Booter::new(present.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(present.arrive(2), Arrival::Won);
        assert_eq!(booter.refuse(-2, 3), Step::Waiting);
        assert_eq!(present.go_online(2, &Gate::new(), 0), Entrance::Online);
        assert_eq!(booter.step(4), settled(Verdict::Online, 2, 4));
    }

    #[test]
    fn a_deferral_counts_unless_firmware_accepts_later() {
        for (accepted, verdict) in [(false, Verdict::Refused(-4)), (true, Verdict::Revoked)] {
            let slot = slot(1, 0, State::Gone);
            let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 0);
            booter.deferred(-4);
            assert_eq!(booter.step(1), Step::Waiting);
            if accepted {
                booter.accepted();
            }
            assert_eq!(booter.step(100), settled(verdict, 2, 100));
        }
    }

    #[test]
    fn a_booter_overtaken_by_others_settles() {
        let revoked = slot(1, 0, State::Gone);
        let mut booter = Booter::new(revoked.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(revoked.revoke_if_kicked().state, State::Revoked);
        assert_eq!(booter.step(1), settled(Verdict::Revoked, 2, 1));

        let reused = slot(1, 0, State::Gone);
        let mut booter = Booter::new(reused.claim().ok().unwrap().kick(), LIMITS, 0);
        reused.revoke_if_kicked();
        let next = reused.claim().ok().unwrap();
        assert_eq!(booter.step(1), settled(Verdict::Busy, 2, 1));
        drop(booter);
        assert_eq!(reused.read(), Snapshot::new(3, 0, State::Claimed));
        drop(next);

        let left = slot(1, 0, State::Gone);
        let mut booter = Booter::new(left.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(left.arrive(2), Arrival::Won);
        assert_eq!(left.go_online(2, &Gate::new(), 0), Entrance::Online);
        assert!(left.begin_leave(2) && left.gone(2));
        assert_eq!(booter.step(1), settled(Verdict::Online, 2, 1));
    }
}
