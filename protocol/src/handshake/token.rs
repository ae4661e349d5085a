//! What a start hands to the CPU through firmware.

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
    /// generation, and if its start was called off, [`Slot::arrive`](crate::Slot::arrive) still refuses.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
