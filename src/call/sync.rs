//! Calls that wait for their callees.

use super::part::{CALL, Lent, Part, Run};
use super::wait::{Callees, UnderWay, close_to_wait, mask_to_wait};
use super::{CallError, wait};
use crate::gic::SgiBatch;
use crate::masking;
use crate::note::note;
use crate::percpu::area::{self, Area, Part as _};
use crate::percpu::{self, CpuId, CpuSet};
use crate::sync::Atomics;
use core::mem::{ManuallyDrop, MaybeUninit};
use reveille_protocol::Calling;

/// Runs `f` on `cpu` and brings its value back.
///
/// `f` may borrow from the caller's stack: this returns only when the callee is done with it, however long that
/// takes. A callee that does not come to it is reported after a while (bootarg `call_report_ms`), and sent
/// another interrupt. A panic in `f` is a panic of `cpu`, and stops everyone. On the calling CPU itself `f` runs at
/// once, with interrupts masked as it would have them anywhere.
///
/// # Errors
///
/// [`CallError::Offline`]; [`CallError::WouldDeadlock`] with interrupts masked or in interrupt context. `f` did not run.
///
/// # Examples
///
/// ```no_run
/// use reveille::call;
///
/// # fn example(cpu: reveille::cpu::CpuId) -> Result<(), reveille::call::CallError> {
/// let mut numbers = [3, 1, 2];
/// // It borrows from this stack: `on` returns when the other CPU is done with it.
/// let largest = call::on(cpu, || {
///     numbers.sort_unstable();
///     numbers[2]
/// })?;
/// # Ok(()) }
/// ```
#[inline]
pub fn on<R: Send, F: FnOnce() -> R + Send>(cpu: CpuId, f: F) -> Result<R, CallError> {
    /// First the closure, then its value.
    union Place<F, R> {
        _f: ManuallyDrop<F>,
        _result: ManuallyDrop<R>,
    }
    /// Whether that is in what is lent. Else it is on the caller's stack, and its address in what is lent.
    const fn is_small<F, R>() -> bool {
        Lent::has_room_for::<Place<F, R>>()
    }
    unsafe fn run<F: FnOnce() -> R, R>(lent: &'static Lent) {
        // SAFETY: the caller below has put there what this looks for, and waits; one callee runs this, once.
        unsafe {
            let place = if is_small::<F, R>() { lent.room() } else { lent.room::<*mut Place<F, R>>().read() };
            let f = place.cast::<F>().read();
            place.cast::<R>().write(f());
        }
        lent.sync.finish_only();
    }

    // Where threads move it is asked again behind the mask.
    if cpu == area::current().id {
        let (masked, own) = mask_to_wait()?;
        if !area::threads_move() || cpu == own.id {
            let result = f();
            masked.end_on(own);
            return Ok(result);
        }
    }
    let (closed, own) = close_to_wait()?;
    if area::threads_move() && cpu == own.id {
        let masked = closed.into_masked(own);
        let result = f();
        masked.end_on(own);
        return Ok(result);
    }
    // There is no other under way: thread context alone gets here, and waits below. Until then no code runs on this CPU that could get here, but
    // for other threads, which do not run meanwhile.
    let under_way = UnderWay::new(own);
    let lent = Part::of(own).lent;
    let calling = lent.sync.begin(1);
    let mut large = MaybeUninit::<Place<F, R>>::uninit();
    let place = if is_small::<F, R>() { lent.room() } else { large.as_mut_ptr() };
    // SAFETY: begun, so no callee reads what is lent until it is told; the place is large enough for either.
    unsafe {
        place.cast::<F>().write(f);
        if !is_small::<F, R>() {
            lent.room::<*mut Place<F, R>>().write(place);
        }
        *lent.run.get() = run::<F, R>;
    }
    match call_one(closed, own, cpu, calling, run::<F, R>, core::any::type_name::<F>) {
        Ok(()) => {
            // SAFETY: the callee has written it before its `finish`, which the wait has seen.
            let result = unsafe { place.cast::<R>().read() };
            // The next call may be another thread's.
            drop(under_way);
            Ok(result)
        }
        Err(error) => {
            // SAFETY: refused, so nobody ran or read it.
            let f = unsafe { place.cast::<F>().read() };
            drop(under_way);
            drop(f);
            Err(error)
        }
    }
}

