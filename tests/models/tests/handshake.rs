//! Models of the bring-up handshake.
//!
//! The CPU's thread is always spawned before its kick and waits for the reset line, because a power-on orders
//! no memory and a spawn does.

#![cfg(not(target_os = "none"))]

use std::cell::Cell;
use std::mem;
use std::rc::Rc;

use reveille_models::{LoomArch, LoomWord, Model, Payload, Signal, Tally, thread};
use reveille_protocol::{
    Arrival, Booter, Entrance, Gate, Limits, Outcome, RESTARTED, Refusal, Slot, Snapshot, State, Step,
    Verdict, Word,
};

/// One CPU and what belongs to it.
struct Cpu {
    slot: Slot<LoomArch>,
    gate: Gate<LoomArch>,
    /// Written by whoever holds the claim, read by the CPU once it has won.
    params: Payload,
    /// Stack and per-CPU data: the CPU's while it lives, the booter's when it is for sure dead.
    own: Payload,
    /// The reset line, with the generation as firmware passes it on.
    reset: Signal,
    /// The word that the CPU leaves the pen for.
    pen: Signal,
}

impl Cpu {
    fn new(generation: u32, state: State) -> Rc<Self> {
        let word = Snapshot { generation, reason: 0, state }.to_bits();
        Rc::new(Self {
            slot: Slot::from_parts(LoomWord::new(word)),
            gate: Gate::new(),
            params: Payload::new(0),
            own: Payload::new(0),
            reset: Signal::low(),
            pen: Signal::low(),
        })
    }

    fn state(&self) -> State {
        self.slot.read().state
    }
}

fn spawn<T: 'static>(cpu: &Rc<Cpu>, f: impl FnOnce(&Cpu) -> T + 'static) -> thread::JoinHandle<T> {
    let cpu = Rc::clone(cpu);
    thread::spawn(move || f(&cpu))
}

/// Two booters want the same CPU. Only one has it at a time, and no two starts have the same number.
#[test]
fn claim_against_claim() {
    Model::new("handshake/claim_against_claim", &["one", "one_after_the_other"]).check(|tally| {
        fn boot(cpu: &Cpu, owned: &Cell<bool>) -> Option<u32> {
            match cpu.slot.claim() {
                Ok(claim) => {
                    assert!(!owned.replace(true), "two booters own the CPU");
                    cpu.params.write(u64::from(claim.generation()));
                    owned.set(false);
                    let generation = claim.generation();
                    drop(claim);
                    Some(generation)
                }
                Err(refusal) => {
                    assert!(matches!(refusal, Refusal::Busy(_)));
                    None
                }
            }
        }
        let cpu = Cpu::new(3, State::Gone);
        let owned = Rc::new(Cell::new(false));
        let rival = spawn(&cpu, {
            let owned = Rc::clone(&owned);
            move |cpu| boot(cpu, &owned)
        });
        let mine = boot(&cpu, &owned);
        tally.hit(match (mine, rival.join().unwrap()) {
            (Some(4), None) | (None, Some(4)) => "one",
            (Some(4), Some(5)) | (Some(5), Some(4)) => "one_after_the_other",
            other => panic!("nobody, or twice the same: {other:?}"),
        });
        assert_eq!(cpu.state(), State::Revoked);
    });
}

/// A CPU arrives just when its booter loses patience. Exactly one wins, and only the winner touches what the
/// CPU would own.
#[test]
fn arrive_against_revoke() {
    Model::new("handshake/arrive_against_revoke", &["arrived", "revoked"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let arrival = spawn(&cpu, |cpu| {
            cpu.reset.wait();
            let arrival = cpu.slot.arrive(1);
            if arrival == Arrival::Won {
                assert_eq!(cpu.params.read(), 11);
                cpu.own.write(1);
            }
            arrival
        });
        let claim = cpu.slot.claim().ok().unwrap();
        cpu.params.write(11);
        let kicked = claim.kick();
        cpu.reset.raise(1);
        let revoked = kicked.revoke();
        if revoked.is_ok() {
            cpu.own.write(2);
            cpu.params.write(0);
        }
        tally.hit(match (arrival.join().unwrap(), revoked) {
            (Arrival::Won, Err(winner)) => {
                assert_eq!(winner.state, State::Alive);
                "arrived"
            }
            (Arrival::Lost, Ok(())) => "revoked",
            other => panic!("not exactly one winner: {other:?}"),
        });
    });
}

