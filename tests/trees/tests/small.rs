//! Small trees, each written for what it tests. Their sources are in `dts/`.

use reveille_machine::dt::blob_size;
use reveille_machine::{
    Conduit, ConsoleKind, CounterErrata, Cpu, CpuStatus, EnableMethod, Error, Fault, Gic, Interrupt, Machine,
    Model, PsciVersion, Region, ReservedBy, Trigger,
};
use reveille_trees::ask::everything;
use reveille_trees::blobs::{compile, compile_text};

fn region(base: u64, size: u64) -> Region {
    Region { base, size }
}

fn irq(id: u32, trigger: Trigger) -> Option<Interrupt> {
    Some(Interrupt { id, trigger })
}

/// The machine of a blob, after everything has been asked of it.
fn machine(blob: &[u8]) -> Machine<'_> {
    assert_eq!(everything(blob), None);
    Machine::parse(blob).expect("a sound tree")
}

fn cpus<'a>(machine: &Machine<'a>) -> Vec<Cpu<'a>> {
    machine.cpus().map(|cpu| cpu.expect("a sound CPU")).collect()
}

fn words<T: std::fmt::Debug>(result: Result<T, Error<'_>>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn wide() {
    let blob = compile("wide");
    let machine = machine(&blob);
    assert_eq!(machine.model, "Wide board");
    assert!(machine.is_compatible("reveille,board") && !machine.is_compatible("reveille"));
    assert_eq!(machine.bootargs.expect("text"), "panic=reset deadline_ms=100");

    let cpus = cpus(&machine);
    assert_eq!(machine.cpu_count(), 5);
    let mpidrs: Vec<u64> = cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(mpidrs, [0, 0x100, 0x1_0000, 0x1_0000_0000, 0xff_00ff_ffff]);
    assert!(cpus.iter().all(|cpu| cpu.method == EnableMethod::Psci));
    let statuses: Vec<CpuStatus> = cpus.iter().map(|cpu| cpu.status).collect();
    use CpuStatus::{Disabled, Fail, Okay};
    assert_eq!(statuses, [Okay, Okay, Okay, Disabled, Fail]);

    let memory: Vec<Region> = machine.memory().map(|region| region.expect("memory")).collect();
    assert_eq!(
        memory,
        [
            region(0x4000_0000, 0x4000_0000),
            region(0x8_8000_0000, 0x8000_0000),
            // The last byte there is.
            region(0xffff_ffff_0000_0000, 0x1_0000_0000),
        ]
    );

    let reserved: Vec<_> = machine.reserved().map(|reserved| reserved.expect("reserved")).collect();
    let reserved: Vec<_> =
        reserved.iter().map(|r| (r.region.base, r.region.size, r.no_map, r.source)).collect();
    assert_eq!(
        reserved,
        [
            (0x4800_0000, 0x1_0000, false, ReservedBy::Block),
            (0x9_0000_0000, 0x1000, false, ReservedBy::Block),
            (0x5000_0000, 0x40_0000, false, ReservedBy::Initrd),
            (0x4200_0000, 0x1000, true, ReservedBy::Node),
            (0x4300_0000, 0x2000, true, ReservedBy::Node),
            (0x4500_0000, 0x1000, false, ReservedBy::Node),
        ]
    );

    let Ok(Gic::V3 { path, distributor, redistributors, dropped: 0, stride, one_by_one: false }) =
        machine.gic
    else {
        panic!("{:?}", machine.gic)
    };
    assert_eq!(path.to_string(), "/bus@100000000/interrupt-controller@20000000");
    assert_eq!((distributor, stride), (region(0x2_0000_0000, 0x1_0000), Some(0x4_0000)));
    assert_eq!(
        *redistributors,
        [
            region(0x2_0010_0000, 0x10_0000),
            region(0x2_0020_0000, 0x20_0000),
            region(0x2_0800_0000, 0x10_0000)
        ]
    );

    let psci = machine.psci.expect("psci");
    assert_eq!((psci.version, psci.conduit), (PsciVersion::V1_0, Conduit::Smc));
    // From 0.2 on the numbers are fixed, whatever the node says for older kernels.
    assert_eq!((psci.cpu_on, psci.cpu_off), (0xc400_0003, Some(0x8400_0002)));
    assert_eq!(psci.affinity_info, Some(0xc400_0004));
    assert_eq!((psci.system_off, psci.system_reset), (Some(0x8400_0008), Some(0x8400_0009)));

    let timer = machine.timer.expect("timer");
    assert_eq!(timer.secure_physical, irq(29, Trigger::EdgeFalling));
    assert_eq!(timer.physical, irq(30, Trigger::LevelLow));
    assert_eq!(timer.virtual_timer, irq(27, Trigger::LevelHigh));
    assert_eq!(timer.hyp_physical, None);
    assert_eq!(timer.hyp_virtual, irq(28, Trigger::EdgeRising));
    assert_eq!(timer.clock_frequency, Some(54_000_000));
    assert_eq!(timer.errata, CounterErrata::HISILICON_161010101);
    assert!(machine.timer_note.is_none());

    let console = machine.console.expect("console");
    assert_eq!(console.path.to_string(), "/bus@100000000/serial@2000");
    assert_eq!((console.kind, console.options, console.is_chosen), (ConsoleKind::Pl011, "115200n8", true));
    assert_eq!(console.registers, region(0x1_0000_2000, 0x1000));
    assert_eq!(console.interrupt, irq(65, Trigger::LevelHigh));
    assert_eq!(console.clock_frequency, Some(48_000_000));
    assert!(machine.console_note.is_none());

    let watchdog = machine.device_regions("reveille,watchdog").expect("a device");
    assert_eq!(*watchdog, [region(0x1_0000_3000, 0x100), region(0x2_0030_0000, 0x10)]);
    assert!(machine.device_regions("arm,pl011").is_ok_and(|regions| regions[0].base == 0x1_0000_2000));
    assert_eq!(words(machine.device_regions("nobody,nothing")), "device tree: no such device");
}

