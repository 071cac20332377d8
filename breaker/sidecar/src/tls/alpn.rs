//! Protocols within TLS, as ALPN names them.

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    Http1,
    Http2,
}

impl Alpn {
    pub(crate) const fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        [Self::Http2, Self::Http1]
            .into_iter()
            .find(|alpn| alpn.name() == name)
    }
}
