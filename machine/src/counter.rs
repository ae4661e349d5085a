//! Errata of the system counter: which of its values are wrong, and how to get a right one.
//!
//! Nothing here reads a register: [`CounterErrata::read`] takes the readings from its caller. Sources: Linux,
//! `drivers/clocksource/arm_arch_timer.c` and `Documentation/arch/arm64/silicon-errata.rst`; the bindings `arm,arch_timer.yaml`.

use core::ops::BitOr;

/// What is wrong with a system counter: a set of errata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterErrata(u8);

/// One erratum.
struct Known {
    errata: CounterErrata,
    /// The property of the timer's node that tells of it; of what goes by the kind of CPU there is none.
    property: Option<&'static str>,
    name: &'static str,
}

const KNOWN: [Known; 4] = [
    Known {
        errata: CounterErrata::UNKNOWN1,
        property: Some("allwinner,erratum-unknown1"),
        name: "Allwinner UNKNOWN1",
    },
    Known {
        errata: CounterErrata::A008585,
        property: Some("fsl,erratum-a008585"),
        name: "Freescale A-008585",
    },
    Known {
        errata: CounterErrata::HISILICON_161010101,
        property: Some("hisilicon,erratum-161010101"),
        name: "HiSilicon 161010101",
    },
    Known { errata: CounterErrata::ARM_858921, property: None, name: "Cortex-A73 858921" },
];

impl CounterErrata {
    /// None: every reading is right.
    pub const NONE: Self = Self(0);
    /// Allwinner A64: while bit 10 or a higher one changes, a reading may have its low bits all 0 with the old bits above them, or
    /// all 1 with the new ones, for some CPU cycles. At least the lowest 9 are.
    pub const UNKNOWN1: Self = Self(1 << 0);
    /// Freescale LS1043A, LS1046A, LS208xA: while the counter changes, a reading may be wrong.
    pub const A008585: Self = Self(1 << 1);
    /// HiSilicon Hip05 to Hip07: a reading may be wrong by more than 32, rarely two one after the other.
    pub const HISILICON_161010101: Self = Self(1 << 2);
    /// Cortex-A73: as the low half comes round, a reading may have the new upper half with the old lower one.
    pub const ARM_858921: Self = Self(1 << 3);

    /// Attempts to get a right reading. Linux makes 150, 200 and 50, each number "well beyond" what has been seen to be needed.
    const TRIES: u32 = 200;

    /// Those of which the timer's node tells, if it has the properties for which `has` answers `true`.
    pub(crate) fn told(has: impl Fn(&'static str) -> bool) -> Self {
        KNOWN
            .iter()
            .filter(|known| known.property.is_some_and(&has))
            .fold(Self::NONE, |errata, known| errata | known.errata)
    }

    /// Those of the CPU with this `MIDR_EL1`: all revisions of a Cortex-A73 (Arm ARM D24.2.122: implementer 0x41, part 0xd09), as
    /// Linux has it. Nobody has said which one is the first without.
    pub const fn of_cpu(midr: u64) -> Self {
        if midr >> 24 & 0xff == 0x41 && midr >> 4 & 0xfff == 0xd09 { Self::ARM_858921 } else { Self::NONE }
    }

    /// As a number, which is 0 for none.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From what [`Self::bits`] gave.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether none is left when those of `others` are taken away.
    pub const fn is_within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        KNOWN.iter().filter(move |known| known.errata.is_within(self)).map(|known| known.name)
    }

    const fn has(self, one: Self) -> bool {
        one.is_within(self)
    }

    /// A right value of the counter, made of several that `raw` reads one after the other: not older than the first, not newer than the
    /// last. Bounded: where none of 200 is right, as with a counter that is so fast that no two readings are ever the same, it
    /// is the last.
    pub fn read(self, mut raw: impl FnMut() -> u64) -> u64 {
        let first = self.settled(&mut raw);
        if !self.has(Self::ARM_858921) {
            return first;
        }
        // Of two readings one at most can be wrong, as it takes a change of bit 32. If they differ in that, the second may be.
        let second = self.settled(&mut raw);
        if (first ^ second) >> 32 & 1 == 0 { second } else { first }
    }

    /// The same for the errata of the counter itself, which the tree tells.
    fn settled(self, raw: &mut impl FnMut() -> u64) -> u64 {
        let compares = self.has(Self::A008585) || self.has(Self::HISILICON_161010101);
        let mut value = raw();
        for _ in 0..Self::TRIES {
            let before = value;
            if compares {
                value = raw();
            }
            if self.accepts(before, value) {
                break;
            }
            if !compares {
                value = raw();
            }
        }
        value
    }

