//! `identity` and `tls`: certificates, keys, and whom to trust.

use std::path::{Path, PathBuf};

use breaker_tower::core::InvalidField;
use rustls::pki_types::ServerName;

use super::problem::Problems;
use super::raw::{RawIdentity, RawTlsVersion, RawUpstreamTls};
use crate::tls::{Client, ClientSettings, Fault, MinVersion, Pair, Pattern, Roots};

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
    identity.pair.load().map_err(problem)?;
    if let Some(roots) = &identity.roots {
        let roots = Roots::File(roots.clone()).load();
        roots.map_err(|error| InvalidField::new("roots", error.to_string()))?;
    }
    Ok(identity)
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
    client.map_err(|fault| problem(fault).into())
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

pub(super) fn problem(fault: Fault) -> InvalidField {
    InvalidField::new(fault.field, fault.error.to_string())
}
