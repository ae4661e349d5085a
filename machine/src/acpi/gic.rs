//! The interrupt controller: the GICD structure, the GICR structures, and what each GICC structure adds (ACPI 5.2.12.14 to 5.2.12.17).

use super::bytes::Piece;
use super::cpu::is_enabled;
use super::madt::{Kind, MADT, Structures};
use crate::error::{Error, Fault};
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

fn region<'a>(piece: &Piece<'a>, base: u64, size: u64) -> Result<Region, Error<'a>> {
    match base.checked_add(size.saturating_sub(1)) {
        Some(_) if base != 0 && size != 0 => Ok(Region { base, size }),
        _ => Err(Error::in_table(Fault::Address, piece.path, "no such range of addresses, from").value(base)),
    }
}

#[inline(never)]
pub(super) fn read<'a>(madt: Piece<'a>, note: &mut Option<Error<'a>>) -> Result<Gic<'a>, Error<'a>> {
    let mut gicds = Structures::new(madt, Kind::Gicd);
    let gicd = match gicds.next() {
        Some(gicd) => gicd?,
        None => return Err(Error::in_table(Fault::Absent, MADT, "no GICD structure")),
    };
    if gicds.any(|more| more.is_ok()) {
        note.get_or_insert(Error::in_table(
            Fault::Structure,
            MADT,
            "more than one GICD structure: the first is used",
        ));
    }
    let base = gicd.number(8, 8)?;
    let path = gicd.path.into();
    let mut enabled = Structures::new(madt, Kind::Gicc).flatten().filter(is_enabled);
    let has_frames = |gicc: &Piece<'a>| gicc.optional(60, 8) != 0;
    // ACPI 5.1 has no version, and later ones may leave it open: what has redistributors is a GICv3 at least.
    let version = match gicd.optional(20, 1) {
        0 if Structures::new(madt, Kind::Gicr).next().is_some()
            || enabled.clone().any(|gicc| has_frames(&gicc)) =>
        {
            3
        }
        0 => 2,
        version => version,
    };
    match version {
        1 | 2 => {
            let Some(first) = enabled.next() else {
                return Err(Error::in_table(Fault::Absent, MADT, "no GICC structure that is enabled"));
            };
            let cpu_interface = region(&first, first.number(32, 8)?, GICC_V2)?;
            if let Some(other) = enabled.find(|gicc| gicc.optional(32, 8) != cpu_interface.base) {
                let what = "the CPU interface is elsewhere than that of the first CPU";
                return Err(
                    Error::in_table(Fault::Unsupported, other.path, what).value(other.optional(32, 8))
                );
            }
            Ok(Gic::V2 { path, distributor: region(&gicd, base, GICD_V2)?, cpu_interface })
        }
        3 | 4 => {
            let distributor = region(&gicd, base, GICD_V3)?;
            let mut redistributors = Regions::EMPTY;
            let mut count = 0;
            for gicr in Structures::new(madt, Kind::Gicr) {
                let gicr = gicr?;
                redistributors.push_or_drop(region(&gicr, gicr.number(4, 8)?, gicr.number(12, 4)?)?);
                count += 1;
            }
            // They stand there if there are no GICR structures (ACPI 5.2.12.14), one for each CPU.
            let one_by_one = count == 0;
            if one_by_one {
                let size = if version == 3 { GICR_V3 } else { GICR_V4 };
                for gicc in enabled.filter(has_frames) {
                    let frames = region(&gicc, gicc.optional(60, 8), size)?;
                    if !redistributors.extend_last(frames) {
                        redistributors.push_or_drop(frames);
                        count += 1;
                    }
                }
            }
            if count == 0 {
                return Err(Error::in_table(Fault::Absent, MADT, "a GICv3 without redistributors"));
            }
            let dropped = count - redistributors.len();
            Ok(Gic::V3 { path, distributor, redistributors, dropped, stride: None, one_by_one })
        }
        version => {
            Err(Error::in_table(Fault::Unsupported, gicd.path, "a GIC of unknown version").value(version))
        }
    }
}
