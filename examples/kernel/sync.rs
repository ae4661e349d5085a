//! What threads wait for each other with: those that wait do not run.

use crate::scheduler::{park, put};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};
use reveille::context::Ready;
use reveille::sync::SpinLock;

struct Guarded<T> {
    /// `None`: a guard has it.
    value: Option<T>,
    waiters: VecDeque<Ready>,
}

/// A lock that may be held for long: who waits for it is parked, and so is whoever sleeps with it.
pub struct Mutex<T>(Arc<SpinLock<Guarded<T>>>);

/// The value of a [`Mutex`], until it is dropped.
pub struct Guard<T> {
    value: Option<T>,
    mutex: Arc<SpinLock<Guarded<T>>>,
}

impl<T: Send + 'static> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(SpinLock::new(Guarded { value: Some(value), waiters: VecDeque::new() })))
    }

    pub fn lock(&self) -> Guard<T> {
        loop {
            if let Some(value) = self.0.lock().value.take() {
                return Guard { value: Some(value), mutex: Arc::clone(&self.0) };
            }
            let mutex = Arc::clone(&self.0);
            park(move |me| {
                let mut guarded = mutex.lock();
                if guarded.value.is_none() {
                    guarded.waiters.push_back(me);
                } else {
                    // Given back since.
                    drop(guarded);
                    put(me);
                }
            });
        }
    }
}

impl<T> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("until the guard is dropped")
    }
}

impl<T> DerefMut for Guard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("until the guard is dropped")
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        let waiter = {
            let mut guarded = self.mutex.lock();
            guarded.value = self.value.take();
            guarded.waiters.pop_front()
        };
        if let Some(waiter) = waiter {
            put(waiter);
        }
    }
}

struct Line<T> {
    values: VecDeque<T>,
    room: usize,
    is_closed: bool,
    senders: VecDeque<Ready>,
    receivers: VecDeque<Ready>,
}

/// Values in order, and not more of them than there is room for: who sends then waits, as does who receives when there is none.
pub struct Channel<T>(Arc<SpinLock<Line<T>>>);

impl<T: Send + 'static> Channel<T> {
    pub fn new(room: usize) -> Self {
        Self(Arc::new(SpinLock::new(Line {
            values: VecDeque::with_capacity(room),
            room,
            is_closed: false,
            senders: VecDeque::new(),
            receivers: VecDeque::new(),
        })))
    }

    pub fn send(&self, value: T) {
        let mut value = Some(value);
        loop {
            {
                let mut line = self.0.lock();
                assert!(!line.is_closed, "sent into a channel that is closed");
                if line.values.len() < line.room {
                    line.values.extend(value.take());
                    let receiver = line.receivers.pop_front();
                    drop(line);
                    return receiver.into_iter().for_each(put);
                }
            }
            let line = Arc::clone(&self.0);
            park(move |me| {
                let mut line = line.lock();
                if line.values.len() < line.room {
                    drop(line);
                    put(me);
                } else {
                    line.senders.push_back(me);
                }
            });
        }
    }

    /// The first value; `None`: the channel is closed, and empty.
    pub fn receive(&self) -> Option<T> {
        loop {
            {
                let mut line = self.0.lock();
                if let Some(value) = line.values.pop_front() {
                    let sender = line.senders.pop_front();
                    drop(line);
                    sender.into_iter().for_each(put);
                    return Some(value);
                }
                if line.is_closed {
                    return None;
                }
            }
            let line = Arc::clone(&self.0);
            park(move |me| {
                let mut line = line.lock();
                if line.is_closed || !line.values.is_empty() {
                    drop(line);
                    put(me);
                } else {
                    line.receivers.push_back(me);
                }
            });
        }
    }

    /// Nothing is sent any more.
    pub fn close(&self) {
        let receivers = {
            let mut line = self.0.lock();
            line.is_closed = true;
            core::mem::take(&mut line.receivers)
        };
        receivers.into_iter().for_each(put);
    }
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
