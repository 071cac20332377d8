//! What stands for as long as the process runs: sockets, threads, and exporters.

use crate::config::Config;

/// The fields in which `next` wants something else of it than what runs.
pub(super) fn changed(running: &Config, next: &Config) -> Vec<&'static str> {
    let fields = [
        ("listen", running.listen() != next.listen()),
        ("admin", running.admin() != next.admin()),
        ("control", running.token() != next.token()),
        ("workers", running.workers() != next.workers()),
        ("drain", running.drain() != next.drain()),
        ("watch", running.watch() != next.watch()),
        ("limits", running.limits() != next.limits()),
        ("telemetry.export", running.export() != next.export()),
        ("telemetry.receive", running.receive() != next.receive()),
        // The proxy listens from the start, or never.
        (
            "routes without any upstream",
            !running.proxies() && next.proxies(),
        ),
    ];
    let changed = fields.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(field, _)| field).collect()
}
