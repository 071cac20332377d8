//! The endpoints of a route, and when its requests are sent again, in words.

use breaker_sidecar::config::Fallback;
use breaker_sidecar::config::in_words;
use breaker_sidecar::proxy::{RetryOn, RetryRules};
use breaker_sidecar::upstream::{Check, Endpoint, HealthCheck, Subset, Upstream};
use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::{Balance, Ratio};
use http::Method;

use super::line;

/// How many endpoints there are, how one is chosen, and when one gets no requests.
pub(super) fn endpoints(words: &mut String, upstream: &Upstream) {
    line(words, "endpoints", &found(upstream));
    if !upstream.is_single() {
        let chosen = match upstream.balancing.balance {
            Balance::RoundRobin => "each in turn, by weight",
            _ => "the less loaded of two drawn by weight: latency × requests in flight",
        };
        line(words, "balances", chosen);
    }
    line(words, "ejects", &ejects(upstream));
    if let Some(health) = &upstream.health {
        line(words, "checks", &checks(health, upstream.is_single()));
    }
}

fn found(upstream: &Upstream) -> String {
    let subset = match upstream.subset {
        Subset::OfMany => ", of which this sidecar uses 16 if there are more than 32".to_owned(),
        Subset::Of(size) => format!(", of which this sidecar uses {size} at most"),
        Subset::All => String::new(),
    };
    match upstream.endpoints.first() {
        Some(Endpoint::Service(name)) => {
            format!("each SRV record of {name}, followed by its TTL{subset}")
        }
        Some(Endpoint::Name(name, port)) if upstream.discovered => {
            format!("each address of {name} (A, AAAA), port {port}, followed by its TTL{subset}")
        }
        _ => match (upstream.endpoints.len(), upstream.subset) {
            (1, _) => "1, fixed".to_owned(),
            (all, Subset::OfMany) if all > 32 => format!("{all}, fixed{subset}"),
            (all, Subset::Of(size)) if size < all => format!("{all}, fixed{subset}"),
            (all, _) => format!("{all}, fixed"),
        },
    }
}

/// Whether an endpoint that is worse than the others can ever be out.
fn ejects(upstream: &Upstream) -> String {
    let settings = &upstream.balancing;
    if !settings.eject {
        return "none for what it answers (eject: false)".to_owned();
    }
    if upstream.is_single() {
        return "none: there is one, which nothing is compared with".to_owned();
    }
    let only = match upstream.discovered {
        true => "while there are 2 or more, ",
        false => "",
    };
    let open = settings.open;
    format!(
        "{only}one that fails, or takes {} or more, oftener than the others: {} at once at most, \
         and never the last; for {}, times {} after each setback up to {}",
        in_words(settings.deadline),
        settings.max_ejected,
        in_words(open.period),
        open.factor,
        in_words(open.max)
    )
}

fn checks(health: &HealthCheck, is_single: bool) -> String {
    let asked = match &health.check {
        Check::Http(path) => format!("GET {path}"),
        Check::Grpc(service) if service.is_empty() => "gRPC health of the server".to_owned(),
        Check::Grpc(service) => format!("gRPC health of {service}"),
    };
    let (interval, timeout) = (in_words(health.interval), in_words(health.timeout));
    let acts = match is_single {
        true => "the only endpoint stays in all the same".to_owned(),
        false => format!(
            "{} bad ones in a row take an endpoint out, a new one's first does so alone, {} good \
             ones let it in",
            health.unhealthy, health.healthy
        ),
    };
    format!("{asked} every {interval} ± 20%, bad after {timeout}; {acts}")
}

/// When a request is sent again, and how much load that can add.
pub(super) fn retries(words: &mut String, rules: Option<&RetryRules>) {
    let Some(rules) = rules.filter(|rules| rules.attempts > 1) else {
        line(
            words,
            "retries",
            "by no rule; what no endpoint has received is sent again anyway",
        );
        return;
    };
    let per_try = match rules.per_try {
        Some(time) => format!(", {} for each", in_words(time)),
        None => String::new(),
    };
    let when = format!(
        "{} after {}, {} times in all{per_try}",
        methods(rules),
        after(&rules.on),
        rules.attempts
    );
    line(words, "retries", &when);
    let most = 1.0 + rules.budget.get();
    let least = match rules.budget {
        Ratio::ZERO => "",
        _ => ", and at least 1",
    };
    let budget = format!(
        "retries are at most {} of the requests of 10s{least}: the upstream gets {most} times the \
         load at worst",
        rules.budget
    );
    line(words, "load", &budget);
    let unsafe_ones: Vec<_> = rules
        .methods
        .iter()
        .filter(|it| !it.is_idempotent())
        .collect();
    if !unsafe_ones.is_empty() {
        let names: Vec<_> = unsafe_ones.iter().map(|method| method.as_str()).collect();
        let text = format!(
            "{} is sent again though it may have had its effect: what it does may be done twice",
            names.join(" or ")
        );
        line(words, "twice", &text);
    }
}

