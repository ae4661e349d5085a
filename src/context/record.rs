//! What is kept of a context, and the right to resume it.

use crate::arch::mmu::{self, PAGE};
use crate::memory::Stack;
use crate::percpu::CpuId;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::NonNull;

/// The registers of a context that does not run (see `asm/vectors.s`, which knows the offsets).
#[repr(C, align(16))]
pub(crate) struct Saved {
    /// x0 to x30 of one that was preempted; of one that has switched, what a function call keeps.
    x: [u64; 31],
    sp: u64,
    /// 0: it has switched. 1: it was preempted.
    how: u64,
    spsr: u64,
    elr: u64,
    /// `TPIDRRO_EL0`, which is that of what it runs below, if it does.
    scratch: u64,
    #[cfg(target_feature = "neon")]
    simd: [u128; 33],
}
const _: () = {
    assert!(offset_of!(Saved, sp) == 248 && offset_of!(Saved, how) == 256 && offset_of!(Saved, spsr) == 264);
    assert!(offset_of!(Saved, elr) == 272 && offset_of!(Saved, scratch) == 280);
};
/// See [`Record::bound`].
const PREEMPTED: u32 = 1 << 31;
/// Where q0 is in a [`Record`].
pub(crate) const SIMD: usize = 288;
#[cfg(target_feature = "neon")]
const _: () = assert!(offset_of!(Saved, simd) == SIMD);

impl Saved {
    const fn new() -> Self {
        Self {
            x: [0; 31],
            sp: 0,
            how: 0,
            spsr: 0,
            elr: 0,
            scratch: 0,
            #[cfg(target_feature = "neon")]
            simd: [0; 33],
        }
    }
}

/// One context: at the top of its stack, or, of what a CPU runs by itself, a per-CPU variable.
///
/// While it runs, its CPU alone touches it, in the switch; else whoever has its [`Ready`].
#[repr(C)]
pub(crate) struct Record {
    saved: UnsafeCell<Saved>,
    /// The one CPU that may resume it: its index plus one; 0: any may. With [`PREEMPTED`] if it was, and is no home.
    bound: Cell<u32>,
    /// It is not what a CPU runs by itself.
    away: bool,
    /// What it has entered, and where it continues then: see [`exception::enter`](crate::exception::enter).
    below: Cell<(u64, *mut crate::exception::Frame)>,
    stack: ManuallyDrop<Option<Stack>>,
}
const _: () = assert!(offset_of!(Record, saved) == 0);

impl Record {
    pub(super) const fn new(home: bool, stack: Option<Stack>) -> Self {
        Self {
            saved: UnsafeCell::new(Saved::new()),
            bound: Cell::new(0),
            away: !home,
            below: Cell::new((0, core::ptr::null_mut())),
            stack: ManuallyDrop::new(stack),
        }
    }

