//! The bring-up handshake: one word per CPU that says whose the CPU is.
//!
//! A start is a race that the booter and the arriving CPU settle on one word, the [`Slot`] of that CPU. Each
//! start has a generation; every transition names the generation it means, so nobody can act on a start that
//! is not the current one.
//!
//! ```text
//!                 claim                kick                arrive             go_online
//!  Offline, Gone ------> Claimed(g+1) ------> Kicked(g+1) ------> Alive(g+1) ----------> Online(g+1)
//!  Revoked, Failed         | abandon            | revoke            | fail -> Failed        | begin_leave
//!                          v                    v                   | wedge -> Wedged       v
//!                        Revoked              Revoked                                     Dying -> Gone
//! ```
//!
//! Until [`Slot::arrive`] has returned [`Arrival::Won`] a CPU owns nothing but its registers and the stack it
//! arrived on. This is what lets `Revoked` mean that the start is over: however late the CPU comes, it loses.
//! Once it has won, it can no longer be declared dead, only `Wedged`, which gives nothing of it to anyone.
//!
//! The two sides of each race:
//!
//! | race | sides |
//! |---|---|
//! | who starts the CPU | [`Slot::claim`] against itself |
//! | did it arrive in time | [`Slot::arrive`] against [`Kicked::revoke`] and [`Slot::revoke_if_kicked`] |
//! | did it come up in time | [`Slot::go_online`] and [`Slot::fail`] against [`Kicked::wedge`] |
//! | is a panic under way | [`Slot::go_online`] against [`Gate::enter`], with a fence on each side |

use core::mem;
use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};

use crate::{Arch, Gate, Word};

/// The failure reason of a CPU that came out of reset while its slot said that it was running.
///
/// Whatever its former life held (locks, queue nodes, a part in a rendezvous) is held for ever, so this is a
/// reason to panic. A slot that failed for this reason cannot be claimed again.
pub const RESTARTED: u16 = u16::MAX;

const GENERATION_SHIFT: u32 = 32;
const REASON_SHIFT: u32 = 8;

/// Where a CPU is between "off" and "running".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Off, as far as anybody knows: never started, or its power-off was confirmed.
    Offline = 0,
    /// One booter has the sole right to start it. Firmware has not been asked yet.
    Claimed = 1,
    /// Firmware has been, or is about to be, asked to start it.
    Kicked = 2,
    /// It arrived in time and initialises itself. The reason field says how far it has come.
    Alive = 3,
    /// It is a CPU of the system.
    Online = 4,
    /// It is on its way out and still uses what it owns.
    Dying = 5,
    /// It left. It touches nothing shared any more, but may not be powered off yet.
    Gone = 6,
    /// The start was called off before the CPU arrived; if it ever arrives, it loses.
    Revoked = 7,
    /// It arrived and gave up by itself. The reason field says why. It touches nothing shared any more.
    Failed = 8,
    /// It arrived and did not come up in time. It may still be running: nothing it owns can be reused.
    Wedged = 9,
}

impl core::fmt::Display for State {
    /// In lower case.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Offline => "offline",
            Self::Claimed => "claimed",
            Self::Kicked => "kicked",
            Self::Alive => "alive",
            Self::Online => "online",
            Self::Dying => "dying",
            Self::Gone => "gone",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
            Self::Wedged => "wedged",
        })
    }
}

impl State {
    /// Every one.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Offline,
        Self::Claimed,
        Self::Kicked,
        Self::Alive,
        Self::Online,
        Self::Dying,
        Self::Gone,
        Self::Revoked,
        Self::Failed,
        Self::Wedged,
    ];

    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Offline,
            1 => Self::Claimed,
            2 => Self::Kicked,
            3 => Self::Alive,
            4 => Self::Online,
            5 => Self::Dying,
            6 => Self::Gone,
            7 => Self::Revoked,
            8 => Self::Failed,
            9 => Self::Wedged,
            _ => return None,
        })
    }

    /// Whether the CPU may be executing code of the image beyond its arrival: a panic has to stop it, and a
    /// CPU that comes out of reset in such a state was restarted behind everyone's back.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Online | Self::Dying | Self::Wedged)
    }

    /// Whether the CPU is either a member of the system or certain not to become one on its own.
    ///
    /// Code may be patched, and a single-CPU form of it chosen, only while every slot is settled: in the other
    /// states (`Claimed`, `Kicked`, `Alive`, `Dying`, `Wedged`) a CPU that is not a member may be about to
    /// run that code, or be in the middle of it.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Offline | Self::Online | Self::Gone | Self::Revoked | Self::Failed)
    }
}

/// One reading of a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the start that the state belongs to. 0 is the boot CPU's, or that of a CPU never started.
    pub generation: u32,
    /// In `Alive` and `Wedged` the last step that the CPU reported, in `Failed` why it failed, otherwise 0.
    pub reason: u16,
    /// The state.
    pub state: State,
}

impl Snapshot {
    const fn new(generation: u32, reason: u16, state: State) -> Self {
        Self { generation, reason, state }
    }

