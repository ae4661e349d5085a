//! Interrupts: masking them, handling them.

#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod private;
mod table;

pub use crate::gic::Trigger;
pub use crate::masking::{Masked, in_interrupt, in_nmi, is_masked, mask};
pub(crate) use private::{Applied, PRIVATE, applied, apply, look, tell};
pub use table::{IrqError, register, set_affinity};
pub(crate) use table::{dispatch, enable_private, move_away};
