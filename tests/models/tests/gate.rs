//! Models of the panic gate.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;

use reveille_models::{LoomArch, LoomWord, Model, Payload, Signal, thread};
use reveille_protocol::{Arrival, Entrance, Entry, Gate, Parked, Phase, Slot, Snapshot, State, Word};

type LoomGate = Gate<LoomArch>;

/// Three CPUs fail at once: one reports, all are accounted for.
#[test]
fn one_reporter() {
    Model::new("gate/one_reporter", &["first", "second", "third"]).check(|tally| {
        let gate = Rc::new(LoomGate::new());
        let report = Rc::new(Payload::new(0));
        let fail = |me: u32| {
            let (gate, report) = (Rc::clone(&gate), Rc::clone(&report));
            move || {
                let entry = gate.enter(me);
                match entry {
                    Entry::Reporter => report.write(u64::from(me)),
                    Entry::Other => {
                        assert!(gate.is_taken_by_other(me));
                        gate.count_in();
                    }
                    Entry::Nested(_) => unreachable!("failed once"),
                }
                entry
            }
        };
        let second = thread::spawn(fail(1));
        let third = thread::spawn(fail(2));
        let entries = [fail(0)(), second.join().unwrap(), third.join().unwrap()];

        let reporters: Vec<usize> = (0..3).filter(|&cpu| entries[cpu] == Entry::Reporter).collect();
        assert_eq!((reporters.len(), gate.count()), (1, 2));
        assert_eq!(gate.owner().map(u64::from), Some(report.read()));
        assert_eq!(gate.owner(), u32::try_from(reporters[0]).ok());
        tally.hit(["first", "second", "third"][reporters[0]]);
    });
}

/// The reporter goes through its phases, and fails again in one, while another CPU stops, by `stop`: no phase is undone.
fn phases_against(name: &'static str, stop: fn(&LoomGate)) {
    Model::new(name, &["stopping", "reporting", "acting"]).check(move |tally| {
        let gate = Rc::new(LoomGate::new());
        assert_eq!(gate.enter(0), Entry::Reporter);
        let stops = thread::spawn({
            let gate = Rc::clone(&gate);
            move || {
                stop(&gate);
                gate.phase()
            }
        });
        assert!(gate.set_phase(0, Phase::Reporting));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Reporting));
        tally.hit(match stops.join().unwrap() {
            Phase::Stopping => "stopping",
            Phase::Reporting => "reporting",
            Phase::Acting => "acting",
            other => panic!("{other:?}"),
        });
        assert_eq!((gate.owner(), gate.phase()), (Some(0), Phase::Acting));
    });
}

/// The reporter's phases against another failure.
#[test]
fn phases_against_failure() {
    phases_against("gate/phases_against_failure", |gate| {
        assert_eq!(gate.enter(1), Entry::Other);
        assert!(!gate.set_phase(1, Phase::Mute));
    });
}

/// One CPU stops the others without having failed, and then does fail; another fails meanwhile.
#[test]
fn failure_after_stop() {
    Model::new("gate/failure_after_stop", &["stopper_reports", "other_reports"]).check(|tally| {
        let gate = Rc::new(LoomGate::new());
        let other = thread::spawn({
            let gate = Rc::clone(&gate);
            move || gate.enter(1)
        });
        let stopped = gate.stop_begin(0);
        match stopped {
            Entry::Reporter => {
                assert_eq!(gate.stop_begin(0), Entry::Nested(Phase::Halting));
                assert_eq!(gate.enter(0), Entry::Reporter, "a failure after the stop goes unreported");
                assert_eq!(other.join().unwrap(), Entry::Other);
                tally.hit("stopper_reports");
            }
            Entry::Other => {
                assert_eq!(other.join().unwrap(), Entry::Reporter);
                tally.hit("other_reports");
            }
            Entry::Nested(_) => unreachable!("the gate was not ours"),
        }
        assert_eq!(gate.phase(), Phase::Stopping);
    });
}

/// A panic meets a CPU that is coming up. However the two and the booter interleave, either the reporter knows
/// of the CPU and stops it, or the CPU stops by itself, or it never arrives.
#[test]
fn panic_against_bring_up() {
    const OUTCOMES: &[&str] = &["revoked", "signalled", "stopped_by_itself", "both"];
    Model::new("gate/panic_against_bring_up", OUTCOMES).check(|tally| {
        struct World {
            gate: LoomGate,
            slot: Slot<LoomArch>,
            reset: Signal,
        }
        let world = Rc::new(World { gate: Gate::new(), slot: Slot::new(), reset: Signal::low() });
        let cpu = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                world.reset.wait();
                match world.slot.arrive(1) {
                    Arrival::Won => Some(world.slot.go_online(1, &world.gate, 1)),
                    Arrival::Lost => None,
                    other => unreachable!("{other:?}"),
                }
            }
        });
        let reporter = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                assert_eq!(world.gate.enter(0), Entry::Reporter);
                world.slot.revoke_if_kicked()
            }
        });
        let kicked = world.slot.claim().ok().unwrap().kick();
        world.reset.raise(1);
        let entrance = cpu.join().unwrap();
        let scanned = reporter.join().unwrap();
        drop(kicked);

        assert_ne!(scanned.state, State::Kicked);
        tally.hit(match (entrance, scanned.state.is_live()) {
            (None, false) => {
                assert_eq!(scanned.state, State::Revoked);
                "revoked"
            }
            (Some(Entrance::Online), true) => "signalled",
            (Some(Entrance::Stop), false) => "stopped_by_itself",
            (Some(Entrance::Stop), true) => "both",
            other => panic!("a CPU runs on that nobody stops: {other:?}"),
        });
    });
}

/// The same with nothing but the two words in play: a CPU that is alive comes online while a panic begins, and
/// the reporter may read the slot as it was long before.
#[test]
fn online_against_scan() {
    Model::new("gate/online_against_scan", &["signalled", "stopped_by_itself", "both"]).check(|tally| {
        let gate = Rc::new(LoomGate::new());
        let slot = Rc::new(Slot::<LoomArch>::from_parts(LoomWord::new(
            Snapshot { generation: 1, reason: 0, state: State::Alive }.to_bits(),
        )));
        let cpu = thread::spawn({
            let (gate, slot) = (Rc::clone(&gate), Rc::clone(&slot));
            move || slot.go_online(1, &gate, 1)
        });
        assert_eq!(gate.enter(0), Entry::Reporter);
        let seen = slot.read().state == State::Online;
        let entrance = cpu.join().unwrap();
        tally.hit(match (entrance, seen) {
            (Entrance::Online, true) => "signalled",
            (Entrance::Stop, false) => "stopped_by_itself",
            (Entrance::Stop, true) => "both",
            other => panic!("neither saw the other: {other:?}"),
        });
    });
}

/// A CPU parks while another looks: who sees that it has, reads all that it left behind, and what it has closed.
#[test]
fn what_the_parked_left() {
    Model::new("gate/what_the_parked_left", &["not yet", "parked"]).check(|tally| {
        let parked = Rc::new(Parked::<LoomArch>::new());
        let left = Rc::new(Payload::new(0));
        let parks = thread::spawn({
            let (parked, left) = (Rc::clone(&parked), Rc::clone(&left));
            move || {
                parked.park(3, || {
                    left.write(17);
                    true
                });
            }
        });
        match parked.how() {
            None => tally.hit("not yet"),
            Some(how) => {
                assert_eq!((how, left.read(), parked.has_closed()), (3, 17, true));
                tally.hit("parked");
            }
        }
        parks.join().unwrap();
        assert!(parked.is_set());
    });
}
