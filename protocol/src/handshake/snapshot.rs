//! What a slot can hold.

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
    /// Never started.
    Offline = 0,
    /// One booter has the sole right to start it. Firmware has not been asked yet.
    Claimed = 1,
    /// Firmware has been, or is about to be, asked to start it.
    Kicked = 2,
    /// It arrived in time and initialises itself.
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

/// One reading of a [`Slot`](crate::Slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the start that the state belongs to. 0 is the boot CPU's, or that of a CPU never started.
    pub generation: u32,
    /// In `Failed` why it failed, otherwise 0.
    pub reason: u16,
    /// The state.
    pub state: State,
}

impl Snapshot {
    pub(super) const fn new(generation: u32, reason: u16, state: State) -> Self {
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
        let whole = read.to_bits() == bits && (reason == 0 || matches!(read.state, State::Failed));
        if whole { read } else { Self::new(generation, reason, State::Wedged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in State::ALL {
            for generation in [0, 1, u32::MAX] {
                for reason in [0, 1, RESTARTED] {
                    let read = Snapshot::from_bits(Snapshot::new(generation, reason, state).to_bits());
                    // Only a failure has a reason.
                    let state = if reason == 0 || state == State::Failed { state } else { State::Wedged };
                    assert_eq!(read, Snapshot::new(generation, reason, state));
                }
            }
        }
        assert_eq!(Snapshot::new(0x1234_5678, 0x9abc, State::Failed).to_bits(), 0x1234_5678_009a_bc08);
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
}
