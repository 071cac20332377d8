//! What happens when.

use std::time::Duration;

use serde_json::{Value, json};

/// A part of the script.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) story: &'static str,
    /// Whose fault it is, if there is one.
    pub(super) service: Option<&'static str>,
    fault: Value,
    /// Since the start.
    pub(super) begins: Duration,
    pub(super) lasts: Duration,
}

impl Phase {
    /// When it ends, since the start.
    pub(super) fn ends(&self) -> Duration {
        self.begins + self.lasts
    }

    /// The fault of this service, for its fault port.
    pub(super) fn fault_of(&self, service: &str) -> Value {
        match self.service {
            Some(faulty) if faulty == service => self.fault.clone(),
            _ => json!({"kind": "none"}),
        }
    }
}

/// The script, `pace` times as fast as in its two minutes.
pub(super) fn phases(pace: f64) -> Vec<Phase> {
    let mut begins = Duration::ZERO;
    let mut phase = |name, story, seconds: f64, fault: Option<(&'static str, Value)>| {
        let lasts = Duration::from_secs_f64(seconds / pace);
        let (service, fault) = fault.unzip();
        let phase = Phase {
            name,
            story,
            service,
            fault: fault.unwrap_or_default(),
            begins,
            lasts,
        };
        begins += lasts;
        phase
    };
    let calm = "the fault is gone; who recovers, and when?";
    vec![
        phase(
            "healthy",
            "checkout → payments → ledger: all is well",
            10.0,
            None,
        ),
        phase(
            "error burst",
            "checkout answers nine of ten orders with 500",
            10.0,
            Some(("checkout", json!({"kind": "errors", "share": 0.9}))),
        ),
        phase("calm", calm, 14.0, None),
        phase(
            "brownout",
            "the ledger takes two seconds longer; payments gives up after 0.6 s, tries again, and calls pile up",
            14.0,
            Some(("ledger", json!({"kind": "slow", "latency": "2s"}))),
        ),
        phase("calm", calm, 20.0, None),
        phase(
            "hang",
            "payments takes orders and never answers",
            12.0,
            Some(("payments", json!({"kind": "hang"}))),
        ),
        phase("calm", calm, 16.0, None),
        phase(
            "partial failure",
            "one in ten payments fails, and checkout tries again: worth an alert, and not an open breaker",
            12.0,
            Some(("payments", json!({"kind": "errors", "share": 0.1}))),
        ),
        phase("recovery", "all is well again", 12.0, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_takes_two_minutes() {
        let phases = phases(1.0);
        assert_eq!(
            phases.last().map(Phase::ends),
            Some(Duration::from_secs(120))
        );
    }

    #[test]
    fn it_can_be_faster() {
        let phases = phases(2.0);
        assert_eq!(
            phases.last().map(Phase::ends),
            Some(Duration::from_secs(60))
        );
        assert_eq!(phases[2].begins, phases[1].ends());
    }

    #[test]
    fn a_fault_is_of_one_service() {
        let phases = phases(1.0);
        let hang = phases.iter().find(|phase| phase.name == "hang");
        let hang = hang.expect("the script has a hang");
        assert_eq!(hang.fault_of("payments"), json!({"kind": "hang"}));
        assert_eq!(hang.fault_of("ledger"), json!({"kind": "none"}));
    }
}
