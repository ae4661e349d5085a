//! What embassy asks of a time driver.

use super::item::task_of;
use super::{clock, queue};
use core::task::Waker;
use embassy_time_driver::{Driver, time_driver_impl};

struct Counter;

time_driver_impl!(static COUNTER: Counter = Counter);

impl Driver for Counter {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        queue::sleep(task_of(waker), at);
    }
}
