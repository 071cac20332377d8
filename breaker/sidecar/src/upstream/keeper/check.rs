//! Health checks: each endpoint is asked over a connection of its own.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::EndpointId;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::causes;
use crate::sockets::Stream;
use crate::tls::{Alpn, Client};
use crate::upstream::connect::{Connected, Way, connect};
use crate::upstream::directory::{Directory, Question};
use crate::upstream::instances::{Instance, InstanceSet};
use crate::upstream::{Check, Endpoint, HealthCheck, Protocol, Upstream};

/// Checks the endpoints of `upstream`; for ever.
pub(super) async fn run(upstream: &Arc<Upstream>, set: &Arc<InstanceSet>, directory: &Directory) {
    let Some(health) = &upstream.health else {
        return pending().await;
    };
    let mut checking = JoinSet::new();
    let mut tasks: HashMap<EndpointId, AbortHandle> = HashMap::new();
    loop {
        let (current, version) = set.current();
        // Those that stay go on: else a set that changes all the time would never be checked.
        tasks.retain(|id, task| {
            let stays = current.instance(*id).is_some();
            if !stays {
                task.abort();
            }
            stays
        });
        for instance in &current.instances {
            tasks.entry(instance.id).or_insert_with(|| {
                let (upstream, directory) = (upstream.clone(), directory.clone());
                let (set, instance) = (set.clone(), instance.clone());
                checking.spawn(async move { check(&upstream, &set, &instance, &directory).await })
            });
        }
        while set.version() == version {
            sleep(LOOK.min(health.interval)).await;
        }
        while checking.try_join_next().is_some() {}
    }
}

/// Checks one endpoint; for ever.
async fn check(upstream: &Upstream, set: &InstanceSet, it: &Instance, directory: &Directory) {
    let Some(health) = &upstream.health else {
        return;
    };
    let name = match &it.endpoint {
        Endpoint::Name(host, _) => Some(directory.follow(&Question::Host(host.clone()))),
        _ => None,
    };
    // Not its address, where it was found by name.
    let configured = upstream.endpoints.get(it.position).unwrap_or(&it.endpoint);
    let server_name = configured.server_name();
    let mut jitter = it.id.0;
    // A new endpoint is checked at once, but many are not checked at the same time.
    let mut pause = |is_first| {
        jitter = jitter.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let part = (jitter >> 40) as f64 / (1_u64 << 24) as f64;
        match is_first {
            true => health.interval.min(FIRST).mul_f64(part),
            // ± 20 %, so that the endpoints, and the sidecars, do not check in step.
            false => health.interval.mul_f64(0.8 + 0.4 * part),
        }
    };
    let mut is_first = true;
    loop {
        sleep(pause(std::mem::take(&mut is_first))).await;
        // Without an identity of ours, nothing is known of the endpoint.
        let lacks_identity = upstream.tls.as_ref().is_some_and(Client::lacks_identity);
        if lacks_identity || set.unused_for() >= UNUSED {
            continue;
        }
        let way = Way {
            endpoint: &it.endpoint,
            name: name.as_ref(),
            turn: 0,
            tcp_keepalive: None,
            tls: upstream.tls.as_ref(),
            server_name: server_name.as_ref(),
        };
        let asking = async {
            let connected = connect(&way, offered(upstream, health), health.timeout).await;
            let connected = connected.map_err(CheckFailed::new)?;
            ask(upstream, health, &it.endpoint, connected).await
        };
        let asked = timeout(health.timeout, asking).await;
        let asked = asked.unwrap_or(Err(CheckFailed::Late));
        if let Err(why) = &asked {
            let (upstream, endpoint) = (&upstream.name, &it.endpoint);
            tracing::debug!(upstream, %endpoint, %why, "health check failed");
        }
        let now = set.now();
        set.state().checked(it.id, asked.is_ok(), now);
    }
}

/// Asks once.
async fn ask(
    upstream: &Upstream,
    health: &HealthCheck,
    endpoint: &Endpoint,
    connected: Connected,
) -> Result<(), CheckFailed> {
    let Connected { stream, chosen } = connected;
    let stream = TokioIo::new(stream);
    let path = match &health.check {
        Check::Http(path) => path,
        Check::Grpc(service) => return ask_grpc(service, endpoint, stream).await,
    };
    let authority = endpoint.authority();
    let by_http2 = match chosen {
        Some(chosen) => chosen == Alpn::Http2,
        None => upstream.protocol == Protocol::H2c,
    };
    let scheme = upstream.tls.as_ref().map_or("http", |_| "https");
    let request = match by_http2 {
        true => Request::get(format!("{scheme}://{authority}{path}")),
        false => Request::get(path.as_str()).header(header::HOST, &authority),
    };
    let request = request
        .header(header::USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new());
    let request = request.map_err(CheckFailed::new)?;
    // The connection is driven here, and ends with the answer.
    let status = if by_http2 {
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (mut sender, connection) = handshake.map_err(CheckFailed::new)?;
        drive(connection, sender.send_request(request)).await
    } else {
        let handshake = http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(CheckFailed::new)?;
        drive(connection, sender.send_request(request)).await
    };
    match status.map_err(CheckFailed::new)? {
        status if status.is_success() => Ok(()),
        status => Err(CheckFailed::Status(status)),
    }
}

/// What a check can be spoken over in TLS.
fn offered(upstream: &Upstream, health: &HealthCheck) -> &'static [Alpn] {
    match (&health.check, upstream.protocol) {
        (Check::Grpc(_), _) | (_, Protocol::H2c) => &[Alpn::Http2],
        (_, Protocol::Http1) => &[Alpn::Http1],
        (_, Protocol::Auto) => &[Alpn::Http2, Alpn::Http1],
    }
}

async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    sent: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> hyper::Result<StatusCode> {
    let (mut connection, mut sent) = (pin!(connection), pin!(sent));
    let answered = tokio::select! {
        answered = &mut sent => answered,
        // Its end is told to who asks.
        _ = &mut connection => sent.await,
    };
    answered.map(|response| response.status())
}

async fn ask_grpc(
    service: &str,
    endpoint: &Endpoint,
    stream: TokioIo<Stream>,
) -> Result<(), CheckFailed> {
    let uri = format!("http://{}", endpoint.authority());
    let channel = Channel::from_shared(uri).map_err(CheckFailed::new)?;
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        // It is asked for once: there is one call.
        let stream = stream.take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = channel.connect_with_connector(connector).await;
    let channel = channel.map_err(CheckFailed::new)?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(CheckFailed::new)?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(CheckFailed::Serving(other)),
    }
}

/// Why an endpoint did not pass a check.
#[derive(Debug, thiserror::Error)]
enum CheckFailed {
    #[error("no answer in time")]
    Late,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("health status {}", .0.as_str_name())]
    Serving(ServingStatus),
    #[error("{}", causes::in_full(&**.0))]
    Unanswered(Box<dyn Error + Send + Sync>),
}

impl CheckFailed {
    fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Unanswered(Box::new(error))
    }
}

const AGENT: &str = concat!("breaker/", env!("CARGO_PKG_VERSION"), " (health check)");
/// How long an upstream without requests is still checked.
const UNUSED: Duration = Duration::from_secs(300);
/// Within what time new endpoints are checked.
const FIRST: Duration = Duration::from_secs(1);
/// How soon other endpoints are noticed.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
