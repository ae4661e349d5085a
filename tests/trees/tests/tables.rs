//! ACPI tables: what the reader says of sound ones, against `iasl -d`; and that it says in words what is wrong with others, part by part.
//!
//! `REVEILLE_MUTATIONS` sets how many random mutations are tried (5000), `REVEILLE_SEED` with which seed they begin. `REVEILLE_ACPI` names
//! a directory of memory dumps (`NAME.BASE`, the base in hexadecimal), out of machines that have tables: each is read too.

use std::collections::HashSet;
use std::env;

use reveille_machine::{ConsoleKind, CounterErrata, CpuStatus, EnableMethod, Fault, Machine, Model};
use reveille_trees::ask::everything_in;
use reveille_trees::random::Random;
use reveille_trees::tables::{
    BASE, Gicc, Memory, Table, dbg2, fadt, gas, gicd, gicr, gtdt, its, listed, madt, reader, rsdp, samples,
    settle, spcr, truth,
};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn agrees_with_iasl() {
    for (name, tables) in samples() {
        let memory = Memory::of(&tables);
        let machine = memory.machine().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (ours, theirs) = (reader(&machine), truth(&tables));
        // SPCR: an address space without an access size is the reader's to choose.
        if name.starts_with("frames by CPU") {
            assert_eq!(theirs["console"], "8250 8 0 0x2a400000 0");
            assert_eq!(ours["console"], "8250 8 1 0x2a400000 0");
        } else if name.starts_with("64 CPUs") {
            assert_eq!(ours["console"], "8250 32 1 0x1c020000 108");
        }
        for (part, theirs) in
            theirs.iter().filter(|(part, _)| **part != "console" || !name.starts_with("frames"))
        {
            assert_eq!(&ours[part], theirs, "{name}: {part}");
        }
        assert!(machine.source_note.is_none() && machine.console_note.is_none(), "{name}");
        assert_eq!(machine.model, "REVEILTESTTABL");
        assert!(machine.is_compatible("REVEIL") && machine.is_compatible("TESTTABL"));
        everything_in(&memory);
    }
}

/// One machine, damaged: what is said of the part, and that the others are as they were.
#[track_caller]
fn broken(part: &str, tables: &[Vec<u8>], expected: &str) {
    let memory = Memory::of(tables);
    everything_in(&memory);
    let machine = memory.machine().expect("the rest is fine");
    let parts = [
        ("gic", machine.gic.err()),
        ("psci", machine.psci.err()),
        ("timer", machine.timer.err()),
        ("console", machine.console.err()),
        ("console note", machine.console_note),
        ("note", machine.source_note),
        ("cpu", machine.cpus().find_map(Result::err)),
    ];
    let told: Vec<String> =
        parts.iter().filter_map(|(name, error)| Some(format!("{name}: {}", error.as_ref()?))).collect();
    let mine: Vec<&String> = told.iter().filter(|line| line.starts_with(&format!("{part}: "))).collect();
    assert_eq!(mine, [&format!("{part}: ACPI: {expected}")], "all: {told:#?}");
}

fn sound() -> Vec<Vec<u8>> {
    samples().remove(1).1
}

/// The sound machine with another table in the place of the one with the same signature.
fn with(table: Vec<u8>) -> Vec<Vec<u8>> {
    let mut tables = sound();
    let place = tables.iter().position(|known| known[..4] == table[..4]).expect("one to replace");
    tables[place] = table;
    tables
}

