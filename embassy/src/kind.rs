//! The executors that each CPU has.

/// Which of a CPU's executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Kind {
    /// Thread mode, of tasks that stay.
    Local,
    /// Thread mode, of tasks that may move.
    Movable,
    /// Interrupt mode.
    Interrupt,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Movable, Self::Interrupt];

    /// Whether its tasks stay on their CPU.
    pub(crate) fn stays(self) -> bool {
        self != Self::Movable
    }
}
