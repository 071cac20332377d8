//! TLS: who we are, whom we trust, and what a handshake has told.

mod alpn;
mod anchors;
mod client;
mod dates;
mod dial;
mod error;
mod files;
mod handshake;
mod keys;
mod peer;
mod provider;
mod rotating;
mod server;
mod spiffe;
mod under_way;
mod verify;
mod workload;

pub(crate) mod failure;
pub(crate) mod identity;

use crate::sockets::Transport;

pub(crate) use self::alpn::Alpn;
pub(crate) use self::client::{Made, Secured};
pub(crate) use self::dates::date;
pub(crate) use self::handshake::Handshake;
pub(crate) use self::keys::signer_of;
pub(crate) use self::peer::Peer;
pub(crate) use self::provider::provider;
pub(crate) use self::rotating::{Rotate, Rotated, Use};
pub(crate) use self::server::{Accepted, Opening};
pub(crate) use self::under_way::{NOT_TLS, UnderWay};
pub(crate) use self::workload::News;
#[cfg(test)]
pub(crate) use self::workload::agent;

pub use self::client::{Client, ClientSettings};
pub use self::dial::SecureDial;
pub use self::error::{Fault, TlsError};
pub use self::files::{Credentials, Pair, Roots};
pub use self::handshake::handshakes;
pub use self::peer::Forwarding;
pub use self::provider::MinVersion;
pub use self::server::{Clients, Server, ServerSettings};
pub use self::spiffe::{Pattern, SpiffeId, TrustDomain};
pub use self::workload::Workload;
