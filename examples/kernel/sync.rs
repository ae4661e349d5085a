//! What threads wait for each other with: those that wait do not run.

use crate::scheduler::{park, put};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use reveille::context::Ready;
use reveille::sync::SpinLock;

struct Inner<T> {
    value: T,
    /// Counts them.
    changes: u64,
    /// Who waits for a change by the others, in two lines.
    lines: [VecDeque<Ready>; 2],
}

/// A value that threads change, and wait for changes of, in two lines: who has changed it lets the first of a line go on.
pub struct Shared<T>(Arc<SpinLock<Inner<T>>>);

impl<T: Send + 'static> Shared<T> {
    pub fn new(value: T) -> Self {
        let lines = [VecDeque::new(), VecDeque::new()];
        Self(Arc::new(SpinLock::new(Inner { value, changes: 0, lines })))
    }

    /// Does `change` if it can be done; the first who waits in line `other` goes on then.
    pub fn attempt<R>(&self, other: usize, change: impl FnOnce(&mut T) -> Option<R>) -> Result<R, u64> {
        let mut inner = self.0.lock();
        let Some(result) = change(&mut inner.value) else { return Err(inner.changes) };
        inner.changes += 1;
        let waiter = inner.lines[other].pop_front();
        drop(inner);
        waiter.into_iter().for_each(put);
        Ok(result)
    }

    /// The same; waits in line `own` until it can be done.
    pub fn wait<R>(&self, own: usize, other: usize, mut change: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            let seen = match self.attempt(other, &mut change) {
                Ok(result) => return result,
                Err(seen) => seen,
            };
            let shared = self.clone();
            park(move |me| {
                let mut inner = shared.0.lock();
                if inner.changes == seen {
                    inner.lines[own].push_back(me);
                } else {
                    drop(inner);
                    put(me);
                }
            });
        }
    }

    /// Does `change`; all who wait in `line` go on.
    pub fn change_for_all(&self, line: usize, change: impl FnOnce(&mut T)) {
        let mut inner = self.0.lock();
        change(&mut inner.value);
        inner.changes += 1;
        let waiters = core::mem::take(&mut inner.lines[line]);
        drop(inner);
        waiters.into_iter().for_each(put);
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A lock that may be held for long: who waits for it is parked, and so is whoever sleeps with it. `None`: somebody has the value.
pub type Mutex<T> = Shared<Option<T>>;

impl<T: Send + 'static> Mutex<T> {
    /// Runs `f` with the value, alone.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.wait(0, 1, Option::take);
        let result = f(&mut value);
        let _ = self.attempt(0, |place| {
            *place = Some(value);
            Some(())
        });
        result
    }
}

pub struct Line<T> {
    values: VecDeque<T>,
    room: usize,
    is_closed: bool,
}

/// Values in order, and not more of them than there is room for: who sends then waits, as does who receives when there is none.
pub type Channel<T> = Shared<Line<T>>;

const SENDERS: usize = 0;
const RECEIVERS: usize = 1;

/// A channel with room for so many values.
pub fn channel<T: Send + 'static>(room: usize) -> Channel<T> {
    Shared::new(Line { values: VecDeque::with_capacity(room), room, is_closed: false })
}

impl<T: Send + 'static> Channel<T> {
    pub fn send(&self, value: T) {
        let mut value = Some(value);
        self.wait(SENDERS, RECEIVERS, |line| {
            assert!(!line.is_closed, "sent into a channel that is closed");
            (line.values.len() < line.room).then(|| line.values.extend(value.take()))
        });
    }

    /// The first value; `None`: the channel is closed, and empty.
    pub fn receive(&self) -> Option<T> {
        self.wait(RECEIVERS, SENDERS, |line| match line.values.pop_front() {
            None if !line.is_closed => None,
            value => Some(value),
        })
    }

    /// Nothing is sent any more.
    pub fn close(&self) {
        self.change_for_all(RECEIVERS, |line| line.is_closed = true);
    }
}
