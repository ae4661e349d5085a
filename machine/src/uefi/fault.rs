//! Errors, as the reader of what firmware left makes them.

use crate::error::{Error, Fault, Origin, Place};

impl Error<'_> {
    pub(super) const fn in_firmware(fault: Fault, what: &'static str) -> Self {
        Self::new(Origin::Uefi, fault, Place::Whole, what)
    }
}
