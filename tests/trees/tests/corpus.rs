//! The reader against `dtc`, on every arm64 board that Debian's kernels know.
//!
//! The trees come from `reveille-run trees`, into `target/trees` or wherever `REVEILLE_TREES` says. They
//! are a download, so these tests are ignored unless asked for: `cargo test -- --include-ignored`. Asked for,
//! they fail if the trees are not there.

use std::path::{Path, PathBuf};
use std::{env, fs};

use reveille_machine::{ConsoleKind, EnableMethod, Gic, Machine, Region};
use reveille_trees::ask::everything;
use reveille_trees::truth::{ASPECTS, reader, truth};
use reveille_trees::{blobs, dts};

fn suite(name: &str) -> PathBuf {
    let corpus = env::var_os("REVEILLE_TREES").map(PathBuf::from);
    let corpus = corpus.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/trees"));
    let suite = corpus.join(name);
    assert!(
        suite.is_dir(),
        "{} is missing: run scripts/test trees/corpus, which fetches it",
        suite.display()
    );
    suite
}

/// Every aspect of every tree, compared.
fn compare(name: &str, at_least: usize) {
    let files = blobs::below(&suite(name));
    let (mut differences, mut cpus, mut nodes) = (0, 0, 0);
    let (mut psci, mut spin_table, mut other_method) = (0, 0, 0);
    let (mut gic_v2, mut gic_v3, mut bcm2836, mut consoles) = (0, 0, 0, 0);
    for file in &files {
        let blob = fs::read(file).expect("readable tree");
        let machine = Machine::parse(&blob).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let truth = truth(&dts::read(&blobs::decompile(file)));
        for ((aspect, ours), theirs) in ASPECTS.iter().zip(reader(&machine)).zip(truth) {
            if ours != theirs {
                differences += 1;
                println!("{}: {aspect}\n  reader: {ours}\n  truth:  {theirs}", file.display());
            }
        }
        everything(&blob);
        cpus += machine.cpu_count();
        nodes += machine.node_count();
        for cpu in machine.cpus().flatten() {
            match cpu.method {
                EnableMethod::Psci => psci += 1,
                EnableMethod::SpinTable { .. } => spin_table += 1,
                _ => other_method += 1,
            }
        }
        match machine.gic {
            Ok(Gic::V2 { .. }) => gic_v2 += 1,
            Ok(Gic::V3 { .. }) => gic_v3 += 1,
            Ok(Gic::Bcm2836 { .. }) => bcm2836 += 1,
            Err(_) => {}
        }
        consoles += usize::from(machine.console.is_ok());
    }
    println!(
        "corpus {name}: {} trees, {nodes} nodes, {cpus} CPUs ({psci} psci, {spin_table} spin-table, \
         {other_method} neither), GICv2 {gic_v2}, GICv3 {gic_v3}, BCM2836 {bcm2836}, {consoles} consoles with a driver, \
         {differences} differences",
        files.len()
    );
    assert!(files.len() >= at_least, "only {} trees in {name}", files.len());
    assert_eq!(differences, 0);
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn bookworm() {
    compare("bookworm", 500);
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn bookworm_backports() {
    compare("bookworm-backports", 900);
}

/// Which of these boards can speak, and what the others would need.
///
/// `chosen`: the console that the tree names has a driver. `first`: there is none for that one, or none is named, and there is another one that is
/// used unasked, which may be connected to anything. `nothing`: not even that. Of the boards that can speak only the first are counted: a board
/// of which nobody says where its console is, is silent.
fn speaking(name: &str, at_least_percent: usize) {
    let files = blobs::below(&suite(name));
    let (mut chosen, mut first, mut nothing, mut unnamed) = (0, 0, 0, 0);
    let mut missing = std::collections::BTreeMap::<String, usize>::new();
    let mut models = std::collections::BTreeMap::<&str, usize>::new();
    for file in &files {
        let blob = fs::read(file).expect("readable tree");
        let machine = Machine::parse(&blob).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        match &machine.console {
            Ok(console) if console.is_chosen => {
                chosen += 1;
                *models.entry(console.kind.name()).or_default() += 1;
                continue;
            }
            Ok(_) => first += 1,
            Err(_) => nothing += 1,
        }
        // What was named, if it is a node.
        let named = machine.console_note.and_then(|note| machine.node(&note.node()?.to_string()));
        let names = named.and_then(|node| {
            let list = String::from_utf8_lossy(node.property("compatible")?.value).into_owned();
            Some(list.trim_end_matches('\0').replace('\0', " "))
        });
        match names {
            Some(names) => *missing.entry(names).or_default() += 1,
            None => unnamed += 1,
        }
    }
    let total = files.len();
    let percent = |part: usize| format!("{}.{} %", part * 100 / total, part * 1000 / total % 10);
    println!(
        "consoles {name}: {total} boards: {chosen} ({}) speak on the console that their tree names, {first} ({}) on another, \
         {nothing} ({}) not at all; {unnamed} name no console; of those that name one {}.{} % speak on it",
        percent(chosen),
        percent(first),
        percent(nothing),
        chosen * 100 / (total - unnamed),
        chosen * 1000 / (total - unnamed) % 10
    );
    println!("consoles {name}: by model: {models:?}");
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (names, count) in missing {
        println!("consoles {name}: no driver, or disabled: {count} of {names}");
    }
    assert!(chosen * 100 >= total * at_least_percent, "only {chosen} of {total} boards speak");
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn speaking_bookworm() {
    speaking("bookworm", 85);
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn speaking_bookworm_backports() {
    speaking("bookworm-backports", 85);
}

/// Of a suite that changes: it has the newest boards.
#[test]
#[ignore = "needs the trees that `reveille-run trees sid` downloads"]
fn speaking_sid() {
    speaking("sid", 85);
}

/// What is known of one board from elsewhere.
fn is_raspberry_pi_4(blob: &[u8]) {
    let machine = Machine::parse(blob).expect("a sound tree");
    assert!(machine.is_compatible("raspberrypi,4-model-b"));
    let Ok(Gic::V2 { distributor, cpu_interface, .. }) = machine.gic else { panic!("{:?}", machine.gic) };
    assert_eq!((distributor.base, cpu_interface.base), (0xff84_1000, 0xff84_2000));
    let releases: Vec<_> =
        machine.cpus().map(|cpu| cpu.expect("a CPU")).map(|cpu| (cpu.mpidr, cpu.method)).collect();
    let release = |address| EnableMethod::SpinTable { release_addr: Some(address) };
    assert_eq!(releases, [(0, release(0xd8)), (1, release(0xe0)), (2, release(0xe8)), (3, release(0xf0))]);
    assert!(machine.psci.is_err_and(|error| error.is_absent()));
    // The tree names the mini-UART; the PL011 of QEMU's first serial port is another node.
    let console = machine.console.expect("a console");
    assert!(console.is_chosen && matches!(console.kind, ConsoleKind::Uart8250 { reg_shift: 2, .. }));
    assert_eq!((console.registers.base, console.options), (0xfe21_5040, "115200n8"));
    assert_eq!(machine.device_regions("arm,pl011").expect("a PL011").first().expect("reg").base, 0xfe20_1000);
    let watchdog = machine.device_regions("brcm,bcm2835-pm-wdt").expect("the power manager");
    assert_eq!(watchdog.first(), Some(&Region { base: 0xfe10_0000, size: 0x114 }));
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn raspberry_pi_4() {
    let file = suite("bookworm").join("broadcom/bcm2711-rpi-4-b.dtb");
    is_raspberry_pi_4(&fs::read(&file).expect("the tree of the board"));

    // QEMU edits the tree before it hands it over: it fills in memory, and disables what it does not model.
    let file = file.to_str().expect("a path in UTF-8");
    let edited = blobs::qemu("raspi4b", &["-dtb", file]);
    is_raspberry_pi_4(&edited);
    let machine = Machine::parse(&edited).expect("a sound tree");
    let memory: Vec<_> = machine.memory().map(|region| region.expect("memory")).collect();
    // Of 2 GiB it tells the part below the memory of the VideoCore.
    assert_eq!(memory, [Region { base: 0, size: 0x3c00_0000 }]);
}

/// What is known of one board from elsewhere.
fn is_raspberry_pi_3(blob: &[u8]) {
    let machine = Machine::parse(blob).expect("a sound tree");
    assert!(machine.is_compatible("raspberrypi,3-model-b"));
    let Ok(Gic::Bcm2836 { local, peripherals, .. }) = machine.gic else { panic!("{:?}", machine.gic) };
    assert_eq!((local.base, peripherals.map(|region| region.base)), (0x4000_0000, Some(0x3f00_b200)));
    let release = |address| EnableMethod::SpinTable { release_addr: Some(address) };
    let methods: Vec<_> = machine.cpus().map(|cpu| cpu.expect("a CPU").method).collect();
    assert_eq!(methods, [release(0xd8), release(0xe0), release(0xe8), release(0xf0)]);
    let timer = machine.timer.expect("a timer");
    let ids = [timer.secure_physical, timer.physical, timer.virtual_timer, timer.hyp_physical]
        .map(|one| one.expect("an interrupt").id);
    // In the order of the source register: secure, not secure, of the hypervisor, virtual.
    assert_eq!(ids, [16, 17, 19, 18]);
    let console = machine.console.expect("a console");
    assert!(console.is_chosen && matches!(console.kind, ConsoleKind::Uart8250 { reg_shift: 2, .. }));
    // The mini-UART: 29 of the GPU's first bank.
    assert_eq!((console.registers.base, console.interrupt.map(|one| one.id)), (0x3f21_5040, Some(32 + 29)));
    assert!(machine.device_regions("brcm,bcm2835-pm-wdt").is_ok());
}

#[test]
#[ignore = "needs the trees that `reveille-run trees` downloads"]
fn raspberry_pi_3() {
    let file = suite("bookworm").join("broadcom/bcm2837-rpi-3-b.dtb");
    is_raspberry_pi_3(&fs::read(&file).expect("the tree of the board"));
    let file = file.to_str().expect("a path in UTF-8");
    let edited = blobs::qemu("raspi3b", &["-dtb", file]);
    is_raspberry_pi_3(&edited);
    let machine = Machine::parse(&edited).expect("a sound tree");
    let memory: Vec<_> = machine.memory().map(|region| region.expect("memory")).collect();
    // Of 1 GiB it tells the part below the memory of the VideoCore.
    assert_eq!(memory, [Region { base: 0, size: 0x3c00_0000 }]);
}
