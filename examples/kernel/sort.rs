//! What the threads do: blocks of numbers are made, sorted, checked and added up.

use crate::scheduler::sleep;
use crate::sync::{Channel, Mutex};
use crate::thread::{Thread, spawn, yield_by_svc};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Numbers in a block.
const NUMBERS: usize = 1000;
/// Blocks that wait for a thread.
const ROOM: usize = 8;

/// A block, and which.
type Block = (u64, Vec<u32>);

fn block(index: u64) -> Vec<u32> {
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut number = || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    };
    (0..NUMBERS).map(|_| number()).collect()
}

/// FNV-1a.
fn checksum(seed: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn of_block(numbers: &[u32]) -> u64 {
    checksum(0, numbers.iter().flat_map(|number| number.to_le_bytes()))
}

fn of_all(sums: impl Iterator<Item = u64>) -> u64 {
    checksum(0, sums.flat_map(u64::to_le_bytes))
}

/// From the bottom up; others may run after each pass.
fn merge_sort(mut from: Vec<u32>) -> Vec<u32> {
    let mut to = Vec::with_capacity(from.len());
    let mut width = 1;
    while width < from.len() {
        for pair in from.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some(a), Some(b)) = (left.first(), right.first()) {
                let side = if a <= b { &mut left } else { &mut right };
                to.push(side[0]);
                *side = &side[1..];
            }
            to.extend_from_slice(left);
            to.extend_from_slice(right);
        }
        core::mem::swap(&mut from, &mut to);
        to.clear();
        width *= 2;
        if width == 64 {
            yield_by_svc();
        }
    }
    from
}

/// What [`by_threads`] is to come to, without any.
pub fn sequentially(blocks: u64) -> u64 {
    of_all((0..blocks).map(|index| {
        let mut numbers = block(index);
        numbers.sort_unstable();
        of_block(&numbers)
    }))
}

/// Takes blocks until there are none, and sends them on sorted. How many.
fn sorter(unsorted: &Channel<Block>, sorted: &Channel<Block>, sums: &Mutex<BTreeMap<u64, u64>>) -> u64 {
    let mut count = 0;
    while let Some((index, numbers)) = unsorted.receive() {
        let numbers = merge_sort(numbers);
        if index.is_multiple_of(8) {
            sleep(Duration::from_micros(300));
        }
        let sum = of_block(&numbers);
        let mut sums = sums.lock();
        assert!(sums.insert(index, sum).is_none(), "block {index} has come twice");
        if index.is_multiple_of(32) {
            // With the lock: the others are parked.
            sleep(Duration::from_micros(100));
        }
        drop(sums);
        sorted.send((index, numbers));
        count += 1;
    }
    count
}

/// Looks whether what has come is sorted, and is what the sorter has added up. How many there were.
fn collector(sorted: &Channel<Block>, sums: &Mutex<BTreeMap<u64, u64>>) -> u64 {
    let mut count = 0;
    while let Some((index, numbers)) = sorted.receive() {
        assert!(numbers.is_sorted(), "block {index} is not sorted");
        assert_eq!(
            sums.lock().get(&index),
            Some(&of_block(&numbers)),
            "block {index} has changed on its way"
        );
        count += 1;
    }
    count
}

/// Sorts `blocks` blocks, by as many threads: this one, which makes them, one that looks at what comes out, and those that sort.
/// The checksum of all.
pub fn by_threads(threads: u64, blocks: u64) -> Thread<u64> {
    spawn(move || {
        let (unsorted, sorted) = (Channel::new(ROOM), Channel::new(ROOM));
        let sums = Mutex::new(BTreeMap::new());
        let sorters: Vec<_> = (2..threads)
            .map(|_| {
                let (unsorted, sorted, sums) = (unsorted.clone(), sorted.clone(), sums.clone());
                spawn(move || sorter(&unsorted, &sorted, &sums))
            })
            .collect();
        let collector = {
            let (sorted, sums) = (sorted.clone(), sums.clone());
            spawn(move || collector(&sorted, &sums))
        };
        for index in 0..blocks {
            unsorted.send((index, block(index)));
        }
        unsorted.close();
        let count: u64 = sorters.into_iter().map(Thread::join).sum();
        assert_eq!(count, blocks, "each block is sorted once");
        sorted.close();
        assert_eq!(collector.join(), blocks, "each block arrives once");
        let sums = sums.lock();
        of_all(sums.values().copied())
    })
}
