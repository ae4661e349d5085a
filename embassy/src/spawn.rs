//! Spawning to any CPU.

use crate::hotplug;
use crate::kind::Kind;
use crate::node::Node;
use crate::task::MovableToken;
use core::fmt;
use embassy_executor::{SpawnError, SpawnToken};
use reveille::cpu::{self, CpuId};

/// Spawns tasks to the executors of one CPU, from any.
///
/// ```no_run
/// use reveille::cpu;
/// use reveille_embassy::{CpuSpawner, spawner};
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn begin() {
///     for cpu in cpu::online() {
///         let there: CpuSpawner = spawner(cpu);
///         let _ = there.spawn_with(hello);
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CpuSpawner {
    cpu: CpuId,
}

/// The one of `cpu`'s executors. From any context but NMI level.
///
/// ```no_run
/// use reveille::cpu::CpuId;
/// use reveille_embassy::spawner;
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn begin(cpu: CpuId) {
///     if spawner(cpu).spawn_with(hello).is_err() {
///         // It takes no tasks now.
///     }
/// }
/// ```
pub fn spawner(cpu: CpuId) -> CpuSpawner {
    hotplug::begin();
    CpuSpawner { cpu }
}

/// A task was not spawned, as its CPU takes none. It comes back inside, and is to be spawned elsewhere: embassy's tokens cannot be dropped.
///
/// ```no_run
/// use reveille::cpu;
/// use reveille_embassy::spawner;
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn begin(first: cpu::CpuId) {
///     let token = hello().expect("one at a time");
///     if let Err(refused) = spawner(first).spawn(token) {
///         // Here, then: a token cannot be dropped.
///         spawner(cpu::current()).spawn(refused.into_token()).expect("this CPU is online");
///     }
/// }
/// ```
#[must_use = "the task is to be spawned elsewhere"]
pub struct Refused<T> {
    token: T,
    cpu: CpuId,
    why: Why,
}

/// Why a CPU takes no tasks.
///
/// ```no_run
/// use reveille_embassy::Why;
///
/// # fn example(refused: reveille_embassy::Refused<u32>) {
/// if refused.why() == Why::Leaving {
///     // It may stay after all.
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is not online.
    Offline,
    /// It is about to leave.
    Leaving,
}

impl<T> Refused<T> {
    /// The task.
    ///
    /// ```no_run
    /// # fn example<T>(refused: reveille_embassy::Refused<T>) {
    /// let token = refused.into_token();
    /// # }
    /// ```
    pub fn into_token(self) -> T {
        self.token
    }

    /// Why it was not spawned.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example<T>(refused: &reveille_embassy::Refused<T>) {
    /// println!("not spawned: {}", refused.why());
    /// # }
    /// ```
    pub fn why(&self) -> Why {
        self.why
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("cpu", &self.cpu).field("why", &self.why).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a task was not spawned to cpu {}: {}", self.cpu, self.why)
    }
}

impl<T> core::error::Error for Refused<T> {}

/// Why a task was not [made and spawned](CpuSpawner::spawn_with).
///
/// ```no_run
/// use reveille::{cpu, println};
/// use reveille_embassy::{SpawnWithError, spawner};
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn begin() {
///     match spawner(cpu::current()).spawn_with(hello) {
///         Ok(()) | Err(SpawnWithError::Busy) => {}
///         Err(error) => println!("{error}"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnWithError {
    /// The CPU takes no tasks.
    Refused(Why),
    /// As many of these tasks as there can be are there.
    Busy,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "the CPU is not online",
            Self::Leaving => "the CPU is leaving",
        })
    }
}

impl fmt::Display for SpawnWithError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Busy => f.write_str("there are as many of these tasks as there can be"),
        }
    }
}

impl core::error::Error for SpawnWithError {}

impl CpuSpawner {
    /// Its CPU.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(spawner: reveille_embassy::CpuSpawner) {
    /// println!("to cpu {}", spawner.cpu());
    /// # }
    /// ```
    pub fn cpu(self) -> CpuId {
        self.cpu
    }

