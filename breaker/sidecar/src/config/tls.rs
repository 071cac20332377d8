//! `identity` and `tls`: certificates, keys, and whom to trust.

use std::path::{Path, PathBuf};
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use rustls::pki_types::ServerName;

use super::problem::{Problems, time_within};
use super::raw::{
    ListenerFields, RawClients, RawForwarding, RawIdentity, RawRoots, RawTlsVersion, RawUpstreamTls,
};
use crate::tls::{
    Client, ClientSettings, Clients, Credentials, Fault, Forwarding, MinVersion, Pair, Pattern,
    Roots, Server, ServerSettings, Workload,
};

/// `identity`, as far as it is good.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) shown: Credentials,
    pub(super) roots: Option<Roots>,
}

/// What a section of TLS may refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Paths are relative to it.
    pub(super) folder: &'a Path,
    pub(super) identity: Option<&'a Identity>,
}

pub(super) fn identity(raw: &RawIdentity, folder: &Path) -> Result<Identity, Problems> {
    let mut problems = Problems::default();
    let shown = problems.check(shown(raw, folder));
    let known = Known {
        folder,
        identity: None,
    };
    let roots = raw.roots.as_ref();
    let roots = roots.map(|raw| problems.keep(of_peers(raw, known)));
    problems.finish()?;
    let shown = shown.ok_or_else(|| InvalidField::new("cert", "is required"))?;
    // Read here too, so that what is wrong is told of the field that names it.
    shown.load().map_err(|fault| problem(&fault))?;
    if let Some(roots) = &roots {
        let roots = roots.load();
        roots.map_err(|error| InvalidField::new("roots", error.to_string()))?;
    }
    let heard = shown.workload().cloned().map(Roots::Spiffe);
    Ok(Identity {
        roots: roots.or(heard),
        shown,
    })
}

fn shown(raw: &RawIdentity, folder: &Path) -> Result<Credentials, InvalidField> {
    match (&raw.spiffe, &raw.cert, &raw.key) {
        (Some(socket), None, None) => {
            let workload = Workload::new(socket);
            let workload = workload.map_err(|rule| InvalidField::new("spiffe", rule));
            workload.map(Credentials::Spiffe)
        }
        (Some(_), _, _) => {
            let rule = "must not be there together with cert and key";
            Err(InvalidField::new("spiffe", rule))
        }
        (None, None, _) => {
            let rule = "is required, unless there is spiffe";
            Err(InvalidField::new("cert", rule))
        }
        (None, Some(_), None) => {
            let rule = "is required, unless there is spiffe";
            Err(InvalidField::new("key", rule))
        }
        (None, Some(cert), Some(key)) => Ok(Credentials::Files(Pair {
            cert: file("cert", cert, folder)?,
            key: file("key", key, folder)?,
        })),
    }
}

/// Roots of peers that have certificates by somebody we know.
fn of_peers(raw: &RawRoots, known: Known<'_>) -> Result<Roots, InvalidField> {
    match raw {
        RawRoots::Text(word) if word == "spiffe" => {
            let shown = known.identity.map(|identity| &identity.shown);
            let workload = shown.and_then(Credentials::workload).cloned();
            let rule = "needs identity.spiffe, or the socket: { spiffe: unix:///… }";
            let workload = workload.ok_or_else(|| InvalidField::new("roots", rule));
            workload.map(Roots::Spiffe)
        }
        RawRoots::Text(path) => file("roots", path, known.folder).map(Roots::File),
        RawRoots::Heard(heard) => {
            let workload = Workload::new(&heard.spiffe);
            let workload = workload.map_err(|rule| InvalidField::new("roots.spiffe", rule));
            workload.map(Roots::Spiffe)
        }
    }
}

/// TLS on a listener, which asks for certificates of clients if there is `clients`.
pub(super) fn server(
    raw: &ListenerFields<'_>,
    clients: Option<&RawClients>,
    known: Known<'_>,
) -> Result<Server, Problems> {
    let mut problems = Problems::default();
    let certificates = problems.keep(pairs(raw, known));
    let handshake_timeout = problems.keep(time_within(
        "handshake_timeout",
        raw.handshake_timeout,
        10..=60_000,
        HANDSHAKE_TIMEOUT,
    ));
    let clients = clients.map(|raw| {
        let clients = asked(raw, known);
        clients.map_err(|broken| broken.within("clients"))
    });
    let clients = problems.keep(clients.transpose());
    problems.finish()?;
    // Each by itself, so that what is wrong is told of the field that names it.
    if raw.certificates.is_some() {
        for (index, shown) in certificates.iter().enumerate() {
            let broken = |fault| problem(&fault).within(&format!("certificates[{index}]"));
            shown.load().map_err(broken)?;
        }
    }
    let server = Server::new(ServerSettings {
        certificates,
        min: min(raw.min),
        handshake_timeout,
        clients,
    });
    server.map_err(|fault| problem(&fault).into())
}