/// The same, with a booter that just walks away from its start, and a panic reporter that holds no token.
#[test]
fn arrive_against_drop_and_reporter() {
    Model::new("handshake/arrive_against_drop_and_reporter", &["arrived", "revoked"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let arrival = spawn(&cpu, |cpu| {
            cpu.reset.wait();
            cpu.slot.arrive(1)
        });
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        let reporter = spawn(&cpu, |cpu| cpu.slot.revoke_if_kicked());
        cpu.reset.raise(1);
        drop(kicked);
        let after = cpu.state();
        let arrival = arrival.join().unwrap();
        let scanned = reporter.join().unwrap();
        assert_ne!(scanned.state, State::Kicked);
        assert_eq!(scanned.state, after);
        tally.hit(match (arrival, after) {
            (Arrival::Won, State::Alive) => "arrived",
            (Arrival::Lost, State::Revoked) => "revoked",
            other => panic!("{other:?}"),
        });
    });
}

/// Firmware delivers a first start so late that the second one is under way. It must not pass for the second;
/// the CPU goes to the pen and leaves it for the second, which then succeeds.
#[test]
fn stale_arrival() {
    const OUTCOMES: &[&str] = &["first_try", "second_try"];
    Model::new("handshake/stale_arrival", OUTCOMES).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let arrived = spawn(&cpu, |cpu| {
            let first = cpu.reset.wait();
            assert_eq!(first, 1);
            if cpu.slot.arrive(1) == Arrival::Won {
                assert_eq!(cpu.params.read(), 11, "took up another start than its own");
                cpu.own.write(1);
                return 1;
            }
            assert_eq!(cpu.pen.wait(), 2);
            assert_eq!(cpu.slot.arrive(2), Arrival::Won, "the second start came to nothing");
            assert_eq!(cpu.params.read(), 12);
            cpu.own.write(1);
            2
        });
        let claim = cpu.slot.claim().ok().unwrap();
        assert_eq!(claim.generation(), 1);
        cpu.params.write(11);
        let kicked = claim.kick();
        cpu.reset.raise(1);
        if kicked.revoke().is_ok() {
            cpu.own.write(2);
            let claim = cpu.slot.claim().ok().unwrap();
            cpu.params.write(12);
            let kicked = claim.kick();
            cpu.pen.raise(2);
            while kicked.poll().state == State::Kicked {
                thread::yield_now();
            }
            assert_eq!(arrived.join().unwrap(), 2);
            tally.hit("second_try");
        } else {
            assert_eq!(arrived.join().unwrap(), 1);
            tally.hit("first_try");
        }
        assert_eq!(cpu.state(), State::Alive);
    });
}

/// A CPU that comes out of an older start learns the new generation from its boot line, possibly before the
/// kick. It is told to come again, and the start succeeds.
#[test]
fn early_arrival() {
    Model::new("handshake/early_arrival", &["at_once", "after_the_pen"]).check(|tally| {
        let cpu = Cpu::new(1, State::Revoked);
        let early = spawn(&cpu, |cpu| {
            // The line, as read with the MMU off.
            let generation = u32::try_from(cpu.reset.wait()).unwrap();
            let mut early = false;
            loop {
                match cpu.slot.arrive(generation) {
                    Arrival::Won => break,
                    Arrival::Early => early = true,
                    other => panic!("{other:?}"),
                }
                assert_eq!(cpu.pen.wait(), 2);
            }
            assert_eq!(cpu.params.read(), 12);
            early
        });
        let claim = cpu.slot.claim().ok().unwrap();
        cpu.params.write(12);
        cpu.reset.raise(u64::from(claim.generation()));
        let kicked = claim.kick();
        cpu.pen.raise(2);
        while kicked.poll().state == State::Kicked {
            thread::yield_now();
        }
        tally.hit(if early.join().unwrap() { "after_the_pen" } else { "at_once" });
        assert_eq!(cpu.state(), State::Alive);
    });
}

