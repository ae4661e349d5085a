//! The contexts that run: how they are switched, preempted, and end.

use super::record::{Ended, Home, Ready, Record};
use crate::arch::exception::landing;
use crate::arch::{self, rarely, regs};
use crate::exception::Below;
use crate::holds::Holds;
use crate::masking::{self, Masking};
use crate::percpu::area::{self, Area, Part as _};
use crate::percpu::{CpuId, PerCpu};
use core::cell::Cell;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Who runs when. Named in `entry!(main, scheduler = S)`.
///
/// Every function is called with interrupts masked, on the CPU that it is about, and is to be short: nothing but an interrupt of NMI class comes
/// through, and where the machine has no FEAT_NMI not even that. They take no locks but [`SpinLock`](crate::sync::SpinLock)s.
///
/// ```no_run
/// use reveille::context::{self, Ended, Ready, Scheduler};
/// use reveille::sync::SpinLock;
/// use reveille::{ExitCode, System};
///
/// /// One thread at a time, which lets what the CPU runs by itself go on when it ends.
/// struct OneByOne;
///
/// static WAITS: SpinLock<Option<Ready>> = SpinLock::new(None);
///
/// impl Scheduler for OneByOne {
///     fn preempt() -> Option<Ready> {
///         None
///     }
///
///     fn preempted(context: Ready) {
///         *WAITS.lock() = Some(context);
///     }
///
///     fn end() -> Ready {
///         WAITS.lock().take().expect("whoever started it waits")
///     }
///
///     fn ended(context: Ended) {
///         drop(context.into_stack());
///     }
/// }
///
/// reveille::entry!(main, scheduler = OneByOne);
///
/// fn main(_system: &'static System) -> ExitCode {
///     ExitCode::SUCCESS
/// }
/// ```
pub trait Scheduler {
    /// An interrupt or an exception has been handled, and the context that it has interrupted is about to go on. `Some`: that one runs instead, and
    /// [`Scheduler::preempted`] is called for the other.
    ///
    /// A context that is bound to another CPU cannot run here: it comes back by [`Scheduler::preempted`] at once, and nothing is preempted.
    fn preempt() -> Option<Ready>;

    /// A context that was preempted has been saved. Any CPU may resume it, unless it [is bound](Ready::bound_to) to this one.
    fn preempted(context: Ready);

    /// The closure of the running context has returned: who runs next. It is not called in interrupt context, but on the stack of that
    /// context. What comes is not bound to another CPU.
    fn end() -> Ready;

    /// A context has ended. Its stack can be given back, or be used for another.
    fn ended(context: Ended);
}

/// What [`entry!`](crate::entry) makes of a [`Scheduler`].
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Table {
    preempt: fn() -> Option<Ready>,
    preempted: fn(Ready),
    end: fn() -> Ready,
    ended: fn(Ended),
    home: fn() -> &'static PerCpu<Home>,
}

/// Of `S`, with the records of what the CPUs run by themselves.
#[doc(hidden)]
pub const fn table<S: Scheduler>(home: fn() -> &'static PerCpu<Home>) -> Table {
    Table { preempt: S::preempt, preempted: S::preempted, end: S::end, ended: S::ended, home }
}

unsafe extern "Rust" {
    safe fn reveille_scheduler() -> Option<Table>;
}

/// The scheduler, if the image has one. Known when it is linked.
#[inline(always)]
fn scheduler() -> Option<Table> {
    reveille_scheduler()
}

/// What one CPU has to do with contexts. For itself alone.
pub(crate) struct Part {
    /// The one that is about to run, until it does.
    next: Cell<*mut Record>,
}

// SAFETY: its own CPU alone uses it, with everything masked.
unsafe impl Sync for Part {}

impl Part {
    /// Of a CPU that runs what it does by itself.
    pub(crate) const fn new() -> Self {
        Self { next: Cell::new(core::ptr::null_mut()) }
    }
}

/// Whether the image has a scheduler.
#[inline(always)]
pub(crate) fn exist() -> bool {
    scheduler().is_some()
}

