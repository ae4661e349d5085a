//! ACPI tables: made here byte by byte, put into a memory, and read a second way, by `iasl -d`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::blobs::temporary;
use crate::truth::interrupt;
use reveille_machine::{Conduit, Console, ConsoleKind, CpuStatus, EnableMethod, Gic, Machine};

/// Where memory begins, and the RSDP lies.
pub const BASE: u64 = 0x4000_0000;

/// A table without its header being right yet.
#[derive(Clone)]
pub struct Table(Vec<u8>);

impl Table {
    /// A header alone, of this signature and revision.
    pub fn new(signature: &str, revision: u8) -> Self {
        let mut bytes = signature.as_bytes().to_vec();
        bytes.extend([0, 0, 0, 0, revision, 0]);
        bytes.extend(b"REVEILTESTTABL\x01\0\0\0TEST\x01\0\0\0");
        Self(bytes)
    }

    /// The same with another OEM ID and OEM Table ID.
    pub fn by(mut self, oem: &[u8; 14]) -> Self {
        self.0[10..24].copy_from_slice(oem);
        self
    }

    /// A number of `width` bytes more.
    pub fn number(mut self, width: usize, value: u64) -> Self {
        self.0.extend(&value.to_le_bytes()[..width]);
        self
    }

    /// Bytes more.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Zeros up to this length.
    pub fn zeros_to(mut self, length: usize) -> Self {
        self.0.resize(self.0.len().max(length), 0);
        self
    }

    /// The bytes, with length and checksum put right.
    pub fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        settle(&mut self.0, 9);
        self.0
    }
}

/// Makes the bytes add up to 0 by the one at `at`.
pub fn settle(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
}

/// A CPU in the MADT.
#[derive(Clone, Copy, Default)]
pub struct Gicc {
    /// CPU interface number.
    pub id: u32,
    /// Flags: bit 0 enabled, bit 3 online capable.
    pub flags: u32,
    /// Version and address of the mailbox of the parking protocol.
    pub parked: (u32, u64),
    /// GICC.
    pub interface: u64,
    /// GICR.
    pub redistributor: u64,
    /// Affinity.
    pub mpidr: u64,
    /// Bytes: 76 in ACPI 5.1, 80 in 6.0, 82 in 6.5.
    pub length: u8,
}

impl Gicc {
    /// An enabled one of this MPIDR.
    pub fn of(mpidr: u64) -> Self {
        Self { id: mpidr as u32, flags: 1, mpidr, length: 80, ..Self::default() }
    }

    /// The structure.
    pub fn structure(&self) -> Vec<u8> {
        let mut bytes = vec![0xb, self.length, 0, 0];
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.parked.0.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.parked.1.to_le_bytes());
        bytes.extend(self.interface.to_le_bytes());
        bytes.extend([0; 20]);
        bytes.extend(self.redistributor.to_le_bytes());
        bytes.extend(self.mpidr.to_le_bytes());
        bytes.resize(self.length.into(), 0);
        bytes
    }
}

/// A GICD structure.
pub fn gicd(base: u64, version: u8) -> Vec<u8> {
    let mut bytes = vec![0xc, 24, 0, 0, 0, 0, 0, 0];
    bytes.extend(base.to_le_bytes());
    bytes.extend([0, 0, 0, 0, version, 0, 0, 0]);
    bytes
}