#[test]
fn narrow() {
    let blob = compile("narrow");
    let machine = machine(&blob);
    assert_eq!(machine.model, "reveille,narrow");
    assert_eq!(machine.bootargs.expect("none is fine"), "");

    let cpus = cpus(&machine);
    assert_eq!(
        cpus.iter().map(|cpu| (cpu.mpidr, cpu.method)).collect::<Vec<_>>(),
        [(1, EnableMethod::Psci), (0, EnableMethod::Psci)]
    );

    let memory: Vec<Region> = machine.memory().map(|region| region.expect("memory")).collect();
    assert_eq!(memory, [region(0, 0x4000_0000), region(0xc000_0000, 0x4000_0000)]);
    assert_eq!(machine.reserved().count(), 0);

    let Ok(Gic::V2 { path, distributor, cpu_interface }) = machine.gic else { panic!("{:?}", machine.gic) };
    assert_eq!(path.to_string(), "/soc/interrupt-controller@40041000");
    assert_eq!((distributor, cpu_interface), (region(0xff84_1000, 0x1000), region(0xff84_2000, 0x2000)));

    let psci = machine.psci.expect("psci");
    assert_eq!(psci.path.to_string(), "/firmware/psci");
    assert_eq!((psci.version, psci.conduit), (PsciVersion::V0_2, Conduit::Hvc));

    let timer = machine.timer.expect("timer");
    assert_eq!(timer.secure_physical, irq(29, Trigger::LevelLow));
    assert_eq!(timer.virtual_timer, irq(27, Trigger::LevelLow));
    assert_eq!(timer.hyp_physical, irq(26, Trigger::LevelLow));
    assert_eq!((timer.hyp_virtual, timer.clock_frequency), (None, None));
    assert_eq!(timer.errata, CounterErrata::NONE);
    // What is no frequency is told, and costs the timer nothing else.
    let note = machine.timer_note.expect("a note").to_string();
    assert_eq!(note, "device tree: /timer: clock-frequency: not one cell, bytes (0x8)");

    let console = machine.console.expect("console");
    let ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset, model } = console.kind else {
        panic!("{:?}", console.kind)
    };
    assert_eq!((reg_shift, reg_io_width, reg_offset), (2, 4, 0x10));
    assert_eq!((format!("{model:?}").as_str(), console.kind.name()), ("dw8250", "dw8250"));
    assert_eq!((console.registers, console.options), (region(0xfe30_0040, 0x40), ""));
    assert_eq!(console.interrupt, irq(32 + 93, Trigger::LevelHigh));
    assert!(console.is_chosen);
}

