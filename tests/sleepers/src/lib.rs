//! The heap of sleepers as it ships, by itself, for its tests.
#![no_std]
#![allow(dead_code, reason = "all of it is for the tests")]

#[path = "../../../embassy/src/time/heap.rs"]
mod heap;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::heap::{Heap, Node};
    use std::boxed::Box;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) % limit
        }
    }

    /// A heap, and what is to be in it: keys, each with the number of its node.
    struct Both {
        heap: Heap,
        truth: BTreeSet<(u64, usize)>,
        nodes: Box<[Node]>,
        keys: Vec<Option<u64>>,
    }

    impl Both {
        fn new(count: usize) -> Self {
            Self {
                heap: Heap::new(),
                truth: BTreeSet::new(),
                nodes: (0..count).map(|_| Node::new()).collect(),
                keys: (0..count).map(|_| None).collect(),
            }
        }

        fn put(&mut self, number: usize, key: u64) {
            assert!(self.keys[number].is_none());
            // SAFETY: it is in no heap, and stays where it is as long as the heap.
            unsafe { self.heap.insert(&raw const self.nodes[number], key) };
            self.keys[number] = Some(key);
            self.truth.insert((key, number));
            self.look();
        }

        fn bring_forward(&mut self, number: usize, key: u64) {
            let before = self.keys[number].expect("it is in");
            // SAFETY: it is in this heap.
            unsafe { self.heap.bring_forward(&raw const self.nodes[number], key) };
            if key < before {
                self.truth.remove(&(before, number));
                self.truth.insert((key, number));
                self.keys[number] = Some(key);
            }
            self.look();
        }

        /// Takes one out, of those with the least key.
        fn take(&mut self, limit: u64) -> bool {
            let wanted = self.truth.first().map(|(key, _)| *key).filter(|key| *key <= limit);
            let Some(taken) = self.heap.take(limit) else {
                assert!(wanted.is_none(), "there was one");
                return false;
            };
            let number = self.nodes.iter().position(|node| std::ptr::eq(node, taken)).expect("one of them");
            let key = self.keys[number].take().expect("it was in");
            assert_eq!(Some(key), wanted, "the least of all");
            assert_eq!(self.nodes[number].key(), key);
            assert!(self.truth.remove(&(key, number)));
            self.look();
            true
        }

        fn look(&self) {
            assert_eq!(self.heap.first(), self.truth.first().map(|(key, _)| *key));
        }

        fn take_all(&mut self) {
            while self.take(u64::MAX) {}
            assert!(self.truth.is_empty() && self.heap.first().is_none());
        }
    }

    /// One of those that are in, or are not.
    fn pick(both: &Both, random: &mut Random, is_in: bool) -> Option<usize> {
        let begin = random.below(both.keys.len() as u64) as usize;
        let order = (begin..both.keys.len()).chain(0..begin);
        order.into_iter().find(|number| both.keys[*number].is_some() == is_in)
    }

    #[test]
    fn as_a_set_in_order() {
        for (seed, count, span) in
            [(1, 1, 3), (2, 2, 2), (3, 3, 4), (4, 8, 6), (5, 40, 10), (6, 300, 1_000_000), (7, 300, 20)]
        {
            let mut both = Both::new(count);
            let mut random = Random(seed);
            // By turns more is put in, or taken out.
            for step in 0..if cfg!(miri) { 300 } else { 60_000 } {
                let grows = step / (4 * count) % 2 == 0;
                let odds = if grows { [5, 2, 3] } else { [2, 5, 3] };
                let key = random.below(span);
                let choice = random.below(10);
                if choice < odds[0] {
                    if let Some(number) = pick(&both, &mut random, false) {
                        both.put(number, key);
                    }
                } else if choice < odds[0] + odds[1] {
                    both.take(if random.below(4) == 0 { key } else { u64::MAX });
                } else if let Some(number) = pick(&both, &mut random, true) {
                    both.bring_forward(number, key);
                }
            }
            both.take_all();
        }
    }

    #[test]
    fn in_any_order_of_asking() {
        const COUNT: usize = if cfg!(miri) { 60 } else { 2000 };
        let orders: [fn(usize) -> u64; 5] = [
            |number| number as u64,
            |number| (COUNT - number) as u64,
            |number| (number * 7919 % COUNT) as u64,
            |_| 5,
            |number| if number == COUNT / 2 { u64::MAX } else { u64::MAX - (number % 3) as u64 },
        ];
        for key in orders {
            let mut both = Both::new(COUNT);
            for number in 0..COUNT {
                both.put(number, key(number));
            }
            // Each of every third comes forward, from wherever it is.
            for number in (0..COUNT).step_by(3) {
                both.bring_forward(number, key(number) / 2);
            }
            both.take_all();
            // What was taken out goes in again.
            for number in (0..COUNT).rev() {
                both.put(number, key(number));
            }
            both.take_all();
        }
    }

    #[test]
    fn nothing_before_its_time() {
        let mut both = Both::new(3);
        both.put(0, 10);
        both.put(1, u64::MAX);
        assert!(!both.take(9), "not yet");
        both.bring_forward(0, 12);
        assert!(both.take(10), "nothing is put off");
        assert!(!both.take(u64::MAX - 1));
        both.put(2, 0);
        assert!(both.take(0) && both.take(u64::MAX) && !both.take(u64::MAX));
    }

    #[test]
    fn no_order_is_slow() {
        const COUNT: usize = if cfg!(miri) { 60 } else { 100_000 };
        let begun = std::time::Instant::now();
        for is_ascending in [true, false] {
            let nodes: Box<[Node]> = (0..COUNT).map(|_| Node::new()).collect();
            let mut heap = Heap::new();
            for (number, node) in nodes.iter().enumerate() {
                // SAFETY: it is in no heap, and stays where it is as long as the heap.
                unsafe { heap.insert(node, if is_ascending { number } else { COUNT - number } as u64) };
            }
            // A heap that is a chain would take as many steps each time as there are nodes.
            while heap.take(u64::MAX).is_some() {}
        }
        assert!(cfg!(miri) || begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
    }
}
