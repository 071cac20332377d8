//! The service `breaker.v1.Control`, with server reflection and health.

mod convert;

use std::pin::Pin;

use axum::Router;
use breaker_proto::v1;
use breaker_proto::v1::control_server::{Control as Service, ControlServer, SERVICE_NAME};
use breaker_proto::v1::put_policy_request::Policy as Chosen;
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tonic_reflection::server::Builder as Reflection;

use super::aside::aside;
use super::policy::Choice;
use super::problem::Problem;
use super::readiness::Readiness;
use super::service::Control;
use crate::live::{Update, Watcher};
use crate::sockets::Peer;

/// The paths of the service's methods begin so.
pub(super) const PREFIX: &str = "/breaker.v1.Control/";

/// The paths of the methods that change nothing; whatever is not among them needs the token.
pub(super) const READS: [&str; 8] = [
    "/breaker.v1.Control/GetStatus",
    "/breaker.v1.Control/ListBreakers",
    "/breaker.v1.Control/GetBreaker",
    "/breaker.v1.Control/WatchBreakers",
    "/breaker.v1.Control/GetPolicy",
    "/breaker.v1.Control/ListUpstreams",
    "/breaker.v1.Control/GetUpstream",
    "/breaker.v1.Control/GetFleet",
];

/// The service.
pub(super) fn router(control: Control) -> Router {
    let service = ControlServer::new(Grpc(control)).max_decoding_message_size(MAX_MESSAGE);
    Router::new().route_service("/breaker.v1.Control/{method}", service)
}

/// What tells about services: reflection and health, which change nothing.
pub(super) fn about(readiness: Readiness) -> Router {
    let described = || {
        Reflection::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Clients that are older than the first version ask for the draft of it.
    let reflection = described().build_v1().expect(DESCRIBED);
    let draft = described().build_v1alpha().expect(DESCRIBED);
    let (reporter, health) = health_reporter();
    tokio::spawn(follow(reporter, readiness));
    Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", reflection)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", draft)
        .route_service("/grpc.health.v1.Health/{method}", health)
}

