//! The CPUs: a GICC structure each (ACPI 5.2.12.14).

use super::Tables;
use super::bytes::Piece;
use super::madt::{Kind, Structures};
use crate::cpu::{Cpu, CpuStatus, Earlier, EnableMethod, MPIDR_AFFINITY};
use crate::error::{Error, Fault, Origin, Place};

/// Bytes of a GICC structure in ACPI 5.1, the first with an MPIDR in it.
const GICC: usize = 76;

const ENABLED: u64 = 1 << 0;

/// The MPIDR.
fn mpidr<'a>(gicc: &Piece<'a>) -> Result<u64, Error<'a>> {
    let mpidr = gicc.number(GICC - 8, 8)?;
    if mpidr & !MPIDR_AFFINITY != 0 {
        return Err(Error::field(gicc.path, "MPIDR", "bits outside the affinity fields").value(mpidr));
    }
    Ok(mpidr)
}

/// Whether the CPU may be started now.
///
/// One that is not enabled is either not there at all, or, with Online Capable set (bit 3), one that the platform may enable later, which it
/// says by an event of the namespace: until then it is as little there as the other.
pub(super) fn is_enabled(gicc: &Piece<'_>) -> bool {
    gicc.optional(12, 4) & ENABLED != 0
}

fn read<'a>(gicc: &Piece<'a>, psci: bool) -> Result<Cpu<'a>, Error<'a>> {
    let mpidr = mpidr(gicc)?;
    let (version, address) = (gicc.optional(16, 4), gicc.optional(24, 8));
    let method = if psci {
        EnableMethod::Psci
    } else if version != 0 && address != 0 {
        EnableMethod::Parking { address, id: gicc.optional(4, 4) as u32, version: version as u32 }
    } else {
        EnableMethod::Missing
    };
    let status = if is_enabled(gicc) { CpuStatus::Okay } else { CpuStatus::Disabled };
    Ok(Cpu { mpidr, method, status, path: gicc.path.into(), note: None })
}

fn duplicate<'a>(cpu: Cpu<'a>) -> Error<'a> {
    let place = Place::Property(cpu.path, "MPIDR");
    Error::new(Origin::Acpi, Fault::Property, place, "an earlier CPU has the same one").value(cpu.mpidr)
}

/// See [`Machine::cpus`](crate::Machine::cpus).
pub(crate) struct Cpus<'a> {
    madt: Result<Piece<'a>, Error<'a>>,
    psci: bool,
    structures: Option<Structures<'a>>,
    any: bool,
    earlier: Earlier,
}

impl<'a> Cpus<'a> {
    pub(crate) fn new(tables: Tables<'a>) -> Self {
        let structures = tables.madt.ok().map(|madt| Structures::new(madt, Kind::Gicc));
        Self { madt: tables.madt, psci: tables.psci, structures, any: false, earlier: Earlier::NONE }
    }

    fn is_duplicate(&mut self, cpu: &Cpu<'a>) -> bool {
        let Ok(madt) = self.madt else { return false };
        self.earlier.may_have(cpu.mpidr)
            && Structures::new(madt, Kind::Gicc)
                .flatten()
                .take_while(|gicc| cpu.path != gicc.path.into())
                .any(|gicc| mpidr(&gicc).is_ok_and(|mpidr| mpidr == cpu.mpidr))
    }
}

impl<'a> Iterator for Cpus<'a> {
    type Item = Result<Cpu<'a>, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(gicc) = self.structures.as_mut().and_then(Iterator::next) else {
            let first = !core::mem::replace(&mut self.any, true);
            return first.then_some(match self.madt {
                Ok(madt) => Err(Error::in_table(Fault::Absent, madt.path, "no GICC structure")),
                Err(error) => Err(error),
            });
        };
        self.any = true;
        Some(match gicc.and_then(|gicc| read(&gicc, self.psci)) {
            Ok(cpu) if self.is_duplicate(&cpu) => Err(duplicate(cpu)),
            cpu => cpu,
        })
    }
}
