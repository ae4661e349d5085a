//! The same questions put to two readers: the one under test and a plain, recursive one over [`dts`](crate::dts).
//!
//! Both answer in words, aspect by aspect, so that a difference can be read off.

use std::fmt::Write;

use crate::dts::{Node, Tree};
use reveille_machine::{
    ConsoleKind, CpuStatus, EnableMethod, Error, Fault, Gic, Interrupt, Machine, Trigger,
};

/// What is compared, in the order of [`Answers`].
pub const ASPECTS: [&str; 8] = ["cpus", "gic", "psci", "console", "timer", "memory", "reserved", "board"];

/// One line per entry of [`ASPECTS`].
pub type Answers = [String; ASPECTS.len()];

/// What the reader under test says.
pub fn reader(machine: &Machine<'_>) -> Answers {
    let cpus = machine.cpus().map(|cpu| match cpu {
        Err(error) => fault(&error),
        Ok(cpu) => {
            let method = match cpu.method {
                EnableMethod::Psci => "psci".to_owned(),
                EnableMethod::SpinTable { release_addr: Some(address) } => format!("spin-table {address:#x}"),
                EnableMethod::SpinTable { release_addr: None } => "spin-table".to_owned(),
                EnableMethod::Unknown(method) => format!("unknown {method}"),
                EnableMethod::Parking { address, .. } => format!("parked at {address:#x}"),
                EnableMethod::Missing => "missing".to_owned(),
            };
            let status = match cpu.status {
                CpuStatus::Okay => "",
                CpuStatus::Disabled => " disabled",
                CpuStatus::Fail => " fail",
            };
            format!("{:#x} {method}{status}", cpu.mpidr)
        }
    });
    let gic = match &machine.gic {
        Err(error) => fault(error),
        Ok(Gic::V2 { path, distributor, cpu_interface }) => {
            format!("v2 {path} {:#x} {:#x}", distributor.base, cpu_interface.base)
        }
        Ok(Gic::V3 { path, distributor, redistributors, stride, .. }) => {
            let mut text = format!("v3 {path} {:#x}", distributor.base);
            for region in redistributors.iter() {
                let _ = write!(text, " {:#x}+{:#x}", region.base, region.size);
            }
            text + &stride.map_or(String::new(), |stride| format!(" stride {stride:#x}"))
        }
        Ok(Gic::Bcm2836 { path, local, peripherals }) => {
            format!("bcm2836 {path} {:#x} {:#x}", local.base, peripherals.map_or(0, |region| region.base))
        }
    };
    let psci = match &machine.psci {
        Err(error) => fault(error),
        Ok(psci) => {
            format!("{} {:?} {:?} {:#x}", psci.path, psci.version, psci.conduit, psci.cpu_on).to_lowercase()
        }
    };
    let console = match &machine.console {
        Err(error) => match (error.fault(), error.node()) {
            (Fault::Unsupported, Some(path)) => format!("no driver for {path}"),
            (Fault::Property, Some(_)) => "unresolved".to_owned(),
            _ => fault(error),
        },
        Ok(console) => {
            let kind = match console.kind {
                ConsoleKind::Pl011 => "pl011".to_owned(),
                ConsoleKind::SbsaUart => "sbsa".to_owned(),
                ConsoleKind::Uart8250 { reg_shift, reg_io_width, .. } => {
                    format!("8250 {reg_shift} {reg_io_width}")
                }
                kind => kind.name().to_owned(),
            };
            let how = if console.is_chosen { "chosen" } else { "first" };
            let id = console.interrupt.map_or(String::new(), |interrupt| format!(" {}", interrupt.id));
            let (path, base, options) = (console.path, console.registers.base, console.options);
            format!("{how} {path} {kind} {base:#x} {options}{id}")
        }
    };
    let timer = match &machine.timer {
        Err(error) if error.fault() == Fault::Unsupported => "not at a GIC".to_owned(),
        Err(error) => fault(error),
        Ok(timer) => {
            let views = [
                timer.secure_physical,
                timer.physical,
                timer.virtual_timer,
                timer.hyp_physical,
                timer.hyp_virtual,
            ];
            let views: Vec<String> =
                views.iter().map(|view| view.map_or("-".to_owned(), interrupt)).collect();
            views.join(" ")
        }
    };
    let memory = machine.memory().map(|region| match region {
        Err(error) => fault(&error),
        Ok(region) => format!("{:#x}+{:#x}", region.base, region.size),
    });
    let reserved = machine.reserved().map(|reserved| match reserved {
        Err(error) => fault(&error),
        Ok(reserved) => {
            let no_map = if reserved.no_map { " no-map" } else { "" };
            format!("{:#x}+{:#x}{no_map}", reserved.region.base, reserved.region.size)
        }
    });
    let board: Vec<&str> = machine.compatible().collect();
    let bootargs = machine.bootargs.as_ref().map_or_else(fault, |bootargs| (*bootargs).to_owned());
    [
        joined(cpus),
        gic,
        psci,
        console,
        timer,
        joined(memory),
        joined(reserved),
        format!("{} [{}] {bootargs}", machine.model, board.join(" ")),
    ]
}

