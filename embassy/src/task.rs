//! Tasks that have a name, and tasks that move.

use crate::kind::Kind;
use crate::node::Node;
use crate::roll::Entry;
use crate::time::task_of;
use core::pin::Pin;
use core::task::{Context, Poll};
use embassy_executor::SpawnToken;
use reveille::cpu;

/// A task that may be polled by any CPU, ready to be [spawned](crate::CpuSpawner::spawn_movable). Made by [`task!`](crate::task!) of a
/// `movable async fn`.
///
/// Like embassy's tokens, it has to be spawned: to drop it is a panic.
///
/// ```no_run
/// use reveille_embassy::{MovableToken, spawner};
///
/// reveille_embassy::task! {
///     movable async fn hello() {}
/// }
///
/// fn begin() {
///     let token: MovableToken<_> = hello().expect("one at a time");
///     if let Err(refused) = spawner(reveille::cpu::current()).spawn_movable(token) {
///         panic!("{refused}");
///     }
/// }
/// ```
#[must_use = "a task that is not spawned does nothing, and its token cannot be dropped"]
pub struct MovableToken<S>(SpawnToken<S>);

impl<S> MovableToken<S> {
    /// For [`task!`](crate::task!) alone.
    ///
    /// # Safety
    ///
    /// The future of the task is `Send`, and a [`Movable`].
    #[doc(hidden)]
    pub unsafe fn new(token: SpawnToken<S>) -> Self {
        Self(token)
    }

    pub(crate) fn into_inner(self) -> SpawnToken<S> {
        self.0
    }
}

/// A future that is known by a name wherever it is polled.
#[doc(hidden)]
pub struct Named<F> {
    name: &'static &'static str,
    entry: Entry,
    future: F,
}

/// The same, which does not find out on which executor it is.
#[doc(hidden)]
pub struct Movable<F>(Named<F>);

/// For [`task!`](crate::task!) alone.
#[doc(hidden)]
pub const fn named<F: Future>(name: &'static &'static str, future: F) -> Named<F> {
    Named { name, entry: Entry::new(), future }
}

/// For [`task!`](crate::task!) alone.
#[doc(hidden)]
pub const fn movable<F: Future + Send>(name: &'static &'static str, future: F) -> Movable<F> {
    Movable(named(name, future))
}

impl<F: Future> Named<F> {
    /// Polls it, on the roll of the CPU whose executor has `context`, with `inner`.
    #[inline(always)]
    fn poll_with(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        inner: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> Poll<F::Output>,
    ) -> Poll<F::Output> {
        // SAFETY: nothing is moved out; `entry` is only ever referred to pinned, and `future` too.
        let this = unsafe { self.get_unchecked_mut() };
        if !this.entry.is_entered() {
            // SAFETY: part of what is pinned.
            enter(unsafe { Pin::new_unchecked(&this.entry) }, this.name, context);
        }
        let before = cpu::set_label(Some(this.name));
        // SAFETY: part of what is pinned.
        let result = inner(unsafe { Pin::new_unchecked(&mut this.future) }, context);
        cpu::set_label(before);
        result
    }
}

/// The first poll of a task.
#[cold]
fn enter(entry: Pin<&Entry>, name: &'static str, context: &Context<'_>) {
    // Panics where somebody polls it by hand.
    let (node, kind) = Node::of_task(context.waker()).unwrap_or((Node::here(), Kind::Local));
    node.tasks.enter(entry, name, kind, None);
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_with(context, |future, context| future.poll(context))
    }
}

impl<F: Future + Send> Future for Movable<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with the whole.
        let named = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        named.poll_with(context, |future, context| {
            // By embassy's own waker the task would find its executor, and could spawn there what is not to move.
            let waker = task_of(context.waker()).movable_waker();
            future.poll(&mut Context::from_waker(&waker))
        })
    }
}

