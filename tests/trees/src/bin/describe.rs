//! What the runtime reads off a device tree, a line for each part: `describe FILE.dtb`. Exit code 1 if a part that no
//! machine can do without is missing or wrong.

use reveille_machine::{Conduit, ConsoleKind, CpuStatus, EnableMethod, Error, Gic, Machine};
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: describe FILE.dtb");
        return ExitCode::from(2);
    };
    let blob = match std::fs::read(&path) {
        Ok(blob) => blob,
        Err(error) => {
            eprintln!("describe: {path}: {error}");
            return ExitCode::from(2);
        }
    };
    match Machine::parse(&blob) {
        Ok(machine) => describe(&machine),
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The line of one part, as `text` has it or as the error says; true if it is there.
fn part<'a, T>(name: &str, part: Result<T, Error<'a>>, text: impl FnOnce(T) -> String) -> bool {
    match part {
        Ok(part) => {
            println!("{name}: {}", text(part));
            true
        }
        Err(error) => {
            println!("{name}: {error}");
            false
        }
    }
}

fn describe(machine: &Machine<'_>) -> ExitCode {
    println!("model: {}", machine.model);
    let mut is_usable = true;
    for cpu in machine.cpus() {
        is_usable &= part("cpu", cpu, |cpu| {
            let method = match cpu.method {
                EnableMethod::Psci => "psci".into(),
                EnableMethod::SpinTable { release_addr: Some(address) } => {
                    format!("spin-table at {address:#x}")
                }
                EnableMethod::SpinTable { release_addr: None } => "spin-table, address missing".into(),
                EnableMethod::Parking { address, .. } => format!("parked at {address:#x}"),
                EnableMethod::Unknown(other) => format!("{other}, unknown"),
                EnableMethod::Missing => "no method".into(),
            };
            let status = if cpu.status == CpuStatus::Okay { "" } else { ", not to be used" };
            format!("mpidr {:#012x} {method}{status}", cpu.mpidr)
        });
    }
    for memory in machine.memory() {
        // Firmware fills it in: a tree out of a package may well have none.
        part("memory", memory, |region| range(region.base, region.size));
    }
    is_usable &= part("interrupts", machine.gic, |gic| match gic {
        Gic::V2 { distributor, cpu_interface, .. } => {
            format!("GICv2 at {:#x}, CPU interface at {:#x}", distributor.base, cpu_interface.base)
        }
        Gic::V3 { distributor, redistributors, .. } => {
            let regions: Vec<_> =
                redistributors.iter().map(|region| range(region.base, region.size)).collect();
            format!("GICv3 at {:#x}, redistributors {}", distributor.base, regions.join(", "))
        }
        Gic::Bcm2836 { local, peripherals, .. } => {
            let behind = match peripherals {
                Some(region) => format!("that of the peripherals at {:#x}", region.base),
                None => "none for peripherals".into(),
            };
            format!("no GIC: BCM2836 at {:#x}, {behind}", local.base)
        }
    });
    part("firmware", machine.psci, |psci| {
        let conduit = if psci.conduit == Conduit::Hvc { "hvc" } else { "smc" };
        format!("PSCI {:?} by {conduit}", psci.version)
    });
    part("timer", machine.timer, |timer| {
        let ppi = |interrupt: Option<reveille_machine::Interrupt>| interrupt.map_or(0, |found| found.id);
        format!("virtual {}, of the hypervisor {}", ppi(timer.virtual_timer), ppi(timer.hyp_physical))
    });
    part("console", machine.console, |console| {
        let model: &dyn Display = match console.kind {
            ConsoleKind::Pl011 => &"PL011",
            ConsoleKind::SbsaUart => &"SBSA UART",
            ConsoleKind::Uart8250 { reg_shift, reg_io_width, .. } => {
                &format!("8250, a register of {reg_io_width} bytes every {}", 1 << reg_shift)
            }
            kind => &kind.name(),
        };
        let chosen = if console.is_chosen { "" } else { ", the first there is" };
        format!("{model} at {:#x}{chosen}", console.registers.base)
    });
    ExitCode::from(u8::from(!is_usable))
}

fn range(base: u64, size: u64) -> String {
    format!("{base:#x} to {:#x}", base + (size - 1))
}