#[test]
fn methods() {
    let blob = compile("methods");
    let machine = machine(&blob);
    let methods: Vec<EnableMethod<'_>> = cpus(&machine).iter().map(|cpu| cpu.method).collect();
    assert_eq!(
        methods,
        [
            EnableMethod::Missing,
            EnableMethod::SpinTable { release_addr: Some(0xd8) },
            EnableMethod::SpinTable { release_addr: None },
            EnableMethod::Unknown("vendor,smp"),
            EnableMethod::Psci,
        ]
    );

    let psci = machine.psci.expect("psci");
    assert_eq!(psci.path.to_string(), "/monitor");
    assert_eq!((psci.version, psci.conduit), (PsciVersion::V0_1, Conduit::Smc));
    assert_eq!((psci.cpu_on, psci.cpu_off), (0x95c1_0002, Some(0x95c1_0001)));
    assert_eq!((psci.affinity_info, psci.system_off, psci.system_reset), (None, None, None));
}

#[test]
fn bare() {
    let blob = compile("bare");
    let machine = machine(&blob);
    assert_eq!((machine.model, machine.cpu_count(), machine.node_count()), ("", 0, 1));
    let cpus: Vec<_> = machine.cpus().map(words).collect();
    assert_eq!(cpus, ["device tree: no CPU node in /cpus"]);
    let memory: Vec<_> = machine.memory().map(words).collect();
    assert_eq!(memory, ["device tree: no /memory node with device_type \"memory\" and a size"]);
    assert_eq!(machine.reserved().count(), 0);
    assert_eq!(machine.compatible().count(), 0);
    let parts = [machine.gic.err(), machine.psci.err(), machine.timer.err(), machine.console.err()];
    assert!(parts.iter().flatten().all(Error::is_absent));
    assert_eq!(
        parts.map(|error| error.expect("absent").to_string()),
        [
            "device tree: no GIC that is known and enabled",
            "device tree: no PSCI node",
            "device tree: no generic timer",
            "device tree: no /chosen node",
        ]
    );
}

#[test]
fn broken() {
    let blob = compile("broken");
    let machine = machine(&blob);
    assert_eq!(machine.cpu_count(), 8);
    let cpus: Vec<_> =
        machine.cpus().map(|cpu| cpu.map_or_else(|e| e.to_string(), |cpu| cpu.mpidr.to_string())).collect();
    assert_eq!(
        cpus,
        [
            "device tree: /cpus/cpu@80000001: reg: bits outside the MPIDR affinity fields (0x80000001)",
            "0",
            "device tree: /cpus/cpu@00: reg: an earlier CPU has the same MPIDR (0x0)",
            "device tree: /cpus/cpu@2: reg: length does not fit #address-cells of /cpus (0x2)",
            "device tree: /cpus/cpu@3: CPU without reg",
            "device tree: /cpus/cpu@4: enable-method: not UTF-8 text",
            "device tree: /cpus/cpu@5: cpu-release-addr: not one or two cells, bytes (0x2)",
            "6",
        ]
    );
    let memory: Vec<_> = machine.memory().map(|region| region.map_err(|error| error.to_string())).collect();
    assert_eq!(
        memory,
        [
            Err("device tree: /memory@fffffffffffff000: reg: beyond 64 bits, at (0xfffffffffffff000)"
                .to_owned()),
            Ok(region(0x4000_0000, 0x1000)),
            Err("device tree: /memory@1: reg: length is not a whole number of entries (0xc)".to_owned()),
        ]
    );
    let reserved: Vec<_> = machine.reserved().map(words).collect();
    assert_eq!(
        reserved,
        [
            "device tree: memory reservation beyond 64 bits at offset 0x28",
            "device tree: /chosen: linux,initrd-end: before linux,initrd-start (0x1000)",
        ]
    );
    assert_eq!(words(machine.bootargs), "device tree: /chosen: bootargs: not UTF-8 text");
    assert_eq!(
        words(machine.gic),
        "device tree: /isolated: ranges: missing, cannot translate the child address (0x0)"
    );
    assert_eq!(words(machine.psci), "device tree: /psci: method: neither hvc nor smc");
    assert_eq!(
        words(machine.timer),
        "device tree: /timer: interrupts: no such interrupt of a GIC, number (0x10)"
    );
    // All of that can be said, for there is one UART that is described rightly.
    let console = machine.console.expect("a console");
    assert_eq!(
        (console.kind, console.registers.base, console.is_chosen),
        (ConsoleKind::SbsaUart, 0xa00_0000, false)
    );
    assert_eq!(
        machine.console_note.expect("a note").to_string(),
        "device tree: /isolated: ranges: missing, cannot translate the child address (0x1000)"
    );
}

