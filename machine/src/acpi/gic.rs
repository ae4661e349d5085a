//! The interrupt controller: the GICD structure, the GICR structures, and what each GICC structure adds (ACPI 5.2.12.14 to 5.2.12.17).

use super::bytes::Piece;
use super::cpu::is_enabled;
use super::fault::{Kind, Wrong};
use super::madt::Structures;
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

#[inline(never)]
fn region(piece: &Piece<'_>, base: u64, size: u64) -> Result<Region, Wrong> {
    match base.checked_add(size.saturating_sub(1)) {
        Some(_) if base != 0 && size != 0 => Ok(Region { base, size }),
        _ => Err(piece.wrong(Fault::Address, "no such range of addresses, from").value(base)),
    }
}

/// What a look through the structures finds.
struct Survey<'a> {
    gicd: Option<Piece<'a>>,
    /// The first CPU that is enabled.
    first: Option<Piece<'a>>,
    /// One whose CPU interface is elsewhere than that of the first.
    elsewhere: Option<Piece<'a>>,
    /// Whether there are frames in GICC structures.
    frames: bool,
    redistributors: Regions,
    count: usize,
}

/// Where the CPU interface is.
fn interface(gicc: &Piece<'_>) -> u64 {
    gicc.optional(32, 8)
}

/// Where the frames are, if the GICC structure says so.
fn frames(gicc: &Piece<'_>) -> u64 {
    gicc.optional(60, 8)
}

#[inline(never)]
fn survey<'a>(madt: &Piece<'a>, note: &mut Option<Wrong>) -> Result<Survey<'a>, Wrong> {
    let (gicd, first, elsewhere) = (None, None, None);
    let mut found =
        Survey { gicd, first, elsewhere, frames: false, redistributors: Regions::EMPTY, count: 0 };
    let mut structures = Structures::new(madt);
    while let Some((kind, piece)) = structures.step()? {
        match kind {
            Kind::Gicd if found.gicd.is_none() => found.gicd = Some(piece),
            Kind::Gicd => {
                note.get_or_insert(piece.wrong(Fault::Structure, "not the first one, and not used"));
            }
            Kind::Gicr => {
                let frames = region(&piece, piece.number(4, 8)?, piece.number(12, 4)?)?;
                found.redistributors.push_or_drop(frames);
                found.count += 1;
            }
            _ if is_enabled(&piece) => {
                found.frames |= frames(&piece) != 0;
                let first = found.first.get_or_insert(piece);
                if interface(first) != interface(&piece) {
                    found.elsewhere.get_or_insert(piece);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The frames that stand in GICC structures, one CPU after the other, of so many bytes each: ones for each CPU that is enabled, if there are no GICR
/// structures (ACPI 5.2.12.14).
fn one_by_one<'a>(madt: &Piece<'a>, size: u64, found: &mut Survey<'a>) -> Result<(), Wrong> {
    let mut structures = Structures::new(madt);
    while let Some(gicc) = structures.next_of(Kind::Gicc)? {
        if is_enabled(&gicc) && frames(&gicc) != 0 {
            let frames = region(&gicc, frames(&gicc), size)?;
            if !found.redistributors.extend_last(frames) {
                found.redistributors.push_or_drop(frames);
                found.count += 1;
            }
        }
    }
    Ok(())
}

#[inline(never)]
pub(super) fn read<'a>(
    madt: &Result<Piece<'a>, Wrong>,
    note: &mut Option<Wrong>,
) -> Result<Gic<'a>, Error<'a>> {
    let madt = &(*madt)?;
    let mut found = survey(madt, note)?;
    let gicd = found.gicd.ok_or(madt.wrong(Fault::Absent, "no GICD structure"))?;
    let path = gicd.path.into();
    // ACPI 5.1 has no version, and later ones may leave it open: what has redistributors is a GICv3 at least.
    let version = match gicd.optional(20, 1) {
        0 if found.count != 0 || found.frames => 3,
        0 => 2,
        version => version,
    };
    if !(1..=4).contains(&version) {
        return Err(gicd.wrong(Fault::Unsupported, "a GIC of unknown version").value(version).into());
    }
    let distributor = region(&gicd, gicd.number(8, 8)?, if version < 3 { GICD_V2 } else { GICD_V3 })?;
    if version < 3 {
        let first = found.first.ok_or(madt.wrong(Fault::Absent, "no GICC structure that is enabled"))?;
        if let Some(other) = found.elsewhere {
            let what = "the CPU interface is elsewhere than that of the first CPU";
            return Err(other.wrong(Fault::Unsupported, what).value(interface(&other)).into());
        }
        let cpu_interface = region(&first, interface(&first), GICC_V2)?;
        return Ok(Gic::V2 { path, distributor, cpu_interface });
    }
    let is_one_by_one = found.count == 0;
    if is_one_by_one {
        one_by_one(madt, if version == 3 { GICR_V3 } else { GICR_V4 }, &mut found)?;
    }
    if found.count == 0 {
        return Err(madt.wrong(Fault::Absent, "a GICv3 without redistributors").into());
    }
    Ok(Gic::V3 {
        path,
        distributor,
        redistributors: found.redistributors,
        dropped: found.count - found.redistributors.len(),
        stride: None,
        one_by_one: is_one_by_one,
    })
}
