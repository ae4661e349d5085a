//! A machine that has stopped, as a core describes it.

/// The machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Where the image lies, and its build id.
    pub(crate) image: u64,
    pub(crate) build: u64,
    /// Affinity of the CPU that panicked.
    pub(crate) reporter: Option<u64>,
    /// In the order of their numbers, none left out.
    pub(crate) cpus: Vec<Cpu>,
    /// In the order of their addresses; they do not touch each other.
    pub(crate) pieces: Vec<Piece>,
}

/// One of its CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) mpidr: u64,
    /// As the runtime numbers states, and reasons to park.
    pub(crate) state: u8,
    pub(crate) reason: u16,
    pub(crate) generation: u32,
    pub(crate) parked: u64,
    /// How far it came with its MMU off; the generation it waits for in the pen.
    pub(crate) stage: u8,
    pub(crate) pen: Option<u32>,
    /// Whether there are registers.
    pub(crate) is_known: bool,
    /// What of x0 to x18 a call does not keep is 0.
    pub(crate) x: [u64; 31],
    pub(crate) sp: u64,
    pub(crate) pc: u64,
    pub(crate) pstate: u64,
    pub(crate) esr: u64,
    pub(crate) far: u64,
}

/// Memory without a gap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What states are called, by their numbers.
const STATES: [&str; 10] =
    ["offline", "claimed", "kicked", "alive", "online", "dying", "gone", "revoked", "failed", "wedged"];
/// Why CPUs park, and what reports say.
const REASONS: [(&str, &str); 6] = [
    ("not parked", "was not running"),
    ("parked by SGI", "stopped by SGI"),
    ("parked by NMI, it had interrupts masked", "stopped by NMI, it had interrupts masked"),
    ("parked by its own panic", "panicked too"),
    ("parked at the gate", "stopped at the gate"),
    ("parked by itself, it had come too late", "stopped by itself, it had come too late"),
];

impl Cpu {
    /// The number of a state with this name.
    pub(crate) fn state_named(name: &str) -> Option<u8> {
        STATES.iter().position(|state| *state == name).map(|state| state as u8)
    }

    /// The number of the reason to park for which a report has these words.
    pub(crate) fn parked_as(words: &str) -> u64 {
        REASONS.iter().position(|(_, said)| words.starts_with(said)).unwrap_or(0) as u64
    }

    /// What else there is to say of the CPU `number`: for a note.
    pub(crate) fn in_words(&self, number: usize, is_reporter: bool) -> String {
        let state = STATES.get(usize::from(self.state)).copied().unwrap_or("in no known state");
        let mut text =
            format!("cpu {number} mpidr {:#012x} {state} generation {}", self.mpidr, self.generation);
        if self.reason != 0 {
            text += &format!(" reason {}", self.reason);
        }
        let parked = usize::try_from(self.parked).ok().and_then(|parked| REASONS.get(parked));
        text += ": ";
        text += if is_reporter { "reported the panic" } else { parked.map_or("parked", |(text, _)| text) };
        if self.stage != 0 {
            text += &format!("; stage {}", self.stage);
        }
        if let Some(generation) = self.pen {
            text += &format!("; in the pen since generation {generation}");
        }
        if self.esr != 0 {
            text += &format!("; ESR {:#x} FAR {:#x}", self.esr, self.far);
        }
        text
    }
}