#[test]
fn first_console() {
    let blob = compile("first-console");
    let machine = machine(&blob);
    let console = machine.console.expect("a console");
    assert_eq!(console.path.to_string(), "/serial@40000");
    assert_eq!(
        console.kind,
        ConsoleKind::Uart8250 { reg_shift: 2, reg_io_width: 4, reg_offset: 0, model: Model::UART_8250 }
    );
    assert_eq!((console.interrupt, console.options, console.is_chosen), (None, "", false));
    let note = machine.console_note.expect("a note").to_string();
    assert_eq!(note, "device tree: /chosen: stdout-path: does not lead to a node");
    assert!(machine.gic.is_err_and(|error| error.is_absent()));
    let timer = words(machine.timer);
    assert_eq!(timer, "device tree: /timer: interrupts go to a controller that is not a known GIC");
}

/// A console without registers, only if it is chosen; nor is a UART of one family of SoCs used unasked, or one that nobody knows. Where a
/// UART has an interrupt for each event, that of what was received is the one.
#[test]
fn debug_channel() {
    let blob = compile("debug-channel");
    let console = machine(&blob).console.expect("a console");
    assert_eq!((console.path.to_string().as_str(), console.kind.name()), ("/dcc", "dcc"));
    assert!(console.is_chosen && !console.kind.is_in_memory());
    assert_eq!((console.registers, console.interrupt), (region(0, 0), None));

    let chosen = |path: &[u8]| {
        let mut blob = compile("debug-channel");
        let at = blob.windows(5).position(|window| window == b"/dcc\0").expect("the path");
        blob[at..at + path.len()].copy_from_slice(path);
        blob
    };
    let blob = chosen(b"scif");
    let console = machine(&blob).console.expect("a console");
    let received = Interrupt { id: 32 + 382, trigger: Trigger::LevelHigh };
    assert_eq!((console.kind.name(), console.interrupt), ("rzscifa", Some(received)));
    let blob = chosen(b"/gic");
    let error = machine(&blob).console.expect_err("no console");
    assert!(error.to_string().ends_with("/gic@1000: no driver for this console"), "{error}");
}

/// A virtio device is the console if it is named, without its interrupt, and nobody asks it in vain whether it is one if it is not; what may
/// be asked is shown one after the other, in a damaged tree too.
#[test]
fn virtio_console() {
    use reveille_machine::dt::find_unasked;
    let blob = compile("virtio-console");
    let console = machine(&blob).console.expect("a console");
    assert_eq!((console.path.to_string().as_str(), console.kind), ("/virtio@20000", ConsoleKind::Virtio));
    assert!(console.is_chosen && console.kind.is_in_memory());
    assert_eq!((console.registers, console.interrupt), (region(0x2_0000, 0x200), None));

    let mut shown = Vec::new();
    let none = find_unasked(&blob, &mut |console| {
        shown.push((console.path.to_string(), console.kind, console.is_chosen));
        false
    });
    assert!(none.is_none());
    let virtio = |path: &str| (path.to_owned(), ConsoleKind::Virtio, false);
    let uart = ("/serial@50000".to_owned(), ConsoleKind::Pl011, false);
    assert_eq!(shown, [virtio("/virtio@20000"), virtio("/virtio@40000"), uart]);
    let second = |blob: &[u8]| {
        let mut count = 0;
        let second = find_unasked(blob, &mut |_| {
            count += 1;
            count == 2
        });
        second.map(|console| console.path.to_string())
    };
    assert_eq!(second(&blob).as_deref(), Some("/virtio@40000"));

    let chosen = |name: &[u8]| {
        let mut blob = compile("virtio-console");
        let at = blob.windows(5).position(|window| window == b"free\0").expect("the name");
        blob[at..at + name.len()].copy_from_slice(name);
        blob
    };
    // Unasked the UART comes first, for it is known to be one.
    for (name, wanted) in [
        (b"none", "device tree: /chosen: stdout-path: does not lead to a node"),
        (b"iomu", "device tree: /virtio@30000: behind an IOMMU"),
    ] {
        let blob = chosen(name);
        let machine = machine(&blob);
        assert_eq!(machine.console.expect("a console").kind, ConsoleKind::Pl011);
        assert_eq!(machine.console_note.expect("a note").to_string(), wanted);
    }
    let mut damaged = chosen(b"none");
    let at = damaged.windows(7).position(|window| window == b"serial@").expect("the node");
    damaged[at - 4..at].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(everything(&damaged), Some(Fault::Structure));
    assert_eq!(second(&damaged).as_deref(), Some("/virtio@40000"));
}

