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

/// See [`Machine::cpus`](crate::Machine::cpus): those that are enabled, and then the others.
///
/// What is not enabled is a place for a CPU, and firmware has been seen to leave anything in it. So it is a CPU only if that is an MPIDR that no
/// other has, and else nothing is said of it.
pub(crate) struct Cpus<'a> {
    tables: Tables<'a>,
    structures: Structures<'a>,
    /// Those that are enabled are being read.
    enabled: bool,
    any: bool,
    earlier: Earlier,
}

impl<'a> Cpus<'a> {
    pub(crate) fn new(tables: Tables<'a>) -> Self {
        Self {
            tables,
            structures: Structures::new(tables.madt),
            enabled: true,
            any: false,
            earlier: Earlier::NONE,
        }
    }

    #[inline(never)]
    fn read(&mut self, look: &mut Look) -> Option<Cpu<'a>> {
        loop {
            let Some(gicc) = self.structures.cpu(look) else {
                if !look.has_failed() && core::mem::replace(&mut self.enabled, false) {
                    self.structures = Structures::new(self.tables.madt);
                    continue;
                }
                self.enabled = false;
                let any = core::mem::replace(&mut self.any, true);
                if !any && !look.has_failed() {
                    look.wrong = self.tables.madt_wrong;
                    if !look.has_failed() {
                        look.path = TablePath::of(Table::Madt);
                        look.fail(Fault::Absent, "no GICC structure");
                    }
                }
                return None;
            };
            self.any = true;
            if is_enabled(gicc) != self.enabled {
                continue;
            }
            let (path, method) = (look.path, method(gicc, self.tables.psci));
            let cpu = |mpidr, status| Some(Cpu { mpidr, method, status, path: path.into(), note: None });
            if self.enabled {
                let mpidr = mpidr(gicc, look)?;
                if self.earlier.may_have(mpidr) && self.has_before(path, mpidr) {
                    look.fail_with(Fault::Property, "MPIDR: an earlier CPU has the same one", mpidr);
                    return None;
                }
                return cpu(mpidr, CpuStatus::Okay);
            }
            // A place is not worth a search.
            let mut unheard = Look::NEW;
            if let Some(mpidr) = mpidr(gicc, &mut unheard)
                && !self.earlier.add(mpidr)
            {
                return cpu(mpidr, CpuStatus::Disabled);
            }
        }
    }

    /// Whether a CPU that is enabled, before that of `path`, has this MPIDR.
    fn has_before(&self, path: TablePath, wanted: u64) -> bool {
        let mut look = Look::NEW;
        let mut structures = Structures::new(self.tables.madt);
        while let Some(earlier) = structures.cpu(&mut look) {
            if look.path == path {
                break;
            }
            let mut unheard = Look::NEW;
            if is_enabled(earlier) && mpidr(earlier, &mut unheard) == Some(wanted) {
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
