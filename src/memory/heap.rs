//! The heap of the crate `alloc`: see [`memory`](crate::memory).

use super::pages::{Pages, PagesError};
use crate::arch::mmu::PAGE;
use crate::sync::SpinLock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use rlsf::Tlsf;

/// Bytes, with the alignment, up to which an allocation comes out of the pool.
const LARGE: usize = 64 << 10;
/// Bytes that the pool grows by: the first, or, if there is not as much, the second, which is enough for the largest that comes out of it.
const GROWTHS: [usize; 2] = [1 << 20, 128 << 10];

/// Lists for blocks of up to 1 MiB, in 16 steps for each power of two.
type Pool = Tlsf<'static, u16, u16, 15, 16>;
const _: () = assert!(GROWTHS[0] == rlsf::GRANULARITY << 15);

struct Heap(SpinLock<Pool>);

#[global_allocator]
static HEAP: Heap = Heap(SpinLock::new(Pool::new()));

fn is_large(layout: Layout) -> bool {
    layout.size().saturating_add(layout.align()) > LARGE
}

impl Heap {
    fn out_of_pool(&self, layout: Layout) -> Result<Option<NonNull<u8>>, PagesError> {
        let mut pool = self.0.lock_anywhere()?;
        if let Some(block) = pool.allocate(layout) {
            return Ok(Some(block));
        }
        let pages = Pages::new(GROWTHS[0]).or_else(|_| Pages::new(GROWTHS[1]))?;
        pool.insert_free_block(pages.leak());
        Ok(pool.allocate(layout))
    }
}

// SAFETY: blocks of the pool, which hands out none twice and is behind a lock, or pages that are the allocation's alone; of at least the
// size and alignment of the layout, by which both know on their return which of them it was. Nothing unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            let pages = Pages::aligned(layout.size().max(1), layout.align());
            return pages.map_or(core::ptr::null_mut(), |pages| pages.leak().as_mut_ptr().cast());
        }
        self.out_of_pool(layout).ok().flatten().map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: leaked by `alloc`, for this layout, and not used any more (the caller's).
            drop(unsafe { Pages::regain(at as u64, layout.size().max(1).next_multiple_of(PAGE) as u64) });
        } else if let (Ok(mut pool), Some(at)) = (self.0.lock_anywhere(), NonNull::new(at)) {
            // SAFETY: allocated from the pool for this layout, and not used any more (the caller's).
            unsafe { pool.deallocate(at, layout.align()) };
        }
    }
}
