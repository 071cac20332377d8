//! What is good, and can't act as it is written: told by `breaker check`, and nothing is refused.

mod endpoints;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::yaml::{self, Document};
use breaker_tower::breaker_core::policy::{Condition, LatencyMeasure, Signal};

use super::policies::Policies;
use super::problem::in_words;
use super::receive::Receive;
use super::route::Route;
use crate::upstream::Upstream;

/// The parts of a configuration that may have no effect on each other.
pub(super) struct Parts<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) upstreams: &'a BTreeMap<String, Option<Arc<Upstream>>>,
    pub(super) policies: &'a Policies,
    /// With their places in the file.
    pub(super) routes: &'a [(usize, Route)],
    pub(super) receive: Option<&'a Receive>,
    pub(super) keeps_state: bool,
    pub(super) workers: usize,
}

/// All warnings, in the order of their lines.
pub(super) fn of(parts: &Parts<'_>) -> Vec<yaml::Error> {
    let mut warnings = Warnings {
        document: parts.document,
        found: Vec::new(),
    };
    warnings.unused(parts);
    warnings.found.extend_from_slice(parts.policies.renamed());
    for (name, upstream) in parts.upstreams {
        if let Some(upstream) = upstream {
            warnings.of_endpoints(&format!("upstreams.{name}"), upstream);
        }
    }
    for (index, route) in parts.routes {
        let place = format!("routes[{index}]");
        warnings.of_policy(&format!("{place}.policy"), route.policy());
        if route.upstream().is_some() {
            warnings.of_timeout(&place, route);
            warnings.of_ejection(&place, route);
            warnings.of_retry(&place, route);
            warnings.of_concurrency(&place, route, parts.workers);
        }
        for (number, feed) in route.feeds().iter().enumerate() {
            let place = format!("{place}.feeds[{number}]");
            let renamed = yaml::renamed(parts.document, &place);
            warnings.found.extend(renamed);
            if let Some(policy) = feed.policy() {
                warnings.of_policy(&format!("{place}.policy"), policy);
            }
        }
    }
    warnings
        .found
        .sort_by_key(|warning| (warning.line, warning.column));
    warnings.found
}

struct Warnings<'a> {
    document: &'a Document<'a>,
    found: Vec<yaml::Error>,
}

