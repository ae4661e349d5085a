//! Words on lines of their own.

/// Alone on its cache lines: 128 bytes is a line pair on the CPUs that fetch in pairs.
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);