    /// Whether `value`, read right after `before`, is right.
    fn accepts(self, before: u64, value: u64) -> bool {
        // A wrong one has at least its lowest 9 bits the same. So have some that are right: the next one is taken.
        let low_bits_differ = value.wrapping_add(1) & 0x1ff > 1;
        (low_bits_differ || !self.has(Self::UNKNOWN1))
            && (value == before || !self.has(Self::A008585))
            && (value.wrapping_sub(before) < 32 || !self.has(Self::HISILICON_161010101))
    }
}

impl BitOr for CounterErrata {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    /// Numbers that look random (xorshift64*).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
        }
    }

    /// A machine: a counter of which a tick takes `cycles` of the CPU, a reading `each` of them, and what a reading shows.
    struct Model {
        /// CPU cycles since the counter was 0.
        at: u128,
        cycles: u64,
        each: u64,
        random: Random,
        /// Wrong readings one after the other, so far.
        wrong: u32,
        shows: fn(&mut Model) -> u64,
    }

    impl Model {
        fn new(start: u64, cycles: u64, each: u64, shows: fn(&mut Model) -> u64) -> Self {
            let at = u128::from(start) * u128::from(cycles);
            Self { at, cycles, each, random: Random(start ^ 0x5eed), wrong: 0, shows }
        }

        /// What the counter really is.
        fn truth(&self) -> u64 {
            (self.at / u128::from(self.cycles)) as u64
        }

        /// Cycles since it became that.
        fn age(&self) -> u64 {
            (self.at % u128::from(self.cycles)) as u64
        }

        fn read(&mut self) -> u64 {
            let shown = (self.shows)(self);
            // A reading takes a little more or less.
            self.at += u128::from(self.each + self.random.below(3));
            shown
        }
    }

    /// Low bits that are all the same as bit 10 or a higher one changes, for three cycles around that.
    fn unknown1(model: &mut Model) -> u64 {
        let (age, truth) = (model.age(), model.truth());
        let next = if model.cycles - age <= 1 { truth + 1 } else { truth };
        let in_change = next != truth || age < 2;
        if !in_change || next & 0x3ff != 0 {
            return truth;
        }
        // All bits below the one that changes, or, on some chips, the lowest nine alone.
        let mask = if model.random.below(2) == 0 { (next & next.wrapping_neg()) - 1 } else { 0x1ff };
        match model.random.below(3) {
            0 => next.wrapping_sub(1) & !mask,
            1 => next | mask,
            _ => truth,
        }
    }

    /// Bits of the old and of the new value mixed, in the first cycles of a tick.
    fn a008585(model: &mut Model) -> u64 {
        let (new, old) = (model.truth(), model.truth().wrapping_sub(1));
        let taken = model.random.0 & (new ^ old);
        if model.age() < model.each.min(6) { old ^ taken } else { new }
    }

    /// Wrong by a lot, at most twice in succession.
    fn hisilicon(model: &mut Model) -> u64 {
        let truth = model.truth();
        if model.wrong == 2 || model.random.below(8) != 0 {
            model.wrong = 0;
            return truth;
        }
        model.wrong += 1;
        // Another one each time, and never the right one a little later.
        let off = 64 * (1 + model.random.below(1000)) * 3 + 1_000_000 * u64::from(model.wrong);
        if model.random.below(2) == 0 { truth.wrapping_add(off) } else { truth.wrapping_sub(off) }
    }

    /// The upper half is new while the lower one is still old, in the last cycles before the lower one comes round.
    fn cortex_a73(model: &mut Model) -> u64 {
        let truth = model.truth();
        let comes_round = truth as u32 == u32::MAX && model.cycles - model.age() <= model.each;
        if comes_round { truth.wrapping_add(1 << 32) } else { truth }
    }

    /// Values that are not within the time of their reading, and such that are earlier than one before, of a million.
    fn wrong(mut model: Model, errata: CounterErrata) -> (u32, u32) {
        let (mut outside, mut back, mut last) = (0, 0, 0);
        for _ in 0..1_000_000 {
            let begin = model.truth();
            let value = errata.read(|| model.read());
            // The last reading is over when the next would begin.
            outside += u32::from(!(begin..=model.truth()).contains(&value));
            back += u32::from(value < last);
            last = value;
            // Something else is done meanwhile.
            model.at += u128::from(model.random.below(40));
        }
        (outside, back)
    }

    /// With raw readings things go wrong, with the workaround never.
    fn cured(errata: CounterErrata, start: u64, cycles: u64, each: u64, shows: fn(&mut Model) -> u64) {
        let model = || Model::new(start, cycles, each, shows);
        let (outside, back) = wrong(model(), CounterErrata::NONE);
        assert!(outside > 0 && back > 0, "the model is too good: {outside} wrong, {back} back");
        assert_eq!(
            wrong(model(), errata),
            (0, 0),
            "start {start:#x}, {cycles} cycles a tick, {each} a reading"
        );
    }

    #[test]
    fn unknown1_is_worked_around() {
        // 24 MHz under 1.2 GHz and less; over the change of many bits.
        for (cycles, each) in [(48, 4), (34, 4), (17, 7), (48, 20)] {
            cured(CounterErrata::UNKNOWN1, 0x7_ffff_0000, cycles, each, unknown1);
        }
    }

    #[test]
    fn a008585_is_worked_around() {
        for (cycles, each) in [(64, 7), (40, 8), (80, 12)] {
            cured(CounterErrata::A008585, 0xff_ffff_0000, cycles, each, a008585);
        }
    }

    #[test]
    fn hisilicon_161010101_is_worked_around() {
        for (cycles, each) in [(42, 7), (21, 20), (2, 20)] {
            cured(CounterErrata::HISILICON_161010101, 0x1234_5678_9abc, cycles, each, hisilicon);
        }
    }

    #[test]
    fn arm_858921_is_worked_around() {
        // The low half comes round once in a run: many runs, each beginning a little earlier.
        let mut seen = 0;
        for before in 1..400 {
            let model = || {
                let mut model = Model::new(0x3_ffff_ffff, 20, 6, cortex_a73);
                model.at -= before;
                model
            };
            let values = |errata: CounterErrata| -> Vec<(u64, u64, u64)> {
                let mut model = model();
                (0..200).map(|_| (model.truth(), errata.read(|| model.read()), model.truth())).collect()
            };
            let bad = |values: &[(u64, u64, u64)]| {
                let outside = values.iter().filter(|(from, value, to)| value < from || value > to).count();
                outside + values.windows(2).filter(|pair| pair[0].1 > pair[1].1).count()
            };
            seen += bad(&values(CounterErrata::NONE));
            assert_eq!(bad(&values(CounterErrata::ARM_858921)), 0);
        }
        assert!(seen > 100, "the model is too good: {seen}");
    }

    /// A machine with a CPU of one kind and a counter of another: both at once.
    #[test]
    fn errata_are_worked_around_together() {
        let both = CounterErrata::ARM_858921 | CounterErrata::UNKNOWN1;
        cured(both, 0x3_ffff_0000, 48, 4, |model| {
            let (wrong, other) = (unknown1(model), cortex_a73(model));
            if wrong == model.truth() { other } else { wrong }
        });
        let both = CounterErrata::ARM_858921 | CounterErrata::HISILICON_161010101;
        cured(both, 0x3_ffff_0000, 42, 7, hisilicon);
    }

    /// What is right already stays so, whatever is worked around.
    #[test]
    fn a_right_counter_is_read_right() {
        for bits in 0..16 {
            for (cycles, each) in [(48, 4), (20, 8)] {
                let model = Model::new(0xffff_0000, cycles, each, |model| model.truth());
                assert_eq!(wrong(model, CounterErrata::from_bits(bits)), (0, 0), "{bits:#x}");
            }
        }
    }

    /// A counter that stands, or that is never the same twice, takes no more than a bounded number of readings.
    #[test]
    fn every_read_is_bounded() {
        for bits in 0..16 {
            for (start, step) in [(0, 0), (0x1ff, 0), (7, 0), (0, 1), (0, 33), (0, 1 << 32), (0, 512)] {
                let (mut value, mut readings) = (start, 0);
                CounterErrata::from_bits(bits).read(|| {
                    readings += 1;
                    value += step;
                    value
                });
                assert!(readings <= 2 * (CounterErrata::TRIES + 1), "{readings}");
            }
        }
    }

    #[test]
    fn they_are_told_apart() {
        assert_eq!(CounterErrata::told(|_| false), CounterErrata::NONE);
        let told = CounterErrata::told(|name| name == "fsl,erratum-a008585");
        assert_eq!(told, CounterErrata::A008585);
        assert_eq!(told.names().collect::<Vec<_>>(), ["Freescale A-008585"]);
        assert_eq!(CounterErrata::told(|_| true).names().count(), 3);
        // r0p2 and r1p0 of a Cortex-A73; a Cortex-A72; another maker's part 0xd09.
        assert_eq!(CounterErrata::of_cpu(0x410f_d092), CounterErrata::ARM_858921);
        assert_eq!(CounterErrata::of_cpu(0x411f_d090), CounterErrata::ARM_858921);
        assert_eq!(CounterErrata::of_cpu(0x410f_d083), CounterErrata::NONE);
        assert_eq!(CounterErrata::of_cpu(0x510f_d092), CounterErrata::NONE);
    }
}
