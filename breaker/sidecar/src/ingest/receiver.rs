//! Listeners for OTLP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::batch::Sampler;
use super::connection::{self, Port};
use super::forward::{Forwarder, Marker, Targets};
use super::guard::Guard;
use super::intake::Handler;
#[cfg(feature = "kafka")]
use super::kafka::{self, KafkaStats};
use super::settings::ReceiverSettings;
use super::stats::Stats;
use crate::accept::Acceptor;
use crate::collector::OtlpError;
use crate::tls::{Server, UnderWay};

/// Listeners for OTLP that are bound, and don't serve yet.
#[derive(Debug)]
pub struct Receiver {
    listeners: Vec<std::net::TcpListener>,
    addresses: Addresses,
    settings: ReceiverSettings,
    targets: Option<Targets>,
    stats: Arc<Stats>,
    marker: Marker,
    #[cfg(feature = "kafka")]
    kafka: Arc<KafkaStats>,
}

/// Where a receiver listens: the ports that were chosen, where port 0 was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where OTLP/gRPC is expected.
    pub grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is expected.
    pub http: Option<SocketAddr>,
}

/// Why telemetry can't be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] InvalidField),
    /// An address can't be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS to the forward target can't be set up.
    #[error(transparent)]
    Tls(#[from] OtlpError),
}

// === impl Receiver ===

impl Receiver {
    /// Binds the listeners. Needs no runtime; connections wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Fails if the settings make no sense, an address is taken, or a certificate can't be used.
    pub fn bind(settings: ReceiverSettings) -> Result<Self, ReceiverError> {
        settings.check()?;
        let targets = settings.forward.as_ref().map(Targets::new).transpose()?;
        let mut listeners = Vec::new();
        let mut listen = |address| {
            let failed = |source| ReceiverError::Listen { address, source };
            let listener = std::net::TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            listeners.push(listener);
            Ok::<_, ReceiverError>(bound)
        };
        let grpc = settings.grpc.map(&mut listen).transpose()?;
        let http = match settings.http {
            same if same == settings.grpc => grpc,
            other => other.map(listen).transpose()?,
        };
        Ok(Self {
            listeners,
            addresses: Addresses { grpc, http },
            settings,
            targets,
            stats: Arc::default(),
            marker: Marker::draw(),
            #[cfg(feature = "kafka")]
            kafka: Arc::default(),
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What it counts; to be read at any time.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// How the reading of topics of Kafka fares, if any are read.
    #[cfg(feature = "kafka")]
    pub fn kafka(&self) -> Option<Arc<KafkaStats>> {
        let is_read = self.settings.kafka.is_some();
        is_read.then(|| self.kafka.clone())
    }

    /// The field by which this process knows what it sent itself: what carries it is not taken in.
    /// For the headers of the export.
    pub fn marker(&self) -> (HeaderName, HeaderValue) {
        self.marker.field()
    }

    /// Receives until `shutdown`, lets requests under way finish for a moment, and tries for a
    /// bounded time to send on what waits, and to leave the group of Kafka. Dropped, it ends at
    /// once.
    ///
    /// # Errors
    ///
    /// Fails if the runtime can't take the listeners: at the start, or never.
    pub async fn run(
        self,
        sampler: Arc<dyn Sampler>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let listeners = self.listeners.into_iter().map(TcpListener::from_std);
        let listeners: Vec<_> = listeners.collect::<io::Result<_>>()?;
        let mut senders = None;
        let forwarder = self
            .targets
            .zip(self.settings.forward)
            .map(|(targets, forward)| {
                let (forwarder, tasks) =
                    Forwarder::start(targets, &forward, &self.stats, &self.marker);
                senders = Some((forwarder.clone(), tasks, forward.flush));
                forwarder
            });
        let limits = self.settings.limits;
        let (connections, grace) = (limits.connections, limits.grace);
        let guard = Guard::new(self.settings.cors);
        let intake = Handler::new(sampler, forwarder, limits, self.stats, self.marker, guard);
        let intake = Arc::new(intake);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let ports = ports_of(&listeners, &intake, self.settings.tls);
        let places = Arc::new(Semaphore::new(connections));
        for (listener, port) in listeners.into_iter().zip(ports) {
            tasks.spawn(listen(listener, port, places.clone(), stopping.clone()));
        }
        #[cfg_attr(
            not(feature = "kafka"),
            expect(unused_mut, reason = "only Kafka has members")
        )]
        let mut members = JoinSet::<()>::new();
        #[cfg(feature = "kafka")]
        if let Some(kafka) = self.settings.kafka {
            let (intake, stopping) = (intake.clone(), stopping.clone());
            members.spawn(kafka::read(kafka, intake, self.kafka, stopping));
        }
        drop((intake, stopping));

        shutdown.await;
        stop.send_replace(true);
        let served = async {
            // A moment more than what each connection gives itself.
            ended(tasks, grace + Duration::from_millis(100)).await;
            if let Some((forwarder, tasks, flush)) = senders {
                forwarder.finish(tasks, flush).await;
            }
        };
        tokio::join!(served, ended(members, LEAVING));
        Ok(())
    }
}

/// Waits for `tasks`. What has not ended `within` this time takes nothing more in.
async fn ended(mut tasks: JoinSet<()>, within: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    timeout(within, all).await.ok();
}

/// What each listener's connections need.
fn ports_of(listeners: &[TcpListener], intake: &Arc<Handler>, tls: Option<Server>) -> Vec<Port> {
    let secured = tls.map(|tls| (tls, UnderWay::default()));
    let ports = listeners.iter().map(|listener| Port {
        intake: intake.clone(),
        is_loopback: listener
            .local_addr()
            .is_ok_and(|address| address.ip().is_loopback()),
        secured: secured.clone(),
    });
    ports.collect()
}

/// Takes connections from one listener until `stopping`, then waits for their end.
async fn listen(
    listener: TcpListener,
    port: Port,
    places: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new(&listener, "telemetry");
    loop {
        let accepted = async {
            // Beyond the limit, senders wait in the kernel's queue.
            let place = places.clone().acquire_owned().await;
            (place, acceptor.next().await)
        };
        let (place, (stream, _)) = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        let served = connection::serve(port.clone(), stream.into(), stopping.clone());
        connections.spawn(async move {
            let _place = place;
            served.await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// For what a member of a group asks of its broker at the end: to take what it has read, and to let
/// it go. Without that, others read the last second again, and its partitions wait.
const LEAVING: Duration = Duration::from_secs(5);
