//! What there is to start with, in one line, before firmware is asked for anything.

use crate::arch::regs;
use crate::console::BUILT_IN;
use crate::dt::{Conduit, CpuStatus, EnableMethod, Gic, Machine};
use crate::memory;
use core::fmt;

unsafe extern "Rust" {
    safe fn reveille_name() -> Option<&'static str>;
}

/// Says, at level info, what was loaded where, how it was entered, and what the machine is like.
#[inline(never)]
pub(super) fn tell(machine: &Machine<'_>, entry_el: u64) {
    log::info!(
        "{} on Reveille {} at {:#x}, entered at EL{entry_el}, runs at EL{}; {}",
        reveille_name().unwrap_or("an image"),
        env!("CARGO_PKG_VERSION"),
        memory::image().0,
        if regs::at_el2() { 2 } else { 1 },
        Parts(machine)
    );
}

struct Parts<'a>(&'a Machine<'a>);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.0;
        let (mut psci, mut table, mut none) = (0, 0, 0);
        for cpu in machine.cpus().flatten().filter(|cpu| cpu.status == CpuStatus::Okay) {
            match cpu.method {
                EnableMethod::Psci => psci += 1,
                EnableMethod::SpinTable { .. } => table += 1,
                _ => none += 1,
            }
        }
        let firmware = match &machine.psci {
            Ok(psci) if psci.conduit == Conduit::Hvc => "PSCI (hvc)",
            Ok(_) => "PSCI (smc)",
            Err(_) => "PSCI (not described)",
        };
        let mut between = "CPUs:";
        for (count, how) in [(psci, firmware), (table, "spin table"), (none, "nothing")] {
            if count != 0 {
                write!(f, "{between} {count} by {how}")?;
                between = ",";
            }
        }
        match &machine.gic {
            Ok(gic) => {
                let version = if matches!(gic, Gic::V2 { .. }) { 2 } else { 3 };
                write!(f, "; GICv{version} at {:#x}; console: ", gic.distributor().base)?;
            }
            Err(_) => f.write_str("; no GIC; console: ")?,
        }
        let (console, how) = match (&machine.console, &BUILT_IN) {
            (Ok(console), _) if console.is_chosen => (console, "chosen"),
            (Ok(console), _) => (console, "found"),
            (_, Some(console)) => (console, "built in"),
            _ => return f.write_str("none"),
        };
        write!(f, "{} at {:#x}, {}, {how}", console.kind.name(), console.registers.base, console.path)
    }
}