/// The CPU of `own`, which is the calling one, begins to run what it does by itself.
pub(crate) fn begin(own: &Area) {
    if let Some(scheduler) = scheduler() {
        let record = (scheduler.home)().here().record();
        // SAFETY: a per-CPU variable of this CPU, which does not run any other context, so nobody has a `Ready` of it that counts.
        unsafe { record.as_ref() }.is_home_of(own.id);
        own.set_context(record.as_ptr() as u64);
    }
    Holds::of(own).reset_contexts();
}

/// The record of what `cpu` runs by itself, if the image has a scheduler.
pub(super) fn home(cpu: CpuId) -> Option<NonNull<Record>> {
    Some((scheduler()?.home)().of(cpu).record())
}

/// The record of the context that the CPU of `own` runs.
///
/// # Safety
///
/// The image has a scheduler, and `own` is the calling CPU's, past [`begin`].
#[inline(always)]
unsafe fn current(own: &Area) -> NonNull<Record> {
    // SAFETY: `begin` has set it, and since then `run` alone, both to a record that is alive while it is current.
    unsafe { NonNull::new_unchecked(own.context() as *mut Record) }
}

/// Whether the image has a [`Scheduler`]: whether threads are preempted, and move. Known when it is linked.
///
/// ```no_run
/// use reveille::context;
///
/// # fn example() {
/// assert!(context::has_scheduler(), "this needs `entry!(.., scheduler = ..)`");
/// # }
/// ```
#[inline(always)]
pub fn has_scheduler() -> bool {
    area::threads_move()
}

/// The name of the context that runs: that of its stack; `home` if it is what the CPU runs by itself, and without a scheduler.
///
/// ```no_run
/// use reveille::{context, println};
///
/// # fn example() {
/// println!("in {}", context::current_name());
/// # }
/// ```
pub fn current_name() -> &'static str {
    area::here(|own| {
        if scheduler().is_none() || own.context() == 0 {
            return "home";
        }
        // SAFETY: looked at just now. A thread that asks runs, so its record does not go; a handler has interrupted it.
        unsafe { current(own).as_ref().name() }
    })
}

/// The name of the context that the CPU of `area`, which is stopped, or the calling one, runs, unless it is its home.
pub(crate) fn name_of(area: &Area) -> Option<&'static str> {
    let record = NonNull::new(area.context() as *mut Record).filter(|_| scheduler().is_some())?;
    // SAFETY: `begin` and `run` alone set it, to a record that is alive while its context runs; and its CPU does not go on.
    let record = unsafe { record.as_ref() };
    (!record.is_home()).then(|| record.name())
}

/// Why nothing was switched.
///
/// ```no_run
/// use reveille::context::{self, SwitchError};
///
/// # fn example(next: reveille::context::Ready, keep: fn(reveille::context::Ready)) {
/// if let Err(failed) = context::switch(next, keep) {
///     match failed.error {
///         // Resumed on the CPU that it is bound to, then.
///         SwitchError::Bound => {}
///         error => panic!("{error}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError {
    /// With interrupts masked, in interrupt context, or in a callback.
    Context,
    /// In the middle of what is not preempted: this CPU leaves, and runs its callbacks; or a destructor of what was to be called with a deadline.
    Busy,
    /// The context is bound to another CPU.
    Bound,
    /// The image has no scheduler: see [`entry!`](crate::entry).
    NoScheduler,
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Context => "a switch with interrupts masked or in interrupt context",
            Self::Busy => "a switch on a CPU that leaves, or in the middle of a call",
            Self::Bound => "the context is bound to another CPU",
            Self::NoScheduler => "the image has no scheduler",
        })
    }
}

/// A switch that did not take place. What it was given comes back.
///
/// ```no_run
/// use reveille::{context, println};
///
/// # fn example(next: reveille::context::Ready, keep: fn(reveille::context::Ready)) {
/// if let Err(failed) = context::switch(next, keep) {
///     println!("{}", failed.error);
///     // It has not run, and can be resumed later.
///     let next = failed.next;
/// }
/// # }
/// ```
pub struct SwitchFailed<F, N = Ready> {
    /// Why.
    pub error: SwitchError,
    /// The one that was to run: a [`Ready`], or, of [`switch_with`], one if it was chosen.
    pub next: N,
    /// What was to be done with the other.
    pub then: F,
}

