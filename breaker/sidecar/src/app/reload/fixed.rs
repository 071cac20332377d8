//! What stands for as long as the process runs: sockets, threads, and exporters.

use crate::config::Config;

/// The fields in which `next` wants something else of it than what runs.
pub(super) fn changed(running: &Config, next: &Config) -> Vec<&'static str> {
    let fields = [
        ("listen", running.listen() != next.listen()),
        ("tls", running.tls() != next.tls()),
        ("admin_tls", running.admin_tls() != next.admin_tls()),
        ("admin", running.admin() != next.admin()),
        // Another token is followed; whether there is one decides what the admin port may listen
        // on.
        (
            "control",
            running.token().is_some() != next.token().is_some(),
        ),
        ("workers", running.workers() != next.workers()),
        (
            "drain",
            (running.drain_delay(), running.drain()) != (next.drain_delay(), next.drain()),
        ),
        ("watch", running.watch() != next.watch()),
        (
            "trusted_proxies",
            running.trusted_proxies() != next.trusted_proxies(),
        ),
        ("limits", running.limits() != next.limits()),
        ("state", running.state() != next.state()),
        ("sandbox", running.sandbox() != next.sandbox()),
        ("telemetry.export", running.export() != next.export()),
        ("telemetry.receive", running.receive() != next.receive()),
        ("fleet", running.fleet() != next.fleet()),
        ("follow", running.follow() != next.follow()),
        // The proxy listens from the start, or never.
        (
            "routes without any upstream",
            !running.proxies() && next.proxies(),
        ),
    ];
    let changed = fields.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(field, _)| field).collect()
}