/// A CPU comes online just when its booter gives it up. Exactly one wins; if the CPU does, the booter sees all
/// that it initialised.
#[test]
fn online_against_wedge() {
    Model::new("handshake/online_against_wedge", &["online", "wedged"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let online = spawn(&cpu, |cpu| {
            cpu.reset.wait();
            assert_eq!(cpu.slot.arrive(1), Arrival::Won);
            cpu.own.write(1);
            match cpu.slot.go_online(1, &cpu.gate, 1) {
                Entrance::Online => true,
                Entrance::Wedged => false,
                Entrance::Stop => unreachable!("nobody panics"),
            }
        });
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        cpu.reset.raise(1);
        while kicked.poll().state == State::Kicked {
            thread::yield_now();
        }
        let wedged = kicked.wedge();
        if wedged.is_err() {
            assert_eq!(cpu.own.read(), 1);
        }
        tally.hit(match (online.join().unwrap(), wedged) {
            (true, Err(winner)) => {
                assert_eq!(winner, Snapshot { generation: 1, reason: 0, state: State::Online });
                "online"
            }
            (false, Ok(())) => "wedged",
            other => panic!("not exactly one winner: {other:?}"),
        });
        let wedge = Snapshot { generation: 1, reason: 0, state: State::Wedged };
        assert_eq!(cpu.slot.read(), wedged.map_or_else(|winner| winner, |()| wedge));
    });
}

/// Whoever merely polls and reads `Online` sees all that the CPU initialised.
#[test]
fn online_is_complete() {
    Model::new("handshake/online_is_complete", &["online"]).check(|tally| {
        let cpu = Cpu::new(1, State::Alive);
        let online = spawn(&cpu, |cpu| {
            cpu.own.write(1);
            assert_eq!(cpu.slot.go_online(1, &cpu.gate, 1), Entrance::Online);
        });
        while cpu.state() != State::Online {
            thread::yield_now();
        }
        assert_eq!(cpu.own.read(), 1);
        online.join().unwrap();
        tally.hit("online");
    });
}

/// A CPU gives up just when its booter does. If the CPU is first, what it owned can be used again at once; if
/// the booter is first, never.
#[test]
fn fail_against_wedge() {
    Model::new("handshake/fail_against_wedge", &["failed", "wedged"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let failed = spawn(&cpu, |cpu| {
            cpu.reset.wait();
            assert_eq!(cpu.slot.arrive(1), Arrival::Won);
            cpu.own.write(1);
            cpu.slot.fail(1, 9)
        });
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        cpu.reset.raise(1);
        while kicked.poll().state == State::Kicked {
            thread::yield_now();
        }
        let wedged = kicked.wedge();
        let next = cpu.slot.claim();
        if let Ok(claim) = &next {
            assert_eq!(claim.generation(), 2);
            cpu.own.write(2);
        }
        tally.hit(match (failed.join().unwrap(), wedged, next.map(drop)) {
            (true, Err(winner), Ok(())) => {
                assert_eq!(winner, Snapshot { generation: 1, reason: 9, state: State::Failed });
                "failed"
            }
            (false, Ok(()), Err(refusal)) => {
                assert_eq!(refusal, Refusal::Wedged { generation: 1 });
                "wedged"
            }
            other => panic!("not exactly one winner: {other:?}"),
        });
    });
}