/// What answers the requests that the breaker rejects.
pub(super) fn fallback(words: &mut String, fallback: Option<&Fallback>) {
    let told = match fallback {
        None => return,
        Some(Fallback::Upstream { upstream, policy }) => format!(
            "upstream {} ({}) gets what the breaker rejects, not what fails; what it answers does \
             not count here, but for a breaker of its own with policy {}",
            upstream.name,
            found(upstream),
            policy.name()
        ),
        Some(Fallback::Answer(answer)) => format!(
            "status {}, {} bytes, for what the breaker rejects, not for what fails; gRPC calls are \
             rejected",
            answer.status.as_u16(),
            answer.body.len()
        ),
    };
    line(words, "fallback", &told);
}

fn methods(rules: &RetryRules) -> String {
    match &*rules.methods {
        [] => "idempotent methods".to_owned(),
        methods => {
            let names: Vec<_> = methods.iter().map(Method::as_str).collect();
            names.join(", ")
        }
    }
}

fn after(on: &RetryOn) -> String {
    let mut parts = Vec::new();
    for (is, what) in [
        (on.connect, "no connection"),
        (on.reset, "a connection that ends"),
        (on.timeout, "a late answer"),
    ] {
        if is {
            parts.push(what.to_owned());
        }
    }
    parts.extend(
        on.http
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            }),
    );
    parts.extend(
        on.grpc
            .iter()
            .copied()
            .map(GrpcCode::name)
            .map(str::to_owned),
    );
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use breaker_sidecar::config::Config;

    /// What is said of the only route of an upstream that is written so.
    fn told(upstream: &str, route: &str) -> String {
        let text = format!(
            "upstreams: {{ pay: {{ {upstream} }} }}\nroutes:\n  - {{ name: pay, upstream: pay, {route} }}\n"
        );
        let config = Config::parse(&text, None, Path::new("")).unwrap();
        let route = &config.routes()[0];
        let mut words = String::new();
        super::endpoints(&mut words, route.upstream().unwrap());
        super::retries(&mut words, route.retry());
        anstream::adapter::strip_str(&words).to_string()
    }

    #[test]
    fn one_endpoint_is_never_ejected_and_its_checks_take_it_not_out() {
        let told = told(
            "endpoints: ['http://a:1'], health: { path: /healthz }",
            "timeout: 1s",
        );
        let expected = "  endpoints   1, fixed
  ejects      none: there is one, which nothing is compared with
  checks      GET /healthz every 5s ± 20%, bad after 1s; the only endpoint stays in all the same
  retries     by no rule; what no endpoint has received is sent again anyway
";
        assert_eq!(told, expected);
    }

    #[test]
    fn discovery_ejection_and_retries_are_told_with_their_numbers() {
        let told = told(
            "discover: { name: pay.shop, record: srv }, subset: 8, health: { grpc: '' }, \
             eject: { max_ejected: 30%, open: { for: 10s } }",
            "retry: { attempts: 3, budget: 10%, per_try: 800ms, on: [connect, 503], \
             methods: [GET, POST] }",
        );
        let expected =
            "  endpoints   each SRV record of pay.shop, followed by its TTL, of which this \
                        sidecar uses 8 at most
  balances    the less loaded of two drawn by weight: latency × requests in flight
  ejects      while there are 2 or more, one that fails, or takes 1s or more, oftener than the \
                        others: 30% at once at most, and never the last; for 10s, times 2 after \
                        each setback up to 5m
  checks      gRPC health of the server every 5s ± 20%, bad after 1s; 3 bad ones in a row take an \
                        endpoint out, a new one's first does so alone, 2 good ones let it in
  retries     GET, POST after no connection, 503, 3 times in all, 800ms for each
  load        retries are at most 10% of the requests of 10s, and at least 1: the upstream gets \
                        1.1 times the load at worst
  twice       POST is sent again though it may have had its effect: what it does may be done twice
";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_answers_instead_is_said() {
        let of = |fallback: &str| {
            let text = format!(
                "upstreams:
  pay: {{ endpoints: ['http://a:1'] }}
  replica: {{ endpoints: ['http://b:1', 'http://b:2'] }}
routes:
  - {{ name: pay, upstream: pay, fallback: {{ {fallback} }} }}
"
            );
            let config = Config::parse(&text, None, Path::new("")).unwrap();
            let mut words = String::new();
            super::fallback(&mut words, config.routes()[0].fallback());
            anstream::adapter::strip_str(&words).to_string()
        };
        assert_eq!(
            of("upstream: replica"),
            "  fallback    upstream replica (2, fixed) gets what the breaker rejects, not what \
             fails; what it answers does not count here, but for a breaker of its own with policy \
             adaptive\n"
        );
        assert_eq!(
            of("body: '[]'"),
            "  fallback    status 200, 2 bytes, for what the breaker rejects, not for what fails; \
             gRPC calls are rejected\n"
        );
    }

    #[test]
    fn what_is_off_is_said() {
        let told = told(
            "endpoints: ['http://a:1', 'http://a:2'], eject: false, balance: round_robin",
            "retry: { attempts: 1 }",
        );
        let expected = "  endpoints   2, fixed
  balances    each in turn, by weight
  ejects      none for what it answers (eject: false)
  retries     by no rule; what no endpoint has received is sent again anyway
";
        assert_eq!(told, expected);
    }
}
