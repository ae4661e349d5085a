//! Tests of more than one room, and what tests have in common.

mod command_lines;
mod running;
pub(crate) mod sample;
