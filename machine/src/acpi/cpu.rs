//! The CPUs: a GICC structure each (ACPI 5.2.12.14).

use super::Tables;
use super::bytes::Piece;
use super::fault::{Kind, Wrong};
use super::madt::Structures;
use crate::cpu::{Cpu, CpuStatus, Earlier, EnableMethod, MPIDR_AFFINITY};
use crate::error::{Error, Fault};

/// Bytes of a GICC structure in ACPI 5.1, the first with an MPIDR in it.
const GICC: usize = 76;

const ENABLED: u64 = 1 << 0;

/// The MPIDR.
#[inline(never)]
fn mpidr(gicc: &Piece<'_>) -> Result<u64, Wrong> {
    let mpidr = gicc.number(GICC - 8, 8)?;
    if mpidr & !MPIDR_AFFINITY != 0 {
        let what = "MPIDR: bits outside the affinity fields";
        return Err(gicc.wrong(Fault::Property, what).value(mpidr));
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

fn method(gicc: &Piece<'_>, psci: bool) -> EnableMethod<'static> {
    let (version, address) = (gicc.optional(16, 4), gicc.optional(24, 8));
    match () {
        () if psci => EnableMethod::Psci,
        () if version != 0 && address != 0 => {
            EnableMethod::Parking { address, id: gicc.optional(4, 4) as u32, version: version as u32 }
        }
        () => EnableMethod::Missing,
    }
}

/// See [`Machine::cpus`](crate::Machine::cpus).
pub(crate) struct Cpus<'a> {
    tables: Tables<'a>,
    structures: Structures<'a>,
    any: bool,
    earlier: Earlier,
}

impl<'a> Cpus<'a> {
    pub(crate) fn new(tables: Tables<'a>) -> Self {
        Self { tables, structures: tables.structures(), any: false, earlier: Earlier::NONE }
    }

    #[inline(never)]
    fn read(&mut self) -> Result<Option<Cpu<'a>>, Wrong> {
        let any = core::mem::replace(&mut self.any, true);
        let Some(gicc) = self.structures.next_of(Kind::Gicc)? else {
            return if any {
                Ok(None)
            } else {
                Err(self.tables.madt?.wrong(Fault::Absent, "no GICC structure"))
            };
        };
        let mpidr = mpidr(&gicc)?;
        if self.earlier.may_have(mpidr) && self.has_before(&gicc, mpidr) {
            let what = "MPIDR: an earlier CPU has the same one";
            return Err(gicc.wrong(Fault::Property, what).value(mpidr));
        }
        let status = if is_enabled(&gicc) { CpuStatus::Okay } else { CpuStatus::Disabled };
        let method = method(&gicc, self.tables.psci);
        Ok(Some(Cpu { mpidr, method, status, path: gicc.path.into(), note: None }))
    }

    /// Whether a CPU before `gicc` has this MPIDR.
    fn has_before(&self, gicc: &Piece<'a>, wanted: u64) -> bool {
        let mut structures = self.tables.structures();
        while let Ok(Some(earlier)) = structures.next_of(Kind::Gicc) {
            if earlier.path == gicc.path {
                break;
            }
            if mpidr(&earlier).is_ok_and(|mpidr| mpidr == wanted) {
                return true;
            }
        }
        false
    }
}

impl<'a> Iterator for Cpus<'a> {
    type Item = Result<Cpu<'a>, Error<'a>>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(Error::from).transpose()
    }
}
