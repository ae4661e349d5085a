//! Whether a place takes newcomers that stay there, and how many there are, in one word.
//!
//! ```text
//!   bit 63    62 ................. 0
//!  +--------+-----------------------+
//!  | closed | how many are inside   |
//!  +--------+-----------------------+
//! ```
//!
//! It closes only while nobody is inside, by one compare-exchange. So whoever got in keeps it open, and whoever comes to a closed door knows it
//! at once, and has changed nothing.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const CLOSED: u64 = 1 << 63;

/// The door of one place.
pub struct Door<A: Arch> {
    word: A::Word,
}

/// The door is closed. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorClosed;

/// So many are inside, and the door stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside(pub u64);

impl<A: Arch> Door<A> {
    /// The word of [`from_parts`](Self::from_parts): open, and nobody is inside.
    pub const OPEN: u64 = 0;

    /// Around a word that holds [`Self::OPEN`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// An open one.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::OPEN))
    }

    /// One more is inside, if the door is open.
    ///
    /// # Errors
    ///
    /// [`DoorClosed`].
    pub fn enter(&self) -> Result<(), DoorClosed> {
        let mut word = self.word.load(Relaxed);
        while word & CLOSED == 0 {
            // Acquire: pairs with `open`. What was set up for those who come is there.
            match self.word.compare_exchange(word, word + 1, Acquire, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
        Err(DoorClosed)
    }

    /// One more is inside, whatever the door says: somebody else has let it in.
    pub fn add(&self) {
        // Relaxed: a number.
        self.word.fetch_add(1, Relaxed);
    }

    /// One less is inside.
    pub fn leave(&self) {
        // Release: pairs with `close`. Whatever it did inside is over for whoever closes.
        self.word.fetch_add(1_u64.wrapping_neg(), Release);
    }

    /// How many are inside. For a report, or for one who is sure that nobody comes or goes.
    pub fn inside(&self) -> u64 {
        self.word.load(Relaxed) & !CLOSED
    }

    /// Whether it is closed. For a report.
    pub fn is_closed(&self) -> bool {
        self.word.load(Relaxed) & CLOSED != 0
    }

    /// Closes it, if nobody is inside.
    ///
    /// # Errors
    ///
    /// [`Inside`]; the door is as it was.
    pub fn close(&self) -> Result<(), Inside> {
        // Acquire: pairs with `leave`.
        match self.word.compare_exchange(Self::OPEN, CLOSED, Acquire, Relaxed) {
            Ok(_) => Ok(()),
            Err(word) if word & CLOSED != 0 => Ok(()),
            Err(word) => Err(Inside(word)),
        }
    }

    /// Opens it.
    pub fn open(&self) {
        // Release: pairs with `enter`.
        self.word.fetch_and(!CLOSED, Release);
    }
}

impl<A: Arch> Default for Door<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn closes_when_empty() {
        let door = Door::<Host>::new();
        door.enter().unwrap();
        assert_eq!(door.close(), Err(Inside(1)));
        door.leave();
        assert_eq!(door.close(), Ok(()));
        assert_eq!(door.close(), Ok(()), "again");
        assert_eq!(door.enter(), Err(DoorClosed));
        door.add();
        assert_eq!((door.inside(), door.is_closed()), (1, true));
        door.open();
        door.enter().unwrap();
        assert_eq!(door.close(), Err(Inside(2)));
    }
}