#[test]
fn each_part_says_what_is_wrong_with_it() {
    let without = |signature: &[u8]| {
        sound().into_iter().filter(|table| !table.starts_with(signature)).collect::<Vec<_>>()
    };
    broken("gic", &without(b"APIC"), "MADT: no such table");
    broken("cpu", &without(b"APIC"), "MADT: no such table");
    broken("psci", &without(b"FACP"), "FADT: no such table");
    broken("timer", &without(b"GTDT"), "GTDT: no such table");
    broken("console", &without(b"SPCR"), "DBG2: no such table");
    for (place, part, name) in [(0, "psci", "FADT"), (1, "gic", "MADT"), (2, "timer", "GTDT")] {
        let mut tables = sound();
        tables[place][40] ^= 0x55;
        let at = BASE + 64 + 36 + 32 + tables[..place].iter().map(|table| table.len() as u64).sum::<u64>();
        broken(part, &tables, &format!("{name}: wrong checksum, at ({at:#x})"));
        let mut tables = sound();
        tables[place][4..8].copy_from_slice(&[35, 0, 0, 0]);
        broken(part, &tables, &format!("{name}: impossible length (0x23)"));
        tables[place][4..8].copy_from_slice(&[0, 0, 0, 0x7f]);
        broken(part, &tables, &format!("{name}: impossible length (0x7f000000)"));
        tables[place][4..8].copy_from_slice(&[0, 0, 0x80, 0]);
        broken(part, &tables, &format!("{name}: not readable to its end, of length (0x800000)"));
    }
    broken(
        "timer",
        &with(Table::new("GTDT", 2).zeros_to(80).finish()),
        "GTDT: too short for what is to be in it (0x50)",
    );
    broken(
        "psci",
        &with(Table::new("FACP", 4).zeros_to(116).finish()),
        "FADT: too short for what is to be in it (0x74)",
    );
    broken("psci", &with(fadt(0)), "FADT: firmware without PSCI");
    let x86 = Table::new("FACP", 6).zeros_to(276).finish();
    broken("note", &with(x86), "FADT: not that of a machine with reduced hardware, as every Arm machine is");
    let mut twice = sound();
    twice.push(madt(&[gicd(0x1000, 3)]));
    let at = BASE + 64 + 36 + 40 + sound().iter().map(|table| table.len() as u64).sum::<u64>();
    broken("note", &twice, &format!("XSDT: leads to a second one of a table, which is not used ({at:#x})"));
}

#[test]
fn the_madt_says_what_is_wrong_with_it() {
    let cpu = |number: u64| Gicc { interface: 0x801_0000, ..Gicc::of(number) };
    let gicd2 = || gicd(0x800_0000, 2);
    let of = |structures: &[Vec<u8>]| with(madt(structures));
    broken("cpu", &of(&[gicd2()]), "MADT: no GICC structure");
    broken("gic", &of(&[gicd2()]), "MADT: no GICC structure that is enabled");
    broken("gic", &of(&[cpu(0).structure()]), "MADT: no GICD structure");
    broken(
        "note",
        &of(&[gicd2(), cpu(0).structure(), gicd2()]),
        "MADT: GICD 1: not the first one, and not used",
    );
    broken(
        "gic",
        &of(&[gicd(0x800_0000, 5), cpu(0).structure()]),
        "MADT: GICD 0: a GIC of unknown version (0x5)",
    );
    broken(
        "gic",
        &of(&[gicd(0, 2), cpu(0).structure()]),
        "MADT: GICD 0: no such range of addresses, from (0x0)",
    );
    broken("gic", &of(&[gicd(0x800_0000, 3), cpu(0).structure()]), "MADT: a GICv3 without redistributors");
    broken(
        "gic",
        &of(&[gicd(0x800_0000, 3), gicr(u64::MAX - 10, 0x2_0000)]),
        "MADT: GICR 0: no such range of addresses, from (0xfffffffffffffff5)",
    );
    let elsewhere = Gicc { interface: 0x900_0000, ..cpu(1) }.structure();
    broken(
        "gic",
        &of(&[gicd2(), cpu(0).structure(), elsewhere]),
        "MADT: GICC 1: the CPU interface is elsewhere than that of the first CPU (0x9000000)",
    );
    broken(
        "cpu",
        &of(&[gicd2(), cpu(5).structure(), cpu(6).structure(), cpu(5).structure()]),
        "MADT: GICC 2: MPIDR: an earlier CPU has the same one (0x5)",
    );
    broken(
        "cpu",
        &of(&[gicd2(), cpu(1 << 31).structure()]),
        "MADT: GICC 0: MPIDR: bits outside the affinity fields (0x80000000)",
    );
    let short = Gicc { length: 40, ..cpu(0) }.structure();
    broken("cpu", &of(&[gicd2(), short]), "MADT: GICC 0: too short for what is to be in it (0x28)");
    broken("cpu", &of(&[gicd2(), vec![0xb, 0]]), "MADT: a structure of impossible length (0x0)");
    broken("cpu", &of(&[gicd2(), vec![0xb, 255, 1]]), "MADT: a structure of impossible length (0xff)");
}

