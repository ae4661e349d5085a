//! The CPUs: a GICC structure each (ACPI 5.2.12.14).

use super::Tables;
use super::fault::{Look, Table, TablePath, number};
use super::madt::Structures;
use crate::cpu::{Cpu, CpuStatus, Earlier, EnableMethod, MPIDR_AFFINITY};
use crate::error::{Error, Fault};

/// Bytes of a GICC structure in ACPI 5.1, the first with an MPIDR in it.
const GICC: usize = 76;

const ENABLED: u64 = 1 << 0;

/// The MPIDR.
fn mpidr(gicc: &[u8], look: &mut Look) -> Option<u64> {
    let mpidr = look.number(gicc, GICC - 8, 8)?;
    if mpidr & !MPIDR_AFFINITY != 0 {
        look.fail_with(Fault::Property, "MPIDR: bits outside the affinity fields", mpidr);
        return None;
    }
    Some(mpidr)
}

/// Whether the CPU may be started now.
///
/// One that is not enabled is either not there at all, or, with Online Capable set (bit 3), one that the platform may enable later, which it
/// says by an event of the namespace: until then it is as little there as the other.
pub(super) fn is_enabled(gicc: &[u8]) -> bool {
    number(gicc, 12, 4) & ENABLED != 0
}

fn method(gicc: &[u8], psci: bool) -> EnableMethod<'static> {
    let (version, address) = (number(gicc, 16, 4), number(gicc, 24, 8));
    if psci {
        EnableMethod::Psci
    } else if version != 0 && address != 0 {
        EnableMethod::Parking { address, id: number(gicc, 4, 4) as u32, version: version as u32 }
    } else {
        EnableMethod::Missing
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
        Self { tables, structures: Structures::new(tables.madt), any: false, earlier: Earlier::NONE }
    }

    #[inline(never)]
    fn read(&mut self, look: &mut Look) -> Option<Cpu<'a>> {
        let any = core::mem::replace(&mut self.any, true);
        let Some(gicc) = self.structures.cpu(look) else {
            if !any && !look.has_failed() {
                look.wrong = self.tables.madt_wrong;
                if !look.has_failed() {
                    look.path = TablePath::of(Table::Madt);
                    look.fail(Fault::Absent, "no GICC structure");
                }
            }
            return None;
        };
        let mpidr = mpidr(gicc, look)?;
        let path = look.path;
        if self.earlier.may_have(mpidr) && self.has_before(path, mpidr) {
            look.fail_with(Fault::Property, "MPIDR: an earlier CPU has the same one", mpidr);
            return None;
        }
        let status = if is_enabled(gicc) { CpuStatus::Okay } else { CpuStatus::Disabled };
        Some(Cpu { mpidr, method: method(gicc, self.tables.psci), status, path: path.into(), note: None })
    }

    /// Whether a CPU before that of `path` has this MPIDR.
    fn has_before(&self, path: TablePath, wanted: u64) -> bool {
        let mut look = Look::NEW;
        let mut structures = Structures::new(self.tables.madt);
        while let Some(earlier) = structures.cpu(&mut look) {
            if look.path == path {
                break;
            }
            if mpidr(earlier, &mut look) == Some(wanted) {
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
        let mut look = Look::NEW;
        match self.read(&mut look) {
            Some(cpu) => Some(Ok(cpu)),
            None => look.has_failed().then(|| Err(look.wrong.error())),
        }
    }
}