/// Of several nodes the right one: by place for PSCI, by order for the GIC, by path and status for the console.
#[test]
fn choices() {
    let blob = compile("choices");
    let machine = machine(&blob);
    let psci = machine.psci.expect("psci");
    assert_eq!((psci.path.to_string().as_str(), psci.conduit, psci.cpu_on), ("/psci", Conduit::Hvc, 0x123));
    assert_eq!(psci.cpu_off, None);

    let Ok(Gic::V2 { distributor, cpu_interface, .. }) = machine.gic else { panic!("{:?}", machine.gic) };
    // The last byte of the first range still belongs to it.
    assert_eq!((distributor, cpu_interface), (region(0x1000_0000, 0x800), region(0x1000_0fff, 1)));

    let console = machine.console.expect("a console");
    assert_eq!(console.path.to_string(), "/bus/serial@1000");
    assert_eq!(
        console.kind,
        ConsoleKind::Uart8250 { reg_shift: 0, reg_io_width: 1, reg_offset: 0, model: Model::UART_8250 }
    );
    // The first byte behind it does not; and what was meant for the chosen console is not for this one.
    assert_eq!((console.registers.base, console.options, console.is_chosen), (0x2000_0000, "", false));
    let note = machine.console_note.expect("a note").to_string();
    assert_eq!(note, "device tree: /bus/serial@0: the chosen console is disabled");
}

/// `/firmware/psci` comes before any other place but `/psci`; of other places the first one counts.
#[test]
fn psci_places() {
    let node = |method: &str| format!("{{ compatible = \"arm,psci-1.0\"; method = \"{method}\"; }};");
    let (hvc, smc) = (node("hvc"), node("smc"));
    for (body, path) in [
        (format!("a {hvc} firmware {{ psci {smc} }}; b {hvc}"), "/firmware/psci"),
        (format!("a {hvc} b {smc}"), "/a"),
        (format!("a {{ b {hvc} }}; psci {smc} firmware {{ psci {hvc} }};"), "/psci"),
    ] {
        let blob = compile_text(&format!("/dts-v1/; / {{ {body} }};"));
        assert_eq!(machine(&blob).psci.expect("psci").path.to_string(), path);
    }
}

