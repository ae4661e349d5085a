//! Everything the readers can be asked, asked: for trees and tables that may hold anything.

use std::fmt::Display;

use crate::tables::{self, Memory};
use crate::truth::reader;
use reveille_machine::dt::{HEADER_SIZE, Salvaged, blob_size, find_unasked, salvage};
use reveille_machine::{Error, Fault, Gic, Machine};

/// Asks everything about `blob` and checks what must hold for any input: errors are single lines, regions do
/// not wrap, and no list is longer than the blob. Returns the fault if the blob was refused.
///
/// # Panics
/// If something does not hold.
pub fn everything(blob: &[u8]) -> Option<Fault> {
    if let Some(Err(error)) = blob.first_chunk::<HEADER_SIZE>().map(blob_size) {
        check_error(&error);
        assert_eq!(error.fault(), Fault::Header);
    }
    let mut shown = 0;
    let none = find_unasked(blob, &mut |console| {
        check_line(&console.path);
        check_range(console.registers.base, console.registers.size);
        assert!(!console.is_chosen);
        shown += 1;
        false
    });
    assert!(none.is_none() && shown <= blob.len());
    let machine = match Machine::parse(blob) {
        Ok(machine) => machine,
        Err(error) => {
            check_error(&error);
            assert!(matches!(error.fault(), Fault::Header | Fault::Structure), "{error}");
            let salvaged = salvage(blob);
            assert!(salvaged.bootargs.len() <= blob.len());
            if let Some(console) = salvaged.console {
                check_line(&console.path);
                check_range(console.registers.base, console.registers.size);
            }
            return Some(error.fault());
        }
    };

    // With its last token lost the tree is refused, and its console is salvaged: from the same nodes.
    let mut cut = blob.to_vec();
    if let Some(last) = last_token(blob).and_then(|last| cut.get_mut(last..last + 4)) {
        last.fill(0xee);
        assert!(Machine::parse(&cut).is_err());
        let Salvaged { console: salvaged, bootargs } = salvage(&cut);
        assert_eq!(bootargs, machine.bootargs.unwrap_or(""));
        let salvaged = salvaged.map(|console| format!("{console:?}"));
        if let Some(console) = machine.console.ok().filter(|console| console.is_chosen) {
            assert_eq!(salvaged, Some(format!("{console:?}")));
        }
    }

    // A walk stops silently where it meets damage; the check before it must have seen to that.
    assert_eq!(machine.nodes().count(), machine.node_count());

    let limit = blob.len();
    assert!(machine.cpus().count() <= limit.max(1));
    for cpu in machine.cpus() {
        match cpu {
            Ok(cpu) => check_line(&cpu.path),
            Err(error) => check_error(&error),
        }
    }
    assert!(machine.memory().count() <= limit);
    for region in machine.memory() {
        match region {
            Ok(region) => check_range(region.base, region.size),
            Err(error) => check_error(&error),
        }
    }
    assert!(machine.reserved().count() <= limit);
    for reserved in machine.reserved() {
        match reserved {
            Ok(reserved) => check_range(reserved.region.base, reserved.region.size),
            Err(error) => check_error(&error),
        }
    }
    // What is said of firmware is a word, and needs nothing besides.
    let _ = machine.is_described();
    let parts = [
        machine.uefi().err(),
        machine.usable_memory().err(),
        machine.bootargs.err(),
        machine.gic.err(),
        machine.psci.err(),
        machine.timer.err(),
        machine.timer_note,
        machine.console.err(),
        machine.console_note,
    ];
    for error in parts.iter().flatten() {
        check_error(error);
    }
    for compatible in ["arm,pl011", "brcm,bcm2835-pm", "arm,gic-v3", ""] {
        match machine.device_regions(compatible) {
            Ok(regions) => regions.iter().for_each(|region| check_range(region.base, region.size)),
            Err(error) => check_error(&error),
        }
    }
    for node in machine.nodes() {
        for property in node.properties() {
            check_line(&property);
        }
    }
    for path in ["/", "/cpus", "/chosen", "serial0", "serial0/", "//", "", "/cpus/cpu@0", "nothing"] {
        if let Some(node) = machine.node(path) {
            check_line(&node.path());
            node.children().for_each(|child| check_line(&child.name()));
        }
    }
    let _ = reader(&machine);
    None
}

/// Where the structure block of a sound blob has its last word.
fn last_token(blob: &[u8]) -> Option<usize> {
    let field = |at: usize| Some(u32::from_be_bytes(*blob.get(at..)?.first_chunk()?) as usize);
    (field(8)? + field(36)?).checked_sub(4)
}

fn check_error(error: &Error<'_>) {
    check_error_of("device tree: ", error);
}

fn check_error_of(origin: &str, error: &Error<'_>) {
    let text = error.to_string();
    assert!(text.starts_with(origin) && text.len() > 20, "{text:?}");
    check_line(&text);
}

/// Asks everything about the tables in `memory`, and checks what must hold for any. Returns whether they were refused as a whole.
///
/// # Panics
/// If something does not hold.
pub fn everything_in(memory: &Memory) -> bool {
    let machine = match memory.machine() {
        Ok(machine) => machine,
        Err(error) => {
            check_error_of("ACPI: ", &error);
            assert_eq!(error.fault(), Fault::Header, "{error}");
            return true;
        }
    };
    let limit = memory.0.len();
    let mut seen = std::collections::HashSet::new();
    let mut found = 0;
    for cpu in machine.cpus() {
        match cpu {
            Ok(cpu) => {
                check_line(&cpu.path);
                found += 1;
                assert!(seen.insert(cpu.mpidr) || found > 64, "{:#x} twice", cpu.mpidr);
            }
            Err(error) => check_error_of("ACPI: ", &error),
        }
    }
    assert!(found <= machine.cpu_count() && machine.cpu_count() <= limit / 2);
    check_line(&machine.model);
    machine.compatible().for_each(|name| check_line(&name));
    let parts = [
        machine.gic.err(),
        machine.psci.err(),
        machine.timer.err(),
        machine.console.err(),
        machine.console_note,
        machine.source_note,
        machine.memory().find_map(Result::err),
        machine.reserved().find_map(Result::err),
        machine.device_regions("arm,pl011").err(),
    ];
    for error in parts.iter().flatten() {
        check_error_of("ACPI: ", error);
    }
    if let Ok(gic) = machine.gic {
        check_line(&gic.path());
        check_range(gic.distributor().base, gic.distributor().size);
        match gic {
            Gic::V2 { cpu_interface, .. } => check_range(cpu_interface.base, cpu_interface.size),
            Gic::V3 { redistributors, .. } => {
                assert!(!redistributors.is_empty());
                redistributors.iter().for_each(|region| check_range(region.base, region.size));
            }
            Gic::Bcm2836 { .. } => panic!("no table describes one"),
        }
    }
    if let Ok(console) = machine.console {
        check_line(&console.path);
        check_range(console.registers.base, console.registers.size);
    }
    let _ = tables::reader(&machine);
    false
}

fn check_line(text: &impl Display) {
    let text = text.to_string();
    assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
}

fn check_range(base: u64, size: u64) {
    assert!(base.checked_add(size.saturating_sub(1)).is_some(), "{base:#x}+{size:#x}");
}