/// A GICR structure.
pub fn gicr(base: u64, length: u32) -> Vec<u8> {
    let mut bytes = vec![0xe, 16, 0, 0];
    bytes.extend(base.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes
}

/// An ITS, which nobody asks for.
pub fn its(base: u64) -> Vec<u8> {
    let mut bytes = vec![0xf, 20, 0, 0, 0, 0, 0, 0];
    bytes.extend(base.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// A MADT of these structures.
pub fn madt(structures: &[Vec<u8>]) -> Vec<u8> {
    let start = Table::new("APIC", 4).zeros_to(44);
    structures.iter().fold(start, |madt, structure| madt.bytes(structure)).finish()
}

/// A GTDT with these GSIVs and flags; with the fifth, of ACPI 6.3.
pub fn gtdt(views: &[(u32, u32)]) -> Vec<u8> {
    let pair = |table: Table, (gsiv, flags): (u32, u32)| table.number(4, gsiv.into()).number(4, flags.into());
    let table = Table::new("GTDT", if views.len() > 4 { 3 } else { 2 }).zeros_to(48);
    let table = views[..4].iter().fold(table, |table, view| pair(table, *view));
    views[4..].iter().fold(table.zeros_to(96), |table, view| pair(table, *view)).finish()
}

/// A FADT with reduced hardware and these ARM boot flags.
pub fn fadt(arm: u16) -> Vec<u8> {
    Table::new("FACP", 6)
        .zeros_to(112)
        .number(4, 1 << 20)
        .zeros_to(129)
        .number(2, arm.into())
        .number(1, 3)
        .zeros_to(276)
        .finish()
}

/// A Generic Address Structure.
pub fn gas(space: u8, bits: u8, access: u8, address: u64) -> Vec<u8> {
    let mut bytes = vec![space, bits, 0, access];
    bytes.extend(address.to_le_bytes());
    bytes
}

/// An SPCR of revision 2.
pub fn spcr(kind: u8, address: &[u8], gsiv: u32, baud: u8) -> Vec<u8> {
    Table::new("SPCR", 2)
        .number(1, kind.into())
        .zeros_to(40)
        .bytes(address)
        .bytes(&[8, 0])
        .number(4, gsiv.into())
        .bytes(&[baud, 0, 1, 0, 3, 0, 0xff, 0xff, 0xff, 0xff])
        .zeros_to(80)
        .finish()
}

/// A DBG2 of these ports: type, subtype, address.
pub fn dbg2(ports: &[(u16, u16, Vec<u8>)]) -> Vec<u8> {
    let start = Table::new("DBG2", 0).number(4, 44).number(4, ports.len() as u64);
    ports
        .iter()
        .fold(start, |table, (kind, subtype, address)| {
            table
                .bytes(&[0, 40, 0, 1, 2, 0, 38, 0, 0, 0, 0, 0])
                .number(2, (*kind).into())
                .number(2, (*subtype).into())
                .bytes(&[0, 0, 22, 0, 34, 0])
                .bytes(address)
                .number(4, 0x1000)
                .bytes(b".\0")
        })
        .finish()
}

/// A memory from [`BASE`] on.
#[derive(Clone)]
pub struct Memory(pub Vec<u8>);

impl Memory {
    /// With an RSDP, an XSDT, and these tables.
    pub fn of(tables: &[Vec<u8>]) -> Self {
        let mut pointers = Vec::new();
        let mut rest: Vec<u8> = Vec::new();
        let first = BASE + 64 + 36 + 8 * tables.len() as u64;
        for table in tables {
            pointers.extend((first + rest.len() as u64).to_le_bytes());
            rest.extend(table);
        }
        let mut bytes = rsdp(2, 0, BASE + 64);
        bytes.resize(64, 0);
        bytes.extend(Table::new("XSDT", 1).bytes(&pointers).finish());
        bytes.extend(rest);
        Self(bytes)
    }

    /// What is at `at`, if that is in it.
    pub fn read(&self, at: u64, length: usize) -> Option<&[u8]> {
        self.0.get(usize::try_from(at.checked_sub(BASE)?).ok()?..)?.get(..length)
    }

    /// What the reader makes of it.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub fn machine(&self) -> Result<Machine<'_>, reveille_machine::Error<'_>> {
        Machine::from_acpi(BASE, "", &mut |at, length| self.read(at, length))
    }

    /// Puts every checksum right that the reader would look at.
    pub fn repair(&mut self) {
        let number = |bytes: &[u8], at: usize, width: usize| {
            bytes
                .get(at..at + width)
                .map_or(0, |bytes| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let bytes = &mut self.0;
        if bytes.len() < 36 {
            return;
        }
        let (root, width) = match number(bytes, 24, 8) {
            xsdt @ 1.. if bytes[15] >= 2 => (xsdt, 8),
            _ => (number(bytes, 16, 4), 4),
        };
        let length = number(bytes, 20, 4) as usize;
        settle(&mut bytes[..20], 8);
        if let Some(whole) = bytes.get_mut(..length).filter(|whole| whole.len() >= 36) {
            settle(whole, 32);
        }
        let place = |at: u64| usize::try_from(at.wrapping_sub(BASE)).unwrap_or(usize::MAX);
        let header = |bytes: &[u8], at: usize| {
            let length = number(bytes.get(at..).unwrap_or(&[]), 4, 4) as usize;
            (length >= 36).then(|| at..at.saturating_add(length)).filter(|range| range.end <= bytes.len())
        };
        let Some(root) = header(bytes, place(root)) else { return };
        // Those that follow may overlap it.
        for pointer in (root.start + 36..root.end).step_by(width).take(256) {
            if let Some(table) = header(bytes, place(number(bytes, pointer, width))) {
                settle(&mut bytes[table], 9);
            }
        }
        settle(&mut bytes[root], 9);
    }
}

/// An RSDP.
pub fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0REVEIL".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    settle(&mut bytes, 8);
    if revision >= 2 {
        bytes.extend(36_u32.to_le_bytes());
        bytes.extend(xsdt.to_le_bytes());
        bytes.extend([0; 4]);
        settle(&mut bytes, 32);
    }
    bytes
}

/// The fields of a table as `iasl -d` has them, in order.
pub struct Fields(Vec<(String, String)>);

/// What `iasl -d` says of `table`.
///
/// # Panics
///
/// If `iasl` is missing (Debian: `acpica-tools`), or does not know the table.
pub fn disassemble(table: &[u8]) -> Fields {
    let file = temporary("table.dat");
    fs::write(&file, table).expect("a file");
    let output = Command::new("iasl")
        .arg("-d")
        .arg(&file)
        .output()
        .expect("iasl, from the package acpica-tools, is needed");
    let dsl = file.with_extension("dsl");
    let text = fs::read_to_string(&dsl)
        .unwrap_or_else(|error| panic!("iasl: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    let _ = fs::remove_file(&file);
    let _ = fs::remove_file(&dsl);
    let fields = text.lines().take_while(|line| !line.starts_with("Raw Table Data")).filter_map(|line| {
        let line =
            line.strip_prefix('[').and_then(|line| line.split_once(']')).map_or(line, |(_, rest)| rest);
        let (name, value) = line.split_once(" : ")?;
        Some((name.trim().to_owned(), value.trim().split(" [").next().unwrap_or("").trim().to_owned()))
    });
    Fields(fields.collect())
}

impl Fields {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name)
            .map_or(0, |text| u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{name}: {text}")))
    }

    /// Pieces that begin with this field.
    fn each(&self, first: &str) -> Vec<Fields> {
        let starts: Vec<usize> = (0..self.0.len()).filter(|at| self.0[*at].0 == first).collect();
        let ends = starts.iter().skip(1).copied().chain([self.0.len()]);
        starts.iter().zip(ends).map(|(start, end)| Fields(self.0[*start..end].to_vec())).collect()
    }
}

/// What `iasl` says of the machine with these tables, part by part.
///
/// # Panics
///
/// As [`disassemble`].
pub fn truth(tables: &[Vec<u8>]) -> BTreeMap<&'static str, String> {
    let find = |signature: &[u8]| {
        tables.iter().find(|table| table.starts_with(signature)).map(|table| disassemble(table))
    };
    let fadt = find(b"FACP");
    let psci = fadt.as_ref().is_some_and(|fadt| fadt.number("PSCI Compliant") == 1);
    let firmware = match &fadt {
        Some(fadt) if psci => {
            if fadt.number("Must use HVC for PSCI") == 1 { "hvc" } else { "smc" }.to_owned()
        }
        _ => "none".to_owned(),
    };
    let structures = find(b"APIC").map_or(Vec::new(), |madt| madt.each("Subtable Type"));
    let of_kind = |kind| structures.iter().filter(move |structure| structure.number("Subtable Type") == kind);
    // Those that are enabled first.
    let mut cpus: Vec<_> = of_kind(0xb).collect();
    cpus.sort_by_key(|gicc| gicc.number("Processor Enabled") != 1);
    let cpus = cpus.into_iter().map(|gicc| {
        let status = if gicc.number("Processor Enabled") == 1 { "okay" } else { "disabled" };
        let (version, address) = (gicc.number("Parking Protocol Version"), gicc.number("Parked Address"));
        let method = match (psci, version != 0 && address != 0) {
            (true, _) => "psci".to_owned(),
            (false, true) => format!("parked {address:#x} {} {version}", gicc.number("CPU Interface Number")),
            (false, false) => "none".to_owned(),
        };
        format!("{:#x} {status} {method}", gicc.number("ARM MPIDR"))
    });
    let cpus = cpus.collect::<Vec<_>>().join("; ");
    let gic = of_kind(0xc).next().map_or("none".to_owned(), |gicd| {
        let base = gicd.number("Base Address");
        let mut enabled = of_kind(0xb).filter(|gicc| gicc.number("Processor Enabled") == 1);
        if gicd.number("Version") <= 2 {
            format!("v2 {base:#x} {:#x}", enabled.next().map_or(0, |gicc| gicc.number("Base Address")))
        } else {
            let mut list: Vec<String> = of_kind(0xe)
                .map(|gicr| {
                    format!(
                        "{:#x}+{:#x}",
                        gicr.number("Base Address"),
                        Fields(gicr.0[2..].to_vec()).number("Length")
                    )
                })
                .collect();
            if list.is_empty() {
                list =
                    enabled.map(|gicc| format!("{:#x}", gicc.number("Redistributor Base Address"))).collect();
            }
            format!("v3 {base:#x} {}", list.join(" "))
        }
    });
    let timer = find(b"GTDT").map_or("none".to_owned(), |gtdt| {
        let view = |name: &str| {
            let at = gtdt.0.iter().position(|field| field.0 == name)?;
            let after = Fields(gtdt.0[at..].to_vec());
            let flags = if name.starts_with("Virtual EL2") {
                after.number("Virtual EL2 Timer Flags")
            } else {
                after.number("Trigger Mode") | after.number("Polarity") << 1
            };
            let trigger = ["high", "rising", "low", "falling"][flags as usize & 3];
            Some(format!("{}:{trigger}", after.number(name))).filter(|text| !text.starts_with("0:"))
        };
        [
            "Secure EL1 Interrupt",
            "Non-Secure EL1 Interrupt",
            "Virtual Timer Interrupt",
            "Non-Secure EL2 Interrupt",
            "Virtual EL2 Timer GSIV",
        ]
        .map(|name| view(name).unwrap_or("-".to_owned()))
        .join(" ")
    });
    let console = find(b"SPCR").map_or("none".to_owned(), |spcr| {
        let kind = match spcr.number("Interface Type") {
            3 => "pl011".to_owned(),
            0xd | 0xe => "sbsa".to_owned(),
            _ => format!("8250 {} {}", spcr.number("Bit Width"), spcr.number("Encoded Access Width")),
        };
        format!("{kind} {:#x} {}", spcr.number("Address"), spcr.number("Interrupt"))
    });
    BTreeMap::from([
        ("cpus", cpus),
        ("gic", gic),
        ("timer", timer),
        ("firmware", firmware),
        ("console", console),
    ])
}

/// What the reader says, in the same words.
pub fn reader(machine: &Machine<'_>) -> BTreeMap<&'static str, String> {
    let cpus = machine.cpus().map(|cpu| match cpu {
        Ok(cpu) => {
            let status = if cpu.status == CpuStatus::Okay { "okay" } else { "disabled" };
            let method = match cpu.method {
                EnableMethod::Psci => "psci".to_owned(),
                EnableMethod::Parking { address, id, version } => {
                    format!("parked {address:#x} {id} {version}")
                }
                EnableMethod::Missing => "none".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{:#x} {status} {method}", cpu.mpidr)
        }
        Err(error) => error.to_string(),
    });
    let cpus = cpus.collect::<Vec<_>>().join("; ");
    let gic = match &machine.gic {
        Ok(Gic::V2 { distributor, cpu_interface, .. }) => {
            format!("v2 {:#x} {:#x}", distributor.base, cpu_interface.base)
        }
        Ok(Gic::V3 { distributor, redistributors, one_by_one, .. }) => {
            let list = redistributors.iter().flat_map(|region| {
                if *one_by_one {
                    (0..region.size / 0x2_0000)
                        .map(|frame| format!("{:#x}", region.base + 0x2_0000 * frame))
                        .collect()
                } else {
                    vec![format!("{:#x}+{:#x}", region.base, region.size)]
                }
            });
            format!("v3 {:#x} {}", distributor.base, list.collect::<Vec<_>>().join(" "))
        }
        Ok(Gic::Bcm2836 { .. }) => panic!("no table describes one"),
        Err(error) => error.to_string(),
    };
    let timer = machine.timer.as_ref().map_or_else(ToString::to_string, |timer| {
        [timer.secure_physical, timer.physical, timer.virtual_timer, timer.hyp_physical, timer.hyp_virtual]
            .map(|view| view.map_or("-".to_owned(), interrupt))
            .join(" ")
    });
    let firmware = match &machine.psci {
        Ok(psci) => if psci.conduit == Conduit::Hvc { "hvc" } else { "smc" }.to_owned(),
        Err(error) if error.is_absent() => "none".to_owned(),
        Err(error) => error.to_string(),
    };
    let console = machine.console.as_ref().map_or_else(ToString::to_string, console);
    BTreeMap::from([
        ("cpus", cpus),
        ("gic", gic),
        ("timer", timer),
        ("firmware", firmware),
        ("console", console),
    ])
}

fn console(console: &Console<'_>) -> String {
    let kind = match console.kind {
        ConsoleKind::Pl011 => "pl011".to_owned(),
        ConsoleKind::SbsaUart => "sbsa".to_owned(),
        ConsoleKind::Uart8250 { reg_shift, reg_io_width, .. } => {
            format!("8250 {} {}", 8 << reg_shift, reg_io_width.ilog2() + 1)
        }
        other => other.name().to_owned(),
    };
    format!("{kind} {:#x} {}", console.registers.base, console.interrupt.map_or(0, |found| found.id))
}

/// Every table to which the RSDP at [`BASE`] leads, found another way than the reader's.
///
/// # Panics
///
/// If a pointer leads out of the memory.
pub fn listed(memory: &Memory) -> Vec<Vec<u8>> {
    let word =
        |at: u64| u32::from_le_bytes(memory.read(at, 4).expect("memory").try_into().expect("four bytes"));
    let long = |at: u64| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let xsdt = long(BASE + 24);
    let count = (u64::from(word(xsdt + 4)) - 36) / 8;
    let tables = (0..count).map(|index| long(xsdt + 36 + 8 * index));
    tables.map(|at| memory.read(at, word(at + 4) as usize).expect("a table").to_vec()).collect()
}

/// A handful of machines, each as its tables.
pub fn samples() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let pl011 = gas(0, 32, 3, 0x900_0000);
    let virt_timer = [(29, 0), (30, 0), (27, 0), (26, 0), (28, 0)];
    let v2: Vec<_> = (0..4).map(|cpu| Gicc { interface: 0x801_0000, ..Gicc::of(cpu) }.structure()).collect();
    let v3: Vec<_> = (0..64).map(|cpu| Gicc::of(((cpu / 16) << 8) | (cpu % 16)).structure()).collect();
    let listed = |cpu: u64| Gicc {
        redistributor: 0x2f10_0000 + 0x2_0000 * cpu + if cpu > 2 { 0x100_0000 } else { 0 },
        flags: if cpu == 4 { 8 } else { u32::from(cpu != 5) },
        length: if cpu < 3 { 76 } else { 82 },
        ..Gicc::of(cpu << 8)
    };
    let parked = |cpu: u64| Gicc {
        parked: (1, 0x8000_0000 + 0x1000 * cpu),
        id: 7 - cpu as u32,
        ..Gicc::of(0x1_0000_0000 | cpu)
    };
    let of = |parts: &[&[Vec<u8>]]| madt(&parts.concat());
    vec![
        (
            "one CPU, GICv2",
            vec![fadt(3), of(&[&[gicd(0x800_0000, 2)], &v2[..1]]), gtdt(&virt_timer), spcr(3, &pl011, 33, 3)],
        ),
        (
            "GICv2",
            vec![
                fadt(1),
                of(&[&[gicd(0x800_0000, 2)], &v2]),
                gtdt(&virt_timer[..4]),
                spcr(0xe, &pl011, 33, 7),
            ],
        ),
        (
            "64 CPUs, GICv3, two regions",
            vec![
                Table::new("DSDT", 2).finish(),
                fadt(3),
                of(&[
                    &[gicd(0x800_0000, 3)],
                    &v3,
                    &[gicr(0x80a_0000, 0xf6_0000), gicr(0x40_0000_0000, 0x20_0000), its(0x808_0000)],
                ]),
                gtdt(&virt_timer),
                spcr(0x12, &gas(0, 32, 1, 0x1c02_0000), 108, 0),
                dbg2(&[(0x8000, 3, pl011.clone())]),
            ],
        ),
        (
            "frames by CPU, of every length, disabled ones among them",
            vec![
                fadt(1),
                of(&[
                    &(0..6).map(|cpu| listed(cpu).structure()).collect::<Vec<_>>(),
                    &[gicd(0x2f00_0000, 3)],
                ]),
                gtdt(&[(29, 2), (30, 2), (27, 2), (26, 2)]),
                spcr(0, &gas(0, 8, 0, 0x2a40_0000), 0, 4),
            ],
        ),
        (
            "parking protocol",
            vec![
                fadt(0),
                of(&[
                    &[gicd(0xe111_0000, 3), gicr(0xe114_0000, 0x8_0000)],
                    &(0..4).map(|cpu| parked(cpu).structure()).collect::<Vec<_>>(),
                ]),
                gtdt(&[(29, 1), (30, 3), (27, 0), (0, 0)]),
                spcr(1, &gas(0, 32, 3, 0xe101_0000), 360, 6),
            ],
        ),
    ]
}
