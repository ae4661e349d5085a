//! The side of the CPU itself: it arrives, comes online, and goes.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::slot::Slot;
use super::snapshot::{RESTARTED, Snapshot, State};
use crate::{Arch, Gate, Word};

/// What a CPU finds when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The start is its own: from now on it may use its stack and its per-CPU data.
    Won,
    /// The start was called off, or is not the current one. The CPU goes to the pen and leaves it only for
    /// another generation.
    Lost,
    /// The start is claimed, but not kicked yet: the CPU was out already when the booter began, and learnt the
    /// generation from its boot line. It goes to the pen and, unlike a loser, leaves it for *this* generation.
    Early,
    /// The slot says that this very CPU was running, so it was reset. The slot now holds
    /// `Failed(`[`RESTARTED`]`)`; the snapshot is what it held before. The CPU raises the panic gate.
    Restarted(Snapshot),
}

/// How [`Slot::go_online`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a CPU that is `Online` may go on"]
pub enum Entrance {
    /// The CPU is a member of the system.
    Online,
    /// The CPU is a member of the system, and another CPU has the panic gate: it parks, at once, because the
    /// reporter may have looked for whom to stop before there was anything to see.
    Stop,
    /// The booter gave up first, or the slot is not what this CPU believes. It parks and touches nothing.
    Wedged,
}

impl<A: Arch> Slot<A> {
    /// The arriving CPU takes up start `generation`, with nothing of its own in use but its registers and the
    /// stack it arrived on. Only an [`Arrival::Early`] may try again.
    pub fn arrive(&self, generation: u32) -> Arrival {
        let kicked = Snapshot::new(generation, 0, State::Kicked).to_bits();
        let alive = Snapshot::new(generation, 0, State::Alive).to_bits();
        // No load first: it could return a value from before the kick. Acquire: pairs with the Release of
        // `kick`, so the CPU sees the parameters of this start.
        let Err(mut word) = self.word.compare_exchange(kicked, alive, Acquire, Relaxed) else {
            return Arrival::Won;
        };
        loop {
            let found = Snapshot::from_bits(word);
            if !found.state.is_live() {
                let early = found.state == State::Claimed && found.generation == generation;
                return if early { Arrival::Early } else { Arrival::Lost };
            }
            // Relaxed: nobody can claim the slot after this, so nobody is handed anything.
            let failed = Snapshot::new(found.generation, RESTARTED, State::Failed).to_bits();
            match self.word.compare_exchange(word, failed, Relaxed, Relaxed) {
                Ok(_) => return Arrival::Restarted(found),
                // The CPU itself is here, so the only other writer is a booter that wedges it: once.
                Err(now) => word = now,
            }
        }
    }

    /// This CPU, known to `gate` as `me` and alive with `generation`, becomes a member of the system.
    ///
    /// Its interrupts are still masked; all that others may want of it (its call queue, its interrupt
    /// controller part) works. It has to look at the panic gate *after* it has become visible, or a reporter
    /// that did not see it would leave it running: this is that look, with the fence that it takes.
    pub fn go_online(&self, generation: u32, gate: &Gate<A>, me: u32) -> Entrance {
        // Release: pairs with the Acquire of whoever reads `Online` and then uses what the CPU has set up.
        if self.pass(State::Alive, Snapshot::new(generation, 0, State::Online), Release, Relaxed).is_err() {
            return Entrance::Wedged;
        }
        // Pairs with the fence in `Gate::enter`: store `Online`, look at the gate, against take the gate, look
        // at the slots. At least one of the two sees the other.
        A::fence(SeqCst);
        if gate.is_taken_by_other(me) { Entrance::Stop } else { Entrance::Online }
    }

    /// This CPU, alive with `generation`, gives up for `reason`. Its last shared store: if it returns `true`
    /// the CPU must not touch anything that it owned any more, if `false` the booter wedged it and it parks.
    ///
    /// [`RESTARTED`] is not a reason to give here.
    #[must_use = "a CPU that was wedged must park"]
    pub fn fail(&self, generation: u32, reason: u16) -> bool {
        // Release: pairs with `claim`. The next start finds the CPU's memory as it left it.
        self.pass(State::Alive, Snapshot::new(generation, reason, State::Failed), Release, Relaxed).is_ok()
    }

    /// This CPU, online with `generation`, begins to leave. `false` if it is not online with it.
    #[must_use = "only a CPU that is dying may leave"]
    pub fn begin_leave(&self, generation: u32) -> bool {
        // Relaxed: hands nothing to anyone, and whoever acts on `Dying` only keeps off.
        self.pass(State::Online, Snapshot::new(generation, 0, State::Dying), Relaxed, Relaxed).is_ok()
    }

    /// This CPU, dying with `generation`, stays after all. `false` if it is not dying with it.
    pub fn cancel_leave(&self, generation: u32) -> bool {
        // Release: pairs with `read` as in `go_online`. It may have set things up again.
        self.pass(State::Dying, Snapshot::new(generation, 0, State::Online), Release, Relaxed).is_ok()
    }

    /// This CPU, dying with `generation`, has left. `false` if it is not dying with it.
    ///
    /// Its last shared store: its stack and per-CPU data belong to the next start from here on. A caller that
    /// still stands on that stack has to make this store in assembly instead (`stlr` of the [`Snapshot`]'s
    /// bits; while the CPU is `Dying` nobody else writes the slot).
    #[must_use = "a CPU that is not gone must not power itself off"]
    pub fn gone(&self, generation: u32) -> bool {
        // Release: pairs with `claim`. The next start finds the CPU's memory as it left it.
        self.pass(State::Dying, Snapshot::new(generation, 0, State::Gone), Release, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::tests::slot;
    use super::*;

    #[test]
    fn a_cpu_gives_up() {
        let slot = slot(7, 0, State::Alive);
        assert!(slot.fail(7, 5));
        assert_eq!(slot.read(), Snapshot::new(7, 5, State::Failed));
        assert!(!slot.fail(7, 6));
    }

    #[test]
    fn a_cpu_acts_on_its_own_start_alone() {
        for generation in [6, 8] {
            let slot = slot(7, 0, State::Alive);
            assert!(!slot.fail(generation, 1));
            assert_eq!(slot.go_online(generation, &Gate::new(), 0), Entrance::Wedged);
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Alive));
        }
    }

    #[test]
    fn arrivals_that_lose() {
        for state in
            [State::Offline, State::Claimed, State::Kicked, State::Gone, State::Revoked, State::Failed]
        {
            let slot = slot(7, 0, state);
            assert_eq!(slot.arrive(6), Arrival::Lost);
            assert_eq!(slot.read(), Snapshot::new(7, 0, state));
        }
        assert_eq!(slot(7, 0, State::Claimed).arrive(7), Arrival::Early);
    }

    #[test]
    fn a_restart_is_noticed_whatever_the_generation() {
        for state in State::ALL.into_iter().filter(|state| state.is_live()) {
            for generation in [6, 7, 8] {
                let slot = slot(7, 0, state);
                assert_eq!(slot.arrive(generation), Arrival::Restarted(Snapshot::new(7, 0, state)));
                assert_eq!(slot.read(), Snapshot::new(7, RESTARTED, State::Failed));
            }
        }
    }

    #[test]
    fn a_panic_stops_a_cpu_at_the_door() {
        let (slot, gate) = (slot(1, 0, State::Alive), Gate::new());
        assert_eq!(gate.enter(0), crate::Entry::Reporter);
        assert_eq!(slot.go_online(1, &gate, 1), Entrance::Stop);
        assert_eq!(slot.read().state, State::Online);
    }
}
