//! File descriptors: how many this process may have, and who keeps some for bad times.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::proxy::Limits;

/// Raises the soft limit of open files to the hard one. 1,024 is what is left to programs that wait
/// by `select`; this one doesn't.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none() || current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        let error = io::Error::from(error);
        tracing::warn!(%error, limit = current, "the limit of open files can't be raised");
    }
}

/// How many files this process may have open; `None` without a limit.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many files it may have open once it has [raised](raise) its limit; `None` without one.
pub fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// How many clients each worker can take with so many descriptors, if half of them have an upstream
/// connection too: most connections of clients are idle. At least one.
pub fn clients(config: &Config, limit: Option<u64>) -> usize {
    let configured = config.limits().connections;
    let Some(limit) = limit else {
        return configured;
    };
    let workers = u64::try_from(config.workers()).unwrap_or(u64::MAX);
    let senders = if config.receive().is_some() {
        SENDERS.min(limit / 8)
    } else {
        0
    };
    // Of a small limit most is for clients all the same.
    let kept = (OWN + ADMIN).min(limit / 4) + senders;
    let each = limit.saturating_sub(kept) * 2 / 3 / workers;
    configured
        .min(usize::try_from(each).unwrap_or(usize::MAX))
        .max(1)
}

/// What is wrong with the limits on clients, where they can't hold with so many descriptors. The
/// default one is only the most there may be.
pub fn warning(config: &Config, limit: Option<u64>) -> Option<String> {
    let (configured, workers) = (config.limits().connections, config.workers());
    let hold = clients(config, limit);
    let is_wanted = configured != Limits::default().connections;
    let is_short = hold < FEW || is_wanted && hold < configured;
    let limit = limit.filter(|_| config.proxies() && is_short)?;
    Some(format!(
        "limits.max_connections: {limit} open files are allowed, with which each of {workers} workers can take {hold} clients, not {configured}: \
         raise the hard limit (ulimit -Hn, LimitNOFILE)"
    ))
}

/// Descriptors that are held so that there are some when there are none.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<File>>);

impl Spares {
    /// Holds as many as can be had, up to [`SPARES`].
    pub(crate) fn hold() -> Self {
        let spares = Self::default();
        spares.refill();
        spares
    }

    /// Gives one up, if there is one.
    pub(crate) fn give(&self) -> bool {
        self.files().pop().is_some()
    }

    /// Takes back what was given up.
    pub(crate) fn refill(&self) {
        let mut files = self.files();
        while files.len() < SPARES
            && let Ok(file) = File::open("/dev/null")
        {
            files.push(file);
        }
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Vec<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SPARES: usize = 8;
/// Clients for a worker below which the limit is told of in any case.
const FEW: usize = 80;
/// Descriptors of the process itself: its listeners, runtimes, files, resolvers and exports.
const OWN: u64 = 128;
/// Connections of the admin port.
const ADMIN: u64 = 128;
/// Connections with telemetry.
const SENDERS: u64 = 1024;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(fields: &str) -> Config {
        let text = format!(
            "workers: 2\n{fields}\nupstreams: {{ u: {{ endpoints: [http://127.0.0.1:9] }} }}\nroutes: [{{ name: r, upstream: u }}]\n"
        );
        Config::parse(&text, None, Path::new("")).expect("a configuration")
    }

    #[test]
    fn clients_and_the_upstream_connections_of_half_of_them_fit_beside_the_rest() {
        for (limit, receives, clients_each) in [
            (None, false, 16_384),
            (Some(1 << 20), false, 16_384),
            (Some(4096), false, 1280),
            (Some(4096), true, 1109),
            (Some(1024), false, 256),
            (Some(64), false, 16),
            (Some(0), true, 1),
        ] {
            let fields = match receives {
                true => "telemetry: { receive: {} }",
                false => "",
            };
            let config = config(fields);
            assert_eq!(
                clients(&config, limit),
                clients_each,
                "{limit:?} {receives}"
            );
        }
        let few = config("limits: { max_connections: 10 }");
        assert_eq!(clients(&few, Some(4096)), 10);
    }

    #[test]
    fn a_limit_that_cannot_hold_is_told() {
        let config = config("limits: { max_connections: 5000 }");
        assert_eq!(warning(&config, None), None);
        assert_eq!(warning(&config, Some(1 << 20)), None);
        let told = warning(&config, Some(4096)).unwrap();
        assert!(
            told.contains("each of 2 workers can take 1280 clients, not 5000"),
            "{told}"
        );
        let usual = self::config("");
        assert_eq!(warning(&usual, Some(4096)), None);
        assert!(warning(&usual, Some(256)).is_some());
    }
}