/// Defines tasks, as `#[embassy_executor::task]` does, that have a name: the report of a panic says which one ran on which CPU, and
/// [`Err(Held(..))`](reveille::hotplug::Hold::Application) which one keeps a CPU from leaving.
///
/// ```no_run
/// use embassy_executor::Spawner;
/// use embassy_time::Timer;
/// use reveille::{cpu::CpuId, println};
///
/// reveille_embassy::task! {
///     /// Blinks for ever.
///     pub async fn blink(pin: u32) {
///         loop {
///             Timer::after_millis(500).await;
///             println!("pin {pin}");
///         }
///     }
///
///     /// May be polled by any CPU, so it has to be `Send`: it goes on on another when its own leaves.
///     #[pool_size = 4]
///     movable async fn count(id: u32) {
///         println!("{id}");
///     }
/// }
///
/// fn begin(spawner: Spawner, cpu: CpuId) {
///     spawner.spawn(blink(3).unwrap());
///     reveille_embassy::spawner(cpu).spawn_movable(count(3).unwrap()).unwrap();
/// }
/// ```
///
/// Each becomes a function that returns embassy's `Result<SpawnToken<_>, SpawnError>`, or, if it is movable,
/// `Result<`[`MovableToken`]`<_>, SpawnError>`. Of each there may be one at a time, or as many as `pool_size` says. Arguments are
/// `'static`. Attributes stand before it, `pool_size` among them. In a movable task what embassy offers `for_current_..` panics: by it a
/// task could spawn on its executor what is not able to move.
#[macro_export]
macro_rules! task {
    () => {};
    // Attributes are taken off one by one: the size of the pool, and all others.
    (@task [$($attributes:tt)*] [$($size:tt)*] #[pool_size = $of:expr] $($rest:tt)*) => {
        $crate::task!(@task [$($attributes)*] [$($size)* pool_size = $of,] $($rest)*);
    };
    (@task [$($attributes:tt)*] $size:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::task!(@task [$($attributes)* #[$($attribute)*]] $size $($rest)*);
    };
    (@task [$($attributes:tt)*] [$($size:tt)*] $visibility:vis async fn $name:ident $arguments:tt $(-> $output:tt)? $body:block $($rest:tt)*) => {
        $($attributes)*
        #[$crate::embassy_executor::task($($size)* embassy_executor = $crate::embassy_executor)]
        $visibility async fn $name $arguments $(-> $output)? {
            $crate::named(&::core::stringify!($name), async move $body).await
        }
        $crate::task!($($rest)*);
    };
    (@task [$($attributes:tt)*] $size:tt $visibility:vis movable async fn $name:ident ($($arguments:tt)*) $body:block $($rest:tt)*) => {
        $crate::task!(@movable [$($attributes)*] $size [$visibility] $name [] [] $body $($arguments)*);
        $crate::task!($($rest)*);
    };
    // So are arguments: what stands in the signature, and what is made mutable.
    (@movable $attributes:tt $size:tt $visibility:tt $name:ident [$($before:tt)*] [$($mutable:ident)*] $body:block mut $argument:ident : $type:ty $(, $($rest:tt)*)?) => {
        $crate::task!(@movable $attributes $size $visibility $name [$($before)* $argument: $type,] [$($mutable)* $argument] $body $($($rest)*)?);
    };
    (@movable $attributes:tt $size:tt $visibility:tt $name:ident [$($before:tt)*] $mutable:tt $body:block $argument:ident : $type:ty $(, $($rest:tt)*)?) => {
        $crate::task!(@movable $attributes $size $visibility $name [$($before)* $argument: $type,] $mutable $body $($($rest)*)?);
    };
    (@movable [$($attributes:tt)*] [$($size:tt)*] [$visibility:vis] $name:ident [$($argument:ident: $type:ty,)*] [$($mutable:ident)*] $body:block) => {
        $($attributes)*
        $visibility fn $name($($argument: $type),*) -> ::core::result::Result<
            $crate::MovableToken<impl ::core::marker::Sized>,
            $crate::embassy_executor::SpawnError,
        > {
            #[$crate::embassy_executor::task($($size)* embassy_executor = $crate::embassy_executor)]
            fn __task($($argument: $type),*) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send {
                $crate::movable(&::core::stringify!($name), async move {
                    $(let mut $mutable = $mutable;)*
                    $body
                })
            }
            let token = __task($($argument),*)?;
            // SAFETY: its future is `Send`, as its type says, and a `Movable`.
            ::core::result::Result::Ok(unsafe { $crate::MovableToken::new(token) })
        }
    };
    (@ $($rest:tt)*) => {
        ::core::compile_error!("task!: not `async fn name(argument: Type, ..) { .. }`, or `movable async fn ..`, with attributes before it");
    };
    ($($rest:tt)*) => {
        $crate::task!(@task [] [] $($rest)*);
    };
}
