//! Why a sidecar can't start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::access::OpenError;
use crate::sandbox::Unavailable;
use crate::sockets::ListenAddress;

/// Why a sidecar can't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be listened on.
    Bind {
        /// The field of the configuration.
        field: &'static str,
        /// The address.
        address: ListenAddress,
        /// Why.
        source: io::Error,
    },
    /// The configuration, together with the environment, can't be followed.
    Setting(String),
    /// What the breakers learn can't be kept.
    State {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The access log can't be written.
    Access(OpenError),
    /// The sandbox is required, and can't be had.
    Sandbox(Unavailable),
    /// Requests can't be recorded.
    Recording {
        /// Where to.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                field,
                address,
                source,
            } => write!(f, "{field}: cannot listen on {address}: {source}"),
            Self::Setting(rule) => f.write_str(rule),
            Self::State { file, source } => write!(
                f,
                "state: {} must be a file that can be read, in a directory that can be written to: {source}",
                file.display()
            ),
            Self::Access(error) => error.fmt(f),
            Self::Sandbox(error) => error.fmt(f),
            Self::Recording { file, source } => {
                write!(f, "cannot record to {}: {source}", file.display())
            }
        }
    }
}

impl std::error::Error for StartError {}
