//! Three tonic servers, each of which calls the next one through a breaker.

use std::error::Error;
use std::pin::Pin;

use breaker_tower::{BreakerHandle, BreakerLayer, BreakerService, Mode, Policy, State, rejection};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Layer;

type Client = HealthClient<BreakerService<Channel>>;

/// Answers as the next tier does.
#[derive(Clone)]
struct Tier(Option<Client>);

type Watching =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Tier {
    type WatchStream = Watching;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.0.clone() {
            Some(mut next) => next.check(request.into_inner()).await,
            None => Ok(Response::new(HealthCheckResponse::default())),
        }
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Watching>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

#[tokio::test]
async fn a_rejection_that_two_tiers_pass_on_is_counted_by_none() {
    let mut breakers = Vec::new();
    let mut next = None;
    for tier in ["c", "b", "a"] {
        let server = BreakerHandle::new(tier, Policy::sensitive());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder()
            .layer(BreakerLayer::server(server.clone()))
            .add_service(HealthServer::new(Tier(next)))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        let breaker = BreakerHandle::new("next", Policy::sensitive());
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = BreakerLayer::new(breaker.clone()).layer(channel.connect_lazy());
        next = Some(HealthClient::new(channel));
        breakers.extend([server, breaker]);
    }
    let mut client = next.unwrap();
    client.check(HealthCheckRequest::default()).await.unwrap();
    // Of tier b, which calls tier c.
    breakers.remove(1).force(Mode::ForcedOpen);
    // Tier c is not called any more.
    breakers.remove(0);
    for _ in 0..200 {
        let status = client.check(HealthCheckRequest::default()).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
        // It came over the network.
        assert!(rejection(&status).is_none());
    }
    assert_eq!(breakers.len(), 4);
    for breaker in breakers {
        let totals = breaker.snapshot().totals;
        assert_eq!(breaker.state(), State::Closed, "{breaker:?}");
        let counted = (totals.success, totals.ignored, totals.failure);
        assert_eq!(counted, (1, 200, 0), "{breaker:?}");
    }
}

#[tokio::test]
async fn a_rejected_call_is_unavailable_and_says_why() {
    let breaker = BreakerHandle::new("health", Policy::sensitive());
    breaker.force(Mode::ForcedOpen);
    let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let mut client = HealthClient::new(BreakerLayer::new(breaker).layer(channel));
    let status = client
        .check(HealthCheckRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let rejected = rejection(&status).unwrap();
    assert_eq!(rejected.state, State::Open);
    assert_eq!(status.message(), rejected.to_string());
    assert!(status.source().is_some());
}
