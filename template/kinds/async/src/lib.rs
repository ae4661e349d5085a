//! Tasks of this program, apart from its entry, so that tests can spawn them.

#![no_std]

use core::sync::atomic::{AtomicUsize, Ordering};
use embassy_time::Timer;
use reveille::{cpu, println};

/// How many tasks have said hello.
pub static SAID: AtomicUsize = AtomicUsize::new(0);

reveille_embassy::task! {
    /// Says hello on the CPU that it was spawned to.
    #[pool_size = 512]
    pub async fn hello() {
        Timer::after_millis(10).await;
        println!("hello from cpu {}", cpu::current());
        SAID.fetch_add(1, Ordering::Relaxed);
    }
}
