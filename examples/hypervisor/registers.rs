//! System registers: access to one, and what a vCPU has of them while it does not run.

/// Reads a system register.
macro_rules! read {
    ($name:expr) => {{
        let value: u64;
        // SAFETY: a register that exists at EL2, and whose reading changes nothing.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags)) };
        value
    }};
}
pub(crate) use read;

/// Writes a system register: one of EL1, of stage 2, of the virtual interface or of its timers (docs/hypervisor.md: the application's).
macro_rules! write {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: it means something below EL2 alone, where nothing runs that is ours.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
    }};
}
pub(crate) use write;

/// What was written counts from here on.
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) }
}

/// A group of registers that are saved and loaded together.
macro_rules! registers {
    ($(#[$doc:meta])* $type:ident: $($name:literal)*) => {
        $(#[$doc])*
        pub struct $type(pub [u64; [$($name),*].len()]);

        impl $type {
            pub const NEW: Self = Self([0; [$($name),*].len()]);

            pub fn save(&mut self) {
                self.0 = [$(crate::registers::read!($name)),*];
            }

            pub fn load(&self) {
                let mut values = self.0.iter();
                $(crate::registers::write!($name, *values.next().expect("one for each name"));)*
            }
        }
    };
}
pub(crate) use registers;

registers! {
    /// All that a guest at EL1 and EL0 has and that does not trap, but for what is in a `Frame`, and FPCR and FPSR. `SCTLR_EL1` is the first.
    Registers:
    "sctlr_el1" "cpacr_el1" "ttbr0_el1" "ttbr1_el1" "tcr_el1" "mair_el1" "amair_el1" "vbar_el1" "contextidr_el1" "tpidr_el1"
    "tpidr_el0" "sp_el1" "elr_el1" "spsr_el1" "esr_el1" "far_el1" "afsr0_el1" "afsr1_el1" "par_el1" "csselr_el1" "cntkctl_el1"
    "S3_3_C4_C4_0" "S3_3_C4_C4_1" "cntv_cval_el0" "cntv_ctl_el0" "cntp_cval_el0" "cntp_ctl_el0"
}

/// q0 to q31, which an image without SIMD neither uses nor keeps. One with them has them in its `Frame`.
#[repr(C, align(16))]
pub struct Simd(pub [u128; 32]);

/// `str` or `ldr` of all of them, from `$base` on.
macro_rules! simd {
    ($base:expr, $what:literal) => {
        #[cfg(not(target_feature = "neon"))]
        // SAFETY: `$base` is a `Simd`, and this image has no use for the registers.
        unsafe {
            core::arch::asm!(
                ".arch_extension fp", ".arch_extension simd",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                concat!($what, " q\\n, [{0}, #16*\\n]"), ".endr",
                in(reg) $base, options(nostack, preserves_flags)
            )
        }
    };
}

impl Simd {
    pub fn save(&mut self) {
        simd!(&mut self.0, "str");
    }

    pub fn load(&self) {
        simd!(&self.0, "ldr");
    }
}
