//! What is mapped by pages in a window, and unmapped again: a part at a time, with more page tables if need be.

use super::map::with_mapper_anywhere;
use super::pages::{Pages, PagesError};
use crate::arch::mmu::{MapError, PAGE, Table, Use, invalidate_pages};
use crate::sync::Refused;

/// Tables that are taken at one time.
const MORE_TABLES: usize = 16;

/// Bytes that are mapped or unmapped at one time: interrupts are masked meanwhile.
const AT_ONCE: u64 = 64 * PAGE as u64;

/// Why something was not mapped.
pub(super) enum Unmapped {
    /// The tables cannot be had in this context.
    Refused(Refused),
    /// There is no memory for more of them.
    NoTables(PagesError),
    /// They do not take it.
    Map(MapError),
}

/// Maps `len` bytes of `physical` at `virtual_`, where nothing is mapped. On an error nothing is, but for what [`unmap`] says.
pub(super) fn map(virtual_: u64, physical: u64, len: u64, usage: Use) -> Result<(), Unmapped> {
    let mut done = 0;
    while done < len {
        let part = AT_ONCE.min(len - done);
        let mapped =
            with_mapper_anywhere(|mapper| mapper.map_new(virtual_ + done, physical + done, part, usage));
        let error = match mapped {
            Ok(Ok(())) => {
                done += part;
                continue;
            }
            Ok(Err(MapError::NoTables)) => match more_tables() {
                Ok(()) => continue,
                Err(error) => Unmapped::NoTables(error),
            },
            Ok(Err(error)) => Unmapped::Map(error),
            Err(refused) => Unmapped::Refused(refused),
        };
        unmap(virtual_, done);
        return Err(error);
    }
    Ok(())
}

/// Unmaps `len` bytes at `virtual_` on all CPUs. `false`: not all of them, as nothing can be mapped any more.
pub(super) fn unmap(virtual_: u64, len: u64) -> bool {
    let mut done = 0;
    while done < len {
        let part = AT_ONCE.min(len - done);
        if with_mapper_anywhere(|mapper| mapper.remove_pages(virtual_ + done, part)).is_err() {
            return false;
        }
        done += part;
    }
    invalidate_pages(virtual_, len);
    true
}

/// Gives the page tables memory if they have none left.
fn more_tables() -> Result<(), PagesError> {
    let pages = Pages::new(MORE_TABLES * PAGE)?.zeroed();
    let mut pages = Some(pages);
    with_mapper_anywhere(|mapper| {
        // Somebody else may have been here in between: then these go back, behind the lock.
        if mapper.is_out_of_tables()
            && let Some(pages) = pages.take()
        {
            let tables = pages.leak();
            // SAFETY: zeroed RAM, mapped where it is, that is the mapper's from now on.
            unsafe { mapper.refill(tables.as_mut_ptr().cast::<Table>(), MORE_TABLES) };
        }
    })?;
    Ok(())
}
