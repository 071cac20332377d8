//! What can be wrong with a service.

use std::time::Duration;

use breaker_tower::breaker_core::policy::yaml::Period;
use serde::Deserialize;

/// What is wrong with a service, as `PUT /fault` takes it: `{"kind": "errors", "share": 0.5}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// This share of the requests is answered with 500.
    Errors { share: f64 },
    /// This share of the requests takes so much longer.
    Slow { share: f64, latency: Duration },
    /// This share of the requests gets no answer for as long as the fault lasts.
    Hang { share: f64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: Kind,
    share: Option<f64>,
    latency: Option<Period>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    None,
    Errors,
    Slow,
    Hang,
}

impl TryFrom<Raw> for Fault {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let share = raw.share.unwrap_or(1.0);
        if !(share > 0.0 && share <= 1.0) {
            return Err("share: must be more than 0, at most 1");
        }
        match (raw.kind, raw.latency) {
            (Kind::None, None) if raw.share.is_none() => Ok(Self::None),
            (Kind::None, _) => Err("kind none: takes neither share nor latency"),
            (Kind::Slow, Some(Period(latency))) => Ok(Self::Slow { share, latency }),
            (Kind::Slow, None) => Err("kind slow: needs latency, such as \"1s\""),
            (_, Some(_)) => Err("latency: is for kind slow only"),
            (Kind::Errors, None) => Ok(Self::Errors { share }),
            (Kind::Hang, None) => Ok(Self::Hang { share }),
        }
    }
}

impl Fault {
    /// Whether it hits request `number`. The requests that it hits are spread evenly.
    pub(crate) fn hits(self, number: u64) -> bool {
        let share = match self {
            Self::None => return false,
            Self::Errors { share } | Self::Slow { share, .. } | Self::Hang { share } => share,
        };
        let before = |number: u64| (number as f64 * share).floor();
        before(number + 1) > before(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Fault, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn faults_are_read() {
        assert_eq!(read(r#"{"kind":"none"}"#), Ok(Fault::None));
        assert_eq!(
            read(r#"{"kind":"errors","share":0.5}"#),
            Ok(Fault::Errors { share: 0.5 })
        );
        assert_eq!(
            read(r#"{"kind":"slow","latency":"1s500ms"}"#),
            Ok(Fault::Slow {
                share: 1.0,
                latency: Duration::from_millis(1500)
            })
        );
        assert_eq!(read(r#"{"kind":"hang"}"#), Ok(Fault::Hang { share: 1.0 }));
    }

    #[test]
    fn a_bad_fault_is_told_by_its_field() {
        for (json, rule) in [
            (r#"{"kind":"errors","share":0}"#, "share: must be"),
            (r#"{"kind":"errors","share":1.5}"#, "share: must be"),
            (r#"{"kind":"slow"}"#, "needs latency"),
            (r#"{"kind":"hang","latency":"1s"}"#, "for kind slow only"),
            (r#"{"kind":"none","share":0.5}"#, "takes neither"),
            (r#"{"kind":"fire"}"#, "unknown variant `fire`"),
            (r#"{"kind":"hang","shade":1}"#, "unknown field `shade`"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(rule), "{json}: {error}");
        }
    }

    #[test]
    fn a_share_of_the_requests_is_hit_evenly() {
        let fault = Fault::Errors { share: 0.3 };
        for start in [0, 7, 990] {
            let hit = (start..start + 100).filter(|&number| fault.hits(number));
            assert_eq!(hit.count(), 30);
        }
        assert!((0..10).all(|number| Fault::Hang { share: 1.0 }.hits(number)));
    }
}
