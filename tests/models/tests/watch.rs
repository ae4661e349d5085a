//! Models of the watchdog: a CPU that is stuck is reported once, by one of those that look at it, and none that is well.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;

use reveille_models::{LoomArch, Model, thread};
use reveille_protocol::{Heartbeat, Look, Watch};

/// Half a period.
const HALF: u64 = 10;
/// When the watchdog was started.
const START: u64 = 100;

/// The watchdog, and the heart of the CPU that is looked at.
struct World {
    watch: Watch<LoomArch>,
    heart: Heartbeat<LoomArch>,
}

impl World {
    /// With the watchdog on.
    fn new() -> Rc<Self> {
        let world = Self { watch: Watch::new(), heart: Heartbeat::new() };
        world.watch.start(HALF, START, [&world.heart].into_iter());
        Rc::new(world)
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// Looks at `now`. Whether it is told to report.
    fn reports(&self, now: u64) -> bool {
        let half = self.watch.half();
        matches!(self.watch.look(&self.heart, now, half, || ()), Look::Stuck { .. })
    }
}

/// Three CPUs look at one that has been stuck since its beat at 120: one of them reports it.
#[test]
fn one_reporter() {
    Model::new("watch/one_reporter", &["first", "second", "third"]).preemptions(3).check(|tally| {
        let world = World::new();
        world.heart.beat(120);
        let others = [151, 152].map(|now| world.spawn(move |world| world.reports(now)));
        let mut reports = vec![world.reports(150 + 1)];
        reports.extend(others.map(|other| other.join().unwrap()));
        assert_eq!(reports.iter().filter(|reports| **reports).count(), 1);
        let reporter = reports.iter().position(|reports| *reports).unwrap();
        tally.hit(["first", "second", "third"][reporter]);
    });
}

/// A CPU that was stuck goes on, and is stuck again. Of two that look at it, at any time, each time is reported once at most, and
/// the second time once in the end, also if one of them still has the beat of the first.
#[test]
fn stuck_again() {
    Model::new("watch/stuck_again", &["once", "twice"]).preemptions(3).check(|tally| {
        let world = World::new();
        world.heart.beat(120);
        let goes_on = world.spawn(|world| world.heart.beat(160));
        let other = world.spawn(|world| [world.reports(151), world.reports(191)]);
        let mut reports = [151, 191].into_iter().filter(|now| world.reports(*now)).count();
        goes_on.join().unwrap();
        reports += other.join().unwrap().into_iter().filter(|reports| *reports).count();
        // Whoever looks after all that finds what was not reported so far.
        reports += usize::from(world.reports(192));
        assert!(!world.reports(193), "reported again");
        assert!((1..=2).contains(&reports), "{reports} reports of a CPU that was stuck twice");
        tally.hit(if reports == 1 { "once" } else { "twice" });
    });
}

/// The watchdog is started while a CPU takes its tick and looks: that one finds it off, or the other CPU's beat of the start. It
/// never takes the beat from before for one that is stuck.
#[test]
fn start_against_look() {
    Model::new("watch/start_against_look", &["off", "on"]).check(|tally| {
        let world = Rc::new(World { watch: Watch::new(), heart: Heartbeat::new() });
        // From when the watchdog was on before.
        world.heart.beat(START - 50);
        let looks = world.spawn(|world| {
            let half = world.watch.half();
            (half != 0).then(|| world.watch.look(&world.heart, START + 1, half, || ()))
        });
        world.watch.start(HALF, START, [&world.heart].into_iter());
        tally.hit(match looks.join().unwrap() {
            None => "off",
            Some(Look::Well) => "on",
            Some(other) => panic!("a CPU that is well: {other:?}"),
        });
    });
}

/// A CPU may not have heard that the watchdog is on. However many look at it, none reports it before it has had half a period
/// since it was told again, and then one does.
#[test]
fn told_before_it_is_reported() {
    Model::new("watch/told_before_it_is_reported", &["one", "the other"]).preemptions(3).check(|tally| {
        let world = World::new();
        let looks = |world: &World| {
            let first = world.watch.look(&world.heart, START + 31, HALF, || ());
            assert_eq!(first, Look::NotHeard, "reported at once");
            world.reports(START + 31 + HALF)
        };
        let other = world.spawn(looks);
        let one = looks(&world);
        let other = other.join().unwrap();
        assert!(one != other, "reported by {} CPUs", u32::from(one) + u32::from(other));
        tally.hit(if one { "one" } else { "the other" });
    });
}
