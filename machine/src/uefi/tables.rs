//! The system table (4.3), and the configuration tables that it leads to (4.6).

use super::map::le64;
use crate::error::{Error, Fault};

/// Bytes of a system table (4.3, EFI_SYSTEM_TABLE) with 64-bit pointers.
pub const SYSTEM_TABLE_SIZE: usize = 120;

/// Bytes of an entry of the configuration tables (4.6, EFI_CONFIGURATION_TABLE) with 64-bit pointers.
pub const TABLE_SIZE: usize = 24;

/// More configuration tables than this are taken for garbage. Firmware has about ten.
const MAX_TABLES: u64 = 512;

/// The first word of a system table: `IBI SYST`.
const SIGNATURE: u64 = 0x5453_5953_2049_4249;

/// A GUID, as it lies in memory (Appendix A).
pub type Guid = [u8; 16];

/// The configuration table that is a device tree (4.6, EFI_DTB_TABLE_GUID).
pub const DEVICE_TREE: Guid = guid(0xb1b6_21d5, 0xf19c, 0x41a5, 0x830b_d915_2c69_aae0);
/// The one that is the RSDP of ACPI 2.0 and later (4.6, EFI_ACPI_20_TABLE_GUID).
pub const ACPI_2: Guid = guid(0x8868_e871, 0xe4f1, 0x11d3, 0xbc22_0080_c73c_8881);
/// The one that is the RSDP of ACPI 1.0 (4.6, ACPI_TABLE_GUID).
pub const ACPI_1: Guid = guid(0xeb9d_2d30, 0x2d88, 0x11d3, 0x9a16_0090_273f_c14d);

/// The one that is the first node of Linux's list of reserved memory ([`Listed`](super::Listed)): `LINUX_EFI_MEMRESERVE_TABLE_GUID`.
pub const LISTED: Guid = guid(0x888e_b0c6, 0x8ede, 0x4ff5, 0xa8f0_9aee_5cb9_77c2);

/// The GUID that is written `a-b-c-dddd-dddddddddddd`.
const fn guid(a: u32, b: u16, c: u16, d: u64) -> Guid {
    // The first three are little endian, the rest is as it is written.
    let number = a as u128 | (b as u128) << 32 | (c as u128) << 48 | (d.swap_bytes() as u128) << 64;
    number.to_le_bytes()
}

/// What is of use of a system table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemTable {
    /// Where the configuration tables lie, [`TABLE_SIZE`] bytes each: a virtual address if firmware has been given its addresses
    /// ([`MemoryMap::to_physical`](super::MemoryMap::to_physical)).
    pub tables: u64,
    /// How many they are.
    pub count: usize,
}

impl SystemTable {
    /// Reads it.
    ///
    /// # Errors
    /// [`Fault::Header`]: it is none, or has more configuration tables than there can be.
    pub fn read(bytes: &[u8; SYSTEM_TABLE_SIZE]) -> Result<Self, Error<'static>> {
        if le64(bytes, 0) != SIGNATURE {
            return Err(Error::in_firmware(Fault::Header, "system table: no signature at its start"));
        }
        let (count, tables) = (le64(bytes, 104), le64(bytes, 112));
        if count > MAX_TABLES {
            return Err(Error::in_firmware(Fault::Header, "system table: an impossible number of tables")
                .value(count));
        }
        Ok(Self { tables, count: count as usize })
    }
}

/// Where the configuration table of this kind lies. It is physical, whatever addresses firmware has been given (4.6).
#[inline(never)]
pub fn find_table(tables: &[u8], kind: &Guid) -> Option<u64> {
    let table = tables.chunks_exact(TABLE_SIZE).find(|table| table.starts_with(kind))?;
    Some(le64(table, 16)).filter(|at| *at != 0)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn guids_lie_in_memory_as_the_specification_says() {
        assert_eq!(
            ACPI_2,
            [0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81]
        );
    }

    #[test]
    fn a_system_table_leads_to_the_others() {
        let mut bytes = [0; SYSTEM_TABLE_SIZE];
        assert!(SystemTable::read(&bytes).is_err());
        bytes[..8].copy_from_slice(b"IBI SYST");
        bytes[104] = 2;
        bytes[112..].copy_from_slice(&0x1234_5678_u64.to_le_bytes());
        assert_eq!(SystemTable::read(&bytes).unwrap(), SystemTable { tables: 0x1234_5678, count: 2 });
        bytes[111] = 1;
        assert_eq!(
            SystemTable::read(&bytes).unwrap_err().to_string(),
            "UEFI: system table: an impossible number of tables (0x100000000000002)"
        );
    }

    #[test]
    fn tables_are_found_by_what_they_are() {
        let mut tables = [0; 2 * TABLE_SIZE];
        tables[24..40].copy_from_slice(&DEVICE_TREE);
        assert_eq!(find_table(&tables, &DEVICE_TREE), None);
        tables[40] = 8;
        assert_eq!(find_table(&tables, &DEVICE_TREE), Some(8));
        assert_eq!(find_table(&tables[..47], &DEVICE_TREE), None);
        assert_eq!(find_table(&tables, &ACPI_2), None);
    }
}
