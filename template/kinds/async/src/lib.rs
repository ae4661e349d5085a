//! Tasks of this program, apart from its entry, so that tests can spawn them.

#![no_std]

use embassy_time::Timer;
use reveille::{ExitCode, cpu, power, println};
use reveille_embassy::spawner;

reveille_embassy::task! {
    /// Says hello on its CPU, and has the next one do so. The last one ends the run.
    #[pool_size = 512]
    pub async fn hello() {
        Timer::after_millis(10).await;
        println!("hello from cpu {}", cpu::current());
        match cpu::get(cpu::current().index() + 1) {
            Some(next) => spawner(next).spawn_with(hello).unwrap(),
            None => power::exit(ExitCode::SUCCESS),
        }
    }
}