impl<F, N: fmt::Debug> fmt::Debug for SwitchFailed<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwitchFailed {{ error: {:?}, next: {:?} }}", self.error, self.next)
    }
}

/// Resumes `next` in place of the context that calls this, whose [`Ready`] `then` gets once it has been saved; returns when somebody has resumed
/// that.
///
/// In thread context, interrupts open. `then` runs on the stack of exceptions with everything masked, so it should only put the `Ready` where it
/// is found again, perhaps under a [`SpinLock`](crate::sync::SpinLock): from then on any CPU may resume it.
///
/// # Errors
///
/// [`SwitchFailed`], with all that was given: nothing has changed.
///
/// # Examples
///
/// ```no_run
/// use reveille::context::{self, Ready};
/// use reveille::sync::SpinLock;
///
/// # fn example(next: reveille::context::Ready) {
/// static WAITS: SpinLock<Option<Ready>> = SpinLock::new(None);
///
/// // `next` runs. Who ran until now is kept, and returns from here when somebody resumes it.
/// if let Err(failed) = context::switch(next, |own| *WAITS.lock() = Some(own)) {
///     panic!("{}", failed.error);
/// }
/// # }
/// ```
#[inline]
pub fn switch<F: FnOnce(Ready) + 'static>(next: Ready, then: F) -> Result<(), SwitchFailed<F>> {
    if scheduler().is_none() {
        return Err(SwitchFailed { error: SwitchError::NoScheduler, next, then });
    }
    let daif = regs::daif();
    // From here on it is clear which CPU this is. What has superpriority is of NMI class, which the switch does not mind.
    regs::daif_set_all();
    let own = area::current();
    let result = match may_switch(own, daif, &next) {
        Ok(()) => {
            let then = ManuallyDrop::new(then);
            // SAFETY: in a thread, everything masked, and the image has a scheduler; `next` is its one `Ready`, and not bound elsewhere.
            unsafe { switch_to(own, next.into_record(), hand_over::<F>, (&raw const then).cast()) };
            Ok(())
        }
        Err(error) => Err(SwitchFailed { error, next, then }),
    };
    regs::daif_restore(daif);
    result
}

/// As [`switch`], to the context that `choose` names, in the end without being preempted in between: what it takes out of a queue is never in
/// the hands of a context that does not run. `false`: it names none, and nothing has changed.
///
/// `choose` is called with interrupts masked, and should be as short as those of a [`Scheduler`].
///
/// # Errors
///
/// [`SwitchFailed`], with the context that was chosen, if that is why.
///
/// # Examples
///
/// ```no_run
/// use reveille::context::{self, Ready};
/// use reveille::sync::SpinLock;
///
/// # fn example() {
/// static WAITS: SpinLock<Option<Ready>> = SpinLock::new(None);
///
/// // Gives the CPU away, if anybody waits.
/// match context::switch_with(|| WAITS.lock().take(), |own| *WAITS.lock() = Some(own)) {
///     Ok(has_switched) => {}
///     Err(failed) => panic!("{}", failed.error),
/// }
/// # }
/// ```
#[inline]
pub fn switch_with<F: FnOnce(Ready) + 'static>(
    choose: impl FnOnce() -> Option<Ready>,
    then: F,
) -> Result<bool, SwitchFailed<F, Option<Ready>>> {
    if scheduler().is_none() {
        return Err(SwitchFailed { error: SwitchError::NoScheduler, next: None, then });
    }
    let daif = regs::daif();
    let masked = if regs::on_exception_stack() { None } else { masking::mask_if_open_here() };
    let Some((masked, own)) = masked else {
        return Err(SwitchFailed { error: SwitchError::Context, next: None, then });
    };
    if Holds::of(own).preemption().stays() {
        return Err(SwitchFailed { error: SwitchError::Busy, next: None, then });
    }
    let Some(next) = choose() else { return Ok(false) };
    regs::daif_set_all();
    masked.end_closed(own);
    let result = match may_switch(own, daif, &next) {
        Ok(()) => {
            let then = ManuallyDrop::new(then);
            // SAFETY: as in `switch`.
            unsafe { switch_to(own, next.into_record(), hand_over::<F>, (&raw const then).cast()) };
            Ok(true)
        }
        Err(error) => {
            // A guard that `choose` has left holds on.
            regs::daif_restore(daif | Masking::of(own).kept_in_daif());
            return Err(SwitchFailed { error, next: Some(next), then });
        }
    };
    regs::daif_restore(daif);
    result
}

