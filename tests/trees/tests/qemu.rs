//! The trees that QEMU makes for its `virt` machine.

use reveille_machine::{
    Conduit, ConsoleKind, EnableMethod, Gic, Interrupt, Machine, PsciVersion, Region, Trigger,
};
use reveille_trees::ask::everything;
use reveille_trees::blobs::qemu;

const QUIET: [&str; 2] = ["-nic", "none"];

fn virt(options: &str, more: &[&str]) -> Vec<u8> {
    qemu(&format!("virt,{options}"), &[&QUIET, more].concat())
}

/// The MPIDR that `virt` gives to CPU `index`, with `per_cluster` CPUs sharing an Aff1.
fn mpidr(index: u64, per_cluster: u64) -> u64 {
    ((index / per_cluster) << 8) | (index % per_cluster)
}

/// What is the same on every variant.
fn check(blob: &[u8], cpus: u64, per_cluster: u64) -> Machine<'_> {
    assert_eq!(everything(blob), None);
    let machine = Machine::parse(blob).expect("a sound tree");
    assert!(machine.is_compatible("linux,dummy-virt"));
    let found: Vec<u64> = machine.cpus().map(|cpu| cpu.expect("a CPU").mpidr).collect();
    assert_eq!(found, (0..cpus).map(|index| mpidr(index, per_cluster)).collect::<Vec<_>>());
    assert_eq!(machine.cpu_count() as u64, cpus);

    let memory: Vec<Region> = machine.memory().map(|region| region.expect("memory")).collect();
    assert_eq!(memory, [Region { base: 0x4000_0000, size: 128 << 20 }]);
    assert_eq!(machine.reserved().count(), 0);

    let console = machine.console.expect("a console");
    assert!(console.is_chosen && console.kind == ConsoleKind::Pl011);
    assert_eq!(console.registers, Region { base: 0x900_0000, size: 0x1000 });
    assert_eq!(console.interrupt, Some(Interrupt { id: 33, trigger: Trigger::LevelHigh }));

    let timer = machine.timer.expect("a timer");
    let views = [timer.secure_physical, timer.physical, timer.virtual_timer, timer.hyp_physical];
    assert_eq!(views.map(|view| view.expect("a PPI").id), [29, 30, 27, 26]);
    machine
}

fn check_psci(machine: &Machine<'_>, conduit: Conduit) {
    let psci = machine.psci.expect("psci");
    assert_eq!((psci.version, psci.conduit, psci.cpu_on), (PsciVersion::V1_0, conduit, 0xc400_0003));
    // A single CPU gets no method: there is nobody to start.
    let method = if machine.cpu_count() == 1 { EnableMethod::Missing } else { EnableMethod::Psci };
    assert!(machine.cpus().all(|cpu| cpu.is_ok_and(|cpu| cpu.method == method)));
}

#[test]
fn gic_v2() {
    for cpus in 1..=8 {
        let blob = virt("gic-version=2", &["-smp", &cpus.to_string()]);
        let machine = check(&blob, cpus, 8);
        check_psci(&machine, Conduit::Hvc);
        let Ok(Gic::V2 { distributor, cpu_interface, .. }) = machine.gic else { panic!("{:?}", machine.gic) };
        assert_eq!((distributor.base, cpu_interface.base), (0x800_0000, 0x801_0000));
    }
}

#[test]
fn gic_v3() {
    // From 124 CPUs on the frames do not fit into one region.
    for (cpus, regions) in [(1, 1), (4, 1), (17, 1), (123, 1), (124, 2), (128, 2), (512, 2)] {
        let blob = virt("gic-version=3", &["-smp", &cpus.to_string()]);
        let machine = check(&blob, cpus, 16);
        check_psci(&machine, Conduit::Hvc);
        let Ok(Gic::V3 { distributor, redistributors, stride, .. }) = machine.gic else {
            panic!("{:?}", machine.gic)
        };
        assert_eq!((distributor.base, stride), (0x800_0000, None));
        assert_eq!(redistributors.len(), regions, "{cpus} CPUs");
        assert_eq!(redistributors[0], Region { base: 0x80a_0000, size: 0xf6_0000 });
        let frames: u64 = redistributors.iter().map(|region| region.size / 0x2_0000).sum();
        assert!(frames >= cpus);
        if let Some(second) = redistributors.get(1) {
            assert_eq!(second.base, 0x40_0000_0000);
        }
    }
}

#[test]
fn virtualization() {
    for gic in [2, 3] {
        let blob = virt(&format!("gic-version={gic},virtualization=on"), &["-smp", "4"]);
        check_psci(&check(&blob, 4, if gic == 2 { 8 } else { 16 }), Conduit::Smc);
    }
}

/// At EL3 there is nobody to answer PSCI, and a disabled PL011 and disabled memory come first in the tree.
#[test]
fn secure() {
    for gic in [2, 3] {
        let blob = virt(&format!("gic-version={gic},secure=on,virtualization=on"), &["-smp", "4"]);
        let machine = check(&blob, 4, if gic == 2 { 8 } else { 16 });
        assert!(machine.psci.is_err_and(|error| error.is_absent()));
        let first = machine.nodes().find(|node| node.name().base == "pl011").expect("a PL011");
        assert_eq!(first.property("status").expect("status").value, b"disabled\0");
    }
}