#[test]
fn a_cpu_that_is_not_enabled_is_not_started() {
    let tables = samples().remove(3).1;
    let memory = Memory::of(&tables);
    let machine = memory.machine().expect("sound");
    let statuses: Vec<CpuStatus> = machine.cpus().map(|cpu| cpu.expect("sound").status).collect();
    use CpuStatus::{Disabled, Okay};
    assert_eq!(statuses, [Okay, Okay, Okay, Okay, Disabled, Disabled]);
    assert_eq!(machine.cpu_count(), 6);
}

/// Firmware leaves anything in places that have no CPU.
#[test]
fn places_without_a_cpu_take_nothing_from_those_that_have_one() {
    let place = |mpidr| Gicc { flags: 0, interface: 0x801_0000, ..Gicc::of(mpidr) }.structure();
    let cpu = |mpidr| Gicc { interface: 0x801_0000, ..Gicc::of(mpidr) }.structure();
    let mut structures = vec![gicd(0x800_0000, 2)];
    structures.extend((0..100).map(|_| place(0)));
    structures.extend([place(7), place(1 << 31), cpu(1), cpu(0), place(1), cpu(2), cpu(0), place(8)]);
    let tables = with(madt(&structures));
    let memory = Memory::of(&tables);
    let machine = memory.machine().expect("sound");
    let found: Vec<String> = machine
        .cpus()
        .map(|cpu| {
            cpu.map_or_else(|error| error.to_string(), |cpu| format!("{} {:?}", cpu.mpidr, cpu.status))
        })
        .collect();
    let twice = "ACPI: MADT: GICC 106: MPIDR: an earlier CPU has the same one (0x0)";
    assert_eq!(found, ["1 Okay", "0 Okay", "2 Okay", twice, "7 Disabled", "8 Disabled"]);
}

#[test]
fn unknown_versions_of_the_gic_are_told_by_what_there_is() {
    let cpu = Gicc { interface: 0x801_0000, ..Gicc::of(0) };
    let kind = |structures: &[Vec<u8>]| {
        reader(&Memory::of(&with(madt(structures))).machine().expect("sound"))["gic"].clone()
    };
    assert_eq!(kind(&[gicd(0x800_0000, 0), cpu.structure()]), "v2 0x8000000 0x8010000");
    assert_eq!(
        kind(&[gicd(0x800_0000, 0), cpu.structure(), gicr(0x80a_0000, 0x2_0000)]),
        "v3 0x8000000 0x80a0000+0x20000"
    );
    let framed = Gicc { redistributor: 0x80a_0000, ..cpu };
    assert_eq!(kind(&[gicd(0x800_0000, 0), framed.structure(), its(0x1000)]), "v3 0x8000000 0x80a0000");
    assert_eq!(
        kind(&[gicd(0x800_0000, 4), cpu.structure(), gicr(0x80a_0000, 0x4_0000)]),
        "v3 0x8000000 0x80a0000+0x40000"
    );
}

