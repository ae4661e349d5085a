//! A CPU with work left says why it does not leave; when the work is done it goes. The exercise of docs/hotplug.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu;
use reveille::hotplug::{self, Callbacks, Hold, HotplugError};
use reveille::{ExitCode, System, println};

reveille::entry!(main);

reveille::percpu! {
    /// Pieces of work that are this CPU's.
    static WORK: AtomicU64 = AtomicU64::new(0);
}

fn main(system: &'static System) -> ExitCode {
    // ANCHOR: callbacks
    let callbacks = Callbacks {
        online: |_| Ok(()),
        offline: |_| (),
        asked: |cpu| match WORK.of(cpu).load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err("it has work left"),
        },
    };
    // ANCHOR_END: callbacks
    if hotplug::register_callbacks(callbacks).is_err()
        || !system.bring_up_all(system.deadline()).is_complete()
    {
        return ExitCode::FAILURE;
    }
    let Some(cpu) = cpu::get(1) else { return ExitCode::FAILURE };
    // ANCHOR: down
    WORK.of(cpu).store(1, Ordering::Release);
    let refused = hotplug::cpu_down(cpu, Duration::from_secs(1));
    if let Err(error) = refused {
        println!("reason to stay: {error}");
    }
    WORK.of(cpu).store(0, Ordering::Release);
    let left = hotplug::cpu_down(cpu, Duration::from_secs(10));
    // ANCHOR_END: down
    println!("reason to stay: {} CPUs online", cpu::online().len());
    (refused == Err(HotplugError::Held(Hold::Application("it has work left"))) && left.is_ok()).into()
}
