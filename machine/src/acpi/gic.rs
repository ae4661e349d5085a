//! The interrupt controller: the GICD structure, the GICR structures, and what each GICC structure adds (ACPI 5.2.12.14 to 5.2.12.17).

use super::cpu::is_enabled;
use super::fault::{Kind, Look, Table, TablePath, number};
use super::madt::Structures;
use crate::error::Fault;
use crate::gic::Gic;
use crate::region::{Region, Regions};

/// What the distributor takes; tables do not say (IHI 0048 4.1.2, IHI 0069 12.8).
const GICD_V2: u64 = 0x1000;
const GICD_V3: u64 = 0x1_0000;
/// The CPU interface of a GICv2, with GICC_DIR in its second page.
const GICC_V2: u64 = 0x2000;
/// The frames of one redistributor: two of 64 KiB, four from GICv4 on (IHI 0069 12.10).
const GICR_V3: u64 = 0x2_0000;
const GICR_V4: u64 = 0x4_0000;

#[inline(never)]
fn region(base: u64, size: u64, look: &mut Look) -> Option<Region> {
    if base == 0 || size == 0 || base.checked_add(size - 1).is_none() {
        look.fail_with(Fault::Address, "no such range of addresses, from", base);
        return None;
    }
    Some(Region { base, size })
}

/// Where the CPU interface is.
fn interface(gicc: &[u8]) -> u64 {
    number(gicc, 32, 8)
}

/// Where the frames are, if the GICC structure says so.
fn frames(gicc: &[u8]) -> u64 {
    number(gicc, 60, 8)
}

/// Adds all redistributors, of which there may be more than there is room for, and says how many they are. `size` is 0 for those of the GICR
/// structures; else they are the frames that stand in GICC structures, one CPU after the other, of so many bytes each.
#[inline(never)]
fn add_redistributors(madt: &[u8], size: u64, regions: &mut Regions, look: &mut Look) -> Option<usize> {
    let mut count = 0;
    let mut structures = Structures::new(madt);
    while let Some((kind, bytes)) = structures.step(look) {
        let (base, length) = match kind {
            Kind::Gicr if size == 0 => (look.number(bytes, 4, 8)?, look.number(bytes, 12, 4)?),
            Kind::Gicc if size != 0 && is_enabled(bytes) && frames(bytes) != 0 => (frames(bytes), size),
            _ => continue,
        };
        let region = region(base, length, look)?;
        if size == 0 || !regions.extend(region) {
            regions.push_or_drop(region);
            count += 1;
        }
    }
    (!look.has_failed()).then_some(count)
}

#[inline(never)]
pub(super) fn read<'a>(madt: &'a [u8], look: &mut Look) -> Option<Gic<'a>> {
    let mut gicd: Option<(&[u8], TablePath)> = None;
    // The first CPU that is enabled; one whose CPU interface is elsewhere.
    let mut first: Option<&[u8]> = None;
    let mut elsewhere = None;
    let mut has_redistributors = false;
    let mut structures = Structures::new(madt);
    while let Some((kind, bytes)) = structures.step(look) {
        match kind {
            Kind::Gicd if gicd.is_none() => gicd = Some((bytes, look.path)),
            Kind::Gicd => {
                look.fail(Fault::Structure, "not the first one, and not used");
                look.make_odd();
            }
            Kind::Gicc if is_enabled(bytes) => {
                has_redistributors |= frames(bytes) != 0;
                if interface(first.get_or_insert(bytes)) != interface(bytes) {
                    elsewhere = Some((interface(bytes), look.path));
                }
            }
            Kind::Gicr => has_redistributors = true,
            _ => {}
        }
    }
    if look.has_failed() {
        return None;
    }
    look.path = TablePath::of(Table::Madt);
    let Some((gicd, path)) = gicd else {
        look.fail(Fault::Absent, "no GICD structure");
        return None;
    };
    look.path = path;
    // ACPI 5.1 has no version, and later ones may leave it open: what has redistributors is a GICv3 at least.
    let version = match number(gicd, 20, 1) {
        0 if has_redistributors => 3,
        0 => 2,
        version => version,
    };
    let size = if version < 3 { GICD_V2 } else { GICD_V3 };
    let distributor = region(look.number(gicd, 8, 8)?, size, look)?;
    match version {
        1 | 2 => {
            look.path = TablePath::of(Table::Madt);
            if let Some((base, path)) = elsewhere {
                look.path = path;
                let what = "the CPU interface is elsewhere than that of the first CPU";
                look.fail_with(Fault::Unsupported, what, base);
                return None;
            }
            let Some(first) = first else {
                look.fail(Fault::Absent, "no GICC structure that is enabled");
                return None;
            };
            let cpu_interface = region(interface(first), GICC_V2, look)?;
            Some(Gic::V2 { path: path.into(), distributor, cpu_interface })
        }
        3 | 4 => {
            let mut redistributors = Regions::EMPTY;
            let mut count = add_redistributors(madt, 0, &mut redistributors, look)?;
            // In GICC structures they count if there are no GICR structures (ACPI 5.2.12.14).
            let one_by_one = count == 0;
            if one_by_one {
                let size = if version == 3 { GICR_V3 } else { GICR_V4 };
                count = add_redistributors(madt, size, &mut redistributors, look)?;
            }
            if count == 0 {
                look.path = TablePath::of(Table::Madt);
                look.fail(Fault::Absent, "a GICv3 without redistributors");
                return None;
            }
            let dropped = count - redistributors.len();
            Some(Gic::V3 {
                path: path.into(),
                distributor,
                redistributors,
                dropped,
                stride: None,
                one_by_one,
            })
        }
        version => {
            look.fail_with(Fault::Unsupported, "a GIC of unknown version", version);
            None
        }
    }
}