/// What is done with `old`, which has switched: `data` is an `F`.
///
/// # Safety
///
/// `old` has been saved, and there is no `Ready` of it. Its frame holds an `F` at `data`, which it has forgotten.
unsafe fn hand_over<F: FnOnce(Ready)>(data: *const (), old: NonNull<Record>) {
    // SAFETY: the caller's. Nobody resumes `old`, in whose frame the `F` is, before that has been taken out: its one `Ready` is made here.
    unsafe { data.cast::<F>().read()(Ready::of(old)) }
}

type Then = unsafe fn(*const (), NonNull<Record>);

/// Whether the CPU of `own`, which is the calling one, may switch here, to `next`. Everything is masked; `daif` is what `DAIF` was.
#[inline(always)]
fn may_switch(own: &Area, daif: u64, next: &Ready) -> Result<(), SwitchError> {
    // What a CPU runs as if it were interrupted it runs masked.
    if regs::on_exception_stack() || daif & regs::DAIF_I != 0 || Masking::of(own).is_held() {
        return Err(SwitchError::Context);
    }
    if Holds::of(own).preemption().stays() {
        return Err(SwitchError::Busy);
    }
    if next.record().may_run_on(own.id) { Ok(()) } else { Err(SwitchError::Bound) }
}

/// # Safety
///
/// On the CPU of `own`, in a thread, everything masked; the image has a scheduler; `next` does not run, is saved, and nobody else resumes it.
/// `then` does what it does with `data` and the record of what called this.
#[inline(always)]
unsafe fn switch_to(own: &Area, next: NonNull<Record>, then: Then, data: *const ()) {
    unsafe extern "C" {
        fn reveille_switch_el1(old: *mut (), next: *mut (), then: *const (), data: *const ());
        #[cfg(feature = "el2")]
        fn reveille_switch_el2(old: *mut (), next: *mut (), then: *const (), data: *const ());
    }
    // SAFETY: the caller's.
    let old = unsafe { current(own) };
    // SAFETY: it runs here.
    unsafe { old.as_ref().set_switched() };
    run(own, next);
    // SAFETY: both records are alive; the rest is the caller's.
    unsafe {
        #[cfg(feature = "el2")]
        if regs::at_el2() {
            return reveille_switch_el2(old.as_ptr().cast(), next.as_ptr().cast(), then as *const (), data);
        }
        reveille_switch_el1(old.as_ptr().cast(), next.as_ptr().cast(), then as *const (), data);
    }
}

/// This CPU, whose area is `own`, runs `next` from now on.
#[inline(always)]
fn run(own: &Area, next: NonNull<Record>) {
    // SAFETY: alive, and ours: its `Ready` was given up for this.
    let record = unsafe { next.as_ref() };
    let holds = Holds::of(own);
    if record.is_special() {
        rarely();
        if !record.has_switched() {
            // It is resumed by an exception return, into whose registers none may come.
            regs::allint_mask();
            let (sp, entered) = record.below().replace((0, core::ptr::null_mut()));
            if sp != 0 {
                own.set_below(sp);
                Below::of(own).set_entered(entered);
            }
        }
        if !record.is_home() && record.resume() {
            holds.unbind_context();
        }
    }
    holds.set_away(record.is_away());
    own.set_context(next.as_ptr() as u64);
}

