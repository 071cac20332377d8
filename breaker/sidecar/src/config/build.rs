//! Checks each section of a file, and makes the configuration of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use breaker_tower::breaker_core::policy::yaml::{self, Document};
use ipnet::IpNet;

use super::clash::{check_distinct, check_free, check_loops, check_patterns};
use super::origin::ConfigSource;
use super::problem::{Findings, time_within, within};
use super::raw::{RawClients, RawConfig, RawDrain};
use super::{
    Config, Policies, Receive, Token, TraceUrl, fallback, fleet, follow, limits, log, route,
    telemetry, tls, upstream, warnings,
};
use crate::message::Trusted;
use crate::sockets::SCHEME;

pub(super) fn config(
    raw: RawConfig,
    document: &Document<'_>,
    mut origin: ConfigSource,
    folder: &Path,
) -> Result<Config, Vec<yaml::Error>> {
    let mut findings = Findings::new(document);
    let listen = raw.listen.unwrap_or(LISTEN.into());
    let admin = raw.admin.unwrap_or(ADMIN.into());
    if listen.meets(&admin) {
        findings.add("admin", "must not be the address of listen");
    }
    let token = raw.control.and_then(|raw| {
        let file = folder.join(raw.token_file);
        let token = Token::read(&file);
        origin.secret = Some(file);
        findings.check(
            "control",
            token.map_err(|rule| InvalidField::new("token_file", rule)),
        )
    });
    let trace_url = raw.dashboard.and_then(|raw| {
        let url = TraceUrl::new(&raw.trace_url);
        let url = url.map_err(|rule| InvalidField::new("trace_url", rule));
        findings.check("dashboard", url)
    });
    let workers = within("workers", raw.workers, 1..=1024, processors());
    let workers = findings.check("", workers);
    let drain = findings.check("", drain(raw.drain));
    let limits = limits::build(&raw.limits.unwrap_or_default());
    let (limits, body) = findings.check("limits", limits).unwrap_or_default();
    let access = raw.log.map(|raw| log::build(&raw, folder)).transpose();
    let access = findings.check("log", access.map(Option::flatten));
    let by_unix = raw.trusted_proxies.iter().any(|text| text == SCHEME);
    let trusted_proxies = raw.trusted_proxies.iter().enumerate();
    let trusted_proxies = trusted_proxies.filter(|(_, text)| *text != SCHEME);
    let trusted_proxies = trusted_proxies.filter_map(|(index, text)| {
        let network = network(text);
        if network.is_none() {
            let rule = "must be an address or a network, such as 192.0.2.7 or 10.0.0.0/8, or unix:";
            findings.add(&format!("trusted_proxies[{index}]"), rule);
        }
        network
    });
    let trusted_proxies = trusted_proxies.collect::<Trusted>().and_by_unix(by_unix);
    if raw.state.as_deref() == Some("") {
        findings.add("state", "must be the path of a file");
    }
    let state = raw.state.as_ref().map(|file| folder.join(file));
    if let Some(written) = access.iter().flatten().find_map(|log| log.file.as_deref()) {
        if document.file().map(Path::new) == Some(written) {
            findings.add("log.file", "must not be the configuration itself");
        }
        if state.as_deref() == Some(written) {
            findings.add("log.file", "must not be the file of state");
        }
    }
    let identity = raw.identity.map(|raw| tls::identity(&raw, folder));
    let identity = findings.check("identity", identity.transpose()).flatten();
    let secrets = tls::Known {
        folder,
        identity: identity.as_ref(),
    };
    let told = raw.telemetry.is_some();
    let telemetry = raw.telemetry.and_then(|raw| {
        let telemetry = telemetry::build(raw, secrets);
        findings.check("telemetry", telemetry)
    });
    // A feed needs a receiver. If `telemetry` is invalid, nobody knows whether there is one.
    let can_receive = told
        && telemetry
            .as_ref()
            .is_none_or(|(_, receive)| receive.is_some());
    let (export, receive) = telemetry.unwrap_or_default();
    for (field, address) in receive.iter().flat_map(Receive::addresses) {
        check_free(
            field,
            address,
            &[("listen", &listen), ("admin", &admin)],
            &mut findings,
        );
    }
    if let Some(raw) = &raw.upstreams {
        check_loops(&listen, &admin, raw, &mut findings);
    }
    let policies = Policies::load(&raw.policies, folder, &mut origin, &mut findings);

    let tls = raw.tls.as_ref().map(|raw| {
        let clients = raw.clients.as_ref();
        tls::server(&raw.shown(), clients, secrets)
    });
    let admin_tls = raw.admin_tls.map(|mut raw| {
        let clients = raw.clients.take().map(RawClients::from);
        tls::server(&raw.shown(), clients.as_ref(), secrets)
    });
    let admin_tls = findings.check("admin_tls", admin_tls.transpose()).flatten();
    let clients_are_known = raw.tls.as_ref().is_some_and(|raw| raw.clients.is_some());
    let tls = findings.check("tls", tls.transpose()).flatten();
    let mut upstreams = BTreeMap::new();
    if let Some(raw) = &raw.upstreams {
        count("upstreams", raw.len(), &mut findings);
    }
    for (name, raw) in raw.upstreams.iter().flatten() {
        let upstream = upstream::build(name, raw, secrets).map(Arc::new);
        let upstream = findings.check(&format!("upstreams.{name}"), upstream);
        upstreams.insert(name.clone(), upstream);
    }

    count("routes", raw.routes.len(), &mut findings);
    check_distinct(&raw.routes, &mut findings);
    let known = route::Known {
        knows_clients: clients_are_known,
        upstreams: &upstreams,
        policies: &policies,
        body: &body,
        paths: limits.path,
    };
    let mut routes = Vec::with_capacity(raw.routes.len());
    for (index, raw) in raw.routes.into_iter().enumerate() {
        if raw.feeds.is_some() && !can_receive {
            let rule = "needs telemetry.receive, where applications send their telemetry to";
            findings.add(&format!("routes[{index}].feeds"), rule);
        }
        let route = route::build(raw, &known);
        let route = findings.check(&format!("routes[{index}]"), route);
        routes.extend(route.flatten().map(|route| (index, route)));
    }
    let raw_fleet = raw.fleet.is_some();
    let fleet = raw.fleet.as_ref();
    let fleet = fleet.map(|raw| fleet::build(raw, folder, &routes));
    let fleet = findings.check("fleet", fleet.transpose()).flatten();
    let follow = raw.follow.as_ref().map(|raw| {
        let context = follow::Context {
            secrets,
            routes: &routes,
            admin: admin.tcp(),
            is_in_fleet: raw_fleet,
        };
        follow::build(raw, &context)
    });
    let follow = findings.check("follow", follow.transpose()).flatten();
    check_patterns(&routes, &mut findings);
    fallback::check_chains(&routes, &mut findings);
    findings.finish()?;
    let warnings = warnings::of(&warnings::Parts {
        document,
        upstreams: &upstreams,
        policies: &policies,
        routes: &routes,
        receive: receive.as_ref(),
        keeps_state: raw.state.is_some(),
        workers: workers.unwrap_or(1),
    });
    Ok(Config {
        listen,
        tls,
        admin,
        admin_tls,
        token,
        trace_url,
        workers: workers.unwrap_or(1),
        drain: drain.map_or(DRAIN, |(_, timeout)| timeout),
        drain_delay: drain.map_or(DRAIN_DELAY, |(delay, _)| delay),
        watch: raw.watch.unwrap_or(true),
        limits,
        access: access.flatten(),
        trusted_proxies,
        state,
        sandbox: raw.sandbox.and_then(|raw| raw.mode).unwrap_or_default(),
        export,
        receive,
        fleet,
        follow,
        policies,
        warnings,
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        origin: origin.finished(),
    })
}