fn fault(error: &Error<'_>) -> String {
    if error.is_absent() { "none".to_owned() } else { error.to_string() }
}

/// An interrupt, as the readings have it.
pub(crate) fn interrupt(interrupt: Interrupt) -> String {
    let trigger = match interrupt.trigger {
        Trigger::EdgeRising => "rising",
        Trigger::EdgeFalling => "falling",
        Trigger::LevelHigh => "high",
        Trigger::LevelLow => "low",
        Trigger::Unspecified => "?",
    };
    format!("{}:{trigger}", interrupt.id)
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("; ")
}

/// A node with the nodes above it, nearest first.
type Place<'t> = (&'t Node, Vec<&'t Node>);

/// What the text of the tree says.
pub fn truth(tree: &Tree) -> Answers {
    let mut places = Vec::new();
    collect(&tree.root, &mut Vec::new(), &mut places);
    [
        or_none(cpus(tree)),
        gic(tree, &places),
        psci(&places),
        console(tree, &places),
        timer(&places),
        or_none(memory(tree)),
        reserved(tree),
        board(tree),
    ]
}

fn or_none(items: Vec<String>) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join("; ") }
}

fn collect<'t>(node: &'t Node, above: &mut Vec<&'t Node>, places: &mut Vec<Place<'t>>) {
    places.push((node, above.iter().rev().copied().collect()));
    above.push(node);
    for child in &node.children {
        collect(child, above, places);
    }
    above.pop();
}

fn path(place: &Place<'_>) -> String {
    let names: Vec<&str> = place.1.iter().rev().map(|node| node.name.as_str()).collect();
    if names.is_empty() { "/".to_owned() } else { format!("{}/{}", names.join("/"), place.0.name) }
}

fn is_okay(node: &Node) -> bool {
    matches!(node.text("status").as_deref(), None | Some("okay" | "ok"))
}

fn is_usable(place: &Place<'_>) -> bool {
    is_okay(place.0) && place.1.iter().all(|above| is_okay(above))
}

fn is_any(node: &Node, names: &[&str]) -> bool {
    node.strings("compatible").iter().any(|name| names.contains(&name.as_str()))
}

fn value(cells: &[u32]) -> i128 {
    cells.iter().fold(0, |value, cell| value << 32 | i128::from(*cell))
}

/// `reg` in CPU physical addresses; `None` where no bus leads there.
fn reg(place: &Place<'_>) -> Vec<Option<(i128, i128)>> {
    let Some(parent) = place.1.first() else { return Vec::new() };
    let address_cells = parent.cell("#address-cells").unwrap_or(2) as usize;
    let size_cells = parent.cell("#size-cells").unwrap_or(1) as usize;
    let cells = place.0.cells("reg").unwrap_or_default();
    if address_cells + size_cells == 0 {
        return Vec::new();
    }
    let entries = cells.chunks_exact(address_cells + size_cells);
    entries
        .map(|entry| {
            Some((upwards(&place.1, value(&entry[..address_cells]))?, value(&entry[address_cells..])))
        })
        .collect()
}

