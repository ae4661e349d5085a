//! `post_each` to more CPUs than a sender has nodes: what it says adds up, at least as many are accepted as there are nodes,
//! and posting again to those that were busy reaches every CPU, once.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use reveille::call::{self, POSTS_PER_CPU, Posted};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::{ExitCode, System, irq, percpu, println};
use reveille_tests::{check, eventually, nothing_left};

reveille::entry!(main);

percpu! {
    static RAN: AtomicU64 = AtomicU64::new(0);
}

const ROUNDS: u64 = 200;

fn all_ran(times: u64) {
    eventually("what was accepted runs", || {
        cpu::online().iter().all(|cpu| RAN.of(cpu).load(Ordering::Relaxed) == times)
    });
}

/// Whether each of `set` is in exactly one of the sets, and nobody else is in any.
fn adds_up(set: &CpuSet, posted: &Posted) -> bool {
    posted.accepted.len() + posted.busy.len() + posted.offline.len() == set.len()
        && cpu::possible().iter().all(|cpu| {
            let sets = [&posted.accepted, &posted.busy, &posted.offline];
            sets.iter().filter(|one| one.contains(cpu)).count() == usize::from(set.contains(cpu))
        })
}

fn run(cpu: CpuId) {
    check(cpu == cpu::current(), "it is told where it runs");
    RAN.fetch_add(1, Ordering::Relaxed);
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let all = cpu::online();
    let enough = all.len().min(POSTS_PER_CPU);
    let (mut fewest, mut most, mut again) = (usize::MAX, 0, 0_u64);
    for round in 1..=ROUNDS {
        let posted = call::post_each(&all, run);
        check(adds_up(&all, &posted), "the numbers add up");
        check(posted.offline.is_empty(), "everyone is online");
        check(posted.accepted.len() >= enough, "as many are accepted as there are nodes");
        fewest = fewest.min(posted.accepted.len());
        most = most.max(posted.accepted.len());
        let mut left = posted.busy;
        while !left.is_empty() {
            let posted = call::post_each(&left, run);
            check(adds_up(&left, &posted), "the numbers of the rest add up");
            left = posted.busy;
            again += 1;
        }
        all_ran(round);
    }
    // Where nobody takes anything up, it is the nodes and no more.
    let taken_up = call::on_each(&all, |_| ());
    check(taken_up.is_ok(), "all nodes are free");
    {
        let _masked = irq::mask();
        let own: CpuSet = [cpu::current()].into_iter().collect();
        for _ in 0..POSTS_PER_CPU {
            check(call::post_each(&own, run).accepted == own, "a node is free");
            check(RAN.load(Ordering::Relaxed) == ROUNDS, "it waits until interrupts are open");
        }
        check(call::post_each(&own, run).busy == own, "and then no more is");
        check(call::post_each(&all, run).busy == all, "for nobody");
        check(call::post_each(&CpuSet::EMPTY, run) == Posted::default(), "the empty set is nobody");
    }
    eventually("they run", || RAN.load(Ordering::Relaxed) == ROUNDS + POSTS_PER_CPU as u64);
    nothing_left();
    println!(
        "post_each: {} CPUs, {fewest} to {most} accepted at once, {again} times again for those left, all good",
        all.len()
    );
    ExitCode::SUCCESS
}
