//! Memory: the image, what is mapped, what RAM there is, what is carved for the runtime, what is free.

mod alone;
mod carve;
mod image;
mod map;
pub(crate) mod stacks;
mod tree;

pub(crate) use alone::Alone;
pub(crate) use carve::{MemoryError, MemoryMap};
pub(crate) use image::{build_id, function_at, image, instruction, is_text, offset_of_function, text};
#[cfg(feature = "fault-injection")]
pub(crate) use map::unmap_device;
pub(crate) use map::{WINDOW, close_window, init, map_device, map_identity, open_window};
pub(crate) use tree::{Blob, tree_at};