    /// The word of a slot in this state: generation in bits 63:32, reason in 23:8, state in 7:0.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << GENERATION_SHIFT
            | (self.reason as u64) << REASON_SHIFT
            | self.state as u64
    }

    /// Reads the word of a slot.
    ///
    /// Every word has a reading. One that no slot ever holds, because something wrote over it, reads as
    /// [`State::Wedged`]: the CPU may be running, nobody can claim it, and patching is refused.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let generation = (bits >> GENERATION_SHIFT) as u32;
        let reason = (bits >> REASON_SHIFT) as u16;
        let read = match State::from_byte(bits as u8) {
            Some(state) => Self::new(generation, reason, state),
            None => return Self::new(generation, reason, State::Wedged),
        };
        if read.to_bits() == bits { read } else { Self::new(generation, reason, State::Wedged) }
    }
}

/// Why a CPU could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else is starting it, or it is on its way out.
    Busy(Snapshot),
    /// It is online already.
    Online {
        /// The generation it is online with.
        generation: u32,
    },
    /// It was started 2^32 - 1 times. Counting on would give a late arrival of an old start a valid number.
    Exhausted,
    /// An earlier start wedged, or the slot is corrupt: the CPU may still be running.
    Wedged {
        /// The generation of that start.
        generation: u32,
    },
    /// It was reset while it was running, and what it held then was never given back.
    Restarted {
        /// The generation of the life that was cut short.
        generation: u32,
    },
}

/// What a CPU finds when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The start is its own: from now on it may use its stack and its per-CPU data.
    Won,
    /// The start was called off, or is not the current one. The CPU goes to the pen and leaves it only for
    /// another generation.
    Lost,
    /// The start is claimed, but not kicked yet: the CPU was out already when the booter began, and learnt the
    /// generation from its boot line. It goes to the pen and, unlike a loser, leaves it for *this* generation.
    Early,
    /// The slot says that this very CPU was running, so it was reset. The slot now holds
    /// `Failed(`[`RESTARTED`]`)`; the snapshot is what it held before. The CPU raises the panic gate.
    Restarted(Snapshot),
}

/// How [`Slot::go_online`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a CPU that is `Online` may go on"]
pub enum Entrance {
    /// The CPU is a member of the system.
    Online,
    /// The CPU is a member of the system, and another CPU has the panic gate: it parks, at once, because the
    /// reporter may have looked for whom to stop before there was anything to see. ([`Gate::join`] counts it.)
    Stop,
    /// The booter gave up first, or the slot is not what this CPU believes. It parks and touches nothing.
    Wedged,
}

/// The word that one CPU is started, stopped and found through.
///
/// The CPU itself and its booters race here, so the glue gives each slot a cache line of its own. The layout
/// is that of the word, for the assembly that stores `Gone` after it has left its stack.
#[repr(transparent)]
pub struct Slot<A: Arch> {
    word: A::Word,
}

impl<A: Arch> Slot<A> {
    /// The word of a CPU that was never started.
    pub const OFFLINE: u64 = Snapshot::new(0, 0, State::Offline).to_bits();
    /// The word of the CPU that the machine booted on: online with generation 0, which no start ever has.
    pub const BOOT: u64 = Snapshot::new(0, 0, State::Online).to_bits();

