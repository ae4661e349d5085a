//! The interrupt controller: one facade, GICv2 and GICv3 behind it.
//!
//! Priorities are the same for both, in every view of them (Secure, Non-secure, EL1, EL2): that of NMI-class SGIs pre-empts what
//! [`masking`](crate::masking) holds back, and a handler; what that is has [classes](Priority), of which none pre-empts another.

mod common;
mod controller;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod number;
mod part;
mod remind;
mod sgi;
pub(crate) mod v2;
mod v3;
pub(crate) mod v3_cpu;

pub(crate) use common::{CpuInterface, V2, V3, V3_NMI};
pub use common::{Priority, Trigger};
pub(crate) use controller::{
    NmiReach, can_enable, disable, enable, find_cpu_parts, init, init_cpu, interrupts, is_active, is_pending,
    is_present, needs_feat_nmi, nmi_reach, prove, quiet_cpu, route, set_pending, set_priority, set_trigger,
    silence, silence_on, use_classes,
};
pub(crate) use number::{APPLICATION, NMI, Sgi, WAKE};
pub(crate) use part::CpuPart;
pub(crate) use remind::{REMIND, Reminder, init as init_reminders};
pub(crate) use sgi::{Doorbell, SgiBatch, interrupt, send_sgi, send_sgi_set, wake_parked};
