//! Which hits of a hung request have been observed.

/// Which bounds a request crossed while it hung. It has been observed as a hit for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) threshold: bool,
    pub(crate) deadline: bool,
}

impl Crossed {
    /// The bounds that were crossed now or `before`.
    pub(crate) const fn and(self, before: Self) -> Self {
        Self {
            threshold: self.threshold || before.threshold,
            deadline: self.deadline || before.deadline,
        }
    }
}
