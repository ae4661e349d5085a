//! The one cell through which device registers are reached.
//!
//! Each access is a single `ldar` or `str` with a plain base register. A volatile access may be compiled to
//! a form with writeback, for which the hardware reports no syndrome (Arm ARM D24.2.40, ESR_EL2.ISS.ISV = 0),
//! and hypervisors that emulate the device answer such an access with an abort. Loads acquire, on which no order here
//! relies: Cortex-A57 up to r1p2 may deadlock on others beside exclusives (erratum 832075).

use core::arch::asm;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{RegisterLongName, UIntLike};

mod sealed {
    pub trait Width: Copy {
        unsafe fn load(from: *const Self) -> Self;
        unsafe fn store(to: *mut Self, value: Self);
    }
}
use sealed::Width;

macro_rules! width {
    ($t:ty, $suffix:literal, $form:literal) => {
        impl Width for $t {
            #[inline(always)]
            unsafe fn load(from: *const Self) -> Self {
                let value: $t;
                // SAFETY: the caller's: `from` is a device register of this width, mapped.
                unsafe {
                    asm!(concat!("ldar", $suffix, " {v:", $form, "}, [{a}]"), v = out(reg) value, a = in(reg) from, options(nostack, preserves_flags));
                }
                value
            }
            #[inline(always)]
            unsafe fn store(to: *mut Self, value: Self) {
                // SAFETY: the caller's: `to` is a device register of this width, mapped.
                unsafe {
                    asm!(concat!("str", $suffix, " {v:", $form, "}, [{a}]"), v = in(reg) value, a = in(reg) to, options(nostack, preserves_flags));
                }
            }
        }
    };
}
width!(u8, "b", "w");
width!(u16, "h", "w");
width!(u32, "", "w");
width!(u64, "", "x");

/// A device register of width `T` with the bit fields `R`.
#[repr(transparent)]
pub(crate) struct Mmio<T, R: RegisterLongName = ()> {
    cell: UnsafeCell<T>,
    fields: PhantomData<R>,
}

impl<T: UIntLike + Width, R: RegisterLongName> Readable for Mmio<T, R> {
    type T = T;
    type R = R;

    #[inline(always)]
    fn get(&self) -> T {
        // SAFETY: a `Mmio` is only ever made by referring to mapped device registers, whose owner promised
        // so when it made the reference to the register block.
        unsafe { T::load(self.cell.get()) }
    }
}

impl<T: UIntLike + Width, R: RegisterLongName> Writeable for Mmio<T, R> {
    type T = T;
    type R = R;

    #[inline(always)]
    fn set(&self, value: T) {
        // SAFETY: as for `get`.
        unsafe { T::store(self.cell.get(), value) }
    }
}

// SAFETY: every access is one instruction; what concurrent accesses mean is the device's to define, and the
// drivers' to serialise where it matters.
unsafe impl<T: Width, R: RegisterLongName> Sync for Mmio<T, R> {}

/// Reads the register at `address`.
///
/// # Safety
///
/// `address` is a device register of this width, mapped as device memory, and reading it is harmless.
#[inline(always)]
pub(crate) unsafe fn read<T: Width>(address: usize) -> T {
    // SAFETY: the caller's.
    unsafe { T::load(address as *const T) }
}

/// Writes the register at `address`.
///
/// # Safety
///
/// `address` is a device register of this width, mapped as device memory, and the write is one its driver means.
#[inline(always)]
pub(crate) unsafe fn write<T: Width>(address: usize, value: T) {
    // SAFETY: the caller's.
    unsafe { T::store(address as *mut T, value) }
}
