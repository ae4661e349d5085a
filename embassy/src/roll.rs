//! Lists of tasks that are part of the tasks themselves.

use crate::kind::Kind;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr;
use core::task::Waker;
use reveille::sync::SpinLock;

/// Tasks of one CPU.
pub(crate) struct Roll(SpinLock<First>);

struct First(*const Entry);

// SAFETY: what it leads to is touched with the lock held alone.
unsafe impl Send for First {}

/// A task's place in a roll: on it from [`Roll::enter`] until it is dropped.
pub(crate) struct Entry {
    /// The roll that it is on.
    roll: Cell<Option<&'static Roll>>,
    /// Its neighbours, and what it says: with the lock of the roll held.
    links: UnsafeCell<Links>,
    _pinned: PhantomPinned,
}

struct Links {
    before: *const Entry,
    after: *const Entry,
    name: &'static str,
    kind: Kind,
    waker: Option<Waker>,
}

// SAFETY: the links are touched with the lock held alone, `roll` by whoever has the task, which is one CPU at a time.
unsafe impl Send for Entry {}

impl Roll {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(First(ptr::null())))
    }

    /// Puts `entry` on the roll.
    ///
    /// # Panics
    ///
    /// If it is on one already.
    pub(crate) fn enter(
        &'static self,
        entry: Pin<&Entry>,
        name: &'static str,
        kind: Kind,
        waker: Option<Waker>,
    ) {
        assert!(entry.roll.replace(Some(self)).is_none(), "a task on two rolls");
        let mut first = self.0.lock();
        let this = ptr::from_ref(entry.get_ref());
        // SAFETY: with the lock; pinned, so it stays where it is until it is dropped, which takes it off. So do the others on the roll.
        unsafe {
            *entry.links.get() = Links { before: ptr::null(), after: first.0, name, kind, waker };
            if let Some(after) = first.0.as_ref() {
                (*after.links.get()).before = this;
            }
        }
        first.0 = this;
    }

    /// The name of the one that came last, of those whose executor `is_meant`.
    pub(crate) fn name(&self, is_meant: impl Fn(Kind) -> bool) -> Option<&'static str> {
        self.find(|links| is_meant(links.kind).then_some(links.name))
    }

    /// Wakes all that are on it.
    pub(crate) fn wake(&self) {
        self.find(|links| {
            if let Some(waker) = &links.waker {
                waker.wake_by_ref();
            }
            None::<()>
        });
    }

    /// The first answer of `f`, asked of one after the other.
    fn find<T>(&self, f: impl Fn(&Links) -> Option<T>) -> Option<T> {
        let first = self.0.lock();
        let mut next = first.0;
        // SAFETY: with the lock; those on the roll are there.
        while let Some(entry) = unsafe { next.as_ref() } {
            // SAFETY: with the lock.
            let links = unsafe { &*entry.links.get() };
            if let found @ Some(_) = f(links) {
                return found;
            }
            next = links.after;
        }
        None
    }
}

impl Entry {
    /// On no roll.
    pub(crate) const fn new() -> Self {
        Self {
            roll: Cell::new(None),
            links: UnsafeCell::new(Links {
                before: ptr::null(),
                after: ptr::null(),
                name: "",
                kind: Kind::Local,
                waker: None,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// Whether it is on a roll.
    pub(crate) fn is_entered(&self) -> bool {
        self.roll.get().is_some()
    }

    /// Takes it off the roll that it is on.
    pub(crate) fn leave(&self) {
        let Some(roll) = self.roll.take() else { return };
        let mut first = roll.0.lock();
        // SAFETY: with the lock; its neighbours are on the roll too.
        unsafe {
            let links = &mut *self.links.get();
            match links.before.as_ref() {
                Some(before) => (*before.links.get()).after = links.after,
                None => first.0 = links.after,
            }
            if let Some(after) = links.after.as_ref() {
                (*after.links.get()).before = links.before;
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.leave();
    }
}
