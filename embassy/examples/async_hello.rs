//! A program of one's own, with tasks: each CPU says hello after a while.

#![no_std]
#![no_main]

use embassy_time::Timer;
use reveille::power;
use reveille::{ExitCode, System, cpu, println};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

fn main(system: &'static System) -> ExitCode {
    println!("{}", system.bring_up_all(system.deadline()));
    reveille_embassy::run(|spawner| {
        spawner.spawn(first().unwrap());
        for cpu in &cpu::online() {
            reveille_embassy::spawner(cpu).spawn(hello().unwrap()).unwrap();
        }
    })
}

reveille_embassy::task! {
    #[pool_size = 512]
    async fn hello() {
        Timer::after_millis(10 * (1 + cpu::current().index() as u64)).await;
        println!("hello from cpu {}", cpu::current());
    }

    async fn first() -> ! {
        Timer::after_millis(200).await;
        power::exit(ExitCode::SUCCESS)
    }
}