#[test]
fn looking_around() {
    let blob = compile("wide");
    let machine = machine(&blob);
    let root = machine.node("/").expect("the root");
    assert_eq!((root.path().to_string(), root.name().to_string()), ("/".to_owned(), "/".to_owned()));
    let children: Vec<String> = root.children().map(|child| child.name().to_string()).collect();
    assert_eq!(
        children,
        [
            "aliases",
            "chosen",
            "cpus",
            "memory@40000000",
            "memory@1000000000",
            "memory@ffffffff00000000",
            "memory@7000000",
            "reserved-memory",
            "psci",
            "timer",
            "bus@100000000",
        ]
    );
    // By alias, by full path, and without unit addresses: there the first child of that name counts.
    for (path, full) in [
        ("serial0", "/bus@100000000/serial@2000"),
        ("/bus@100000000/serial@2000", "/bus@100000000/serial@2000"),
        ("/bus/serial", "/bus@100000000/serial@1000"),
        ("/cpus/cpu@10000/", "/cpus/cpu@10000"),
    ] {
        assert_eq!(machine.node(path).expect(path).path().to_string(), full);
    }
    for path in ["/bus/serial@3000", "/serial", "serial1", "/cpus/cpu@0/cpu@100", "bus@100000000"] {
        assert!(machine.node(path).is_none(), "{path}");
    }
    let serial = machine.node("serial0").expect("the console");
    let lines: Vec<String> = serial.properties().map(|property| property.to_string()).collect();
    assert_eq!(
        lines,
        [
            "compatible = \"arm,pl011\", \"arm,primecell\"",
            "reg = <0x2000 0x1000>",
            "interrupts-extended = <0x1 0x0 0x21 0x4 0x1 0x0 0x22 0x4>",
            "clock-frequency = <0x2dc6c00>",
        ]
    );
    assert_eq!(serial.property("reg").expect("reg").value, [0, 0, 0x20, 0, 0, 0, 0x10, 0]);
    assert_eq!(
        machine
            .node("/reserved-memory")
            .and_then(|node| node.property("ranges"))
            .expect("ranges")
            .to_string(),
        "ranges"
    );
}

/// Nodes within nodes: `levels` of them, the root included.
fn nested(levels: usize) -> Vec<u8> {
    let open: String = (1..levels).map(|level| format!("n{level} {{ ")).collect();
    compile_text(&format!("/dts-v1/; / {{ {open} {} }};", "};".repeat(levels - 1)))
}

#[test]
fn nesting() {
    let blob = nested(16);
    assert_eq!(machine(&blob).node_count(), 16);
    let blob = nested(17);
    assert_eq!(everything(&blob), Some(Fault::Structure));
    assert_eq!(words(Machine::parse(&blob)), "device tree: nodes nested too deep at offset 0xb8");
}

/// Sixteen redistributor regions fit, and so do thirty-two; of more the largest are kept, in their order.
#[test]
fn redistributor_regions() {
    let tree = |count: u32, listed: u32| {
        // The sizes go up and down, so that the smallest are neither the first nor the last.
        let size = |index: u32| 0x2_0000 * (1 + (index * 7) % 40);
        let regions: String = (0..=listed)
            .map(|index| format!("{:#x} {:#x} ", 0x1000_0000 + index * 0x100_0000, size(index)))
            .collect();
        compile_text(&format!(
            "/dts-v1/; / {{ #address-cells = <1>; #size-cells = <1>; gic {{ compatible = \"arm,gic-v3\";
            interrupt-controller; #redistributor-regions = <{count}>; reg = <{regions}>; }}; }};"
        ))
    };
    for count in [1, 16, 32, 33, 40] {
        let blob = tree(count, count);
        let Ok(Gic::V3 { redistributors, dropped, .. }) = machine(&blob).gic else { panic!("{count}") };
        let mut wanted: Vec<_> = (1..=count).map(|index| (1 + (index * 7) % 40, index)).collect();
        wanted.sort();
        wanted.drain(..dropped);
        wanted.sort_by_key(|(_, index)| *index);
        let bases: Vec<_> =
            wanted.iter().map(|(_, index)| 0x1000_0000 + u64::from(*index) * 0x100_0000).collect();
        assert_eq!(redistributors.iter().map(|region| region.base).collect::<Vec<_>>(), bases);
        assert_eq!(dropped, (count as usize).saturating_sub(32));
    }
    let blob = tree(5, 4);
    assert_eq!(words(machine(&blob).gic), "device tree: /gic: reg: too few entries, no entry (0x5)");
    let blob = tree(0, 1);
    assert_eq!(words(machine(&blob).gic), "device tree: /gic: #redistributor-regions is 0");
}