#[test]
fn consoles() {
    let of = |spcr: Vec<u8>| {
        let memory = Memory::of(&with(spcr));
        let machine = memory.machine().expect("sound");
        machine
            .console
            .map(|console| (console.kind, console.registers.base, console.options.to_owned()))
            .map_err(|error| error.to_string())
    };
    let uart = |reg_shift, reg_io_width| ConsoleKind::Uart8250 {
        reg_shift,
        reg_io_width,
        reg_offset: 0,
        model: Model::UART_8250,
    };
    for (bits, access, shift, width) in [
        (8, 0, 0, 1),
        (8, 1, 0, 1),
        (32, 1, 2, 1),
        (32, 3, 2, 4),
        (32, 0, 2, 4),
        (16, 2, 1, 2),
        (8, 3, 2, 4),
        (64, 4, 3, 4),
    ] {
        assert_eq!(
            of(spcr(0x12, &gas(0, bits, access, 0x1000), 0, 0)),
            Ok((uart(shift, width), 0x1000, String::new())),
            "{bits} {access}"
        );
    }
    assert_eq!(
        of(spcr(3, &gas(0, 32, 3, 0x900_0000), 33, 7)),
        Ok((ConsoleKind::Pl011, 0x900_0000, "115200".to_owned()))
    );
    let pi =
        ConsoleKind::Uart8250 { reg_shift: 2, reg_io_width: 4, reg_offset: 0x40, model: Model::UART_8250 };
    assert_eq!(
        of(spcr(0x10, &gas(0, 32, 3, 0xfe21_5000), 125, 7)),
        Ok((pi, 0xfe21_5000, "115200".to_owned()))
    );
    let imx = ConsoleKind::by_name("imx").expect("known");
    assert_eq!(of(spcr(0xc, &gas(0, 32, 3, 0x3086_0000), 58, 0)), Ok((imx, 0x3086_0000, String::new())));
    let dcc = ConsoleKind::by_name("dcc").expect("known");
    assert_eq!(of(spcr(0xf, &gas(0, 0, 0, 0), 0, 0)), Ok((dcc, 0, String::new())));
    let refused = |spcr, what: &str| assert_eq!(of(spcr), Err(format!("ACPI: SPCR: {what}")));
    refused(spcr(0x77, &gas(0, 32, 3, 0x900_0000), 33, 7), "no driver for a console of this type (0x77)");
    refused(spcr(3, &gas(1, 32, 3, 0x3f8), 33, 7), "address: not in memory, but in space (0x1)");
    refused(spcr(3, &gas(0, 32, 3, u64::MAX), 33, 7), "address: beyond 64 bits (0xffffffffffffffff)");
    // Without a usable SPCR a debug port is taken, and it is said why.
    let ports = [
        (0x8001, 0, gas(0, 8, 1, 0x100)),
        (0x8000, 0x99, gas(0, 8, 1, 0x200)),
        (0x8000, 3, gas(0, 32, 3, 0x300)),
    ];
    let mut tables = with(spcr(3, &gas(0, 32, 3, 0), 33, 7));
    tables.push(dbg2(&ports));
    let memory = Memory::of(&tables);
    let machine = memory.machine().expect("sound");
    let console = machine.console.expect("the debug port");
    assert_eq!(
        (console.registers.base, console.is_chosen, console.path.to_string().as_str()),
        (0x300, false, "DBG2: device 2")
    );
    assert_eq!(
        machine.console_note.expect("why").to_string(),
        "ACPI: SPCR: no console: its address is 0 (0x0)"
    );
    assert!(machine.console_note.expect("why").is_absent());
    everything_in(&memory);
}

#[test]
fn the_way_to_the_tables() {
    let refused = |memory: &Memory, what: &str| {
        let error = memory.machine().expect_err("damaged");
        assert_eq!((error.to_string(), error.fault()), (format!("ACPI: {what}"), Fault::Header));
        everything_in(memory);
    };
    let sound = Memory::of(&sound());
    let mut damaged = sound.clone();
    damaged.0[0] = b'X';
    refused(&damaged, "RSDP: no signature at its start (0x40000000)");
    damaged = sound.clone();
    damaged.0[10] ^= 1;
    refused(&damaged, "RSDP: wrong checksum (0x40000000)");
    damaged = sound.clone();
    damaged.0[33] ^= 1;
    refused(&damaged, "RSDP: wrong extended checksum (0x40000000)");
    damaged = sound.clone();
    damaged.0[20] = 35;
    refused(&damaged, "RSDP: impossible length (0x40000000)");
    refused(&Memory(sound.0[..30].to_vec()), "RSDP: not readable (0x40000000)");
    refused(&Memory(Vec::new()), "RSDP: not readable (0x40000000)");
    refused(&Memory(rsdp(0, 0, 0)), "RSDP: leads to no table (0x40000000)");
    refused(&Memory(rsdp(2, 0, 0x1234)), "XSDT: not readable (0x1234)");
    damaged = sound.clone();
    damaged.0[64] = b'Y';
    refused(&damaged, "XSDT: another signature at its start (0x40000040)");
    damaged = sound.clone();
    damaged.0[64 + 36] ^= 1;
    refused(&damaged, "XSDT: wrong checksum, at (0x40000040)");
    // The list of ACPI 1.0.
    let mut old = rsdp(0, BASE as u32 + 64, 0);
    old.resize(64, 0);
    let first = BASE + 64 + 36 + 4;
    old.extend(Table::new("RSDT", 1).number(4, first).finish());
    old.extend(madt(&[gicd(0x800_0000, 3), gicr(0x80a_0000, 0x2_0000), Gicc::of(3).structure()]));
    let old = Memory(old);
    assert_eq!(reader(&old.machine().expect("sound"))["cpus"], "0x3 okay none");
    // A list that leads to itself, to nothing, and to what is not there.
    let mut circle = rsdp(2, 0, BASE + 64);
    circle.resize(64, 0);
    circle.extend(
        Table::new("XSDT", 1).number(8, BASE + 64).number(8, 0).number(8, 0x77).number(8, BASE).finish(),
    );
    let circle = Memory(circle);
    let machine = circle.machine().expect("a list");
    assert_eq!(machine.gic.expect_err("no MADT").to_string(), "ACPI: MADT: no such table");
    assert_eq!(
        machine.source_note.expect("odd").to_string(),
        "ACPI: XSDT: leads to what is not readable (0x77)"
    );
    everything_in(&circle);
}