impl Warnings<'_> {
    fn add(&mut self, field: &str, text: impl Into<String>) {
        self.found.push(self.document.error(field, text));
    }

    /// What nothing else refers to.
    fn unused(&mut self, parts: &Parts<'_>) {
        let routes = parts.routes.iter();
        let used = routes.flat_map(|(_, route)| route.upstreams());
        let used: HashSet<&str> = used.map(|upstream| &*upstream.name).collect();
        for (name, upstream) in parts.upstreams {
            if upstream.is_some() && !used.contains(&**name) {
                self.add(&format!("upstreams.{name}"), "no route goes there");
            }
        }
        for (name, file) in parts.policies.unused() {
            let file = file.display();
            let text = format!("no route uses {name} of {file}; only an operator can choose it");
            self.add("policies", text);
        }
        let routes = || parts.routes.iter().map(|(_, route)| route);
        let has_feeds = routes().any(|route| !route.feeds().is_empty());
        let goes_nowhere = |receive: &&Receive| receive.forward().is_none();
        if !has_feeds && parts.receive.is_some_and(|receive| goes_nowhere(&receive)) {
            let text = "no route has feeds, and it is not sent on: what comes is thrown away";
            self.add("telemetry.receive", text);
        }
        if parts.keeps_state && !routes().any(|route| learns(route.policy())) {
            let text = "no route's policy learns what is usual: there is nothing to keep";
            self.add("state", text);
        }
    }

    /// Fields over a base that none of the policy's conditions looks at.
    fn of_policy(&mut self, place: &str, policy: &Policy) {
        self.found.extend(yaml::renamed(self.document, place));
        let conditions = || policy.trip().iter().flat_map(|entry| &entry.conditions);
        let on_window = conditions().any(|condition| {
            let others = [is_anomaly(condition), is_count(condition)];
            !others.contains(&true)
        });
        let misses = conditions().any(is_deadline);
        let rules: [(&[&str], bool, &str); 3] = [
            (
                &["min_requests"],
                on_window,
                "is on a share or a quantile of the window",
            ),
            (
                &["false_alarm_budget", "usual_errors"],
                learns(policy),
                "is on an anomaly",
            ),
            (&["deadline"], misses, "is on anomaly: deadline"),
        ];
        for (fields, acts, what) in rules {
            for field in fields {
                let field = format!("{place}.{field}");
                if !acts && self.document.has(&field) {
                    self.add(&field, format!("has no effect: no condition {what}"));
                }
            }
        }
    }

    /// Latencies that no request reaches, since the timeout ends it before.
    fn of_timeout(&mut self, place: &str, route: &Route) {
        let policy = route.policy();
        // A body may take longer than the timeout, which is for the head.
        if policy.latency() == LatencyMeasure::Complete {
            return;
        }
        let Some(timeout) = route.timeout() else {
            return;
        };
        let conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
        for condition in conditions {
            let bound = bound(condition, policy).filter(|bound| *bound > timeout);
            if let Some(bound) = bound {
                let what = condition.signal();
                let text = format!(
                    "ends each request after {}, so none takes the {} of the policy's {what}; \
                     what it ends is a failure",
                    in_words(timeout),
                    in_words(bound)
                );
                let field = format!("{place}.timeout");
                self.add(&field, text);
            }
        }
    }

    /// A concurrency above what the route admits.
    fn of_concurrency(&mut self, place: &str, route: &Route, workers: usize) {
        let Some(each) = route.max_in_flight() else {
            return;
        };
        let most = (each as u64).saturating_mul(workers as u64);
        let conditions = route.policy().trip().iter();
        for condition in conditions.flat_map(|entry| &entry.conditions) {
            if let Condition::Concurrency(bound) = condition
                && *bound > most
            {
                let text = format!(
                    "lets {most} requests in at once with {workers} workers, so the policy's \
                     concurrency of {bound} is never reached"
                );
                self.add(&format!("{place}.max_in_flight"), text);
            }
        }
    }
}

fn bound(condition: &Condition, policy: &Policy) -> Option<Duration> {
    if is_deadline(condition) {
        Some(policy.deadline())
    } else {
        condition.latency_bound()
    }
}

fn learns(policy: &Policy) -> bool {
    let mut conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
    conditions.any(is_anomaly)
}

fn is_anomaly(condition: &Condition) -> bool {
    matches!(condition, Condition::Anomaly { .. })
}

fn is_count(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Concurrency(_) | Condition::ConsecutiveFailures(_)
    )
}