    /// A slot around a word that holds [`Self::OFFLINE`] or [`Self::BOOT`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// The slot of a CPU that was never started.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::OFFLINE))
    }

    /// Makes this the slot of the boot CPU. The caller is the boot CPU, and has not started any other.
    pub fn adopt_boot(&self) {
        // Release: pairs with `read`, like the transition to `Online` of any other CPU.
        self.word.store(Self::BOOT, Release);
    }

    /// What the slot holds now.
    ///
    /// Acquire: who reads `Online` sees all that the CPU initialised before, who reads `Gone` or `Failed` all
    /// that it did in its life. The answer may be old by the time it is looked at.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        Snapshot::from_bits(self.word.load(Acquire))
    }

    /// Whether [`Self::read`] finds it online.
    #[inline]
    #[must_use]
    pub fn is_online(&self) -> bool {
        // The generation and the reason do not count; the rest is as `Snapshot::from_bits` has it. Acquire: as for `read`.
        self.word.load(Acquire) as u32 & !(u32::from(u16::MAX) << REASON_SHIFT) == State::Online as u32
    }

    /// Takes the sole right to start this CPU.
    ///
    /// Firmware does not serialise concurrent starts of one CPU (it may answer "success" to several), so this
    /// does. From here to the end of the start nobody else writes the CPU's boot parameters.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the CPU is not there to be started. The slot is then unchanged.
    pub fn claim(&self) -> Result<Claim<'_, A>, Refusal> {
        let mut word = self.word.load(Relaxed);
        loop {
            let seen = Snapshot::from_bits(word);
            let generation = seen.generation;
            match seen.state {
                State::Failed if seen.reason == RESTARTED => return Err(Refusal::Restarted { generation }),
                State::Offline | State::Gone | State::Revoked | State::Failed => {}
                State::Claimed | State::Kicked | State::Alive | State::Dying => {
                    return Err(Refusal::Busy(seen));
                }
                State::Online => return Err(Refusal::Online { generation }),
                State::Wedged => return Err(Refusal::Wedged { generation }),
            }
            let generation = generation.checked_add(1).ok_or(Refusal::Exhausted)?;
            let claimed = Snapshot::new(generation, 0, State::Claimed).to_bits();
            // Acquire: pairs with the Release of `gone` and `fail` (the CPU's last words in what it owned),
            // of `revoke` and of `Claim::drop` (the last booter's in the boot parameters).
            match self.word.compare_exchange(word, claimed, Acquire, Relaxed) {
                Ok(_) => return Ok(Claim { slot: self, generation }),
                // Another booter, or `confirm_off`; the former ends the loop, the latter happens once.
                Err(now) => word = now,
            }
        }
    }

    /// The arriving CPU takes up start `generation`, with nothing of its own in use but its registers and the
    /// stack it arrived on. Only an [`Arrival::Early`] may try again.
    pub fn arrive(&self, generation: u32) -> Arrival {
        let kicked = Snapshot::new(generation, 0, State::Kicked).to_bits();
        let alive = Snapshot::new(generation, 0, State::Alive).to_bits();
        // No load first: it could return a value from before the kick. Acquire: pairs with the Release of
        // `kick`, so the CPU sees the parameters of this start.
        let Err(mut word) = self.word.compare_exchange(kicked, alive, Acquire, Relaxed) else {
            return Arrival::Won;
        };
        loop {
            let found = Snapshot::from_bits(word);
            if !found.state.is_live() {
                let early = found.state == State::Claimed && found.generation == generation;
                return if early { Arrival::Early } else { Arrival::Lost };
            }
            // Relaxed: nobody can claim the slot after this, so nobody is handed anything.
            let failed = Snapshot::new(found.generation, RESTARTED, State::Failed).to_bits();
            match self.word.compare_exchange(word, failed, Relaxed, Relaxed) {
                Ok(_) => return Arrival::Restarted(found),
                // The CPU itself is here, so the only other writer is a booter that wedges it: once.
                Err(now) => word = now,
            }
        }
    }

    /// This CPU, alive with `generation`, reports that it has come to `step` of its initialisation.
    ///
    /// `false` if it is not alive any more because the booter wedged it: the CPU parks.
    #[must_use = "a CPU that was wedged must park"]
    pub fn progress(&self, generation: u32, step: u16) -> bool {
        // Relaxed: the step is for the eye only.
        self.pass(State::Alive, Snapshot::new(generation, step, State::Alive), Relaxed, Relaxed).is_ok()
    }

    /// This CPU, known to `gate` as `me` and alive with `generation`, becomes a member of the system.
    ///
    /// Its interrupts are still masked; all that others may want of it (its call queue, its interrupt
    /// controller part) works. It has to look at the panic gate *after* it has become visible, or a reporter
    /// that did not see it would leave it running: this is that look, with the fence that it takes.
    pub fn go_online(&self, generation: u32, gate: &Gate<A>, me: u32) -> Entrance {
        // Release: pairs with the Acquire of whoever reads `Online` and then uses what the CPU has set up.
        if self.pass(State::Alive, Snapshot::new(generation, 0, State::Online), Release, Relaxed).is_err() {
            return Entrance::Wedged;
        }
        // Pairs with the fence in `Gate::enter`: store `Online`, look at the gate, against take the gate, look
        // at the slots. At least one of the two sees the other.
        A::fence(SeqCst);
        if gate.is_taken_by_other(me) { Entrance::Stop } else { Entrance::Online }
    }

    /// This CPU, alive with `generation`, gives up for `reason`. Its last shared store: if it returns `true`
    /// the CPU must not touch anything that it owned any more, if `false` the booter wedged it and it parks.
    ///
    /// [`RESTARTED`] is not a reason to give here.
    #[must_use = "a CPU that was wedged must park"]
    pub fn fail(&self, generation: u32, reason: u16) -> bool {
        // Release: pairs with `claim`. The next start finds the CPU's memory as it left it.
        self.pass(State::Alive, Snapshot::new(generation, reason, State::Failed), Release, Relaxed).is_ok()
    }

    /// This CPU, online with `generation`, begins to leave. `false` if it is not online with it.
    #[must_use = "only a CPU that is dying may leave"]
    pub fn begin_leave(&self, generation: u32) -> bool {
        // Relaxed: hands nothing to anyone, and whoever acts on `Dying` only keeps off.
        self.pass(State::Online, Snapshot::new(generation, 0, State::Dying), Relaxed, Relaxed).is_ok()
    }

    /// This CPU, dying with `generation`, stays after all. `false` if it is not dying with it.
    pub fn cancel_leave(&self, generation: u32) -> bool {
        // Release: pairs with `read` as in `go_online`. It may have set things up again.
        self.pass(State::Dying, Snapshot::new(generation, 0, State::Online), Release, Relaxed).is_ok()
    }

    /// This CPU, dying with `generation`, has left. `false` if it is not dying with it.
    ///
    /// Its last shared store: its stack and per-CPU data belong to the next start from here on. A caller that
    /// still stands on that stack has to make this store in assembly instead (`stlr` of the [`Snapshot`]'s
    /// bits; while the CPU is `Dying` nobody else writes the slot).
    #[must_use = "a CPU that is not gone must not power itself off"]
    pub fn gone(&self, generation: u32) -> bool {
        // Release: pairs with `claim`. The next start finds the CPU's memory as it left it.
        self.pass(State::Dying, Snapshot::new(generation, 0, State::Gone), Release, Relaxed).is_ok()
    }

    /// Firmware says that the CPU, which left with `generation`, is off. `false` if the slot has moved on.
    ///
    /// Only cosmetic: `Gone` can be claimed just as well. The caller has read `generation` from the slot
    /// before it asked firmware; a start since then makes the answer void, and the generation notices.
    pub fn confirm_off(&self, generation: u32) -> bool {
        // Relaxed: being a read-modify-write it carries the Release of `gone` on to the next `claim`.
        self.pass(State::Gone, Snapshot::new(generation, 0, State::Offline), Relaxed, Relaxed).is_ok()
    }

    /// Calls off whatever start is under way, for one who holds no token: the panic reporter. Returns what the
    /// slot holds afterwards, which is never `Kicked`.
    pub fn revoke_if_kicked(&self) -> Snapshot {
        loop {
            let seen = self.read();
            if seen.state != State::Kicked {
                return seen;
            }
            if self.revoke(seen.generation).is_ok() {
                return Snapshot { state: State::Revoked, ..seen };
            }
            // The CPU arrived, or its booter revoked it and a new start began.
        }
    }

    fn revoke(&self, generation: u32) -> Result<(), Snapshot> {
        // Release: pairs with `claim`. What this booter wrote for the CPU after the kick comes before what the
        // next one writes. Acquire: the loser sees what the winner did.
        self.pass(State::Kicked, Snapshot::new(generation, 0, State::Revoked), Release, Acquire).map(drop)
    }

    /// [`Self::advance`] to a state that does not depend on the reason.
    fn pass(
        &self,
        from: State,
        to: Snapshot,
        success: Ordering,
        failure: Ordering,
    ) -> Result<Snapshot, Snapshot> {
        self.advance(from, to.generation, |_| to, success, failure)
    }

    /// Moves the slot on, if it is in state `from` with `generation`. Returns what it holds afterwards, `Err`
    /// if that is not what `next` has made.
    ///
    /// Repeats only if the reason alone has changed, which the CPU does once per step of its initialisation.
    fn advance(
        &self,
        from: State,
        generation: u32,
        next: impl Fn(Snapshot) -> Snapshot,
        success: Ordering,
        failure: Ordering,
    ) -> Result<Snapshot, Snapshot> {
        // The first guess. No load: it could only be older than what the compare-exchange finds.
        let mut seen = Snapshot::new(generation, 0, from);
        loop {
            let to = next(seen);
            match self.word.compare_exchange(seen.to_bits(), to.to_bits(), success, failure) {
                Ok(_) => return Ok(to),
                Err(now) => seen = Snapshot::from_bits(now),
            }
            if seen.state != from || seen.generation != generation {
                return Err(seen);
            }
        }
    }
}