/// Tells `cpu` of what was lent to it, and waits.
#[inline(always)]
fn call_one(
    closed: masking::Closed,
    own: &'static Area,
    cpu: CpuId,
    mut calling: Calling<'_, Atomics>,
    run: Run,
    name: fn() -> &'static str,
) -> Result<(), CallError> {
    let line = Part::of(own).queue_of(cpu);
    note!(CALL, crate::note::message(Part::of(own).lent, cpu));
    match line.queue.call(Part::of(own).caller) {
        Ok(pushed) => {
            Part::of(own).sent.add(1);
            if pushed.first {
                line.bell.ring();
            }
        }
        Err(_) => {
            calling.take_back(1);
            note!(CALL_END, 0);
            return Err(CallError::Offline);
        }
    }
    drop(closed);
    if let Err(calling) = wait::briefly(calling) {
        wait::for_long(calling, own, Callees::One(cpu), run, name);
    }
    note!(CALL_END, 0);
    Ok(())
}

/// Runs `f` on every CPU of `set` at once and returns when all have run it. Says which of them were offline, where it
/// did not run.
///
/// `f` is told which CPU it runs on. The calling CPU, if it is in the set, runs it itself, with interrupts masked. The
/// empty set returns at once.
///
/// # Errors
///
/// [`CallError::WouldDeadlock`] with interrupts masked or in interrupt context. `f` ran nowhere.
///
/// # Examples
///
/// ```no_run
/// use core::sync::atomic::{AtomicUsize, Ordering};
/// use reveille::{call, cpu};
///
/// # fn example() -> Result<(), reveille::call::CallError> {
/// let count = AtomicUsize::new(0);
/// let missed = call::on_each(&cpu::online(), |_| {
///     count.fetch_add(1, Ordering::Relaxed);
/// })?;
/// // Those that had left meanwhile did not run it.
/// assert!(missed.is_empty() || count.load(Ordering::Relaxed) < cpu::possible().len());
/// # Ok(()) }
/// ```
pub fn on_each<F: Fn(CpuId) + Sync>(set: &CpuSet, f: F) -> Result<CpuSet, CallError> {
    unsafe fn run<F: Fn(CpuId)>(lent: &'static Lent) {
        // SAFETY: the caller below has put there what this looks for, and waits; `F` is `Sync`.
        unsafe {
            let f = if Lent::has_room_for::<F>() { lent.room() } else { lent.room::<*const F>().read() };
            (*f)(percpu::current());
        }
        lent.sync.finish();
    }

    let (masked, own) = mask_to_wait()?;
    let under_way = UnderWay::new(own);
    let mut offline = CpuSet::EMPTY;
    let lent = Part::of(own).lent;
    // As many as there can be; those that were not told are taken back below.
    let most = area::areas().len() as u32;
    // No other is under way, as in `on`; and what `f` does below it does masked.
    let mut calling = lent.sync.begin(most);
    let mut large = MaybeUninit::<F>::uninit();
    let place = if Lent::has_room_for::<F>() { lent.room() } else { large.as_mut_ptr() };
    // SAFETY: begun, so no callee reads what is lent until it is told.
    unsafe {
        place.write(f);
        if !Lent::has_room_for::<F>() {
            lent.room::<*const F>().write(place);
        }
        *lent.run.get() = run::<F>;
    }
    note!(CALL_EACH, 0);
    let mut sgis = SgiBatch::new(CALL);
    let mut told = 0;
    set.each(most as usize, |cpu| {
        if cpu == own.id {
            return;
        }
        let line = Part::of(own).queue_of(cpu);
        note!(CALL_TO, crate::note::message(lent, cpu));
        match line.queue.call(Part::of(own).caller) {
            Ok(pushed) => {
                told += 1;
                if pushed.first {
                    sgis.add_bell(&line.bell);
                }
            }
            Err(_) => {
                offline.insert(cpu);
            }
        }
    });
    drop(sgis);
    Part::of(own).sent.add(u64::from(told));
    calling.take_back(most - told);
    if set.contains(own.id) {
        // SAFETY: written above, and only referred to until all are done with it.
        unsafe { (*place)(own.id) };
    }
    masked.end_on(own);
    if let Err(calling) = wait::briefly(calling) {
        wait::for_long(calling, own, Callees::Set(set), run::<F>, core::any::type_name::<F>);
    }
    note!(CALL_EACH_END, 0);
    // SAFETY: all are done with it.
    let f = unsafe { place.read() };
    // The next call may be another thread's.
    drop(under_way);
    drop(f);
    Ok(offline)
}
