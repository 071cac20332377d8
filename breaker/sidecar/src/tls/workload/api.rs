//! The Workload API by gRPC over a Unix socket (SPIFFE Workload API, sections 3 to 6).
//!
//! The client is ours: one method with two messages, by what the binary has of tonic anyway. The
//! crate `spiffe` would bring seven crates that nothing else needs, and changed its API four times
//! in half a year; of the source that it has, only the certificates would be used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use zeroize::Zeroize;

use super::svid::SvidError;
use crate::causes;
use crate::sockets::Dial;

/// A stream of what an agent says.
pub(super) struct Session(Streaming<X509SvidResponse>);

/// Why nothing more is heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("no agent answers: {}", causes::in_full(.0))]
    Unreachable(#[from] tonic::transport::Error),
    /// No registration fits this process, or not yet.
    #[error("the agent has no identity for this process: {0}")]
    NoIdentity(String),
    #[error("the agent answers {0:?}: {1}")]
    Failed(Code, String),
    #[error("the agent says nothing")]
    Silent,
    #[error("the agent has not renewed the identity, which has expired")]
    Overdue,
    #[error("the agent ended the stream")]
    Ended,
    #[error(transparent)]
    Refused(#[from] SvidError),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509SvidRequest {}

/// All that there is, each time.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509SvidResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) svids: Vec<X509Svid>,
    /// Roots by the ID of their trust domain, as certificates in DER form.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) federated_bundles: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct X509Svid {
    #[prost(string, tag = "1")]
    pub(super) spiffe_id: String,
    /// The chain, leaf first, in DER form.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) x509_svid: Vec<u8>,
    /// In PKCS#8 form.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) x509_svid_key: Vec<u8>,
    /// The roots of its trust domain, in DER form.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) bundle: Vec<u8>,
}

impl Drop for X509Svid {
    fn drop(&mut self) {
        self.x509_svid_key.zeroize();
    }
}

/// It has a key.
impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("X509Svid").field(&self.spiffe_id).finish()
    }
}

impl Session {
    pub(super) async fn open(socket: &Path) -> Result<Self, ApiError> {
        let endpoint = Endpoint::from_static("http://localhost");
        let dial = Dial::Unix(socket.to_owned());
        let channel = endpoint.connect_with_connector(dial).await?;
        let mut client = Grpc::new(channel);
        client.ready().await?;
        let mut request = Request::new(X509SvidRequest {});
        let header = MetadataValue::from_static("true");
        request.metadata_mut().insert(SECURITY_HEADER, header);
        let codec = ProstCodec::default();
        let method = PathAndQuery::from_static(METHOD);
        let stream = client.server_streaming(request, method, codec).await?;
        Ok(Self(stream.into_inner()))
    }

    pub(super) async fn next(&mut self) -> Result<X509SvidResponse, ApiError> {
        self.0.message().await?.ok_or(ApiError::Ended)
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        // It is of a stranger, and is logged.
        let message: String = status.message().chars().take(MESSAGE).collect();
        match status.code() {
            Code::PermissionDenied => Self::NoIdentity(message),
            code => Self::Failed(code, message),
        }
    }
}

const METHOD: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
/// Without it an agent refuses: a request that a program was tricked into has it not.
const SECURITY_HEADER: &str = "workload.spiffe.io";
const MESSAGE: usize = 200;