#[test]
fn as_many_cpus_as_one_likes() {
    let cpus: Vec<_> = (0..4096).map(|cpu| Gicc::of((cpu % 16) | ((cpu / 16) << 8)).structure()).collect();
    let mut structures = vec![gicd(0x800_0000, 3)];
    structures.extend(
        (0..100).map(|region| gicr(0x1000_0000 + 0x10_0000 * region, 0x2_0000 * (1 + region as u32 % 4))),
    );
    structures.extend(cpus);
    let memory = Memory::of(&with(madt(&structures)));
    let machine = memory.machine().expect("sound");
    assert_eq!(machine.cpus().flatten().map(|cpu| cpu.mpidr).collect::<HashSet<_>>().len(), 4096);
    let reveille_machine::Gic::V3 { redistributors, dropped, .. } = machine.gic.expect("sound") else {
        panic!("GICv3")
    };
    assert_eq!((redistributors.len(), dropped), (32, 68));
}

#[test]
fn frames_of_hundreds_of_cpus_are_few_regions() {
    let cpus =
        (0..300).map(|cpu| Gicc { redistributor: 0x800_0000 + 0x2_0000 * cpu, ..Gicc::of(cpu) }.structure());
    let structures: Vec<_> = cpus.chain([gicd(0x100_0000, 3)]).collect();
    let memory = Memory::of(&with(madt(&structures)));
    let reveille_machine::Gic::V3 { redistributors, dropped, one_by_one, .. } =
        memory.machine().expect("sound").gic.expect("sound")
    else {
        panic!("GICv3")
    };
    assert_eq!(
        (redistributors.len(), redistributors[0].size, dropped, one_by_one),
        (1, 300 * 0x2_0000, 0, true)
    );
}

#[test]
fn errata_that_go_by_the_name_of_the_table() {
    let of = |oem: &[u8; 14]| {
        let mut table = Table::new("GTDT", 2).by(oem).zeros_to(96);
        table = table.clone();
        let mut bytes = table.finish();
        bytes[24] = 0;
        settle(&mut bytes, 9);
        Memory::of(&with(bytes)).machine().expect("sound").timer.expect("sound").errata
    };
    assert_eq!(of(b"HISI  HIP07   "), CounterErrata::HISILICON_161010101);
    assert_eq!(of(b"HISI  HIP08   "), CounterErrata::NONE);
    let _ = gtdt(&[(0, 0); 4]);
}