    /// Spawns a task in thread mode: it runs there, and keeps the CPU from leaving, until it is over. From any context but NMI level.
    ///
    /// The CPU polls it when it runs its executors ([`EXECUTORS`](crate::EXECUTORS), [`run`](crate::run())).
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille_embassy::CpuSpawner;
    ///
    /// reveille_embassy::task! {
    ///     async fn hello() {}
    /// }
    ///
    /// fn begin(there: CpuSpawner) {
    ///     let token = hello().expect("one at a time");
    ///     if let Err(refused) = there.spawn(token) {
    ///         panic!("{refused}");
    ///     }
    /// }
    /// ```
    pub fn spawn<S: Send>(self, token: SpawnToken<S>) -> Result<(), Refused<SpawnToken<S>>> {
        self.spawn_to(Kind::Local, token)
    }

    /// As [`spawn`](Self::spawn), of a task that is made when the CPU takes it: `spawner.spawn_with(|| blink(pin))`. So there is no token
    /// left over, which could not be dropped.
    ///
    /// # Errors
    ///
    /// A [`SpawnWithError`]. If it is [`Refused`](SpawnWithError::Refused), `make` was not called.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille_embassy::{CpuSpawner, SpawnWithError};
    ///
    /// reveille_embassy::task! {
    ///     async fn hello() {}
    /// }
    ///
    /// fn begin(there: CpuSpawner) -> Result<(), SpawnWithError> {
    ///     // No token is made if the CPU takes none.
    ///     there.spawn_with(hello)
    /// }
    /// ```
    pub fn spawn_with<S: Send>(
        self,
        make: impl FnOnce() -> Result<SpawnToken<S>, SpawnError>,
    ) -> Result<(), SpawnWithError> {
        let (make, node) = self.enter(make).map_err(|refused| SpawnWithError::Refused(refused.why))?;
        let made = make().map(|token| node.executor(Kind::Local).spawner().make_send().spawn(token));
        node.door.leave();
        made.map_err(|_| SpawnWithError::Busy)
    }

    /// Spawns a task in interrupt mode: it runs there in interrupt context, whatever the CPU's thread does, and keeps the CPU from leaving until
    /// it is over. From any context but NMI level.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille_embassy::CpuSpawner;
    ///
    /// reveille_embassy::task! {
    ///     async fn hello() {}
    /// }
    ///
    /// fn begin(there: CpuSpawner) {
    ///     // It pre-empts whatever that CPU does in thread mode.
    ///     if let Err(refused) = there.spawn_interrupt(hello().expect("one at a time")) {
    ///         panic!("{refused}");
    ///     }
    /// }
    /// ```
    pub fn spawn_interrupt<S: Send>(self, token: SpawnToken<S>) -> Result<(), Refused<SpawnToken<S>>> {
        self.spawn_to(Kind::Interrupt, token)
    }

    /// Spawns a task in thread mode that moves to another CPU when this one leaves, or keeps it, as its [`Policy`](crate::Policy) says. From any
    /// context but NMI level.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the task.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille_embassy::CpuSpawner;
    ///
    /// reveille_embassy::task! {
    ///     movable async fn hello() {}
    /// }
    ///
    /// fn begin(there: CpuSpawner) {
    ///     if let Err(refused) = there.spawn_movable(hello().expect("one at a time")) {
    ///         panic!("{refused}");
    ///     }
    /// }
    /// ```
    pub fn spawn_movable<S>(self, token: MovableToken<S>) -> Result<(), Refused<MovableToken<S>>> {
        let (token, node) = self.enter(token)?;
        // As from the CPU itself: a movable task is `Send`.
        node.executor(Kind::Movable).spawner().spawn(token.into_inner());
        node.door.leave();
        Ok(())
    }

    fn spawn_to<S: Send>(self, kind: Kind, token: SpawnToken<S>) -> Result<(), Refused<SpawnToken<S>>> {
        let (token, node) = self.enter(token)?;
        node.executor(kind).spawner().make_send().spawn(token);
        // It counts itself.
        node.door.leave();
        Ok(())
    }

    /// Keeps the CPU from leaving, or gives the token back.
    fn enter<T>(self, token: T) -> Result<(T, &'static Node), Refused<T>> {
        let node = Node::of(self.cpu);
        let refused = |token, why| Err(Refused { token, cpu: self.cpu, why });
        if node.door.enter().is_err() {
            return refused(token, if cpu::is_online(self.cpu) { Why::Leaving } else { Why::Offline });
        }
        if !cpu::is_online(self.cpu) {
            node.door.leave();
            return refused(token, Why::Offline);
        }
        Ok((token, node))
    }
}