#[test]
fn header() {
    let blob = compile("bare");
    let refused = |at: usize, word: u32| {
        let mut blob = blob.clone();
        blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
        assert_eq!(everything(&blob), Some(Fault::Header));
        words(Machine::parse(&blob))
    };
    assert_eq!(refused(0, 0), "device tree: no magic value at its start (0x0)");
    assert_eq!(refused(4, 39), "device tree: impossible total size in the header (0x27)");
    assert_eq!(refused(4, 0x100_0001), "device tree: impossible total size in the header (0x1000001)");
    assert_eq!(refused(4, 0x1000), "device tree: cut short, total size says (0x1000)");
    assert_eq!(refused(8, u32::MAX - 3), "device tree: structure block outside the blob (0xfffffffc)");
    assert_eq!(refused(8, 41), "device tree: structure block outside the blob (0x29)");
    assert_eq!(refused(12, u32::MAX), "device tree: strings block outside the blob (0xffffffff)");
    assert_eq!(refused(16, u32::MAX), "device tree: memory reservation block outside the blob (0xffffffff)");
    assert_eq!(refused(20, 16), "device tree: not readable as version 17 (0x10)");
    assert_eq!(refused(24, 18), "device tree: not readable as version 17 (0x11)");
    assert_eq!(refused(32, u32::MAX), "device tree: strings block outside the blob (0x48)");
    assert_eq!(refused(36, u32::MAX), "device tree: structure block outside the blob (0x38)");
    assert_eq!(words(Machine::parse(&blob[..39])), "device tree: shorter than its header (0x27)");
    assert_eq!(words(Machine::parse(&[])), "device tree: shorter than its header (0x0)");

    // The reservation block may begin anywhere in the blob, but then it has to end there too.
    let mut endless = blob.clone();
    let at = blob.len() as u32 - 8;
    endless[16..20].copy_from_slice(&at.to_be_bytes());
    let reserved: Vec<_> = machine(&endless).reserved().map(words).collect();
    assert_eq!(reserved, [format!("device tree: memory reservation block without end at offset {at:#x}")]);

    let header = blob.first_chunk().expect("a header");
    assert_eq!(blob_size(header).expect("a size"), blob.len());
    // Bytes behind the blob are not looked at.
    let mut longer = blob.clone();
    longer.extend([0xff; 100]);
    assert_eq!(machine(&longer).node_count(), 1);
}

/// What truncation takes first: the names of the properties.
#[test]
fn lost_strings() {
    let mut blob = compile("narrow");
    let strings = u32::from_be_bytes(blob[12..16].try_into().expect("four bytes")) as usize;
    blob[strings..].fill(0);
    assert_eq!(everything(&blob), Some(Fault::Structure));
    let error = words(Machine::parse(&blob));
    assert!(error.starts_with("device tree: property name is not in the strings block at offset"), "{error}");
}

/// A blob that is damaged after its console still gives the console; one damaged before it does not.
#[test]
fn salvage() {
    use reveille_machine::dt::salvage;
    let damaged = |tree: &str, name: &[u8]| {
        let mut blob = compile(tree);
        let at = blob.windows(name.len()).position(|window| window == name).expect("the node");
        // The token before the name.
        blob[at - 4..at].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
        blob
    };
    let blob = damaged("wide", b"watchdog@3000");
    let error = words(Machine::parse(&blob));
    assert!(
        error.starts_with("device tree: unknown token at offset") && error.ends_with("(0xdeadbeef)"),
        "{error}"
    );
    let console = salvage(&blob).console.expect("a console");
    assert_eq!((console.registers.base, console.is_chosen), (0x1_0000_2000, true));
    assert!(salvage(&damaged("wide", b"psci")).console.is_none());
    // Cut in its last node, or before the end of it all.
    let mut blob = compile("wide");
    let end = u32::from_be_bytes(blob[8..12].try_into().expect("four bytes"))
        + u32::from_be_bytes(blob[36..40].try_into().expect("four bytes"));
    for cut in [4, 12, 40] {
        blob[end as usize - cut..end as usize].fill(0);
        assert_eq!(everything(&blob), Some(Fault::Structure));
        let console = salvage(&blob).console.expect("a console");
        assert_eq!((console.registers.base, console.is_chosen), (0x1_0000_2000, true));
        assert_eq!(console.path.to_string(), "/bus@100000000/serial@2000", "{cut}");
    }
    // The chosen one is disabled, so it is not touched; nor is it as the first one.
    let blob = damaged("choices", b"gic@0");
    assert_eq!(salvage(&blob).console.expect("a console").registers.base, 0x2000_0000);
}

