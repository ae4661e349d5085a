//! The interrupt controller: one facade, and GICv2, GICv3 or what a BCM2836 has behind it.
//!
//! Priorities are the same for both GICs, in every view of them (Secure, Non-secure, EL1, EL2): that of NMI-class SGIs pre-empts what
//! [`masking`](crate::masking) holds back, and a handler; what that is has [classes](Priority), of which none pre-empts another.
//! The BCM2836 has none: there masking is by `DAIF`, and NMI-class SGIs are SGIs as any other.

pub(crate) mod bcm2836;
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

pub(crate) use common::{BCM2836, CpuInterface, V2, V3, V3_NMI};
pub use common::{Priority, Trigger};
pub(crate) use controller::{
    NmiReach, can_enable, disable, enable, find_cpu_parts, has, has_one_route, init, init_cpu, interrupts,
    is_active, is_pending, is_present, keeps_state, needs_feat_nmi, nmi_reach, prove, quiet_cpu, route,
    route_all, set_pending, set_priority, set_trigger, silence, silence_on, use_classes,
};
pub(crate) use number::{APPLICATION, NMI, Sgi, WAKE};
pub(crate) use part::CpuPart;
pub(crate) use remind::{REMIND, Reminder, init as init_reminders};
pub(crate) use sgi::{Doorbell, SgiBatch, interrupt, send_sgi, send_sgi_set, wake_parked};