/// A CPU leaves, a booter starts it again: the booter finds its memory as the CPU left it.
#[test]
fn leave_and_reclaim() {
    Model::new("handshake/leave_and_reclaim", &["reclaimed", "too_early"]).check(|tally| {
        let cpu = Cpu::new(1, State::Online);
        assert!(cpu.slot.begin_leave(1));
        let leaver = spawn(&cpu, |cpu| {
            cpu.own.write(1);
            assert!(cpu.slot.gone(1));
        });
        let claim = cpu.slot.claim();
        if claim.is_ok() {
            cpu.own.write(2);
        }
        leaver.join().unwrap();
        let (state, outcome) = match &claim {
            Ok(claim) => {
                assert_eq!(claim.generation(), 2);
                (State::Claimed, "reclaimed")
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Busy(Snapshot { state: State::Dying, .. })));
                (State::Gone, "too_early")
            }
        };
        assert_eq!(cpu.state(), state);
        tally.hit(outcome);
    });
}

/// What a booter writes for the CPU after the kick comes before what the next booter writes.
#[test]
fn revoke_and_reclaim() {
    Model::new("handshake/revoke_and_reclaim", &["busy", "reclaimed"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        let next = spawn(&cpu, |cpu| match cpu.slot.claim() {
            Ok(claim) => {
                assert_eq!(claim.generation(), 2);
                cpu.params.write(12);
                "reclaimed"
            }
            Err(Refusal::Busy(_)) => "busy",
            Err(other) => panic!("{other:?}"),
        });
        cpu.params.write(11);
        assert_eq!(kicked.revoke(), Ok(()));
        tally.hit(next.join().unwrap());
    });
}

/// A booter revokes a start that somebody else has revoked already, while the next one is under way: that one
/// goes on.
#[test]
fn late_revoke() {
    Model::new("handshake/late_revoke", &["in_time", "too_late"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        let next = spawn(&cpu, |cpu| {
            assert_eq!(cpu.slot.revoke_if_kicked().state, State::Revoked);
            let kicked = cpu.slot.claim().ok().unwrap().kick();
            assert_eq!(kicked.generation(), 2);
            // Not dropped: that would revoke it.
            mem::forget(kicked);
        });
        tally.hit(if kicked.revoke().is_ok() { "in_time" } else { "too_late" });
        next.join().unwrap();
        assert_eq!(cpu.slot.read(), Snapshot { generation: 2, reason: 0, state: State::Kicked });
    });
}

/// A CPU that had begun to leave stays: who then finds it online sees what it has set up again.
#[test]
fn leave_and_stay() {
    Model::new("handshake/leave_and_stay", &["saw_it_back", "saw_it_before"]).check(|tally| {
        let cpu = Cpu::new(1, State::Online);
        assert!(cpu.slot.begin_leave(1));
        let stays = spawn(&cpu, |cpu| {
            cpu.own.write(1);
            assert!(cpu.slot.cancel_leave(1));
        });
        tally.hit(if cpu.state() == State::Online {
            assert_eq!(cpu.own.read(), 1);
            "saw_it_back"
        } else {
            "saw_it_before"
        });
        stays.join().unwrap();
        assert_eq!(cpu.state(), State::Online);
    });
}

