//! Setting alarms, and taking them away.

use super::alarm::Alarm;
use super::interrupt::has_timer;
use super::timers::{TimerError, Timers};
use crate::clock::Instant;
use crate::masking::{self, Masked};
use crate::percpu::area::{self, Area, Part as _};
use core::time::Duration;
use reveille_protocol::State;

impl Alarm {
    /// Has the handler run on this CPU at `at`, or as soon as it can if that has passed, and not at what it was set for before.
    ///
    /// # Errors
    ///
    /// [`TimerError::NoTimer`], [`TimerError::Leaving`], [`TimerError::Nmi`], or [`TimerError::OtherCpu`] if it belongs to another CPU.
    /// Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use core::time::Duration;
    /// use reveille::time::Instant;
    ///
    /// # fn example(alarm: &'static reveille::time::Alarm) -> Result<(), reveille::time::TimerError> {
    /// let next = Instant::now() + Duration::from_micros(250);
    /// alarm.set(next)?;
    /// # Ok(()) }
    /// ```
    pub fn set(&'static self, at: Instant) -> Result<(), TimerError> {
        if !has_timer() {
            return Err(TimerError::NoTimer);
        }
        let (area, _masked) = self.here()?;
        if area::slot(area).read().state == State::Dying {
            return Err(TimerError::Leaving);
        }
        self.deadline().set(at.ticks());
        Timers::of(area).plan_alarms();
        Ok(())
    }

    /// [Sets](Self::set) it for `delay` from now.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use core::time::Duration;
    ///
    /// # fn example(alarm: &'static reveille::time::Alarm) -> Result<(), reveille::time::TimerError> {
    /// alarm.after(Duration::from_millis(1))?;
    /// # Ok(()) }
    /// ```
    pub fn after(&'static self, delay: Duration) -> Result<(), TimerError> {
        self.set(Instant::now() + delay)
    }

    /// Takes the deadline away. `true`: there was one, and the handler does not run for it; `false`: it was not set, or the handler
    /// has run, or is just running.
    ///
    /// # Errors
    ///
    /// [`TimerError::Nmi`], or [`TimerError::OtherCpu`] if it belongs to another CPU.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(alarm: &'static reveille::time::Alarm) -> Result<(), reveille::time::TimerError> {
    /// if !alarm.cancel()? {
    ///     // It was not set, or its handler has begun.
    /// }
    /// # Ok(()) }
    /// ```
    pub fn cancel(&'static self) -> Result<bool, TimerError> {
        let (area, _masked) = self.here()?;
        let was_set = self.deadline().cancel();
        Timers::of(area).plan_alarms();
        Ok(was_set)
    }

    /// Makes sure that it belongs to this CPU, whose area comes back, with interrupts masked.
    fn here(&'static self) -> Result<(&'static Area, Masked), TimerError> {
        let masked = masking::mask_below_nmi().ok_or(TimerError::Nmi)?;
        let area = area::current();
        if !self.own(Timers::of(area).alarms(), area.id.index()) {
            return Err(TimerError::OtherCpu);
        }
        Ok((area, masked))
    }
}
