//! Interrupts: masking them, handling them.
//!
//! # Handlers
//!
//! [`register`] has a function called for a device's interrupt, [`register_with`] a [`Handler`] that has something of its own,
//! [`register_per_cpu`] one for a private interrupt (PPI) on those CPUs that ask for it, and [`register_sgi`] one for an interrupt that CPUs
//! send each other. [`unregister`] takes it away: when it returns the handler runs nowhere. [`enable`] and [`disable`] let one interrupt
//! come or not, an SPI everywhere, a PPI on the calling CPU.
//!
//! # Priorities
//!
//! [`set_priority`] gives an interrupt one of three classes. Which of several that are pending a CPU takes first goes by these; but none
//! interrupts the handler of another, nor comes through a masked section. Handlers do not nest: while one runs nothing but an
//! NMI-class interrupt comes in, whatever its class, so that handlers, calls and timers of a CPU run one after the other, and on the
//! stack that there is for one.

mod control;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod handler;
mod private;
mod sgi;
mod table;

pub use crate::gic::{Priority, Trigger};
pub use crate::masking::{Masked, in_interrupt, in_nmi, is_masked, mask};
pub use control::{
    clear_pending, disable, enable, is_active, is_pending, set_pending, set_priority, unregister,
};
pub use handler::{Handler, register_per_cpu, register_with};
pub(crate) use private::{Applied, PRIVATE, applied, apply, look, tell};
pub use sgi::{Sgi, register_sgi};
pub use table::{IrqError, register, set_affinity};
pub(crate) use table::{dispatch, enable_private, keep, move_away};
