//! Why a sidecar gave no answer, or another one than was asked for.

use std::fmt;
use std::io;

use breaker_sidecar::causes;
use breaker_sidecar::control::Problem;
use breaker_sidecar::tls::TlsError;
use hyper_util::client::legacy;

use super::{AdminUrl, TIMEOUT};

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug)]
pub(in crate::cli) enum ClientError {
    /// The file of the token can't be used.
    Token(String),
    /// The certificates to trust can't be used.
    Tls(TlsError),
    /// A file can't be read, or breaks a rule.
    File(String),
    /// Nobody is there.
    Unreachable { admin: AdminUrl, why: Unreachable },
    /// The sidecar says what is wrong.
    Problem(Problem),
    /// Whoever listens there is no breaker, or not one of this version.
    Foreign { admin: AdminUrl, why: String },
}

/// What keeps a request from being answered.
#[derive(Debug)]
pub(in crate::cli) enum Unreachable {
    Refused,
    Late,
    Other(String),
}

pub(super) fn is_refused(error: &legacy::Error) -> bool {
    let mut causes = causes::chain(error);
    let found = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    // A socket that is not there is an admin port that is not there.
    let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    found.is_some_and(|error| kinds.contains(&error.kind()))
}

/// What is at the bottom of an error.
pub(super) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    causes::chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

// === impl ClientError ===

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(why) => write!(f, "the control token can't be used: {why}"),
            Self::Tls(error) => write!(f, "the certificates to trust can't be used: {error}"),
            Self::File(why) => f.write_str(why),
            Self::Unreachable { admin, why } => match why {
                Unreachable::Refused => write!(
                    f,
                    "nothing listens at {admin}: is `breaker run` running there? --admin URL says where it is"
                ),
                Unreachable::Late => write!(f, "{admin} does not answer within {TIMEOUT:?}"),
                Unreachable::Other(why) => write!(f, "{admin} can't be asked: {why}"),
            },
            Self::Problem(problem) => {
                f.write_str(&problem.detail)?;
                match problem.status {
                    401 => f.write_str(": give it by --token-file or BREAKER_CONTROL_TOKEN"),
                    _ => Ok(()),
                }
            }
            Self::Foreign { admin, why } => write!(
                f,
                "{admin} {why}: is it the admin port of a breaker of this version?"
            ),
        }
    }
}