/// An address on the bus `buses[0]` as the root sees it.
fn upwards(buses: &[&Node], address: i128) -> Option<i128> {
    let [bus, above @ ..] = buses else { return None };
    let Some(parent) = above.first() else { return Some(address) };
    let ranges = bus.cells("ranges")?;
    if ranges.is_empty() {
        return upwards(above, address);
    }
    let child_cells = bus.cell("#address-cells").unwrap_or(2) as usize;
    let parent_cells = parent.cell("#address-cells").unwrap_or(2) as usize;
    let size_cells = bus.cell("#size-cells").unwrap_or(1) as usize;
    for range in ranges.chunks_exact(child_cells + parent_cells + size_cells) {
        let child = value(&range[..child_cells]);
        let parent = value(&range[child_cells..][..parent_cells]);
        let size = value(&range[child_cells + parent_cells..]);
        if (child..child + size).contains(&address) {
            return upwards(above, address - child + parent);
        }
    }
    None
}

fn cpus(tree: &Tree) -> Vec<String> {
    let Some(container) = tree.root.child("cpus") else { return Vec::new() };
    let nodes = container.children.iter().filter(|node| match node.text("device_type") {
        Some(kind) => kind == "cpu",
        None => node.base() == "cpu",
    });
    nodes
        .map(|node| {
            let method = node.text("enable-method").or_else(|| container.text("enable-method"));
            let method = match method.as_deref() {
                Some("psci") => "psci".to_owned(),
                Some("spin-table") => match node.cells("cpu-release-addr") {
                    Some(cells) => format!("spin-table {:#x}", value(&cells)),
                    None => "spin-table".to_owned(),
                },
                Some(other) => format!("unknown {other}"),
                None => "missing".to_owned(),
            };
            let status = match node.text("status").as_deref() {
                None | Some("okay" | "ok") => "",
                Some(status) if status.starts_with("fail") => " fail",
                Some(_) => " disabled",
            };
            format!("{:#x} {method}{status}", value(&node.cells("reg").unwrap_or_default()))
        })
        .collect()
}

const GIC_V2: [&str; 13] = [
    "arm,gic-400",
    "arm,cortex-a15-gic",
    "arm,cortex-a9-gic",
    "arm,cortex-a7-gic",
    "arm,cortex-a5-gic",
    "arm,arm11mp-gic",
    "arm,arm1176jzf-devchip-gic",
    "arm,eb11mp-gic",
    "arm,tc11mp-gic",
    "arm,pl390",
    "brcm,brahma-b15-gic",
    "qcom,msm-8660-qgic",
    "qcom,msm-qgic2",
];
const GIC_V3: [&str; 2] = ["arm,gic-v3", "qcom,msm8996-gic-v3"];

/// In place of a GIC on a BCM2836, and what is behind it.
const BCM2836: [&str; 2] = ["brcm,bcm2836-l1-intc", "brcm,bcm2836-armctrl-ic"];

fn is_gic(node: &Node) -> bool {
    let is_known = is_any(node, &GIC_V2) || is_any(node, &GIC_V3) || is_any(node, &BCM2836[..1]);
    node.bytes("interrupt-controller").is_some() && is_known
}

fn is_controller(node: &Node) -> bool {
    is_gic(node) || (node.bytes("interrupt-controller").is_some() && is_any(node, &BCM2836[1..]))
}

fn by_phandle<'t, 'p>(places: &'p [Place<'t>], phandle: u32) -> Option<&'p Place<'t>> {
    places.iter().find(|(node, _)| node.cell("phandle").or(node.cell("linux,phandle")) == Some(phandle))
}