    /// What the application calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.stack.as_ref().map_or("home", Stack::name)
    }

    /// Whether it is not what a CPU runs by itself.
    #[inline(always)]
    pub(super) fn is_away(&self) -> bool {
        self.away
    }

    /// Whether it is what a CPU runs by itself.
    #[inline(always)]
    pub(crate) fn is_home(&self) -> bool {
        !self.away
    }

    /// It is preempted: it goes on at `elr`, in the state `spsr`.
    ///
    /// # Safety
    ///
    /// The calling CPU runs it.
    #[inline(always)]
    pub(super) unsafe fn set_preempted(&self, elr: u64, spsr: u64) {
        let saved = self.saved.get();
        // SAFETY: it is the calling CPU's (the caller's).
        unsafe {
            (*saved).how = 1;
            (*saved).elr = elr;
            (*saved).spsr = spsr;
        }
    }

    /// It is about to switch.
    ///
    /// # Safety
    ///
    /// The calling CPU runs it.
    #[inline(always)]
    pub(super) unsafe fn set_switched(&self) {
        // SAFETY: the caller's.
        unsafe { (*self.saved.get()).how = 0 };
    }

    /// It is what this CPU runs by itself.
    pub(super) fn is_home_of(&self, cpu: CpuId) {
        self.bound.set(cpu.index() as u32 + 1);
    }

    /// It was preempted, and is no home; `cpu`: that one alone may resume it.
    #[inline(always)]
    pub(super) fn leave_preempted(&self, cpu: Option<CpuId>) {
        self.bound.set(PREEMPTED | cpu.map_or(0, |cpu| cpu.index() as u32 + 1));
    }

    /// It runs again, and is no home. Whether it was bound.
    #[inline(always)]
    pub(super) fn resume(&self) -> bool {
        self.bound.replace(0) & !PREEMPTED != 0
    }

    /// Whether there is more to resuming it than that its registers come back.
    #[inline(always)]
    pub(super) fn is_special(&self) -> bool {
        self.bound.get() != 0
    }

    fn bound_to(&self) -> Option<CpuId> {
        let index = (self.bound.get() & !PREEMPTED).checked_sub(1)?;
        Some(CpuId::from_index(index as usize))
    }

    /// Whether it goes on as after a call. Of one that does not run.
    #[inline(always)]
    pub(super) fn has_switched(&self) -> bool {
        // SAFETY: only who has its `Ready` asks, and nobody else touches it.
        unsafe { (*self.saved.get()).how == 0 }
    }

    #[inline(always)]
    pub(super) fn may_run_on(&self, cpu: CpuId) -> bool {
        let bound = self.bound.get();
        bound == 0 || bound & !PREEMPTED == 0 || bound & !PREEMPTED == cpu.index() as u32 + 1
    }

    /// From now on a report finds it, by the list of stacks.
    pub(super) fn show(&self) {
        if let Some(stack) = &*self.stack {
            stack.set_context(core::ptr::from_ref(self) as u64);
        }
    }

    pub(super) fn below(&self) -> &Cell<(u64, *mut crate::exception::Frame)> {
        &self.below
    }

    /// It does not run, and is to begin: with `keeps` in x19 to x30, and on the stack below `sp`.
    pub(super) fn begin_with(&mut self, keeps: [u64; 12], sp: u64) {
        let saved = self.saved.get_mut();
        saved.x[..12].copy_from_slice(&keeps);
        saved.sp = sp;
    }
}

/// What is kept of a context, for a report.
pub(super) struct Kept {
    pub(super) x: [u64; 31],
    pub(super) sp: u64,
    pub(super) has_switched: bool,
    pub(super) spsr: u64,
    pub(super) elr: u64,
    /// The index of the CPU that it is bound to, plus one.
    pub(super) bound: u32,
    /// The stack pointer of what has entered a lower level.
    pub(super) below: u64,
}

impl Kept {
    /// What the record at `at` holds, if that is RAM. Whether it makes sense the reader has to see: one that a CPU has in its hands
    /// which could not be stopped may change meanwhile.
    pub(super) fn read(at: u64) -> Option<Self> {
        const { assert!(size_of::<Record>() <= PAGE) };
        let last = at.checked_add(size_of::<Record>() as u64 - 1)?;
        if !at.is_multiple_of(align_of::<Record>() as u64) || !mmu::is_ram(at) || !mmu::is_ram(last) {
            return None;
        }
        let record = at as *const Record;
        // SAFETY: inside of mapped RAM, the first and the last byte as the MMU itself has said just now, so at most two pages; aligned.
        // Numbers are read, and pointers that are not followed: any bits are such.
        unsafe {
            let saved = UnsafeCell::raw_get(&raw const (*record).saved).cast_const();
            Some(Self {
                x: (&raw const (*saved).x).read(),
                sp: (&raw const (*saved).sp).read(),
                has_switched: (&raw const (*saved).how).read() == 0,
                spsr: (&raw const (*saved).spsr).read(),
                elr: (&raw const (*saved).elr).read(),
                bound: (&raw const (*record).bound).cast::<u32>().read() & !PREEMPTED,
                below: (&raw const (*record).below).cast::<(u64, *mut crate::exception::Frame)>().read().0,
            })
        }
    }
}

/// What a CPU runs by itself, as a context. For [`entry!`](crate::entry) alone.
#[doc(hidden)]
pub struct Home(Record);

// SAFETY: the record's rule: its CPU alone touches it while it runs, and else whoever has the one `Ready`.
unsafe impl Sync for Home {}

impl Home {
    /// One that runs.
    #[allow(clippy::new_without_default, reason = "a constant, for a static")]
    pub const fn new() -> Self {
        Self(Record::new(true, None))
    }

    pub(super) fn record(&self) -> NonNull<Record> {
        NonNull::from(&self.0)
    }
}

