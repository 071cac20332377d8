//! TLS: its cryptography.

mod provider;

pub(crate) use self::provider::provider;
