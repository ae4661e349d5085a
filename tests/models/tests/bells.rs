//! Models of the doorbells.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Bells, Deaf, Word};

/// Two ringers and the CPU at which they ring.
struct World {
    bells: Bells<LoomArch>,
    /// What each ringer has written before it rings.
    written: [LoomWord; 2],
    /// What the CPU has set up before it opens.
    set_up: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            bells: Bells::new(),
            written: [LoomWord::new(0), LoomWord::new(0)],
            set_up: Payload::new(0),
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// Ringer `ringer` rings `bell`. Whether it sends the SGI; `None`: the CPU did not hear it.
    fn ring(&self, ringer: usize, bell: u32) -> Option<bool> {
        self.written[ringer].store(1, Relaxed);
        match self.bells.ring(bell) {
            Ok(rung) => {
                // It needs how the CPU is interrupted.
                assert_eq!(self.set_up.read(), 1);
                Some(rung.first)
            }
            Err(Deaf) => None,
        }
    }

    fn open(&self) {
        self.set_up.write(1);
        self.bells.open();
    }

    /// The handlers of these bells run: what they find of each ringer, by its bell.
    fn answer(&self, rung: u64, bells: [u32; 2], seen: &mut [u64; 2]) -> bool {
        for (ringer, bell) in bells.into_iter().enumerate() {
            if rung & 1 << bell != 0 {
                seen[ringer] = self.written[ringer].load(Relaxed);
            }
        }
        rung != 0
    }
}

/// Two ring, and the CPU looks in between, and once more, as it was told to: for each ring there is a run that sees what was written
/// before; and as many SGIs were sent as looks found something.
fn two(name: &'static str, bells: [u32; 2]) {
    Model::new(name, &["one look", "two looks"]).check(move |tally| {
        let world = World::new();
        world.open();
        let ringers = [0, 1].map(|ringer| world.spawn(move |world| world.ring(ringer, bells[ringer])));
        let mut seen = [0; 2];
        let between = world.answer(world.bells.take(), bells, &mut seen);
        let sgis =
            ringers.into_iter().filter_map(|ringer| ringer.join().unwrap()).filter(|first| *first).count();
        let in_the_end = world.answer(world.bells.take(), bells, &mut seen);
        assert_eq!(seen, [1, 1], "rung, and not answered");
        assert_eq!(sgis, usize::from(between) + usize::from(in_the_end));
        assert_eq!(world.bells.take(), 0);
        tally.hit(if sgis == 1 { "one look" } else { "two looks" });
    });
}

/// Both ring the same.
#[test]
fn same_bell() {
    two("bells/same_bell", [5, 5]);
}

/// Each rings its own.
#[test]
fn two_bells() {
    two("bells/two_bells", [0, 31]);
}

/// The CPU leaves while somebody rings: that is answered before it goes, or was not heard.
#[test]
fn close_against_ring() {
    Model::new("bells/close_against_ring", &["at the look", "at the end", "not heard"]).check(|tally| {
        let world = World::new();
        world.open();
        let ringer = world.spawn(|world| world.ring(0, 0));
        let mut seen = [0; 2];
        let at_the_look = world.answer(world.bells.take(), [0, 1], &mut seen);
        let at_the_end = world.answer(world.bells.close(), [0, 1], &mut seen);
        let heard = ringer.join().unwrap();
        assert_eq!(world.bells.take(), 0, "rung at a CPU that is gone");
        assert_eq!((seen[0], heard.is_some()), (u64::from(heard.is_some()), at_the_look || at_the_end));
        tally.hit(match (at_the_look, at_the_end) {
            (true, _) => "at the look",
            (_, true) => "at the end",
            _ => "not heard",
        });
    });
}

/// The CPU comes while somebody rings: who is heard finds what is needed to interrupt it.
#[test]
fn open_against_ring() {
    Model::new("bells/open_against_ring", &["heard", "not heard"]).check(|tally| {
        let world = World::new();
        let ringer = world.spawn(|world| world.ring(0, 0));
        world.open();
        let heard = ringer.join().unwrap();
        let mut seen = [0; 2];
        assert_eq!(world.answer(world.bells.take(), [0, 1], &mut seen), heard.is_some());
        assert_eq!(seen[0], u64::from(heard.is_some()));
        tally.hit(if heard == Some(true) { "heard" } else { "not heard" });
    });
}