impl<A: Arch> Default for Slot<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The sole right to start one CPU.
///
/// Dropping it gives the CPU back as `Revoked`: nothing was handed to firmware, so nothing can arrive.
#[must_use = "a claim that is dropped is a start that never happens"]
pub struct Claim<'a, A: Arch> {
    slot: &'a Slot<A>,
    generation: u32,
}

impl<'a, A: Arch> Claim<'a, A> {
    /// The number of this start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Opens the slot for the CPU. Its boot parameters are complete and cleaned to memory; firmware is asked
    /// only after this, or the CPU could arrive before it is expected.
    pub fn kick(self) -> Kicked<'a, A> {
        let Self { slot, generation } = self;
        mem::forget(self);
        // A plain store: nobody else writes a claimed slot. Release: pairs with `arrive`, which then sees the
        // parameters.
        slot.word.store(Snapshot::new(generation, 0, State::Kicked).to_bits(), Release);
        Kicked { slot, generation }
    }

    /// Gives the CPU back without having asked firmware for it.
    pub fn abandon(self) {
        drop(self);
    }
}

impl<A: Arch> Drop for Claim<'_, A> {
    fn drop(&mut self) {
        // A plain store: nobody else writes a claimed slot. Release: pairs with the next `claim`, whose boot
        // parameters come after ours.
        self.slot.word.store(Snapshot::new(self.generation, 0, State::Revoked).to_bits(), Release);
    }
}

/// A start that is under way, in the hands of its booter.
///
/// Dropping it calls the start off if the CPU has not arrived, so no start is ever left that nobody awaits.
#[must_use = "a start that is dropped is called off"]
pub struct Kicked<'a, A: Arch> {
    slot: &'a Slot<A>,
    generation: u32,
}