/// The right to resume a context that does not run: there is one.
///
/// A `Ready` that is dropped leaves its context, and what that has on its stack, where it is for ever.
///
/// ```no_run
/// use reveille::context::{self, Ready};
/// use reveille::sync::SpinLock;
///
/// # fn example(ready: reveille::context::Ready) {
/// static NEXT: SpinLock<Option<Ready>> = SpinLock::new(None);
///
/// // Whoever has it may resume it: it is kept until then.
/// *NEXT.lock() = Some(ready);
/// # }
/// ```
#[must_use = "a context whose `Ready` is dropped never runs again"]
pub struct Ready(NonNull<Record>);

// SAFETY: it is the one right to the record, whose context was saved before there was a `Ready`. What the context has on its stack, and in its
// registers, goes with it wherever it runs: a thread is the same one on every CPU.
unsafe impl Send for Ready {}
// SAFETY: a shared one only says what does not change while it exists.
unsafe impl Sync for Ready {}

impl Ready {
    /// Of a context that does not run.
    ///
    /// # Safety
    ///
    /// There is no other, and the registers are saved.
    #[inline(always)]
    pub(super) unsafe fn of(record: NonNull<Record>) -> Self {
        Self(record)
    }

    #[inline(always)]
    pub(super) fn into_record(self) -> NonNull<Record> {
        self.0
    }

    #[inline(always)]
    pub(super) fn record(&self) -> &Record {
        // SAFETY: alive for as long as its context has not ended, which it has not.
        unsafe { self.0.as_ref() }
    }

    /// The name of its stack; `home` if it is what a CPU runs by itself.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(ready: &reveille::context::Ready) {
    /// println!("{} waits", ready.name());
    /// # }
    /// ```
    pub fn name(&self) -> &'static str {
        self.record().name()
    }

    /// The one CPU that may resume it: that whose home it is, or that has preempted it while it had a lower exception level run. `None`: any
    /// may.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(ready: &reveille::context::Ready) {
    /// let may_run_here = ready.bound_to().is_none_or(|cpu| cpu == cpu::current());
    /// # }
    /// ```
    #[inline]
    pub fn bound_to(&self) -> Option<CpuId> {
        self.record().bound_to()
    }

    /// Whether it is what a CPU runs by itself.
    ///
    /// ```no_run
    /// # fn example(ready: &reveille::context::Ready) {
    /// if ready.is_home() {
    ///     // What a CPU runs by itself goes on there alone.
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn is_home(&self) -> bool {
        self.record().is_home()
    }

    /// A number that tells it from all others that exist, and stays the same for as long as it does.
    ///
    /// ```no_run
    /// # fn example(ready: &reveille::context::Ready, running: u64) {
    /// let is_the_one = ready.id() == running;
    /// # }
    /// ```
    #[inline]
    pub fn id(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({})", self.name())
    }
}

/// A context whose closure has returned.
///
/// ```no_run
/// use reveille::context::{self, Ended};
///
/// # fn example(ended: reveille::context::Ended) {
/// // The stack serves another one.
/// let next = context::new(ended.into_stack(), || {});
/// # }
/// ```
#[must_use = "its stack is lost with it"]
#[derive(Debug)]
pub struct Ended(Stack, u64);

impl Ended {
    /// # Safety
    ///
    /// Nothing runs on the stack any more, and nobody resumes the context.
    pub(super) unsafe fn of(record: NonNull<Record>) -> Self {
        // SAFETY: the caller's; taken once, as the record is not used any more.
        let stack = unsafe { ManuallyDrop::take(&mut (*record.as_ptr()).stack) };
        let stack = stack.expect("what a CPU runs by itself does not end");
        stack.set_context(0);
        Self(stack, record.as_ptr() as u64)
    }

    /// What [`Ready::id`] said of it.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(ended: &reveille::context::Ended) {
    /// println!("thread {} is over", ended.id());
    /// # }
    /// ```
    pub fn id(&self) -> u64 {
        self.1
    }

    /// Its stack.
    ///
    /// ```no_run
    /// use reveille::memory::Stack;
    ///
    /// # fn example(ended: reveille::context::Ended) {
    /// let stack: Stack = ended.into_stack();
    /// # }
    /// ```
    pub fn into_stack(self) -> Stack {
        self.0
    }
}
