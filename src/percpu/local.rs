//! Per-CPU variables: one instance for each CPU, carved at boot from the initial value in the image.

use super::area;
use crate::cpu_set::CpuId;
use core::ops::Deref;

/// A variable of which every CPU has its own instance. Made by [`percpu!`](crate::percpu!).
///
/// It dereferences to the instance of the CPU that asks; [`PerCpu::of`] reaches another's. A [context](crate::context) that may be preempted
/// masks interrupts first, if it is to be its own CPU's for longer than that. Instances are shared
/// like any static, so `T` is `Sync`: atomics, locks, cells of one's own making. They begin as the initial
/// value, once, at boot: a CPU that goes and comes back finds its own as it left it.
///
/// ```no_run
/// use core::cell::Cell;
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use reveille::cpu;
///
/// # fn example() {
/// reveille::percpu! {
///     static ERRORS: AtomicU32 = AtomicU32::new(0);
/// }
///
/// ERRORS.fetch_add(1, Ordering::Relaxed);
/// let of_the_first = cpu::get(0).map(|cpu| ERRORS.of(cpu).load(Ordering::Relaxed));
/// # }
/// ```
#[repr(transparent)]
pub struct PerCpu<T> {
    /// In the image: where the instances' bytes come from, and by its address their place.
    template: T,
}

impl<T: Sync + 'static> PerCpu<T> {
    /// For [`percpu!`](crate::percpu!) alone.
    ///
    /// # Safety
    ///
    /// The value becomes a static in the section `.percpu`.
    #[doc(hidden)]
    pub const unsafe fn template(value: T) -> Self {
        Self { template: value }
    }

    /// The instance of `cpu`.
    ///
    /// ```no_run
    /// use core::sync::atomic::{AtomicU32, Ordering};
    /// use reveille::cpu;
    ///
    /// # fn example() {
    /// reveille::percpu! {
    ///     static ERRORS: AtomicU32 = AtomicU32::new(0);
    /// }
    ///
    /// let all: u32 = cpu::possible().iter().map(|cpu| ERRORS.of(cpu).load(Ordering::Relaxed)).sum();
    /// # }
    /// ```
    #[inline]
    pub fn of(&'static self, cpu: CpuId) -> &'static T {
        self.at(area::of(cpu).locals)
    }

    /// The instance of the CPU that asks.
    ///
    /// ```no_run
    /// use core::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # fn example() {
    /// reveille::percpu! {
    ///     static ERRORS: AtomicU32 = AtomicU32::new(0);
    /// }
    ///
    /// let own: &'static AtomicU32 = ERRORS.here();
    /// own.store(0, Ordering::Relaxed);
    /// # }
    /// ```
    #[inline]
    pub fn here(&'static self) -> &'static T {
        self.at(area::current().locals)
    }

    #[inline(always)]
    fn at(&'static self, locals: u64) -> &'static T {
        let offset = core::ptr::from_ref(&self.template) as u64 - template_range().0;
        // SAFETY: `self` lies in the section (the promise of `template`), so at the same offset in the CPU's copy of
        // it lies a copy of its bytes, made at boot before anyone could ask, aligned like the section, and never
        // freed. The bytes are those of a
        // constant, which may be had any number of times; nobody ever uses the template as a `T`. `T` is `Sync`.
        unsafe { &*((locals + offset) as *const T) }
    }
}

impl<T: Sync + 'static> Deref for PerCpu<T> {
    type Target = T;

    /// The instance of the CPU that asks.
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a `PerCpu` only ever exists as a static (the promise of `template`).
        let this: &'static Self = unsafe { &*core::ptr::from_ref(self) };
        this.here()
    }
}

/// Where the initial values lie in the image: `[start, end)`.
pub(crate) fn template_range() -> (u64, u64) {
    unsafe extern "C" {
        static __percpu_start: u8;
        static __percpu_end: u8;
    }
    // Symbols of the linker script, of which only the addresses are used.
    (&raw const __percpu_start as u64, &raw const __percpu_end as u64)
}

/// Defines per-CPU variables.
///
/// ```no_run
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use reveille::cpu;
///
/// reveille::percpu! {
///     /// Interrupts that this CPU has handled.
///     static COUNT: AtomicU64 = AtomicU64::new(0);
/// }
///
/// # fn example() {
/// COUNT.fetch_add(1, Ordering::Relaxed);
/// let all: u64 = cpu::possible().iter().map(|cpu| COUNT.of(cpu).load(Ordering::Relaxed)).sum();
/// # }
/// ```
///
/// The type must be `Sync`; the alignment at most 128 bytes.
#[macro_export]
macro_rules! percpu {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$attribute])*
        #[unsafe(link_section = ".percpu")]
        $visibility static $name: $crate::cpu::PerCpu<$type> = {
            const { assert!(::core::mem::align_of::<$type>() <= 128, "a per-CPU variable is aligned to at most 128 bytes") };
            // A constant, and so something that may exist any number of times.
            #[allow(clippy::declare_interior_mutable_const, reason = "each use is to be another instance")]
            const __REVEILLE_INITIAL: $type = $value;
            // SAFETY: this is the static, in the section.
            unsafe { $crate::cpu::PerCpu::template(__REVEILLE_INITIAL) }
        };
    )*};
}