/// An interrupt or an exception of the CPU of `own`, which this is, returns to `elr` in the state `spsr`. `true`: it is to return to
/// [`landing`] instead, because another context runs.
///
/// With `DAIF` closed, when everything is handled. What is interrupted had interrupts open, and is no handler.
#[inline(always)]
pub(crate) fn preempt(own: &'static Area, elr: u64, spsr: u64) -> Option<u64> {
    let scheduler = scheduler()?;
    // What a CPU runs as if it were interrupted it runs masked. An interrupt of NMI class comes into that too.
    if !Masking::of(own).is_open_after() {
        return None;
    }
    if !Holds::of(own).preemption().may_preempt() {
        return None;
    }
    let next = (scheduler.preempt)()?;
    if !next.record().may_run_on(own.id) {
        (scheduler.preempted)(next);
        return None;
    }
    // SAFETY: the image has a scheduler; past `begin`.
    let old = unsafe { current(own) };
    // SAFETY: it runs here, and is interrupted.
    unsafe { old.as_ref().set_preempted(elr, spsr) };
    Part::of(own).next.set(next.into_record().as_ptr());
    Some(landing!(reveille_preempted_el1, reveille_preempted_el2))
}

/// The context that ran has been saved: says which goes on. Called by the vectors, on the empty stack of exceptions, everything masked.
pub(crate) extern "C" fn preempted() -> *mut Record {
    let own = area::current();
    let next = Part::of(own).next.get();
    // SAFETY: `preempt` has set it on the way here.
    let next = unsafe { NonNull::new_unchecked(next) };
    // SAFETY: it is to run here, and nobody else has it.
    if unsafe { next.as_ref() }.has_switched() {
        // It goes on as after a call, in which that was so.
        regs::allint_open();
    }
    // SAFETY: the image has a scheduler.
    let old = unsafe { current(own) };
    // SAFETY: saved, and still nobody else's.
    let record = unsafe { old.as_ref() };
    let has_entered = own.below() != 0;
    if !record.is_home() {
        // What it has entered is this CPU's business: who has set up the registers for that has done it here.
        record.leave_preempted(has_entered.then_some(own.id));
    }
    if has_entered {
        rarely();
        if !record.is_home() {
            Holds::of(own).bind_context();
        }
        // What has entered a lower level does not switch while it is there, so it is back there when it is resumed.
        let below = Below::of(own);
        record.below().set((own.below(), below.entered()));
        own.set_below(0);
        below.set_entered(core::ptr::null_mut());
    }
    run(own, next);
    // It may go on on another CPU, behind cache or TLB maintenance that only a DSB of this one completes (Arm ARM B2.3.12).
    arch::dsb_sy();
    if let Some(scheduler) = scheduler() {
        // SAFETY: saved just now by who calls this; the only one.
        (scheduler.preempted)(unsafe { Ready::of(old) });
    }
    next.as_ptr()
}

/// What a new context has in x19 to x30: a closure of type `F` at `closure`, and where to begin.
pub(super) fn beginning<F: FnOnce()>(closure: u64) -> [u64; 12] {
    let mut keeps = [0; 12];
    keeps[0] = closure;
    keeps[1] = context::<F> as *const () as u64;
    keeps[11] = first_instruction();
    keeps
}

/// Where every context begins.
pub(super) fn first_instruction() -> u64 {
    unsafe extern "C" {
        fn reveille_context();
    }
    reveille_context as *const () as u64
}

/// The beginning of a context, and its end. Called by the entry in `asm/vectors.s`, everything masked.
extern "C" fn context<F: FnOnce()>(closure: *mut F) -> ! {
    // SAFETY: a context begins as a thread that holds nothing back.
    unsafe { regs::daif_open() };
    regs::serror_open();
    // SAFETY: `new` has put it there for this alone.
    let f = unsafe { closure.read() };
    f();
    end()
}

fn end() -> ! {
    unsafe fn ended(_: *const (), old: NonNull<Record>) {
        if let Some(scheduler) = scheduler() {
            // SAFETY: it has been left for good: its `Ready` is never made.
            (scheduler.ended)(unsafe { Ended::of(old) });
        }
    }
    assert!(!masking::is_masked(), "a context ended with interrupts masked");
    let Some(scheduler) = scheduler() else { unreachable!("a context without a scheduler") };
    regs::daif_set_all();
    let next = (scheduler.end)();
    let own = area::current();
    assert!(next.record().may_run_on(own.id), "the context after one that ended is bound to another CPU");
    // SAFETY: as in `switch`.
    unsafe { switch_to(own, next.into_record(), ended, core::ptr::null()) };
    unreachable!("a context that has ended goes on")
}
