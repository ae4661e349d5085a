//! Calls that wait for their callees.

use super::part::{CALL, Part, Payload};
use super::wait::{Callees, UnderWay, mask_to_wait};
use super::{CallError, wait};
use crate::arch::Hw;
use crate::gic::SgiBatch;
use crate::masking;
use crate::percpu::area::{self, Area, Part as _};
use crate::percpu::{self, CpuId, CpuSet};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use reveille_protocol::SyncCall;

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
#[inline]
pub fn on<R: Send, F: FnOnce() -> R + Send>(cpu: CpuId, f: F) -> Result<R, CallError> {
    struct Frame<F, R> {
        f: UnsafeCell<MaybeUninit<F>>,
        result: UnsafeCell<MaybeUninit<R>>,
    }
    unsafe fn run<F: FnOnce() -> R, R>(data: *const (), call: &SyncCall<Hw>) {
        // SAFETY: `data` is the frame of the caller below, who waits; one callee runs this, once.
        unsafe {
            let frame = &*data.cast::<Frame<F, R>>();
            let f = (*frame.f.get()).assume_init_read();
            (*frame.result.get()).write(f());
        }
        call.finish_only();
    }

    let (masked, own) = mask_to_wait()?;
    if cpu == own.id {
        let result = f();
        masked.end_on(own);
        return Ok(result);
    }
    let frame =
        Frame { f: UnsafeCell::new(MaybeUninit::new(f)), result: UnsafeCell::new(MaybeUninit::uninit()) };
    let data = (&raw const frame).cast();
    let payload = Payload { run: run::<F, R>, data };
    if let Err(error) = call_one(masked, own, cpu, payload, core::any::type_name::<F>) {
        // SAFETY: refused, so nobody ran or read it.
        unsafe { (*frame.f.get()).assume_init_drop() };
        return Err(error);
    }
    // SAFETY: the callee has written it before its `finish`, which the wait has seen.
    Ok(unsafe { frame.result.into_inner().assume_init() })
}

#[inline(always)]
fn call_one(
    masked: masking::Masked,
    own: &'static Area,
    cpu: CpuId,
    payload: Payload,
    name: fn() -> &'static str,
) -> Result<(), CallError> {
    // Only one at a time: thread context alone gets here, and waits below.
    let _under_way = UnderWay::new(own);
    let lent = Part::of(own).lent;
    let Some(mut calling) = lent.sync.begin(1) else { return Err(CallError::WouldDeadlock) };
    // SAFETY: begun, so no callee reads it until it is told.
    unsafe { *lent.payload.get() = payload };
    let line = Part::of(own).queue_of(cpu);
    match line.queue.call(Part::of(own).caller) {
        Ok(pushed) => {
            Part::of(own).sent.add(1);
            if pushed.first {
                line.bell.ring();
            }
        }
        Err(_) => {
            calling.take_back(1);
            return Err(CallError::Offline);
        }
    }
    masked.end_on(own);
    if let Err(calling) = wait::briefly(calling) {
        wait::for_long(calling, own, Callees::One(cpu), payload, name);
    }
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
pub fn on_each<F: Fn(CpuId) + Sync>(set: &CpuSet, f: F) -> Result<CpuSet, CallError> {
    unsafe fn run<F: Fn(CpuId)>(data: *const (), call: &SyncCall<Hw>) {
        // SAFETY: `data` is the `f` of the caller below, who waits, and `F` is `Sync`.
        unsafe { (*data.cast::<F>())(percpu::current()) }
        call.finish();
    }

    let (masked, own) = mask_to_wait()?;
    let _under_way = UnderWay::new(own);
    let mut offline = CpuSet::EMPTY;
    let payload = Payload { run: run::<F>, data: (&raw const f).cast() };
    // As many as there can be; those that were not told are taken back below.
    let most = area::areas().len() as u32;
    let Some(mut calling) = Part::of(own).lent.sync.begin(most) else { return Err(CallError::WouldDeadlock) };
    // SAFETY: begun, so no callee reads it until it is told.
    unsafe { *Part::of(own).lent.payload.get() = payload };
    let mut sgis = SgiBatch::new(CALL);
    let mut told = 0;
    for cpu in set {
        if cpu == own.id {
            continue;
        }
        let line = Part::of(own).queue_of(cpu);
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
    }
    drop(sgis);
    Part::of(own).sent.add(u64::from(told));
    calling.take_back(most - told);
    if set.contains(own.id) {
        f(own.id);
    }
    masked.end_on(own);
    if let Err(calling) = wait::briefly(calling) {
        wait::for_long(calling, own, Callees::Set(set), payload, core::any::type_name::<F>);
    }
    Ok(offline)
}
