//! How a handshake failed.

use std::io;

use rustls::{AlertDescription, Error};

/// How a handshake failed, with what the other side or rustls says of it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    #[source]
    error: io::Error,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// We refused the other side's certificate.
    Certificate,
    /// The other side refused something, by this alert.
    Alert(AlertDescription),
    /// The two did not agree, or what came is no TLS.
    Protocol,
    /// The connection ended.
    Closed,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match of_rustls(&error) {
            Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
                Kind::Certificate
            }
            Some(Error::AlertReceived(alert)) => Kind::Alert(*alert),
            Some(_) => Kind::Protocol,
            None => Kind::Closed,
        };
        Self { kind, error }
    }
}

impl Failure {
    /// What rustls says, if it says something.
    pub(super) fn of_rustls(&self) -> Option<&Error> {
        of_rustls(&self.error)
    }
}

/// Whether an alert refuses to speak with us at all. In TLS 1.3 it comes after our handshake is
/// done, perhaps after a request is sent: nothing of that was read.
pub(crate) const fn refuses(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::CertificateRequired
            | AlertDescription::UnrecognisedName
            | AlertDescription::NoApplicationProtocol
    )
}

/// What rustls said, if it was rustls.
fn of_rustls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
