//! `log`: what is written of single requests.

use std::path::Path;

use breaker_tower::breaker_core::InvalidField;

use super::problem::Problems;
use super::raw::{RawAccess, RawLog, RawLogFormat};
use crate::access::{AccessLogSettings, Format, Which};

/// The access log; `None` if it is off.
pub(super) fn build(raw: &RawLog, folder: &Path) -> Result<Option<AccessLogSettings>, Problems> {
    let mut problems = Problems::default();
    if raw.file.as_deref() == Some("") {
        problems.add(InvalidField::new("file", "must be the path of a file"));
    }
    let sample = raw.sample.map_or(1.0, |share| share.0.get());
    if sample == 0.0 {
        let rule = "must be more than 0%; access: off writes nothing";
        problems.add(InvalidField::new("sample", rule));
    }
    let which = match raw.access {
        None | Some(RawAccess::Off) => None,
        Some(RawAccess::Errors) => Some(Which::Errors),
        Some(RawAccess::All) => Some(Which::All),
    };
    problems.finish()?;
    Ok(which.map(|which| AccessLogSettings {
        which,
        format: match raw.format {
            None | Some(RawLogFormat::Json) => Format::Json,
            Some(RawLogFormat::Text) => Format::Text,
        },
        file: raw.file.as_ref().map(|file| folder.join(file)),
        sample,
    }))
}
