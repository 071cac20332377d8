//! What is about several endpoints, where there are too few, and retries that never happen.

use super::Warnings;
use crate::config::problem::in_words;
use crate::config::route::Route;
use crate::upstream::{Subset, Upstream};

impl Warnings<'_> {
    /// What chooses among endpoints, where there is one or there are too few.
    pub(super) fn of_endpoints(&mut self, place: &str, upstream: &Upstream) {
        if upstream.discovered {
            return;
        }
        let all = upstream.endpoints.len();
        let one = match (all, upstream.subset) {
            (1, _) => "there is one endpoint",
            (_, Subset::Of(1)) => "one endpoint is used",
            _ => "",
        };
        let can_eject = upstream.balancing.eject;
        let rules = [
            (
                "eject",
                !one.is_empty() && can_eject,
                "has no effect: the last is never ejected, and",
            ),
            ("balance", !one.is_empty(), "has no effect:"),
            (
                "health",
                !one.is_empty(),
                "takes no endpoint out: the last stays in, and",
            ),
        ];
        for (field, cannot_act, what) in rules {
            let field = format!("{place}.{field}");
            if cannot_act && self.document.has(&field) {
                self.add(&field, format!("{what} {one}"));
            }
        }
        if let Subset::Of(size) = upstream.subset
            && size >= all
        {
            let text = "has no effect: all endpoints are used";
            self.add(&format!("{place}.subset"), text);
        }
    }

    /// What the timeout leaves no time for: to connect to another endpoint, and a deadline of
    /// endpoints.
    pub(super) fn of_ejection(&mut self, place: &str, route: &Route) {
        let (Some(upstream), Some(timeout)) = (route.upstream(), route.timeout()) else {
            return;
        };
        let field = format!("{place}.timeout");
        if !upstream.is_single() && upstream.connect_timeout >= timeout {
            let text = format!(
                "ends each request after {}, and connecting to one endpoint may take {} \
                 (connect_timeout): no time is left for another",
                in_words(timeout),
                in_words(upstream.connect_timeout)
            );
            self.add(&field, text);
        }
        let written = format!("upstreams.{}.eject.deadline", upstream.name);
        let deadline = upstream.balancing.deadline;
        if !upstream.is_single() && deadline > timeout && self.document.has(&written) {
            let text = format!(
                "ends each attempt after {}, so none takes the {} of {written}; what it ends is a \
                 failure of the endpoint",
                in_words(timeout),
                in_words(deadline)
            );
            self.add(&field, text);
        }
    }

    /// Retries that never happen.
    pub(super) fn of_retry(&mut self, place: &str, route: &Route) {
        let Some(rules) = route.retry() else {
            return;
        };
        if rules.attempts < 2 {
            let text = "has no effect: a request is sent once in all";
            self.add(&format!("{place}.retry.attempts"), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::warnings::tests::warnings;

    #[test]
    fn what_needs_several_endpoints_is_told_where_there_is_one() {
        let file = "upstreams:
  one:
    endpoints: ['http://a:1']
    eject: { max_ejected: 30% }
    balance: p2c
    health: { path: /healthz }
    subset: 1
  two:
    endpoints: ['http://a:1', 'http://a:2']
    eject: { deadline: 5s }
    subset: 2
  three:
    endpoints: ['http://a:1', 'http://a:2', 'http://a:3']
    subset: 1
    health: { path: /healthz }
  never: { endpoints: ['http://a:1'], eject: false }
  found:
    discover: { name: a.shop, port: 80 }
    eject: { max_ejected: 30% }
    balance: p2c
    health: { path: /healthz }
    subset: 8
routes:
  - { name: a, upstream: one, match: { path: /a }, retry: { attempts: 1 } }
  - { name: b, upstream: two, timeout: 2s, match: { path: /b }, retry: {} }
  - { name: c, upstream: three, match: { path: /c } }
  - { name: d, upstream: never, match: { path: /d } }
  - { name: e, upstream: found }
";
        let expected = [
            "b.yaml:4:5: upstreams.one.eject: has no effect: the last is never ejected, and \
             there is one endpoint",
            "b.yaml:5:14: upstreams.one.balance: has no effect: there is one endpoint",
            "b.yaml:6:5: upstreams.one.health: takes no endpoint out: the last stays in, and \
             there is one endpoint",
            "b.yaml:7:13: upstreams.one.subset: has no effect: all endpoints are used",
            "b.yaml:11:13: upstreams.two.subset: has no effect: all endpoints are used",
            "b.yaml:15:5: upstreams.three.health: takes no endpoint out: the last stays in, and \
             one endpoint is used",
            "b.yaml:24:71: routes[0].retry.attempts: has no effect: a request is sent once in all",
            "b.yaml:25:40: routes[1].timeout: ends each attempt after 2s, so none takes the 5s of \
             upstreams.two.eject.deadline; what it ends is a failure of the endpoint",
        ];
        assert_eq!(warnings(file), expected);
    }

    #[test]
    fn a_timeout_that_leaves_no_time_to_connect_elsewhere_is_told() {
        let of = |endpoints: &str, timeout: &str| {
            warnings(&format!(
                "upstreams: {{ a: {{ endpoints: [{endpoints}] }} }}
routes:
  - {{ name: a, upstream: a, timeout: {timeout}, policy: {{ trip: [{{ error_rate: 5% }}] }} }}
"
            ))
        };
        let (one, two) = ("'http://a:1'", "'http://a:1', 'http://a:2'");
        let expected = "b.yaml:3:38: routes[0].timeout: ends each request after 500ms, and \
                        connecting to one endpoint may take 1s (connect_timeout): no time is left \
                        for another";
        assert_eq!(of(two, "500ms"), [expected]);
        for (endpoints, timeout) in [(two, "2s"), (two, "off"), (one, "500ms")] {
            assert_eq!(
                of(endpoints, timeout),
                [] as [String; 0],
                "{endpoints} {timeout}"
            );
        }
    }
}