/// A CPU is reset in the middle of its start and arrives again, just when its booter gives it up. It notices,
/// whatever the booter has done, and nobody may start it again.
#[test]
fn restarted() {
    Model::new("handshake/restarted", &["was_alive", "was_wedged"]).check(|tally| {
        let cpu = Cpu::new(0, State::Offline);
        let restarted = spawn(&cpu, |cpu| {
            cpu.reset.wait();
            assert_eq!(cpu.slot.arrive(1), Arrival::Won);
            cpu.slot.arrive(1)
        });
        let kicked = cpu.slot.claim().ok().unwrap().kick();
        cpu.reset.raise(1);
        while kicked.poll().state == State::Kicked {
            thread::yield_now();
        }
        let wedged = kicked.wedge();
        let Arrival::Restarted(found) = restarted.join().unwrap() else { panic!("the reset went unnoticed") };
        tally.hit(match found.state {
            State::Alive => {
                assert_eq!(wedged.unwrap_err().reason, RESTARTED);
                "was_alive"
            }
            State::Wedged => {
                assert!(wedged.is_ok());
                "was_wedged"
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(cpu.slot.read(), Snapshot { generation: 1, reason: RESTARTED, state: State::Failed });
        assert_eq!(cpu.slot.claim().map(drop), Err(Refusal::Restarted { generation: 1 }));
    });
}

/// What the CPU in [`await_start`] makes of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Lost,
    Online,
    Failed,
    Parked,
}

/// A CPU that arrives and initialises itself in one step, and ends as `fails` says.
fn live(cpu: &Cpu, fails: bool) -> Life {
    cpu.reset.wait();
    match cpu.slot.arrive(1) {
        Arrival::Won => {}
        Arrival::Lost => return Life::Lost,
        other => panic!("{other:?}"),
    }
    cpu.own.write(1);
    if fails {
        return if cpu.slot.fail(1, 9) { Life::Failed } else { Life::Parked };
    }
    match cpu.slot.go_online(1, &cpu.gate, 1) {
        Entrance::Online => Life::Online,
        Entrance::Wedged => Life::Parked,
        Entrance::Stop => panic!("nobody panics"),
    }
}

/// A booter with a clock that ticks once per look, against [`live`]. Its verdict is what became of the CPU.
fn await_start(tally: &Tally, fails: bool, firmware: impl FnOnce(&mut Booter<'_, LoomArch>) -> Option<i32>) {
    let cpu = Cpu::new(0, State::Offline);
    let life = spawn(&cpu, move |cpu| live(cpu, fails));
    let mut booter = Booter::new(cpu.slot.claim().ok().unwrap().kick(), Limits { arrive: 1, online: 1 }, 0);
    cpu.reset.raise(1);
    let refused = firmware(&mut booter);
    // No yield: the booter's patience must be able to run out.
    let mut now = 0;
    let Outcome { verdict, generation, elapsed } = loop {
        match booter.step(now) {
            Step::Settled(outcome) => break outcome,
            Step::Waiting => now += 1,
        }
        assert!(now <= 2, "waits on after both limits");
    };
    assert_eq!((generation, elapsed), (1, now));
    match verdict {
        // The CPU is for sure dead, or up: either way its memory is as it left it.
        Verdict::Revoked | Verdict::Refused(_) | Verdict::Failed(_) => cpu.own.write(2),
        Verdict::Online => assert_eq!(cpu.own.read(), 1),
        _ => {}
    }
    tally.hit(match (life.join().unwrap(), verdict) {
        (Life::Lost, Verdict::Revoked) if refused.is_none() => "revoked",
        (Life::Lost, Verdict::Refused(code)) if refused == Some(code) => "refused",
        (Life::Online, Verdict::Online) => "online",
        (Life::Failed, Verdict::Failed(9)) => "failed",
        (Life::Parked, Verdict::Wedged) => "wedged",
        other => panic!("the verdict is wrong: {other:?}"),
    });
    assert_eq!(booter.step(now + 1), Step::Settled(Outcome { verdict, generation, elapsed }));
}

/// A booter awaits a CPU that comes online, sooner or later.
#[test]
fn booter() {
    Model::new("handshake/booter", &["online", "revoked", "wedged"])
        .check(|tally| await_start(tally, false, |_| None));
}

/// A booter awaits a CPU that fails, sooner or later.
#[test]
fn booter_of_failing_cpu() {
    Model::new("handshake/booter_of_failing_cpu", &["failed", "revoked", "wedged"])
        .check(|tally| await_start(tally, true, |_| None));
}

/// Firmware reports an error, and the CPU may come all the same: then it is awaited.
#[test]
fn booter_of_refused_cpu() {
    Model::new("handshake/booter_of_refused_cpu", &["online", "refused", "wedged"]).check(|tally| {
        await_start(tally, false, |booter| {
            let _ = booter.refuse(-2, 0);
            Some(-2)
        });
    });
}

/// Firmware asks for patience: if the CPU does not come, the verdict is what firmware said.
#[test]
fn booter_of_deferred_cpu() {
    Model::new("handshake/booter_of_deferred_cpu", &["online", "refused", "wedged"]).check(|tally| {
        await_start(tally, false, |booter| {
            booter.deferred(-4);
            Some(-4)
        });
    });
}