/// Health of the whole is whether the proxy takes traffic; the service itself is there as long as
/// its port.
async fn follow(reporter: HealthReporter, readiness: Readiness) {
    reporter
        .set_service_status(SERVICE_NAME, ServingStatus::Serving)
        .await;
    let mut changes = readiness.subscribe();
    loop {
        let status = match readiness.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The service `breaker.v1.Control`.
struct Grpc(Control);

#[tonic::async_trait]
impl Service for Grpc {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::Status>, Status> {
        Ok(Response::new(self.0.status().into()))
    }

    async fn list_breakers(
        &self,
        _: Request<v1::ListBreakersRequest>,
    ) -> Result<Response<v1::ListBreakersResponse>, Status> {
        let control = self.0.clone();
        let made = aside(move || {
            let breakers = control.breakers().breakers;
            breakers.iter().map(v1::Breaker::from).collect()
        });
        let breakers = made.await.map_err(|_| Status::internal("no list"))?;
        Ok(Response::new(v1::ListBreakersResponse { breakers }))
    }

    async fn get_breaker(
        &self,
        request: Request<v1::GetBreakerRequest>,
    ) -> Result<Response<v1::Breaker>, Status> {
        answer(self.0.breaker(&request.get_ref().name))
    }

    async fn list_upstreams(
        &self,
        _: Request<v1::ListUpstreamsRequest>,
    ) -> Result<Response<v1::ListUpstreamsResponse>, Status> {
        let control = self.0.clone();
        let made = aside(move || {
            let upstreams = control.upstreams().upstreams;
            upstreams.into_iter().map(v1::Upstream::from).collect()
        });
        let upstreams = made.await.map_err(|_| Status::internal("no list"))?;
        Ok(Response::new(v1::ListUpstreamsResponse { upstreams }))
    }

    async fn get_upstream(
        &self,
        request: Request<v1::GetUpstreamRequest>,
    ) -> Result<Response<v1::Upstream>, Status> {
        answer(self.0.upstream(&request.get_ref().name))
    }

    async fn get_fleet(
        &self,
        _: Request<v1::GetFleetRequest>,
    ) -> Result<Response<v1::FleetPage>, Status> {
        answer(self.0.fleet().await)
    }

    async fn eject_endpoint(
        &self,
        request: Request<v1::EjectEndpointRequest>,
    ) -> Result<Response<v1::Upstream>, Status> {
        let peer = peer(&request);
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.upstream);
        answer(self.0.eject(peer, &name, &request.into()))
    }

    async fn admit_endpoint(
        &self,
        request: Request<v1::AdmitEndpointRequest>,
    ) -> Result<Response<v1::Upstream>, Status> {
        let peer = peer(&request);
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.upstream);
        answer(self.0.admit(peer, &name, &request.into()))
    }

    type WatchBreakersStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchBreakersResponse, Status>> + Send>>;

    async fn watch_breakers(
        &self,
        _: Request<v1::WatchBreakersRequest>,
    ) -> Result<Response<Self::WatchBreakersStream>, Status> {
        let watcher = self.0.watch();
        let watcher = watcher.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        Ok(Response::new(Box::pin(updates(watcher, self.0.clone()))))
    }

    async fn set_mode(
        &self,
        request: Request<v1::SetModeRequest>,
    ) -> Result<Response<v1::Breaker>, Status> {
        let peer = peer(&request);
        let wanted = request.get_ref();
        let mode = convert::mode(wanted.mode())
            .ok_or_else(|| Problem::of_field("mode", "must be said").into_status())?;
        answer(self.0.set_mode(
            peer,
            &wanted.name,
            mode,
            wanted.for_seconds,
            wanted.reason.as_deref(),
        ))
    }

    async fn set_panic(
        &self,
        request: Request<v1::SetPanicRequest>,
    ) -> Result<Response<v1::Status>, Status> {
        let peer = peer(&request);
        let wanted = request.get_ref();
        let reason = wanted.reason.as_deref();
        answer(
            self.0
                .set_panic(peer, wanted.on, wanted.for_seconds, reason),
        )
    }

    async fn reset_breaker(
        &self,
        request: Request<v1::ResetBreakerRequest>,
    ) -> Result<Response<v1::Breaker>, Status> {
        answer(self.0.reset(peer(&request), &request.get_ref().name))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        answer(self.0.policy(&request.get_ref().name))
    }

    async fn put_policy(
        &self,
        request: Request<v1::PutPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        let peer = peer(&request);
        let v1::PutPolicyRequest { name, policy } = request.into_inner();
        let choice = match policy {
            Some(Chosen::Yaml(text)) => Choice::Yaml(text),
            Some(Chosen::PolicyName(name)) => Choice::Name(name),
            None => return Err(Problem::of_field("policy", "must be said").into_status()),
        };
        answer(self.0.put_policy(peer, &name, &choice))
    }

    async fn delete_policy(
        &self,
        request: Request<v1::DeletePolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        answer(
            self.0
                .delete_policy(peer(&request), &request.get_ref().name),
        )
    }

    async fn reload_configuration(
        &self,
        request: Request<v1::ReloadConfigurationRequest>,
    ) -> Result<Response<v1::ReloadConfigurationResponse>, Status> {
        match self.0.reload(peer(&request)).await {
            Ok(reloaded) => Ok(Response::new(reloaded.into())),
            // The request was good: it is the file that must change.
            Err(problem) if problem.status == 422 => {
                Err(Status::failed_precondition(problem.detail))
            }
            Err(problem) => Err(problem.into_status()),
        }
    }
}

/// What a watcher is told, for as long as the caller takes it.
fn updates(
    watcher: Watcher,
    control: Control,
) -> impl Stream<Item = Result<v1::WatchBreakersResponse, Status>> {
    stream::unfold((watcher, control), |(mut watcher, control)| async {
        let response = match watcher.next().await? {
            Update::All(reading) => {
                let made = aside(move || v1::WatchBreakersResponse {
                    time: reading.t,
                    breakers: reading.breakers.iter().map(v1::Breaker::from).collect(),
                    event: None,
                    all: true,
                });
                made.await.ok()?
            }
            Update::Changes(reading) => {
                let made = aside(move || v1::WatchBreakersResponse {
                    time: reading.t,
                    breakers: reading.changed().map(v1::Breaker::from).collect(),
                    event: None,
                    all: false,
                });
                made.await.ok()?
            }
            Update::Event(event) => v1::WatchBreakersResponse {
                time: event.t,
                // Until the next reading, it may have changed again.
                breakers: (event.breaker.as_deref())
                    .and_then(|name| control.breaker(name).ok())
                    .map(v1::Breaker::from)
                    .into_iter()
                    .collect(),
                event: Some((&*event).into()),
                all: false,
            },
        };
        Some((Ok(response), (watcher, control)))
    })
}

fn answer<T, U: From<T>>(result: Result<T, Problem>) -> Result<Response<U>, Status> {
    match result {
        Ok(answer) => Ok(Response::new(answer.into())),
        Err(problem) => Err(problem.into_status()),
    }
}

fn peer<T>(request: &Request<T>) -> Option<Peer> {
    request.extensions().get().copied()
}

/// A policy may have 1 MiB.
const MAX_MESSAGE: usize = 1024 * 1024 + 1024;
const DESCRIBED: &str = "descriptors that are checked in";