fn pairs(raw: &ListenerFields<'_>, known: Known<'_>) -> Result<Vec<Credentials>, Problems> {
    let mut problems = Problems::default();
    let pair = |cert: &str, key: &str, problems: &mut Problems| {
        Credentials::Files(Pair {
            cert: problems.keep(file("cert", cert, known.folder)),
            key: problems.keep(file("key", key, known.folder)),
        })
    };
    let pairs = match (raw.cert, raw.key, raw.certificates) {
        (Some(cert), Some(key), None) => vec![pair(cert, key, &mut problems)],
        (None, None, None) => match known.identity {
            Some(identity) => vec![identity.shown.clone()],
            None => {
                let rule = "is required, unless there is certificates or identity";
                return Err(InvalidField::new("cert", rule).into());
            }
        },
        (None, None, Some(several)) if (1..=64).contains(&several.len()) => {
            let mut pairs = Vec::with_capacity(several.len());
            for (index, raw) in several.iter().enumerate() {
                let mut broken = Problems::default();
                pairs.push(pair(&raw.cert, &raw.key, &mut broken));
                let broken = broken.finish();
                problems.keep(broken.map_err(|it| it.within(&format!("certificates[{index}]"))));
            }
            pairs
        }
        (None, None, Some(_)) => {
            return Err(InvalidField::new("certificates", "must have 1 to 64 entries").into());
        }
        (_, _, Some(_)) => {
            let rule = "must not be there together with cert and key";
            return Err(InvalidField::new("certificates", rule).into());
        }
        (Some(_), None, None) => return Err(InvalidField::new("cert", "needs key").into()),
        (None, Some(_), None) => return Err(InvalidField::new("key", "needs cert").into()),
    };
    problems.finish()?;
    Ok(pairs)
}

fn asked(raw: &RawClients, known: Known<'_>) -> Result<Clients, Problems> {
    let mut problems = Problems::default();
    let of_identity = known.identity.and_then(|identity| identity.roots.clone());
    let roots = match (&raw.roots, of_identity) {
        (Some(roots), _) => problems.keep(of_peers(roots, known)),
        (None, Some(roots)) => roots,
        (None, None) => {
            let rule = "is required, unless identity has roots";
            problems.add(InvalidField::new("roots", rule));
            Roots::default()
        }
    };
    let allow = problems.keep(patterns(raw.allow.as_deref()));
    problems.finish()?;
    Ok(Clients {
        roots,
        require: raw.require.unwrap_or(true),
        allow,
        forward: match raw.forward {
            None | Some(RawForwarding::None) => Forwarding::None,
            Some(RawForwarding::Xfcc) => Forwarding::Xfcc,
            Some(RawForwarding::ClientCert) => Forwarding::ClientCert,
        },
    })
}

/// TLS to an upstream.
pub(super) fn client(raw: Option<&RawUpstreamTls>, known: Known<'_>) -> Result<Client, Problems> {
    let mut problems = Problems::default();
    let default = RawUpstreamTls::default();
    let raw = raw.unwrap_or(&default);
    let of_identity = known.identity.and_then(|identity| identity.roots.clone());
    let roots = match &raw.roots {
        None => of_identity.unwrap_or_default(),
        Some(RawRoots::Text(word)) if word == "system" => Roots::System,
        Some(roots) => problems.keep(of_peers(roots, known)),
    };
    let name = raw.name.as_ref().map(|name| {
        let name = ServerName::try_from(name.clone());
        name.map_err(|_| InvalidField::new("name", "must be a DNS name or an address"))
    });
    let name = problems.keep(name.transpose());
    if raw.present == Some(true) && known.identity.is_none() {
        let rule = "needs identity, whose certificate is shown";
        problems.add(InvalidField::new("present", rule));
    }
    let shown = known.identity.filter(|_| raw.present != Some(false));
    let allow = problems.keep(patterns(raw.allow.as_deref()));
    problems.finish()?;
    let client = Client::new(ClientSettings {
        roots,
        min: min(raw.min),
        allow,
        present: shown.map(|identity| identity.shown.clone()),
        name,
    });
    client.map_err(|fault| problem(&fault).into())
}

pub(super) fn patterns(raw: Option<&[String]>) -> Result<Vec<Pattern>, Problems> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    if raw.is_empty() {
        let rule = "must have an entry; leave it out if anybody may come";
        return Err(InvalidField::new("allow", rule).into());
    }
    let mut problems = Problems::default();
    let patterns = raw.iter().enumerate().filter_map(|(index, text)| {
        let pattern = text.parse::<Pattern>();
        let broken = |rule| InvalidField::new(format!("allow[{index}]"), rule);
        problems.check(pattern.map_err(broken))
    });
    let patterns = patterns.collect();
    problems.finish()?;
    Ok(patterns)
}

pub(super) fn min(raw: Option<RawTlsVersion>) -> MinVersion {
    match raw {
        Some(RawTlsVersion::Tls12) => MinVersion::Tls12,
        Some(RawTlsVersion::Tls13) | None => MinVersion::Tls13,
    }
}

pub(super) fn file(
    field: &'static str,
    path: &str,
    folder: &Path,
) -> Result<PathBuf, InvalidField> {
    match path {
        "" => Err(InvalidField::new(field, "must be the path of a file")),
        path => Ok(folder.join(path)),
    }
}

fn problem(fault: &Fault) -> InvalidField {
    InvalidField::new(fault.field, fault.error.to_string())
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
