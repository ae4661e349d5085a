//! Holding interrupts back on the calling CPU, for as long as somebody wants it.
//!
//! "Masked" in this runtime means the priority mask raised to `MASK` with `DAIF.I` open, so that an NMI-class SGI still comes
//! through. Where CPU and controller have FEAT_NMI that SGI has superpriority besides, and comes through `DAIF.I` as well.
//!
//! With the bootarg `reveille.mask=daif` "masked" is `DAIF.I` and nothing else. That is cheaper on GICv2, where the
//! priority mask is a device register; but then, without FEAT_NMI, a CPU with interrupts masked cannot be stopped. So it is also, whatever
//! the bootarg says, where the interrupt controller has no priorities.

mod choice;
mod depth;
mod guard;
mod how;
mod priority;

pub(crate) use choice::{by_daif_alone, choose, init};
pub(crate) use depth::Masking;
#[cfg(feature = "fault-injection")]
pub(crate) use guard::is_in_callback;
pub(crate) use guard::{
    Callbacks, Closed, as_interrupt, close_below_nmi_here, close_if_open_here, mask_below_nmi,
    mask_below_nmi_here, mask_here, mask_if_open_here, mask_on, mask_rarely, open_here,
};
pub use guard::{Masked, in_interrupt, in_nmi, is_masked, mask};
pub(crate) use how::{BY_V2, BY_V3, BY_V3_HINT};
pub(crate) use priority::OPEN;
