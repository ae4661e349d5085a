//! The device tree of a guest (Devicetree Specification 5), written as source.

use crate::memory::{CPU_INTERFACE, DISTRIBUTOR, RAM, REDISTRIBUTOR, REDISTRIBUTORS, UART};
use core::fmt::{self, Write};

const BEGIN: u32 = 1;
const END: u32 = 2;
const PROPERTY: u32 = 3;
const LAST: u32 = 9;
/// A header, and an empty list of reservations.
const STRUCTURE: usize = 40 + 16;

/// Makes a blob of the source that is written to it, each item with a semicolon behind it: `name {`, `}`, `property "text" "text"`,
/// `property <cell cell>` in hexadecimal.
struct Compiler<'a> {
    out: &'a mut [u8],
    at: usize,
    item: ([u8; 512], usize),
    is_quoted: bool,
    names: ([u8; 1024], usize),
}

impl Write for Compiler<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let (item, length) = self.item;
            self.is_quoted ^= byte == b'"';
            if byte == b';' && !self.is_quoted {
                self.compile(core::str::from_utf8(&item[..length]).map_err(|_| fmt::Error)?.trim());
                self.item.1 = 0;
            } else {
                *self.item.0.get_mut(length).ok_or(fmt::Error)? = byte;
                self.item.1 += 1;
            }
        }
        Ok(())
    }
}

impl Compiler<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn cell(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn compile(&mut self, item: &str) {
        let (name, value) = item.split_once(' ').unwrap_or((item, ""));
        if name == "}" {
            return self.cell(END);
        }
        if value == "{" {
            self.cell(BEGIN);
            self.bytes(name.trim_start_matches('/').as_bytes());
            self.at = (self.at + 1).next_multiple_of(4);
            return;
        }
        self.cell(PROPERTY);
        let length = self.at;
        self.cell(0);
        self.cell(self.names.1 as u32);
        self.names.0[self.names.1..self.names.1 + name.len()].copy_from_slice(name.as_bytes());
        self.names.1 += name.len() + 1;
        let start = self.at;
        if let Some(cells) = value.strip_prefix('<') {
            let cells = cells.trim_end_matches('>').split_ascii_whitespace();
            cells.for_each(|cell| self.cell(u32::from_str_radix(cell, 16).unwrap_or(0)));
        } else {
            for text in value.split('"').skip(1).step_by(2) {
                self.bytes(text.as_bytes());
                self.bytes(&[0]);
            }
        }
        let size = (self.at - start) as u32;
        self.out[length..length + 4].copy_from_slice(&size.to_be_bytes());
        self.at = self.at.next_multiple_of(4);
    }
}

/// The tree of a guest with that many CPUs and bytes of RAM, and perhaps an initrd, written to `out`: zeros, and enough of them. An error: its
/// command line is too long.
pub fn write(
    out: &mut [u8],
    cpus: usize,
    ram: u64,
    is_v3: bool,
    timer: &str,
    args: &str,
    initrd: (u64, u64),
) -> fmt::Result {
    let (item, names) = (([0; 512], 0), ([0; 1024], 0));
    let mut tree = Compiler { out, at: STRUCTURE, item, is_quoted: false, names };
    let (kind, second, size) = match is_v3 {
        true => ("arm,gic-v3", REDISTRIBUTORS, REDISTRIBUTOR * cpus as u64),
        false => ("arm,cortex-a15-gic", CPU_INTERFACE, 0x2000),
    };
    let timers = match timer {
        "physical" => r#"interrupts <1 e 4>; interrupt-names "phys""#,
        _ => "interrupts <1 d 4 1 e 4 1 b 4 1 a 4>",
    };
    // Phandle 1 is the interrupt controller, 2 the clock. The timers are PPIs: Secure, physical, virtual and EL2's; level, active high.
    write!(
        tree,
        r#"/ {{; #address-cells <2>; #size-cells <2>; interrupt-parent <1>; compatible "linux,dummy-virt";
        model "guest of Reveille's example hypervisor";
        psci {{; compatible "arm,psci-1.0" "arm,psci-0.2"; method "hvc"; }};
        timer {{; compatible "arm,armv8-timer"; {timers}; }};
        memory@{RAM:x} {{; device_type "memory"; reg <0 {RAM:x} 0 {ram:x}>; }};
        intc@{DISTRIBUTOR:x} {{; phandle <1>; interrupt-controller; #interrupt-cells <3>; compatible "{kind}";
            reg <0 {DISTRIBUTOR:x} 0 10000 0 {second:x} 0 {size:x}>; }};
        pl011@{UART:x} {{; compatible "arm,pl011" "arm,primecell"; reg <0 {UART:x} 0 1000>; interrupts <0 1 4>;
            clocks <2 2>; clock-names "uartclk" "apb_pclk"; }};
        clock {{; phandle <2>; compatible "fixed-clock"; #clock-cells <0>; clock-frequency <16e3600>; }};
        cpus {{; #address-cells <1>; #size-cells <0>;"#
    )?;
    for cpu in 0..cpus {
        let properties = r#"device_type "cpu"; compatible "arm,armv8"; enable-method "psci""#;
        write!(tree, "cpu@{cpu} {{; {properties}; reg <{cpu}>; }};")?;
    }
    write!(tree, r#"}}; chosen {{; stdout-path "/pl011@{UART:x}"; bootargs "{args}";"#)?;
    if initrd.0 != initrd.1 {
        let (start, end) = initrd;
        write!(tree, "linux,initrd-start <0 {start:x}>; linux,initrd-end <0 {end:x}>;")?;
    }
    write!(tree, "}}; }};")?;
    tree.cell(LAST);
    let (end, (names, used)) = (tree.at, tree.names);
    tree.bytes(&names[..used]);
    let sizes = [tree.at, STRUCTURE, end, 40, 17, 16, 0, used, end - STRUCTURE].map(|size| size as u32);
    tree.at = 0;
    tree.cell(0xd00d_feed);
    sizes.iter().for_each(|&size| tree.cell(size));
    Ok(())
}
