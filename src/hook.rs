//! A function of the tests', called where CPUs pass.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Functions that a hook may be.
pub(crate) trait Function: Copy {
    /// As an address, which is not null.
    fn address(self) -> *mut ();

    /// # Safety
    ///
    /// [`Self::address`] gave the address out.
    unsafe fn at(address: *mut ()) -> Self;
}

macro_rules! function {
    ($($type:ty),*) => {$(
        impl Function for $type {
            fn address(self) -> *mut () {
                self as *mut ()
            }

            unsafe fn at(address: *mut ()) -> Self {
                // SAFETY: the address of a function of this type (the caller's).
                unsafe { core::mem::transmute(address) }
            }
        }
    )*};
}
function!(fn(), fn(crate::cpu_set::CpuId));

/// A place for such a function.
pub(crate) struct Hook<F>(AtomicPtr<()>, PhantomData<F>);

impl<F: Function> Hook<F> {
    /// None is called.
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()), PhantomData)
    }

    /// From now on this one is called.
    pub(crate) fn set(&self, hook: Option<F>) {
        // Release: pairs with `get`. What the hook uses is there.
        self.0.store(hook.map_or(core::ptr::null_mut(), F::address), Ordering::Release);
    }

    /// The one to call.
    pub(crate) fn get(&self) -> Option<F> {
        // Acquire: pairs with `set`.
        Self::function(self.0.load(Ordering::Acquire))
    }

    /// The one to call, which is not called again.
    pub(crate) fn take(&self) -> Option<F> {
        // Acquire: pairs with `set`.
        Self::function(self.0.swap(core::ptr::null_mut(), Ordering::Acquire))
    }

    fn function(address: *mut ()) -> Option<F> {
        // SAFETY: only `set` stores here, besides null what `address` gave it.
        (!address.is_null()).then(|| unsafe { F::at(address) })
    }
}
