//! Memory: the image, what is mapped, what RAM there is, what is carved for the runtime, what is free.
//!
//! The application has its memory from here: [`Pages`], which are contiguous, out of all that
//! [`System::free_memory`](crate::System::free_memory) says is free, and stacks ([`Stack`]), each above a page that is not mapped.
//!
//! # The heap
//!
//! With the feature `heap` there is a `#[global_allocator]`, and the crate `alloc` works. It is TLSF, as the crate
//! `rlsf` has it: what it does takes the same time whatever is in the heap, which is what code behind a lock that masks
//! interrupts is to be like. Allocators that search a list are not, and those that keep memory for each thread know of threads.
//!
//! - Up to 64 KiB, with its alignment, an allocation comes out of a pool. Where that has no room it gets 1 MiB of [`Pages`], or 128 KiB if
//!   there is not as much; what it has it keeps.
//! - What is larger is [`Pages`] of its own, and given back as such.
//!
//! It can be used wherever a [`SpinLock`](crate::sync::SpinLock) can: in a thread, a masked section, an interrupt handler, a callback. At NMI level, and on
//! a CPU that has [stopped the others](crate::panic::stop_others) while one of them was in it, there is no memory (`alloc` returns null), and
//! what is freed is lost: nothing waits for what was interrupted. So a panic hook may allocate, but should not rely on it.
//!
//! Interrupts are masked for as long as one allocation takes: constant in the pool; where that grows and for what is large, as long as
//! [`Pages`] say. Contents are copied and zeroed with interrupts as they are.

mod alone;
mod carve;
pub mod dma;
mod firmware;
#[cfg(feature = "heap")]
mod heap;
mod image;
mod map;
mod mapping;
mod pages;
mod stack;
mod stack_list;
pub(crate) mod stacks;
mod tables;
mod tree;

pub use mapping::{Access, Device, MapFailed, Mapping, Memory, map, map_registers};
pub use pages::{Pages, PagesError, free};
pub use reveille_machine::Free;
pub use stack::{Stack, StackError};

pub(crate) use alone::Alone;
pub(crate) use carve::{MemoryError, MemoryMap};
pub(crate) use firmware::bytes_at;
pub(crate) use image::{
    build_id, function_at, image, instruction, is_text, offset_of_function, text, written,
};
#[cfg(feature = "fault-injection")]
pub(crate) use map::unmap_device;
pub(crate) use map::{WINDOW, close_window, init, map_device, map_identity, open_window};
pub(crate) use stack_list::in_use as stacks_in_use;
pub(crate) use tree::{Blob, tree_at};
