//! `telemetry`: where metrics go, and where telemetry comes from.

use std::path::Path;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use http::{HeaderMap, Uri};

use super::problem::{Problems, time_within};
use super::raw::{RawCompression, RawExport, RawExportProtocol, RawTelemetry};
use super::receive::{self, Receive};
use super::tls::Known;
use crate::collector::{Compression, Configured, Protocol, header};

pub(super) fn build(
    raw: RawTelemetry,
    known: Known<'_>,
) -> Result<(Option<Configured>, Option<Receive>), Problems> {
    let mut problems = Problems::default();
    let receive = raw
        .receive
        .map(|raw| receive::build(raw, known))
        .transpose();
    let receive = receive.map_err(|problems| problems.within("receive"));
    let receive = problems.keep(receive);
    let export = problems.keep(raw.export.map(|raw| export(raw, known.folder)).transpose());
    let endpoint = export.as_ref().and_then(|export| export.endpoint.as_ref());
    let endpoint = endpoint.and_then(|endpoint| endpoint.parse().ok());
    if let (Some(receive), Some(endpoint)) = (&receive, endpoint)
        && receive.is_own(&endpoint)
    {
        problems.add(InvalidField::new("export.endpoint", LOOP));
    }
    problems.finish()?;
    Ok((export, receive))
}

fn export(raw: RawExport, folder: &Path) -> Result<Configured, Problems> {
    let mut problems = Problems::default();
    if let Some(endpoint) = &raw.endpoint {
        problems.keep(check_endpoint(endpoint));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &raw.headers {
        match header(name, value) {
            Some((name, value)) => drop(headers.insert(name, value)),
            None => problems.add(InvalidField::new(
                format!("export.headers.{name}"),
                "must be a header and its value",
            )),
        }
    }
    let time = |field: &str, value, range| match value {
        None => Ok(None),
        value => time_within(&format!("export.{field}"), value, range, Duration::ZERO).map(Some),
    };
    // An absent file is told now, and not when the first export fails.
    let file = |field: &str, name: Option<String>| match name.map(|name| folder.join(name)) {
        Some(file) if !file.is_file() => Err(InvalidField::new(
            format!("export.{field}"),
            "must be a file that exists",
        )),
        file => Ok(file),
    };
    let (has_certificate, has_key) = (raw.client_certificate.is_some(), raw.client_key.is_some());
    let export = Configured {
        endpoint: raw.endpoint,
        protocol: raw.protocol.map(Protocol::from),
        interval: problems.keep(time("interval", raw.interval, 100..=3_600_000)),
        timeout: problems.keep(time("timeout", raw.timeout, 100..=600_000)),
        headers,
        compression: raw.compression.map(Compression::from),
        certificate: problems.keep(file("certificate", raw.certificate)),
        client_certificate: problems.keep(file("client_certificate", raw.client_certificate)),
        client_key: problems.keep(file("client_key", raw.client_key)),
    };
    for (field, is_given, other, other_is_given) in [
        ("client_certificate", has_certificate, "client_key", has_key),
        ("client_key", has_key, "client_certificate", has_certificate),
    ] {
        if is_given && !other_is_given {
            let rule = format!("needs {other} beside it");
            problems.add(InvalidField::new(format!("export.{field}"), rule));
        }
    }
    problems.finish()?;
    Ok(export)
}

fn check_endpoint(endpoint: &str) -> Result<(), InvalidField> {
    if endpoint.parse().is_ok_and(|uri| is_url(&uri)) {
        return Ok(());
    }
    let rule = "must be a URL with the scheme http or https, such as http://127.0.0.1:4317";
    Err(InvalidField::new("export.endpoint", rule))
}

/// Whether it is a URL of a collector.
pub(super) fn is_url(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
}

impl From<RawExportProtocol> for Protocol {
    fn from(protocol: RawExportProtocol) -> Self {
        match protocol {
            RawExportProtocol::Grpc => Self::Grpc,
            RawExportProtocol::HttpProtobuf => Self::HttpProtobuf,
        }
    }
}

impl From<RawCompression> for Compression {
    fn from(compression: RawCompression) -> Self {
        match compression {
            RawCompression::None => Self::None,
            RawCompression::Gzip => Self::Gzip,
        }
    }
}

/// Of what is sent to where it is received.
pub(super) const LOOP: &str = "must not be where telemetry is received: a loop";
