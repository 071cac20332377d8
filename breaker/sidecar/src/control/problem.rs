//! What is told when something is wrong: RFC 9457, with members of our own.

use axum::Json;
use axum::response::{IntoResponse, Response};
use breaker_tower::breaker_core::policy::yaml;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::registry::Unknown;

/// Why a request is not answered with what it asked for (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// Beside 404: the names that may have been meant, the nearest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Vec<String>>,
    /// Beside 422: the rule that is broken.
    #[serde(flatten)]
    pub broken: Option<Box<Broken>>,
}

/// A rule that a document breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broken {
    /// The field, such as `trip[0].error_rate`; empty where it is the whole.
    pub path: String,
    /// The rule: what the field must be.
    pub rule: String,
    /// The line of a text, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            nearest: None,
            broken: None,
        }
    }

    /// A field breaks a rule.
    pub(super) fn of_field(path: impl Into<String>, rule: impl Into<String>) -> Self {
        let (path, rule) = (path.into(), rule.into());
        let detail = match &*path {
            "" => rule.clone(),
            path => format!("{path}: {rule}"),
        };
        let broken = Broken {
            path,
            rule,
            line: None,
            column: None,
        };
        Self {
            broken: Some(Box::new(broken)),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    /// The same, with the place where it does.
    pub(super) fn at(mut self, line: usize, column: usize) -> Self {
        if let Some(broken) = &mut self.broken {
            (broken.line, broken.column) = (Some(line), Some(column));
        }
        self
    }

    /// The same for a caller by gRPC.
    pub(super) fn into_status(self) -> Status {
        let code = match self.status {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            409 => Code::FailedPrecondition,
            501 => Code::Unimplemented,
            503 => Code::ResourceExhausted,
            _ => Code::InvalidArgument,
        };
        Status::new(code, self.detail)
    }
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Self {
        Self {
            nearest: Some(unknown.nearest.clone()),
            ..Self::new(StatusCode::NOT_FOUND, unknown.to_string())
        }
    }
}

impl From<yaml::Error> for Problem {
    fn from(error: yaml::Error) -> Self {
        let detail = error.to_string();
        let (line, column) = (error.line, error.column);
        Self {
            detail,
            ..Self::of_field(error.field, error.rule).at(line, column)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
