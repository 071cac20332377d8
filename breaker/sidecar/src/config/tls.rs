//! `identity` and `tls`: certificates, keys, and whom to trust.

use std::path::{Path, PathBuf};
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use rustls::pki_types::ServerName;

use super::problem::{Problems, time_within};
use super::raw::{
    ListenerFields, RawClients, RawForwarding, RawIdentity, RawTlsVersion, RawUpstreamTls,
};
use crate::tls::{
    Client, ClientSettings, Clients, Fault, Forwarding, MinVersion, Pair, Pattern, Roots, Server,
    ServerSettings,
};

/// `identity`, as far as it is good.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) pair: Pair,
    pub(super) roots: Option<PathBuf>,
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
    let identity = Identity {
        pair: Pair {
            cert: problems.keep(file("cert", &raw.cert, folder)),
            key: problems.keep(file("key", &raw.key, folder)),
        },
        roots: raw
            .roots
            .as_ref()
            .map(|roots| problems.keep(file("roots", roots, folder))),
    };
    problems.finish()?;
    // Read here too, so that what is wrong is told of the field that names it.
    identity.pair.load().map_err(|fault| problem(&fault))?;
    if let Some(roots) = &identity.roots {
        let roots = Roots::File(roots.clone()).load();
        roots.map_err(|error| InvalidField::new("roots", error.to_string()))?;
    }
    Ok(identity)
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
        for (index, pair) in certificates.iter().enumerate() {
            let broken = |fault| problem(&fault).within(&format!("certificates[{index}]"));
            pair.load().map_err(broken)?;
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

fn pairs(raw: &ListenerFields<'_>, known: Known<'_>) -> Result<Vec<Pair>, Problems> {
    let mut problems = Problems::default();
    let pair = |cert: &str, key: &str, problems: &mut Problems| Pair {
        cert: problems.keep(file("cert", cert, known.folder)),
        key: problems.keep(file("key", key, known.folder)),
    };
    let pairs = match (raw.cert, raw.key, raw.certificates) {
        (Some(cert), Some(key), None) => vec![pair(cert, key, &mut problems)],
        (None, None, None) => match known.identity {
            Some(identity) => vec![identity.pair.clone()],
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
        (Some(roots), _) => problems.keep(file("roots", roots, known.folder)),
        (None, Some(roots)) => roots,
        (None, None) => {
            problems.add(InvalidField::new(
                "roots",
                "is required, unless identity has roots",
            ));
            PathBuf::new()
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
    let roots = match raw.roots.as_deref() {
        None => of_identity.map_or(Roots::System, Roots::File),
        Some("system") => Roots::System,
        Some(roots) => Roots::File(problems.keep(file("roots", roots, known.folder))),
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
        present: shown.map(|identity| identity.pair.clone()),
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
