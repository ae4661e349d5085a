//! A program of one's own, with tasks: each CPU says hello, and has the next one do so.

#![no_std]
#![no_main]

use embassy_time::Timer;
use reveille::{ExitCode, System, cpu, power, println};
use reveille_embassy::spawner;

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

reveille_embassy::task! {
    #[pool_size = 512]
    async fn hello() {
        Timer::after_millis(10).await;
        println!("hello from cpu {}", cpu::current());
        match cpu::get(cpu::current().index() + 1) {
            Some(next) => spawner(next).spawn_with(hello).unwrap(),
            None => power::exit(ExitCode::SUCCESS),
        }
    }
}

fn main(system: &'static System) -> ExitCode {
    println!("{}", system.bring_up_all(system.deadline()));
    reveille_embassy::run(|spawner| spawner.spawn(hello().unwrap()))
}
