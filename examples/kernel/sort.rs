//! What the threads do: blocks of numbers are made, sorted, checked and added up.

use crate::scheduler::sleep;
use crate::sync::{Channel, Mutex, channel};
use crate::thread::{Thread, spawn, yield_by_svc};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Numbers in a block.
const NUMBERS: u64 = 1000;

/// A block, and which.
type Block = (u64, Vec<u32>);

/// SplitMix64's mixing.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

fn block(index: u64) -> Vec<u32> {
    (index * NUMBERS..(index + 1) * NUMBERS).map(|number| mixed(number) as u32).collect()
}

/// Of numbers in their order.
fn checksum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, |sum, number| mixed(sum.wrapping_add(number)).wrapping_add(1))
}

fn of_block(numbers: &[u32]) -> u64 {
    checksum(numbers.iter().map(|number| (*number).into()))
}

/// Part by part, and others may run in between; then all of it.
fn sort(numbers: &mut [u32]) {
    for part in numbers.chunks_mut(250) {
        part.sort_unstable();
        yield_by_svc();
    }
    numbers.sort();
}

/// What [`by_threads`] is to come to, without any.
pub fn sequentially(blocks: u64) -> u64 {
    checksum((0..blocks).map(|index| {
        let mut numbers = block(index);
        numbers.sort_unstable();
        of_block(&numbers)
    }))
}

/// Takes blocks until there are none, and sends them on sorted.
fn sorter(unsorted: &Channel<Block>, sorted: &Channel<Block>) {
    while let Some((index, mut numbers)) = unsorted.receive() {
        sort(&mut numbers);
        sorted.send((index, numbers));
        if index.is_multiple_of(8) {
            sleep(Duration::from_micros(300));
        }
    }
}

/// Adds up what has come sorted.
fn collector(sorted: &Channel<Block>, sums: &Mutex<BTreeMap<u64, u64>>) {
    while let Some((index, numbers)) = sorted.receive() {
        assert!(numbers.is_sorted(), "block {index} is not sorted");
        sums.with(|sums| {
            assert!(sums.insert(index, of_block(&numbers)).is_none(), "block {index} has come twice");
            if index.is_multiple_of(32) {
                // With the lock: the other is parked.
                sleep(Duration::from_micros(100));
            }
        });
    }
}

/// Sorts `blocks` blocks, by as many threads: this one, which makes them, two that look at what comes out, and those that sort.
/// The checksum of all.
pub fn by_threads(threads: u64, blocks: u64) -> Thread<u64> {
    spawn(move || {
        // Eight blocks wait in each.
        let (unsorted, sorted) = (channel(8), channel(8));
        let sums = Mutex::new(Some(BTreeMap::new()));
        let new_sorter = |_| {
            let (unsorted, sorted) = (unsorted.clone(), sorted.clone());
            spawn(move || sorter(&unsorted, &sorted))
        };
        let new_collector = |_| {
            let (sorted, sums) = (sorted.clone(), sums.clone());
            spawn(move || collector(&sorted, &sums))
        };
        let sorters: Vec<_> = (3..threads).map(new_sorter).collect();
        let collectors = [0, 1].map(new_collector);
        (0..blocks).for_each(|index| unsorted.send((index, block(index))));
        unsorted.close();
        sorters.into_iter().for_each(Thread::join);
        sorted.close();
        collectors.into_iter().for_each(Thread::join);
        sums.with(|sums| {
            assert!(sums.keys().copied().eq(0..blocks), "each block arrives");
            checksum(sums.values().copied())
        })
    })
}