impl<A: Arch> Kicked<'_, A> {
    /// The number of this start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How the start stands; see [`Slot::read`].
    #[must_use]
    pub fn poll(&self) -> Snapshot {
        self.slot.read()
    }

    /// Calls the start off. After `Ok` the CPU can no longer arrive, however late it comes, and all that it
    /// would have owned is the caller's.
    ///
    /// # Errors
    ///
    /// What the slot holds, if the CPU arrived first or somebody else has called the start off.
    pub fn revoke(&self) -> Result<(), Snapshot> {
        self.slot.revoke(self.generation)
    }

    /// Gives up on a CPU that has arrived and does not come up. After `Ok` it can no longer come online, and
    /// the snapshot says how far it came; but it may be running still, so nothing it owns may be touched.
    ///
    /// # Errors
    ///
    /// What the slot holds, if the CPU is not alive: it came up, or failed, in the nick of time.
    pub fn wedge(&self) -> Result<Snapshot, Snapshot> {
        let wedged = |seen| Snapshot { state: State::Wedged, ..seen };
        // Relaxed: hands nothing to anyone. Acquire: the loser sees what the winner did.
        self.slot.advance(State::Alive, self.generation, wedged, Relaxed, Acquire)
    }
}

impl<A: Arch> Drop for Kicked<'_, A> {
    fn drop(&mut self) {
        // Err: the start is over, or the CPU has arrived and looks after itself.
        let _ = self.revoke();
    }
}

/// What a start hands to the CPU through firmware: the generation, in a form that survives careless firmware.
///
/// Function ids of the 32-bit calling convention pass the low half alone, some firmware passes garbage, and
/// some hypervisors lose it. So the generation is in the low half, and a tag in the high half tells a token
/// that came through whole.
pub struct Token;

impl Token {
    /// The high half of an undamaged token.
    pub const TAG: u32 = 0x5256_4c4c;

    /// The `context_id` for start `generation`.
    #[must_use]
    pub const fn encode(generation: u32) -> u64 {
        (Self::TAG as u64) << 32 | generation as u64
    }

    /// Which start does a CPU belong to that arrived with `context_id` and finds `line_generation` in its own
    /// boot line (0: it was never kicked)?
    ///
    /// A tagged token is believed. Anything else counts for nothing, and the generation of the line is taken.
    /// This is safe even if the arrival belongs to an older start: one core arrives once, claims of its slot
    /// are serialised, and the line is written by whoever holds the claim. So no other arrival can take that
    /// generation, and if its start was called off, [`Slot::arrive`] still refuses.
    #[must_use]
    pub const fn judge(context_id: u64, line_generation: u32) -> Judgement {
        let tag = (context_id >> 32) as u32;
        let generation = context_id as u32;
        if line_generation == 0 {
            Judgement::Uninvited
        } else if tag != Self::TAG || generation == line_generation {
            Judgement::Current(line_generation)
        } else {
            Judgement::Stale
        }
    }
}

/// The outcome of [`Token::judge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The CPU may try to arrive with this generation.
    Current(u32),
    /// The CPU comes from an older start: to the pen.
    Stale,
    /// Nobody ever started this CPU: to the pen.
    Uninvited,
}

/// What became of one CPU in a roll call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is online.
    Online,
    /// It did not arrive in time and never will.
    Revoked,
    /// Firmware refused to start it, with this error code.
    Refused(i32),
    /// It arrived and gave up, for this reason.
    Failed(u16),
    /// It arrived and did not come up in time. It may be running, and is never used again.
    Wedged,
    /// The machine's description does not say how to start it.
    NoMethod,
    /// The machine's description says not to use it.
    Disabled,
    /// Somebody else is starting it, or it is just leaving.
    Busy,
    /// Its generations are used up.
    Exhausted,
    /// The machine was stopped: the CPU is parked for good, or would be as soon as it came.
    Parked,
    /// Nobody tried: whoever asked cannot wait for other CPUs where it asked.
    WouldDeadlock,
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy(_) => Self::Busy,
            Refusal::Online { .. } => Self::Online,
            Refusal::Exhausted => Self::Exhausted,
            Refusal::Wedged { .. } => Self::Wedged,
            Refusal::Restarted { .. } => Self::Failed(RESTARTED),
        }
    }
}

/// How long a booter waits, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the kick to the arrival. After this the start is called off.
    pub arrive: u64,
    /// From the arrival, as the booter saw it, to `Online`. After this the CPU counts as wedged.
    pub online: u64,
}

/// How one start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of the CPU.
    pub verdict: Verdict,
    /// The number of the start.
    pub generation: u32,
    /// Ticks from the kick to the moment when the booter knew.
    pub elapsed: u64,
}

/// How one start stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a start is over only when it is settled"]
pub enum Step {
    /// Nothing to say yet: step again.
    Waiting,
    /// The start is over.
    Settled(Outcome),
}

/// The booter's side of one start, from the kick to the verdict.
///
/// It never blocks: the caller steps all the CPUs it awaits in turn, and passes the time in between. Every
/// start is settled once both limits have passed, at the latest.
pub struct Booter<'a, A: Arch> {
    kicked: Kicked<'a, A>,
    limits: Limits,
    kicked_at: u64,
    alive_at: Option<u64>,
    refusal: Option<i32>,
    outcome: Option<Outcome>,
}

