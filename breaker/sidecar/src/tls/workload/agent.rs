//! An agent for tests: the server of the Workload API, and authorities of trust domains.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::api::{X509Svid, X509SvidRequest, X509SvidResponse};
use crate::clock::since_epoch;
use crate::tls::{Pair, Roots};

/// The authority of a trust domain.
pub(crate) struct Domain {
    name: &'static str,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of a workload, and its key.
pub(crate) struct Leaf {
    id: String,
    serial: u64,
    cert: Certificate,
    key: KeyPair,
}

impl Domain {
    pub(crate) fn new(name: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // As those of SPIRE, which all have one name.
        params.distinguished_name.push(DnType::CommonName, "SPIFFE");
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { name, issuer }
    }

    /// The certificate of a workload of it.
    pub(crate) fn sign(&self, path: &str, serial: u64) -> Leaf {
        let id = format!("spiffe://{}/{path}", self.name);
        self.sign_as(&id, serial, Duration::from_secs(3600))
    }

    /// A certificate that is over.
    pub(crate) fn expired(&self, path: &str, serial: u64) -> Leaf {
        let id = format!("spiffe://{}/{path}", self.name);
        let minute_ago = since_epoch() - Duration::from_secs(60);
        self.sign_until(&id, serial, minute_ago)
    }

    /// A certificate of whatever it is said to be, that is valid for so long from now on.
    pub(crate) fn sign_as(&self, id: &str, serial: u64, life: Duration) -> Leaf {
        self.sign_until(id, serial, since_epoch() + life)
    }

    /// The same until a time since 1970.
    fn sign_until(&self, id: &str, serial: u64, until: Duration) -> Leaf {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.serial_number = Some(SerialNumber::from(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let until = date_time_ymd(1970, 1, 1) + until;
        params.not_before = until - Duration::from_secs(7200);
        params.not_after = until;
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            id: id.to_owned(),
            serial,
            cert: signed,
            key,
        }
    }

    /// Writes its root into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Roots {
        let file = folder.join(format!("{}.crt", self.name));
        fs::write(&file, self.issuer.pem()).unwrap();
        Roots::File(file)
    }

    /// What an agent says of a workload of it.
    pub(crate) fn svid(&self, leaf: &Leaf) -> X509SvidResponse {
        let svid = X509Svid {
            spiffe_id: leaf.id.clone(),
            x509_svid: leaf.cert.der().to_vec(),
            x509_svid_key: leaf.key.serialize_der(),
            bundle: self.issuer.der().to_vec(),
        };
        X509SvidResponse {
            svids: vec![svid],
            ..X509SvidResponse::default()
        }
    }

    /// The same where another domain is trusted too.
    pub(crate) fn federated(&self, leaf: &Leaf, with: &Self) -> X509SvidResponse {
        let mut said = self.svid(leaf);
        let id = format!("spiffe://{}", with.name);
        said.federated_bundles
            .insert(id, with.issuer.der().to_vec());
        said
    }

    /// The same where nobody can read the roots of the other domain.
    pub(crate) fn garbled(&self, leaf: &Leaf, with: &Self) -> X509SvidResponse {
        let mut said = self.federated(leaf, with);
        for bundle in said.federated_bundles.values_mut() {
            *bundle = b"garbage".to_vec();
        }
        said
    }
}

impl Leaf {
    /// Writes it into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Pair {
        let file = |ending: &str| folder.join(format!("{}.{ending}", self.serial));
        let (cert, key) = (file("crt"), file("key"));
        fs::write(&cert, self.cert.pem()).unwrap();
        fs::write(&key, self.key.serialize_pem()).unwrap();
        Pair { cert, key }
    }
}

/// What an agent says to whoever asks.
type Said = Result<X509SvidResponse, Status>;

/// An agent, until it is dropped.
pub(crate) struct Agent {
    say: watch::Sender<Said>,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Agent {
    /// Serves at the socket, and says this.
    pub(crate) fn start(socket: &Path, said: impl Into<Said>) -> Self {
        Self::start_with(socket, said, None)
    }

    /// The same, and says this next to whoever asks.
    pub(crate) fn start_with(
        socket: &Path,
        said: impl Into<Said>,
        next: Option<X509SvidResponse>,
    ) -> Self {
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let (say, said) = watch::channel(said.into());
        let asked = Arc::<AtomicUsize>::default();
        let api = Api {
            said,
            next,
            asked: asked.clone(),
        };
        let incoming = stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _)| stream), listener))
        });
        let serving = Server::builder()
            .add_service(api)
            .serve_with_incoming(incoming);
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            say,
            asked,
            serving,
        }
    }

    /// Says something else from now on, to those who listen too.
    pub(crate) fn say(&self, said: impl Into<Said>) {
        let _ = self.say.send(said.into());
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl From<X509SvidResponse> for Said {
    fn from(said: X509SvidResponse) -> Self {
        Ok(said)
    }
}

#[derive(Clone)]
struct Api {
    said: watch::Receiver<Said>,
    next: Option<X509SvidResponse>,
    asked: Arc<AtomicUsize>,
}

impl NamedService for Api {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for Api {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move {
            assert_eq!(request.uri().path(), "/SpiffeWorkloadAPI/FetchX509SVID");
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.server_streaming(Fetch(api), request).await)
        })
    }
}

/// The method.
struct Fetch(Api);

impl Service<Request<X509SvidRequest>> for Fetch {
    type Response = Response<Pin<Box<dyn Stream<Item = Said> + Send>>>;
    type Error = Status;
    type Future = BoxFuture<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<X509SvidRequest>) -> Self::Future {
        let Api {
            mut said,
            next,
            asked,
        } = self.0.clone();
        Box::pin(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            let header = request.metadata().get("workload.spiffe.io");
            if header.is_none_or(|header| header != "true") {
                return Err(Status::invalid_argument("security header missing"));
            }
            let first = said.borrow_and_update().clone()?;
            let first = stream::iter([Ok(first)]).chain(stream::iter(next.map(Ok)));
            let said = stream::unfold(said, |mut said| async {
                said.changed().await.ok()?;
                let now = said.borrow_and_update().clone();
                Some((now, said))
            });
            Ok(Response::new(first.chain(said).boxed() as _))
        })
    }
}
