//! Where shared interrupts go, and what becomes of them when the CPU to which they go leaves.
//!
//! The table lies in a lock; whoever has that says where an interrupt goes, and tells the controller before it gives the lock
//! back. A CPU that leaves says in its slot that it does, and then moves what goes to it away. So what another one sends to it
//! was there before, and is moved; or that one has the lock later, and finds that the CPU is not online any more: the look at
//! the slot is under the lock.

/// Where each of `N` shared interrupts goes.
pub struct Routes<const N: usize> {
    /// 1 + the number of the CPU; 0: nowhere in particular.
    to: [u16; N],
    /// One more than the highest interrupt that goes somewhere.
    end: usize,
}

/// The CPU is not online. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOnline;

impl<const N: usize> Routes<N> {
    /// Nowhere in particular.
    #[must_use]
    pub const fn new() -> Self {
        Self { to: [0; N], end: 0 }
    }

    /// `interrupt` goes to `cpu` from now on: the calling one, which moves it away if it leaves or does not come online.
    ///
    /// # Panics
    ///
    /// If there is no such interrupt.
    pub fn take(&mut self, interrupt: usize, cpu: u16) {
        self.to[interrupt] = cpu + 1;
        self.end = self.end.max(interrupt + 1);
    }

    /// `interrupt` goes nowhere in particular any more.
    ///
    /// # Panics
    ///
    /// If there is no such interrupt.
    pub fn forget(&mut self, interrupt: usize) {
        self.to[interrupt] = 0;
    }

    /// `interrupt` goes to `cpu` from now on, if `is_online` finds that online.
    ///
    /// # Errors
    ///
    /// [`NotOnline`].
    ///
    /// # Panics
    ///
    /// If there is no such interrupt.
    pub fn send(
        &mut self,
        interrupt: usize,
        cpu: u16,
        is_online: impl FnOnce() -> bool,
    ) -> Result<(), NotOnline> {
        // With the lock held: a CPU that leaves after this look finds the interrupt among those that it has to move.
        if !is_online() {
            return Err(NotOnline);
        }
        self.take(interrupt, cpu);
        Ok(())
    }

    /// `from`, which is not online any more, moves away all that goes to it: to the CPU that `heir` finds online, if there is
    /// one. `route` tells the controller.
    pub fn move_away(
        &mut self,
        from: u16,
        heir: impl FnOnce() -> Option<u16>,
        mut route: impl FnMut(usize, u16),
    ) {
        // With the lock held: an heir that leaves itself finds them.
        let Some(heir) = heir() else { return };
        for (interrupt, to) in self.to.iter_mut().enumerate().take(self.end) {
            if *to == from + 1 {
                *to = heir + 1;
                route(interrupt, heir);
            }
        }
    }
}

impl<const N: usize> Default for Routes<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn moved(routes: &mut Routes<8>, from: u16, heir: Option<u16>) -> Vec<usize> {
        let mut moved = Vec::new();
        routes.move_away(
            from,
            || heir,
            |interrupt, to| {
                assert_eq!(Some(to), heir);
                moved.push(interrupt);
            },
        );
        moved
    }

    #[test]
    fn what_goes_to_a_cpu_that_leaves_goes_to_its_heir() {
        let mut routes = Routes::<8>::new();
        routes.take(7, 0);
        routes.take(2, 1);
        assert_eq!(routes.send(3, 1, || true), Ok(()));
        assert_eq!(routes.send(4, 1, || false), Err(NotOnline));
        assert_eq!(moved(&mut routes, 2, Some(0)), []);
        assert_eq!(moved(&mut routes, 1, None), []);
        assert_eq!(moved(&mut routes, 1, Some(0)), [2, 3]);
        assert_eq!(moved(&mut routes, 1, Some(0)), []);
        assert_eq!(moved(&mut routes, 0, Some(5)), [2, 3, 7]);
        assert_eq!(routes.send(3, 0, || true), Ok(()));
        routes.forget(2);
        assert_eq!(moved(&mut routes, 5, Some(1)), [7]);
    }
}
