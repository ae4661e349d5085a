//! More page tables, out of the pages that are free.

use super::map::with_mapper_anywhere;
use super::pages::{Pages, PagesError};
use crate::arch::mmu::{PAGE, Table};

/// Tables that are taken at one time.
const MORE_TABLES: usize = 16;

/// Gives the page tables memory if they have none left.
pub(super) fn more_tables() -> Result<(), PagesError> {
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
