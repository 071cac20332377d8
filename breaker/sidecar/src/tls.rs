//! TLS: who we are, whom we trust, and what a handshake has told.

mod alpn;
mod client;
mod dates;
mod error;
mod files;
mod identity;
mod provider;
mod rotating;
mod spiffe;
mod verify;

pub(crate) mod failure;

use crate::sockets::Transport;

pub(crate) use self::alpn::Alpn;
pub(crate) use self::client::{Made, Secured};
pub(crate) use self::provider::provider;
pub(crate) use self::rotating::{Rotate, Rotated, Use};

pub use self::client::{Client, ClientSettings};
pub use self::error::{Fault, TlsError};
pub use self::files::{Pair, Roots};
pub use self::provider::MinVersion;
pub use self::spiffe::{Pattern, SpiffeId};