/// The delay and the timeout of a drain.
fn drain(raw: Option<RawDrain>) -> Result<(Duration, Duration), InvalidField> {
    let (delay, timeout, field) = match raw {
        None => (None, None, "drain"),
        Some(RawDrain::Timeout(timeout)) => (None, Some(timeout), "drain"),
        Some(RawDrain::Both(raw)) => (raw.delay, raw.timeout, "drain.timeout"),
    };
    Ok((
        time_within("drain.delay", delay, 0..=600_000, DRAIN_DELAY)?,
        time_within(field, timeout, 0..=3_600_000, DRAIN)?,
    ))
}

fn count(section: &str, entries: usize, findings: &mut Findings<'_>) {
    if !(1..=MAX_ENTRIES).contains(&entries) {
        findings.add(section, format!("must have 1 to {MAX_ENTRIES} entries"));
    }
}

/// A network, or a network of one address.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(IpAddr::into);
    text.parse().ok().or_else(address)
}

pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
pub(super) const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// Endpoints are taken out of Services and load balancers within a second or two; with [`DRAIN`] it
/// is far from the 30 s after which Kubernetes kills.
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(3);
/// Of upstreams and routes. Each route is a breaker with its windows, up to 64 KiB where it has
/// traffic.
const MAX_ENTRIES: usize = 10_000;