#[test]
fn psci_goes_before_the_mailbox() {
    let parked = Gicc { parked: (1, 0x8000_0000), ..Gicc::of(1) }.structure();
    let of = |arm| {
        let tables = [fadt(arm), madt(&[gicd(0x800_0000, 3), gicr(0x80a_0000, 0x2_0000), parked.clone()])];
        let memory = Memory::of(&tables);
        memory
            .machine()
            .expect("sound")
            .cpus()
            .next()
            .expect("one")
            .map(|cpu| format!("{:?}", cpu.method))
            .expect("sound")
    };
    assert_eq!(of(1), format!("{:?}", EnableMethod::Psci));
    assert_eq!(of(0), format!("{:?}", EnableMethod::Parking { address: 0x8000_0000, id: 1, version: 1 }));
}

#[test]
fn any_cut_is_survived() {
    for (_, tables) in samples() {
        let whole = Memory::of(&tables);
        let step = if whole.0.len() > 2000 { 7 } else { 1 };
        for length in (0..whole.0.len()).step_by(step) {
            let mut cut = Memory(whole.0[..length].to_vec());
            everything_in(&cut);
            cut.repair();
            everything_in(&cut);
        }
    }
}

#[test]
fn random_mutations_are_survived() {
    let (count, seed) = (number("REVEILLE_MUTATIONS", 5000), number("REVEILLE_SEED", 1));
    let memories: Vec<Memory> = samples().into_iter().map(|(_, tables)| Memory::of(&tables)).collect();
    let mut read = 0_u32;
    for seed in seed..seed + count {
        let mut random = Random(seed);
        let mut memory = memories[random.below(memories.len())].clone();
        for _ in 0..=random.below(6) {
            let length = memory.0.len();
            let at = random.below(length);
            match random.below(5) {
                0 => memory.0[at] = random.below(256) as u8,
                1 => memory.0[at] ^= 1 << random.below(8),
                2 => memory.0[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
                3 => memory.0.truncate(at.max(36)),
                _ => {
                    // A structure or a pointer in another's place.
                    let from = random.below(length);
                    let bytes: Vec<u8> =
                        memory.0[from..].iter().copied().take(1 + random.below(32)).collect();
                    memory.0[at..].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
                }
            }
        }
        if random.below(8) != 0 {
            memory.repair();
        }
        let answer = std::panic::catch_unwind(|| everything_in(&memory));
        read += u32::from(
            !answer.unwrap_or_else(|_| panic!("REVEILLE_SEED={seed} REVEILLE_MUTATIONS=1: see above")),
        );
    }
    println!("{count} mutated tables, {read} lists of them read");
    assert!(count < 100 || u64::from(read) > count / 4);
}

/// Memory dumped out of machines: the tables in it, against `iasl -d`.
#[test]
fn dumps_agree_with_iasl() {
    let Some(directory) = env::var_os("REVEILLE_ACPI") else { return };
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let base = path
            .extension()
            .and_then(|base| u64::from_str_radix(base.to_str()?, 16).ok())
            .expect("NAME.BASE");
        let bytes = std::fs::read(&path).expect("a dump");
        let get =
            |at: u64, length: usize| bytes.get(usize::try_from(at.checked_sub(base)?).ok()?..)?.get(..length);
        let places = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"RSD PTR "));
        let machine =
            places.map(|at| Machine::from_acpi(base + at as u64, "", &mut |at, length| get(at, length)));
        let mut tables = Vec::new();
        for machine in machine.flatten() {
            // The same pointers, by hand.
            let root = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"XSDT"));
            for root in root.map(|at| base + at as u64) {
                let number = |at, width| {
                    get(at, width).map_or(0, |bytes: &[u8]| {
                        bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
                    })
                };
                let pointers = (36..number(root + 4, 4)).step_by(8).map(|at| number(root + at, 8));
                let found: Vec<Vec<u8>> =
                    pointers.filter_map(|at| Some(get(at, number(at + 4, 4) as usize)?.to_vec())).collect();
                if found.iter().any(|table| table.starts_with(b"APIC")) {
                    tables = found;
                }
            }
            assert_eq!(reader(&machine), truth(&tables), "{}", path.display());
            println!("{}: {} CPUs, {}", path.display(), machine.cpu_count(), machine.model);
        }
        assert!(!tables.is_empty(), "{}: no tables", path.display());
    }
}

#[test]
fn the_list_of_the_tests_is_that_of_the_reader() {
    let tables = samples().remove(0).1;
    assert_eq!(listed(&Memory::of(&tables)), tables);
}
