//! Whether a broker answers.

/// What was last said of it.
#[derive(Debug, Default)]
pub(super) struct Link {
    said: Option<bool>,
    why: String,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A broker answers.
    Up,
    /// None does, and why.
    Down(String),
}

impl Link {
    /// Something went wrong with a connection. `is_sum`: it only says of how many.
    pub(super) fn complained(&mut self, why: &str, is_sum: bool) {
        if !is_sum || self.why.is_empty() {
            why.clone_into(&mut self.why);
        }
    }

    /// Whether a broker answers now; returns what that changes. At the start none does, which is
    /// nothing to speak of until a connection fails.
    pub(super) fn observe(&mut self, is_up: bool) -> Option<Change> {
        if self.said == Some(is_up) || !is_up && self.why.is_empty() {
            return None;
        }
        self.said = Some(is_up);
        Some(match is_up {
            true => {
                self.why.clear();
                Change::Up
            }
            false => Change::Down(std::mem::take(&mut self.why)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_said_once_with_its_reason() {
        let mut link = Link::default();
        assert_eq!(link.observe(false), None);
        assert_eq!(link.observe(true), Some(Change::Up));
        assert_eq!(link.observe(true), None);
        link.complained("refused", false);
        link.complained("1/1 brokers are down", true);
        assert_eq!(link.observe(true), None);
        assert_eq!(link.observe(false), Some(Change::Down("refused".into())));
        link.complained("refused", false);
        assert_eq!(link.observe(false), None);
        assert_eq!(link.observe(true), Some(Change::Up));
    }

    #[test]
    fn a_start_without_brokers_is_said_too() {
        let mut link = Link::default();
        link.complained("refused", false);
        assert_eq!(link.observe(false), Some(Change::Down("refused".into())));
    }
}