fn is_deadline(condition: &Condition) -> bool {
    matches!(condition, Condition::Anomaly { signal, .. } if *signal == Signal::Deadline)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use crate::config::Config;

    pub(super) fn warnings(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        for (name, base) in [("a", "sensitive"), ("b", "a"), ("c", "sensitive")] {
            let text = format!("name: {name}\nbase: {base}\n");
            fs::write(policies.join(format!("{name}.yaml")), text).unwrap();
        }
        let config = Config::parse(text, Some("b.yaml"), folder.path()).unwrap();
        let root = policies.display().to_string();
        let warnings = config.warnings().iter();
        let warnings = warnings.map(|warning| warning.to_string().replace(&root, "policies"));
        warnings.collect()
    }

    #[test]
    fn what_cannot_act_is_told_with_its_place() {
        assert_eq!(warnings(FILE), WARNINGS);
    }

    #[test]
    fn what_can_act_is_not_told() {
        let file = "workers: 2
state: learned.json
upstreams: { app: { endpoints: ['http://a:1'] } }
telemetry: { receive: { forward: 'http://c:4317' } }
routes:
  - { name: a, upstream: app, timeout: 1s, match: { path: /a } }
  - { name: b, upstream: app, timeout: off, match: { path: /b }, max_in_flight: 50,
      policy: { trip: [{ p99: 20s }, { concurrency: 100 }], min_requests: 5 } }
  - { name: c, upstream: app, timeout: 1s,
      policy: { trip: [{ p99: 20s }], latency: complete } }
";
        assert_eq!(warnings(file), [] as [String; 0]);
    }

    #[test]
    fn a_policy_is_used_by_routes_feeds_and_policies() {
        let file = "policies: [policies]
upstreams: { app: { endpoints: ['http://a:1'] } }
telemetry: { receive: {} }
routes:
  - { name: a, upstream: app, policy: b, feeds: [{ name: f, policy: { base: c, window: 5s } }] }
";
        assert_eq!(warnings(file), [] as [String; 0]);
    }

    #[test]
    fn fields_with_their_names_from_before_are_read_and_told() {
        let file = "policies: [policies]
upstreams: { app: { endpoints: ['http://a:1'] } }
telemetry: { receive: {} }
routes:
  - { name: a, upstream: app, policy: { base: adaptive, budget: sensitive },
      feeds: [{ name: f, quiet: 2m, policy: { base: c, window: 5s } }] }
  - { name: b, upstream: app, match: { path: /b }, policy: old }
";
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let old = "name: old\nbase: adaptive\nbudget: conservative\n";
        fs::write(policies.join("old.yaml"), old).unwrap();
        fs::write(policies.join("c.yaml"), "name: c\nbase: sensitive\n").unwrap();
        let config = Config::parse(file, Some("b.yaml"), folder.path()).unwrap();
        let budget = "is called false_alarm_budget now (30d for conservative, 3d for sensitive)";
        let root = policies.display().to_string();
        let warnings = config.warnings().iter();
        let warnings = warnings.map(|warning| warning.to_string().replace(&root, "policies"));
        assert_eq!(
            warnings.collect::<Vec<_>>(),
            [
                format!("policies/old.yaml:3:9: budget: {budget}"),
                format!("b.yaml:5:65: routes[0].policy.budget: {budget}"),
                "b.yaml:6:33: routes[0].feeds[0].quiet: is called silence_timeout now".to_owned(),
            ]
        );
        let route = &config.routes()[0];
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(route.policy().false_alarm_budget().run_length(), days(3));
        assert_eq!(route.feeds()[0].silence_timeout(), Duration::from_secs(120));
        let kept = config.routes()[1].policy().false_alarm_budget();
        assert_eq!(kept.run_length(), days(30));
    }

    const FILE: &str = "policies: [policies]
workers: 2
state: learned.json
upstreams:
  app: { endpoints: ['http://a:1'] }
  old: { endpoints: ['http://a:2'] }
telemetry: { receive: {} }
routes:
  - name: a
    upstream: app
    timeout: 500ms
    max_in_flight: 10
    policy: { base: b, deadline: 1s, trip: [{ p99: 1s }, { slow_rate: 5%, slow_threshold: 1s },
              { concurrency: 21 }], false_alarm_budget: 3d }
  - { name: b, upstream: app, match: { path: /b },
      policy: { trip: [{ consecutive_failures: 5 }], min_requests: 5 } }
";
    const WARNINGS: [&str; 10] = [
        "b.yaml:1:1: policies: no route uses c of policies/c.yaml; only an operator can choose it",
        "b.yaml:3:8: state: no route's policy learns what is usual: there is nothing to keep",
        "b.yaml:6:3: upstreams.old: no route goes there",
        "b.yaml:7:14: telemetry.receive: no route has feeds, and it is not sent on: what comes is \
         thrown away",
        "b.yaml:11:14: routes[0].timeout: ends each request after 500ms, so none takes the 1s of \
         the policy's p99; what it ends is a failure",
        "b.yaml:11:14: routes[0].timeout: ends each request after 500ms, so none takes the 1s of \
         the policy's slow_rate; what it ends is a failure",
        "b.yaml:12:20: routes[0].max_in_flight: lets 20 requests in at once with 2 workers, so \
         the policy's concurrency of 21 is never reached",
        "b.yaml:13:34: routes[0].policy.deadline: has no effect: no condition is on anomaly: \
         deadline",
        "b.yaml:14:57: routes[0].policy.false_alarm_budget: has no effect: no condition is on an \
         anomaly",
        "b.yaml:16:68: routes[1].policy.min_requests: has no effect: no condition is on a share \
         or a quantile of the window",
    ];
}
