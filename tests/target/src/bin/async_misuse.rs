#![no_std]
#![no_main]
use reveille::{ExitCode, System};
reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);
fn main(_: &'static System) -> ExitCode {
    ExitCode::SUCCESS
}
