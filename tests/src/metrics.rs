//! The Prometheus text format, as far as a test reads it.

/// The samples of one scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Takes what `/metrics` answered.
    pub const fn new(text: String) -> Self {
        Self { text }
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sum of the samples called `name` that have all of `labels`; `None` if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let mut values = self
            .text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let (own, set) = series.split_once('{').unwrap_or((series, ""));
                let set = set.trim_end_matches('}');
                own == name && labels.iter().all(|label| has_label(set, label))
            })
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .peekable();
        values.peek().is_some().then(|| values.sum())
    }

    /// The state that a breaker says it is in.
    pub fn state(&self, breaker: &str) -> &'static str {
        let mut states = ["closed", "open", "half_open"].into_iter();
        states
            .find(|state| {
                let labels = [("breaker_name", breaker), ("breaker_state", state)];
                self.sum("breaker_state", &labels) == Some(1.0)
            })
            .unwrap_or("unknown")
    }

    /// How many requests of a breaker had this outcome.
    pub fn requests(&self, breaker: &str, outcome: &str) -> f64 {
        let labels = [("breaker_name", breaker), ("breaker_outcome", outcome)];
        self.sum("breaker_requests_total", &labels).unwrap_or(0.0)
    }

    /// How often a breaker went from one state to another.
    pub fn transitions(&self, breaker: &str, from: &str, to: &str) -> f64 {
        let labels = [
            ("breaker_name", breaker),
            ("breaker_transition_from", from),
            ("breaker_transition_to", to),
        ];
        self.sum("breaker_transitions_total", &labels)
            .unwrap_or(0.0)
    }
}

/// Whether `label` is in `set`, and not only the end of a longer name in it.
fn has_label(set: &str, label: &str) -> bool {
    set.match_indices(label)
        .any(|(at, _)| at == 0 || set[..at].ends_with(','))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_the_series_that_have_all_labels() {
        let metrics = Metrics::new(
            "# TYPE a counter\n\
             a{route=\"x\",outcome=\"ok\"} 2\n\
             a{route=\"x\",outcome=\"bad\"} 3\n\
             a{my_route=\"x\"} 5\n\
             b 7\n"
                .into(),
        );
        assert_eq!(metrics.sum("a", &[("route", "x")]), Some(5.0));
        assert_eq!(
            metrics.sum("a", &[("route", "x"), ("outcome", "bad")]),
            Some(3.0)
        );
        assert_eq!(metrics.sum("a", &[("route", "y")]), None);
        assert_eq!(metrics.sum("b", &[]), Some(7.0));
    }
}
