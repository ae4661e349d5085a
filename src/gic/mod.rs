//! The interrupt controller: one facade, GICv2 and GICv3 behind it.
//!
//! Priorities are the same for both, in every view of them (Secure, Non-secure, EL1, EL2): that of NMI-class SGIs pre-empts what
//! [`masking`](crate::masking) holds back.

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

pub use common::Trigger;
pub(crate) use common::{CpuInterface, V2, V3};
pub(crate) use controller::{
    NmiReach, enable, find_cpu_parts, init, init_cpu, interrupts, is_present, needs_feat_nmi, nmi_reach,
    prove, quiet_cpu, route, set_trigger, silence,
};
pub(crate) use number::{NMI, Sgi, WAKE};
pub(crate) use part::CpuPart;
pub(crate) use remind::{REMIND, Reminder, init as init_reminders};
pub(crate) use sgi::{Doorbell, SgiBatch, interrupt, send_sgi, send_sgi_set};