/// A Linux that has crashed leaves memory that it had set apart, and no other; with or without a description of the machine.
#[test]
fn usable_memory() {
    let tree = |range: &str, cells: u32| {
        compile_text(&format!(
            "/dts-v1/; / {{ #address-cells = <{cells}>; #size-cells = <{cells}>;
                chosen {{ #address-cells = <1>; #size-cells = <1>; {range} }}; }};"
        ))
    };
    let usable = |range: &str, cells: u32| {
        let blob = tree(&format!("linux,usable-memory-range = <{range}>;"), cells);
        let found = machine(&blob).usable_memory();
        found.map(|found| found.expect("a range").to_vec()).map_err(|error| error.to_string())
    };
    assert_eq!(usable("0 0x78000000 0 0x8000000", 2), Ok(vec![region(0x7800_0000, 0x800_0000)]));
    // The higher one comes first, and one of no size is none.
    assert_eq!(
        usable("0x78000000 0x8000000 0 0 0x40000000 0x100000", 1),
        Ok(vec![region(0x7800_0000, 0x800_0000), region(0x4000_0000, 0x10_0000)])
    );
    for (range, cells, what) in [
        ("0 0x78000000 0", 2, "length is not a whole number of entries (0xc)"),
        ("", 2, "no memory in it"),
        ("0x78000000 0", 1, "no memory in it"),
        ("0xffffffff 0xfffff000 0 0x2000", 2, "beyond 64 bits, at (0xfffffffffffff000)"),
        (&"1 1 ".repeat(33), 1, "more regions than there is room for, at (0x1)"),
    ] {
        let expected = format!("device tree: /chosen: linux,usable-memory-range: {what}");
        assert_eq!(usable(range, cells), Err(expected), "{range}");
    }
    assert!(machine(&tree("", 2)).usable_memory().expect("nothing wrong").is_none());
}

#[test]
fn bcm2836() {
    let tree = |timer: &str, serial: &str| {
        compile_text(&format!(
            "/dts-v1/; / {{ #address-cells = <1>; #size-cells = <1>; interrupt-parent = <2>;
                one {{ compatible = \"brcm,bcm2836-l1-intc\"; reg = <0x40000000 0x100>; interrupt-controller; phandle = <1>;
                    #interrupt-cells = <2>; }};
                two {{ compatible = \"brcm,bcm2836-armctrl-ic\"; reg = <0x3f00b200 0x200>; interrupt-controller; phandle = <2>;
                    #interrupt-cells = <2>; interrupt-parent = <1>; interrupts = <8 4>; }};
                timer {{ compatible = \"arm,armv7-timer\"; interrupt-parent = <1>; interrupts = {timer}; }};
                serial {{ compatible = \"arm,pl011\"; reg = <0x3f201000 0x200>; interrupts = {serial}; }}; }};"
        ))
    };
    let blob = tree("<0 4 1 4 3 4 2 4>", "<0 7>");
    let found = machine(&blob);
    let Ok(Gic::Bcm2836 { local, peripherals, .. }) = found.gic else { panic!("{:?}", found.gic) };
    assert_eq!((local, peripherals), (region(0x4000_0000, 0x100), Some(region(0x3f00_b200, 0x200))));
    assert_eq!(found.timer.expect("a timer").virtual_timer, irq(19, Trigger::LevelHigh));
    assert_eq!(found.console.expect("a console").interrupt, irq(103, Trigger::LevelHigh));
    // The ends of each bank, and what is beyond.
    for (serial, id) in [("<1 0>", 32), ("<1 31>", 63), ("<2 0>", 64), ("<2 31>", 95), ("<0 0>", 96)] {
        assert_eq!(
            machine(&tree("<0 4>", serial)).console.expect("a console").interrupt,
            irq(id, Trigger::LevelHigh)
        );
    }
    for serial in ["<0 8>", "<1 32>", "<3 0>", "<0xffffffff 0xffffffff>", "<1>", "<1 2 3>"] {
        assert_eq!(machine(&tree("<0 4>", serial)).console.expect("a console").interrupt, None);
    }
    let words = words(machine(&tree("<16 4>", "<1 0>")).timer);
    assert_eq!(words, "device tree: /timer: interrupts: no such interrupt of a BCM2836 (0x10)");
}
