//! What a request has been observed for while it hung.

/// How much of its age a request has been observed for already, while it hung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) threshold: bool,
    pub(crate) deadline: bool,
}

impl Crossed {
    /// What was crossed before too.
    pub(crate) const fn and(self, before: Self) -> Self {
        Self {
            threshold: self.threshold || before.threshold,
            deadline: self.deadline || before.deadline,
        }
    }
}
