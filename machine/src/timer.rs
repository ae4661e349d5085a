//! The generic timer.

use crate::counter::CounterErrata;
use crate::interrupt::Interrupt;

/// The generic timer of the CPUs: one PPI per view of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    /// EL3 or Secure EL1 physical timer, CNTPS.
    pub secure_physical: Option<Interrupt>,
    /// Non-secure EL1 physical timer, CNTP.
    pub physical: Option<Interrupt>,
    /// EL1 virtual timer, CNTV.
    pub virtual_timer: Option<Interrupt>,
    /// EL2 physical timer, CNTHP.
    pub hyp_physical: Option<Interrupt>,
    /// EL2 virtual timer, CNTHV.
    pub hyp_virtual: Option<Interrupt>,
    /// In Hz: what firmware should have put into CNTFRQ_EL0 and did not.
    pub clock_frequency: Option<u32>,
    /// What is wrong with the counter.
    pub errata: CounterErrata,
}