impl<'a, A: Arch> Booter<'a, A> {
    /// Begins to await `kicked`, which was kicked at `now`.
    #[must_use = "a start that is not awaited is called off"]
    pub fn new(kicked: Kicked<'a, A>, limits: Limits, now: u64) -> Self {
        Self { kicked, limits, kicked_at: now, alive_at: None, refusal: None, outcome: None }
    }

    /// The number of the start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.kicked.generation
    }

    /// Whether the CPU was still not seen to have arrived when last looked at: while this is so, a firmware
    /// that asked for patience may be asked again.
    #[must_use]
    pub fn is_awaiting_arrival(&self) -> bool {
        self.outcome.is_none() && self.alive_at.is_none()
    }

    /// Firmware accepted the start.
    pub fn accepted(&mut self) {
        self.refusal = None;
    }

    /// Firmware answered `code`, which may pass (the CPU is still on, or an older start is pending). The start
    /// stays open; if it ends without an arrival, this code is the verdict.
    pub fn deferred(&mut self, code: i32) {
        self.refusal = Some(code);
    }

    /// Firmware refused with `code`, for good. The start is called off; but if the CPU has arrived all the
    /// same, its word counts and not the firmware's, and it is awaited like any other.
    pub fn refuse(&mut self, code: i32, now: u64) -> Step {
        if let Some(outcome) = self.outcome {
            return Step::Settled(outcome);
        }
        self.refusal = Some(code);
        match self.kicked.revoke() {
            Ok(()) => self.settle(Verdict::Refused(code), now),
            Err(winner) => self.look(winner, now),
        }
    }

    /// Looks how the start stands at `now`, and ends it if its time is up. Settled once, settled for good.
    pub fn step(&mut self, now: u64) -> Step {
        if let Some(outcome) = self.outcome {
            return Step::Settled(outcome);
        }
        self.look(self.kicked.poll(), now)
    }

    fn look(&mut self, mut seen: Snapshot, now: u64) -> Step {
        // A lost race shows the winner's state, which is a later one: at most three rounds.
        loop {
            if seen.generation != self.kicked.generation {
                return self.settle(Verdict::Busy, now);
            }
            let verdict = match seen.state {
                State::Kicked => {
                    if now.saturating_sub(self.kicked_at) < self.limits.arrive {
                        return Step::Waiting;
                    }
                    match self.kicked.revoke() {
                        Ok(()) => self.called_off(),
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }
                    }
                }
                State::Alive => {
                    let alive_at = *self.alive_at.get_or_insert(now);
                    if now.saturating_sub(alive_at) < self.limits.online {
                        return Step::Waiting;
                    }
                    match self.kicked.wedge() {
                        Ok(_) => Verdict::Wedged,
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }
                    }
                }
                // It was online, even if it has left by now.
                State::Online | State::Dying | State::Gone | State::Offline => Verdict::Online,
                State::Revoked => self.called_off(),
                State::Failed => Verdict::Failed(seen.reason),
                State::Wedged => Verdict::Wedged,
                // A start that was kicked is never claimed again under its own number.
                State::Claimed => Verdict::Busy,
            };
            return self.settle(verdict, now);
        }
    }

    fn called_off(&self) -> Verdict {
        self.refusal.map_or(Verdict::Revoked, Verdict::Refused)
    }

    fn settle(&mut self, verdict: Verdict, now: u64) -> Step {
        let elapsed = now.saturating_sub(self.kicked_at);
        let outcome = Outcome { verdict, generation: self.kicked.generation, elapsed };
        Step::Settled(*self.outcome.insert(outcome))
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    const LIMITS: Limits = Limits { arrive: 100, online: 50 };

    fn slot(generation: u32, reason: u16, state: State) -> Slot<Host> {
        Slot::from_parts(AtomicU64::new(Snapshot::new(generation, reason, state).to_bits()))
    }

    fn settled(verdict: Verdict, generation: u32, elapsed: u64) -> Step {
        Step::Settled(Outcome { verdict, generation, elapsed })
    }

    #[test]
    fn words_read_back() {
        for state in State::ALL {
            for generation in [0, 1, u32::MAX] {
                for reason in [0, 1, RESTARTED] {
                    let snapshot = Snapshot::new(generation, reason, state);
                    assert_eq!(Snapshot::from_bits(snapshot.to_bits()), snapshot);
                    let is_online = slot(generation, reason, state).is_online();
                    assert_eq!(is_online, state == State::Online);
                }
            }
        }
        assert_eq!(Snapshot::new(0x1234_5678, 0x9abc, State::Wedged).to_bits(), 0x1234_5678_009a_bc09);
    }

    #[test]
    fn a_corrupt_word_is_wedged() {
        for bits in [10, 0xff, 1 << 24, 0x0000_0001_8000_0004, u64::MAX] {
            let slot = Slot::<Host>::from_parts(AtomicU64::new(bits));
            let seen = slot.read();
            assert_eq!(seen.state, State::Wedged);
            assert!(!slot.is_online());
            assert_eq!(slot.claim().err(), Some(Refusal::Wedged { generation: seen.generation }));
            assert_eq!(slot.go_online(seen.generation, &Gate::new(), 0), Entrance::Wedged);
            assert_eq!(slot.arrive(1), Arrival::Restarted(seen));
        }
    }

    #[test]
    fn a_dead_cpu_can_be_claimed() {
        for state in [State::Offline, State::Gone, State::Revoked, State::Failed] {
            let slot = slot(6, 0, state);
            let claim = slot.claim().ok().unwrap();
            assert_eq!(claim.generation(), 7);
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Claimed));
            claim.abandon();
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Revoked));
        }
    }

    #[test]
    fn any_other_cpu_cannot() {
        for state in [State::Claimed, State::Kicked, State::Alive, State::Dying] {
            assert_eq!(slot(6, 1, state).claim().err(), Some(Refusal::Busy(Snapshot::new(6, 1, state))));
        }
        assert_eq!(slot(6, 0, State::Online).claim().err(), Some(Refusal::Online { generation: 6 }));
        assert_eq!(slot(6, 2, State::Wedged).claim().err(), Some(Refusal::Wedged { generation: 6 }));
        assert_eq!(
            slot(6, RESTARTED, State::Failed).claim().err(),
            Some(Refusal::Restarted { generation: 6 })
        );
    }

    #[test]
    fn generations_run_out() {
        let slot = slot(u32::MAX - 1, 0, State::Gone);
        let kicked = slot.claim().ok().unwrap().kick();
        assert_eq!(kicked.generation(), u32::MAX);
        drop(kicked);
        assert_eq!(slot.claim().err(), Some(Refusal::Exhausted));
        assert_eq!(slot.read(), Snapshot::new(u32::MAX, 0, State::Revoked));
    }

    #[test]
    fn a_whole_life() {
        let slot = Slot::<Host>::new();
        assert_eq!(slot.read().to_bits(), Slot::<Host>::OFFLINE);
        let kicked = slot.claim().ok().unwrap().kick();
        assert_eq!(kicked.poll().state, State::Kicked);
        assert_eq!(slot.arrive(1), Arrival::Won);
        assert!(slot.progress(1, 3));
        assert_eq!(slot.read(), Snapshot::new(1, 3, State::Alive));
        assert_eq!(slot.go_online(1, &Gate::new(), 0), Entrance::Online);
        assert_eq!(kicked.revoke(), Err(Snapshot::new(1, 0, State::Online)));
        assert!(slot.begin_leave(1));
        assert!(slot.cancel_leave(1));
        assert!(slot.begin_leave(1));
        assert!(slot.gone(1));
        assert!(!slot.confirm_off(0));
        assert!(slot.confirm_off(1));
        assert!(!slot.confirm_off(1));
        assert_eq!(slot.read(), Snapshot::new(1, 0, State::Offline));
    }

    #[test]
    fn a_cpu_gives_up() {
        let slot = slot(7, 2, State::Alive);
        assert!(slot.fail(7, 5));
        assert_eq!(slot.read(), Snapshot::new(7, 5, State::Failed));
    }

    #[test]
    fn states_have_names() {
        extern crate std;
        let names = State::ALL.map(|state| std::format!("{state}"));
        assert_eq!(names[0], "offline");
        assert!(
            names
                .iter()
                .all(|name| !name.is_empty() && names.iter().filter(|other| *other == name).count() == 1)
        );
    }

    #[test]
    fn a_cpu_acts_on_its_own_start_alone() {
        for generation in [6, 8] {
            let slot = slot(7, 0, State::Alive);
            assert!(!slot.progress(generation, 1));
            assert!(!slot.fail(generation, 1));
            assert_eq!(slot.go_online(generation, &Gate::new(), 0), Entrance::Wedged);
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Alive));
        }
    }

    #[test]
    fn arrivals_that_lose() {
        for state in
            [State::Offline, State::Claimed, State::Kicked, State::Gone, State::Revoked, State::Failed]
        {
            let slot = slot(7, 0, state);
            assert_eq!(slot.arrive(6), Arrival::Lost);
            assert_eq!(slot.read(), Snapshot::new(7, 0, state));
        }
        assert_eq!(slot(7, 0, State::Claimed).arrive(7), Arrival::Early);
    }

    #[test]
    fn a_restart_is_noticed_whatever_the_generation() {
        for state in State::ALL.into_iter().filter(|state| state.is_live()) {
            for generation in [6, 7, 8] {
                let slot = slot(7, 2, state);
                assert_eq!(slot.arrive(generation), Arrival::Restarted(Snapshot::new(7, 2, state)));
                assert_eq!(slot.read(), Snapshot::new(7, RESTARTED, State::Failed));
            }
        }
    }

    #[test]
    fn the_boot_cpu_is_online() {
        let slot = Slot::<Host>::new();
        slot.adopt_boot();
        assert_eq!(slot.read(), Snapshot::new(0, 0, State::Online));
        assert_eq!(slot.read().to_bits(), Slot::<Host>::BOOT);
    }

    #[test]
    fn a_panic_stops_a_cpu_at_the_door() {
        let (slot, gate) = (slot(1, 0, State::Alive), Gate::new());
        assert_eq!(gate.enter(0), crate::Entry::Reporter);
        assert_eq!(slot.go_online(1, &gate, 1), Entrance::Stop);
        assert_eq!(slot.read().state, State::Online);
    }

    #[test]
    fn tokens() {
        use Judgement::{Current, Stale, Uninvited};
        let whole = Token::encode(7);
        assert_eq!(Token::judge(whole, 7), Current(7));
        assert_eq!(Token::judge(whole, 8), Stale);
        assert_eq!(Token::judge(whole, 0), Uninvited);
        assert_eq!(Token::judge(whole & 0xffff_ffff, 7), Current(7));
        for garbage in [0, u64::MAX, 0xdead_beef, whole.rotate_left(32)] {
            assert_eq!(Token::judge(garbage, 7), Current(7));
            assert_eq!(Token::judge(garbage, 0), Uninvited);
        }
    }

    #[test]
    fn a_cpu_that_never_comes_is_revoked() {
        let slot = slot(1, 0, State::Gone);
        let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 1000);
        assert_eq!(booter.generation(), 2);
        assert_eq!(booter.step(1000), Step::Waiting);
        assert_eq!(booter.step(1099), Step::Waiting);
        assert!(booter.is_awaiting_arrival());
        assert_eq!(booter.step(1100), settled(Verdict::Revoked, 2, 100));
        assert!(!booter.is_awaiting_arrival());
        assert_eq!(booter.step(5000), settled(Verdict::Revoked, 2, 100));
        assert_eq!(slot.arrive(2), Arrival::Lost);
    }

    #[test]
    fn a_cpu_that_never_comes_up_is_wedged() {
        let slot = slot(1, 0, State::Gone);
        let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 1000);
        assert_eq!(slot.arrive(2), Arrival::Won);
        // The second limit runs from the moment when the booter saw the CPU, even past the first.
        assert_eq!(booter.step(1099), Step::Waiting);
        assert!(!booter.is_awaiting_arrival());
        assert!(slot.progress(2, 4));
        assert_eq!(booter.step(1148), Step::Waiting);
        assert_eq!(booter.step(1149), settled(Verdict::Wedged, 2, 149));
        assert_eq!(slot.read(), Snapshot::new(2, 4, State::Wedged));
        assert_eq!(slot.go_online(2, &Gate::new(), 0), Entrance::Wedged);
    }

    #[test]
    fn a_firmware_error_ends_the_start_unless_the_cpu_came() {
        let absent = slot(1, 0, State::Gone);
        let mut booter = Booter::new(absent.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(booter.refuse(-2, 3), settled(Verdict::Refused(-2), 2, 3));
        assert_eq!(booter.refuse(-7, 4), settled(Verdict::Refused(-2), 2, 3));

        let present = slot(1, 0, State::Gone);
        let mut booter = Booter::new(present.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(present.arrive(2), Arrival::Won);
        assert_eq!(booter.refuse(-2, 3), Step::Waiting);
        assert_eq!(present.go_online(2, &Gate::new(), 0), Entrance::Online);
        assert_eq!(booter.step(4), settled(Verdict::Online, 2, 4));
    }

    #[test]
    fn a_deferral_counts_unless_firmware_accepts_later() {
        for (accepted, verdict) in [(false, Verdict::Refused(-4)), (true, Verdict::Revoked)] {
            let slot = slot(1, 0, State::Gone);
            let mut booter = Booter::new(slot.claim().ok().unwrap().kick(), LIMITS, 0);
            booter.deferred(-4);
            assert_eq!(booter.step(1), Step::Waiting);
            if accepted {
                booter.accepted();
            }
            assert_eq!(booter.step(100), settled(verdict, 2, 100));
        }
    }

    #[test]
    fn a_booter_overtaken_by_others_settles() {
        let revoked = slot(1, 0, State::Gone);
        let mut booter = Booter::new(revoked.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(revoked.revoke_if_kicked().state, State::Revoked);
        assert_eq!(booter.step(1), settled(Verdict::Revoked, 2, 1));

        let reused = slot(1, 0, State::Gone);
        let mut booter = Booter::new(reused.claim().ok().unwrap().kick(), LIMITS, 0);
        reused.revoke_if_kicked();
        let next = reused.claim().ok().unwrap();
        assert_eq!(booter.step(1), settled(Verdict::Busy, 2, 1));
        drop(booter);
        assert_eq!(reused.read(), Snapshot::new(3, 0, State::Claimed));
        drop(next);

        let left = slot(1, 0, State::Gone);
        let mut booter = Booter::new(left.claim().ok().unwrap().kick(), LIMITS, 0);
        assert_eq!(left.arrive(2), Arrival::Won);
        assert_eq!(left.go_online(2, &Gate::new(), 0), Entrance::Online);
        assert!(left.begin_leave(2) && left.gone(2));
        assert_eq!(booter.step(1), settled(Verdict::Online, 2, 1));
    }
}
