//! What there is to start with, in one line, before firmware is asked for anything.

use crate::arch::regs;
use crate::console::BUILT_IN;
use crate::dt::{Conduit, CpuStatus, EnableMethod, Gic, Machine};
use crate::memory;

unsafe extern "Rust" {
    safe fn reveille_name() -> Option<&'static str>;
}

/// Says, at level info, what was loaded where, how it was entered, and what the machine is like.
#[inline(never)]
pub(super) fn tell(machine: &Machine<'_>, entry_el: u64) {
    let (console, how) = match (&machine.console, &BUILT_IN) {
        (Ok(console), _) => (console, if console.is_chosen { "chosen" } else { "found" }),
        (_, Some(console)) => (console, "built in"),
        // Nobody would see it.
        _ => return,
    };
    let psci = match &machine.psci {
        Ok(psci) if psci.conduit == Conduit::Hvc => "PSCI by hvc",
        Ok(_) => "PSCI by smc",
        Err(_) => "PSCI, which is not described",
    };
    let (mut cpus, mut method) = (0, "");
    for cpu in machine.cpus() {
        let Ok(cpu) = cpu else { continue };
        if cpu.status != CpuStatus::Okay {
            continue;
        }
        let own = match cpu.method {
            EnableMethod::Psci => psci,
            EnableMethod::SpinTable { .. } => "spin table",
            EnableMethod::Parking { .. } => "parking protocol",
            _ => "no method",
        };
        method = if cpus == 0 || method == own { own } else { "different methods" };
        cpus += 1;
    }
    let (gic, distributor) = match &machine.gic {
        Ok(gic) => {
            let kind = match gic {
                Gic::V2 { .. } => "GICv2",
                Gic::V3 { .. } => "GICv3",
                Gic::Bcm2836 { .. } => "local controller of a BCM2836",
            };
            (kind, gic.distributor().base)
        }
        Err(_) => ("no GIC", 0),
    };
    log::info!(
        "{} on Reveille {} at {:#x}, entered at EL{entry_el}, runs at EL{}; {cpus} CPUs, {method}; {gic} at {distributor:#x}; \
         console: {} at {:#x}, {}, {how}",
        reveille_name().unwrap_or("an image"),
        env!("CARGO_PKG_VERSION"),
        memory::image().0,
        if regs::at_el2() { 2 } else { 1 },
        console.kind.name(),
        console.registers.base,
        console.path,
    );
}