/// The GIC that the root's interrupts end up at, through whatever controllers lie between; else the first.
fn root_gic<'t, 'p>(tree: &'t Tree, places: &'p [Place<'t>]) -> Option<&'p Place<'t>> {
    let mut next = tree.root.cell("interrupt-parent");
    for _ in 0..8 {
        let Some(place) = next.and_then(|phandle| by_phandle(places, phandle)) else { break };
        if is_gic(place.0) && is_usable(place) {
            return Some(place);
        }
        next = place.0.cell("interrupt-parent");
    }
    places.iter().find(|place| is_gic(place.0) && is_usable(place))
}

fn gic(tree: &Tree, places: &[Place<'_>]) -> String {
    let Some(place) = root_gic(tree, places) else { return "none".to_owned() };
    let reg = reg(place);
    let base = |index: usize| match reg.get(index) {
        Some(Some(entry)) => format!("{:#x}", entry.0),
        _ => "nowhere".to_owned(),
    };
    if is_any(place.0, &GIC_V2) {
        return format!("v2 {} {} {}", path(place), base(0), base(1));
    }
    if is_any(place.0, &BCM2836) {
        let behind = places.iter().find(|place| is_usable(place) && is_any(place.0, &BCM2836[1..]));
        let behind = behind.and_then(|place| self::reg(place).first().copied().flatten()).unwrap_or_default();
        return format!("bcm2836 {} {} {:#x}", path(place), base(0), behind.0);
    }
    let mut text = format!("v3 {} {}", path(place), base(0));
    for index in 1..=place.0.cell("#redistributor-regions").unwrap_or(1) as usize {
        let size = reg.get(index).copied().flatten().unwrap_or_default().1;
        let _ = write!(text, " {}+{size:#x}", base(index));
    }
    match place.0.cells("redistributor-stride") {
        Some(stride) => format!("{text} stride {:#x}", value(&stride)),
        None => text,
    }
}

fn psci(places: &[Place<'_>]) -> String {
    const VERSIONS: [(&str, &str); 3] =
        [("arm,psci-1.0", "v1_0"), ("arm,psci-0.2", "v0_2"), ("arm,psci", "v0_1")];
    let nodes = || places.iter().filter(|place| is_usable(place) && is_any(place.0, &VERSIONS.map(|v| v.0)));
    let at = |wanted: &str| nodes().find(|place| path(place) == wanted);
    let Some(place) = at("/psci").or(at("/firmware/psci")).or(nodes().next()) else {
        return "none".to_owned();
    };
    let version =
        VERSIONS.iter().find(|version| is_any(place.0, &[version.0])).map_or("", |version| version.1);
    let cpu_on = match version {
        "v0_1" => place.0.cell("cpu_on").unwrap_or_default(),
        _ => 0xc400_0003,
    };
    format!("{} {version} {} {cpu_on:#x}", path(place), place.0.text("method").unwrap_or_default())
}

/// Compatible string, kind, and for the 8250 class shift and width unless the node says otherwise.
const UARTS: [(&str, &str, u32, u32); 47] = [
    ("arm,pl011", "pl011", 0, 0),
    ("arm,sbsa-uart", "sbsa", 0, 0),
    ("brcm,bcm2835-aux-uart", "8250", 2, 4),
    ("mediatek,mt6577-uart", "8250", 2, 4),
    ("nuvoton,npcm750-uart", "8250", 2, 4),
    ("ti,omap2-uart", "8250", 2, 4),
    ("ti,omap3-uart", "8250", 2, 4),
    ("ti,omap4-uart", "8250", 2, 4),
    ("ti,am3352-uart", "8250", 2, 4),
    ("ti,am4372-uart", "8250", 2, 4),
    ("ti,dra742-uart", "8250", 2, 4),
    ("ti,am654-uart", "8250", 2, 4),
    ("ns16550a", "8250", 0, 1),
    ("ns16550", "8250", 0, 1),
    ("ns16450", "8250", 0, 1),
    ("ns8250", "8250", 0, 1),
    ("ns16850", "8250", 0, 1),
    ("ns16750", "8250", 0, 1),
    ("snps,dw-apb-uart", "8250", 0, 1),
    ("fsl,ns16550", "8250", 0, 1),
    ("fsl,16550-FIFO64", "8250", 0, 1),
    ("intel,xscale-uart", "8250", 0, 1),
    ("mrvl,mmp-uart", "8250", 2, 1),
    ("nvidia,tegra20-uart", "8250", 0, 1),
    ("cdns,uart-r1p12", "cdns", 0, 0),
    ("cdns,uart-r1p8", "cdns", 0, 0),
    ("fsl,imx6q-uart", "imx", 0, 0),
    ("fsl,imx21-uart", "imx", 0, 0),
    ("fsl,imx7ulp-lpuart", "lpuart", 0, 0),
    ("fsl,imx8qxp-lpuart", "lpuart", 0, 0),
    ("fsl,ls1028a-lpuart", "ls1028a", 0, 0),
    ("fsl,ls1021a-lpuart", "ls1021a", 0, 0),
    ("qcom,geni-debug-uart", "geni", 0, 0),
    ("qcom,geni-uart", "geni", 0, 0),
    ("qcom,msm-uartdm", "msm", 0, 0),
    ("amlogic,meson-uart", "meson", 0, 0),
    ("amlogic,meson-ao-uart", "meson", 0, 0),
    ("renesas,scif", "scif", 0, 0),
    ("renesas,hscif", "scif", 0, 0),
    ("renesas,scif-r9a07g044", "rzscifa", 0, 0),
    ("renesas,scif-r9a09g057", "rzscifa", 0, 0),
    ("marvell,armada-3700-uart", "a3700", 0, 0),
    ("samsung,exynos4210-uart", "exynos", 0, 0),
    ("samsung,exynos5433-uart", "exynos", 0, 0),
    ("samsung,exynos850-uart", "exynos", 0, 0),
    ("samsung,exynos8895-uart", "exynos", 0, 0),
    ("google,gs101-uart", "gs101", 0, 0),
];

fn uart(place: &Place<'_>) -> Option<String> {
    let names = place.0.strings("compatible");
    let uart = names.iter().find_map(|name| UARTS.iter().find(|uart| uart.0 == name))?;
    let base = reg(place).first().copied().flatten()?.0;
    let layout = match uart.1 {
        "8250" => {
            let shift = place.0.cell("reg-shift").unwrap_or(uart.2);
            let width = place.0.cell("reg-io-width").unwrap_or(uart.3);
            format!(" {shift} {width}")
        }
        _ => String::new(),
    };
    Some(format!("{} {}{layout} {base:#x}", path(place), uart.1))
}

fn console(tree: &Tree, places: &[Place<'_>]) -> String {
    let chosen = tree.root.child("chosen");
    let stdout = chosen.and_then(|chosen| chosen.text("stdout-path").or(chosen.text("linux,stdout-path")));
    let (target, options) =
        stdout.as_deref().map_or(("", ""), |text| text.split_once(':').unwrap_or((text, "")));
    let target = match target.strip_prefix('/') {
        Some(_) => Some(target.to_owned()),
        None => tree.root.child("aliases").and_then(|aliases| aliases.text(target)),
    };
    let place = target.and_then(|target| {
        let mut place: Place<'_> = (&tree.root, Vec::new());
        for name in target.split('/').filter(|name| !name.is_empty()) {
            let child = place.0.child(name)?;
            place.1.insert(0, place.0);
            place.0 = child;
        }
        Some(place)
    });
    // What is said if no other UART will do either.
    let excuse = match (&stdout, &place) {
        (Some(_), None) => "unresolved".to_owned(),
        (Some(_), Some(place)) if is_usable(place) => format!("no driver for {}", path(place)),
        _ => "none".to_owned(),
    };
    let chosen = place.filter(is_usable).and_then(|place| Some((uart(&place)?, place)));
    let (how, (text, place), options) = match chosen {
        Some(chosen) => ("chosen", chosen, options),
        None => {
            let mut usable = places.iter().filter(|place| is_usable(place));
            // One that nobody has chosen may have no clock, unless it is of a kind that every board has.
            let general =
                |text: &String| [" pl011 ", " sbsa ", " 8250 "].iter().any(|kind| text.contains(kind));
            let Some(first) = usable.find_map(|place| Some((uart(place).filter(general)?, place.clone())))
            else {
                return excuse;
            };
            ("first", first, "")
        }
    };
    let interrupt = match interrupts(places, &place) {
        Some(list) => {
            // Where each event has its own, what was received is not the first.
            let names = place.0.strings("interrupt-names");
            let at = names.iter().position(|name| name == "rxi").unwrap_or(0);
            list.get(at).map(|one| format!(" {}", one.split(':').next().unwrap_or_default()))
        }
        None => None,
    };
    format!("{how} {text} {options}{}", interrupt.unwrap_or_default())
}

/// The interrupts of a node, if all of them go straight to a GIC.
fn interrupts(places: &[Place<'_>], place: &Place<'_>) -> Option<Vec<String>> {
    let mut specifiers = Vec::new();
    let mut names = Vec::new();
    if let Some(cells) = place.0.cells("interrupts-extended") {
        let mut rest = cells.as_slice();
        while let [phandle, more @ ..] = rest {
            let controller = by_phandle(places, *phandle)?.0;
            let count = controller.cell("#interrupt-cells")? as usize;
            if specifiers.is_empty() && !is_controller(controller) {
                return None;
            }
            specifiers.push(more.get(..count)?.to_vec());
            names = controller.strings("compatible");
            rest = &more[count..];
        }
    } else {
        let cells = place.0.cells("interrupts")?;
        let mut upwards = std::iter::once(place.0).chain(place.1.iter().copied());
        let controller = by_phandle(places, upwards.find_map(|node| node.cell("interrupt-parent"))?)?.0;
        if !is_controller(controller) {
            return None;
        }
        names = controller.strings("compatible");
        specifiers.extend(cells.chunks(controller.cell("#interrupt-cells")? as usize).map(<[u32]>::to_vec));
    }
    specifiers
        .iter()
        .map(|cells| {
            // There are sixteen PPIs; one Cavium tree numbers them like the INTIDs.
            let (id, flags) = match (names.first()?.as_str(), cells.first()?, *cells.get(1)?) {
                ("brcm,bcm2836-l1-intc", number, flags) => (16 + number, flags),
                ("brcm,bcm2836-armctrl-ic", bank, number) => ([96, 32, 64].get(*bank as usize)? + number, 4),
                (_, 0, number) => (32 + number, *cells.get(2)?),
                (_, 1, number @ ..16) => (16 + number, *cells.get(2)?),
                _ => return None,
            };
            let trigger = match flags & 15 {
                1 => "rising",
                2 => "falling",
                4 => "high",
                8 => "low",
                _ => "?",
            };
            Some(format!("{id}:{trigger}"))
        })
        .collect()
}

fn timer(places: &[Place<'_>]) -> String {
    let mut timers = places
        .iter()
        .filter(|place| is_usable(place) && is_any(place.0, &["arm,armv8-timer", "arm,armv7-timer"]));
    let Some(place) = timers.next() else { return "none".to_owned() };
    let Some(list) = interrupts(places, place) else { return "not at a GIC".to_owned() };
    let names = place.0.strings("interrupt-names");
    let views =
        ["sec-phys", "phys", "virt", "hyp-phys", "hyp-virt"].iter().enumerate().map(|(index, view)| {
            let at = if names.is_empty() { Some(index) } else { names.iter().position(|name| name == view) };
            at.and_then(|at| list.get(at)).map_or("-", String::as_str)
        });
    views.collect::<Vec<_>>().join(" ")
}

fn memory(tree: &Tree) -> Vec<String> {
    let nodes = tree.root.children.iter();
    let nodes = nodes.filter(|node| is_okay(node) && node.text("device_type").as_deref() == Some("memory"));
    let entries = nodes.flat_map(|node| reg(&(node, vec![&tree.root]))).flatten();
    entries.filter(|entry| entry.1 != 0).map(|(base, size)| format!("{base:#x}+{size:#x}")).collect()
}

fn reserved(tree: &Tree) -> String {
    let block = tree.reservations.iter().filter(|(_, size)| *size != 0);
    let mut list: Vec<String> = block.map(|(base, size)| format!("{base:#x}+{size:#x}")).collect();
    for node in &tree.root.children {
        if node.name == "chosen"
            && let Some(start) = node.cells("linux,initrd-start")
            && let Some(end) = node.cells("linux,initrd-end")
        {
            list.push(format!("{:#x}+{:#x}", value(&start), value(&end) - value(&start)));
        }
        if node.name != "reserved-memory" {
            continue;
        }
        for child in node.children.iter().filter(|child| is_okay(child)) {
            let no_map = if child.bytes("no-map").is_some() { " no-map" } else { "" };
            for (base, size) in reg(&(child, vec![node, &tree.root])).into_iter().flatten() {
                if size != 0 {
                    list.push(format!("{base:#x}+{size:#x}{no_map}"));
                }
            }
        }
    }
    list.join("; ")
}

fn board(tree: &Tree) -> String {
    let names = tree.root.strings("compatible");
    let model = tree.root.text("model").or(names.first().cloned()).unwrap_or_default();
    let bootargs = tree.root.child("chosen").and_then(|chosen| chosen.text("bootargs")).unwrap_or_default();
    format!("{model} [{}] {bootargs}", names.join(" "))
}
