//! Envoy's external authorization by gRPC: Envoy asks before it sends a request on, and answers its
//! client as it is told.

mod messages;
#[cfg(test)]
mod tests;

use std::future::{Ready, ready};
use std::time::Duration;

use axum::extract::{Request, State};
use breaker_tower::{Rejected, is_grpc};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use tokio::time;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use self::messages::{
    CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpResponse,
    HttpStatus, OVERWRITE, OkHttpResponse, RpcStatus,
};
use crate::control::AdminState;
use crate::proxy::respond;
use crate::registry::{RegisteredBreaker, Registry};

/// The path of the method.
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Answers a check.
pub(super) async fn check(
    State(state): State<AdminState>,
    request: Request,
) -> Response<tonic::body::Body> {
    let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE);
    let answer = grpc.unary(Authorization(state.registry), request);
    time::timeout(TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Status::deadline_exceeded("the check did not arrive").into_http())
}

/// The service `envoy.service.auth.v3.Authorization`.
struct Authorization(Registry);

impl UnaryService<CheckRequest> for Authorization {
    type Response = CheckResponse;
    type Future = Ready<Result<tonic::Response<CheckResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let verdict = self
            .breaker(&request)
            .map(|entry| match entry.breaker().check() {
                Ok(()) => allowed(),
                Err(rejected) => denied(entry.name(), &rejected, is_call(request.get_ref())),
            });
        ready(verdict.map(tonic::Response::new))
    }
}

impl Authorization {
    /// The breaker that the route names, else the listener, else the only one there is. Never one
    /// that Envoy's client could choose.
    fn breaker(&self, request: &tonic::Request<CheckRequest>) -> Result<RegisteredBreaker, Status> {
        let attributes = request.get_ref().attributes.as_ref();
        let of_route = attributes.and_then(|all| all.context_extensions.get("breaker"));
        let name = match (of_route, request.metadata().get("x-breaker")) {
            (Some(name), _) => name,
            (None, Some(name)) => name
                .to_str()
                .map_err(|_| Status::invalid_argument("x-breaker is not text"))?,
            (None, None) => {
                let entries = self.0.list();
                let mut of_routes = entries.iter().filter(|entry| !entry.is_stand_in());
                return match (of_routes.next(), of_routes.next()) {
                    (Some(only), None) => Ok(only.clone()),
                    _ => Err(Status::invalid_argument(
                        "there are several breakers: name one by context_extensions or x-breaker",
                    )),
                };
            }
        };
        self.0
            .find(name)
            .map_err(|unknown| Status::not_found(unknown.to_string()))
    }
}

/// Whether the request that is to be sent is a gRPC call.
fn is_call(request: &CheckRequest) -> bool {
    let attributes = request.attributes.as_ref();
    let request = attributes.and_then(|all| all.request.as_ref()?.http.as_ref());
    request
        .and_then(|http| http.headers.get("content-type"))
        .is_some_and(|media_type| is_grpc(media_type.as_bytes()))
}

fn allowed() -> CheckResponse {
    CheckResponse {
        status: Some(RpcStatus::default()),
        http_response: Some(HttpResponse::Ok(OkHttpResponse {})),
    }
}

/// What Envoy tells its client. Of the answer to a gRPC call Envoy makes status and message itself,
/// from the HTTP status and the body.
fn denied(breaker: &str, rejected: &Rejected, is_call: bool) -> CheckResponse {
    let detail = respond::detail(breaker, rejected);
    let (status, headers, body) = if is_call {
        let (mut head, _) = respond::rejected_call(breaker, rejected).into_parts();
        for envoys_own in [CONTENT_TYPE, respond::GRPC_STATUS, respond::GRPC_MESSAGE] {
            head.headers.remove(envoys_own);
        }
        (
            StatusCode::SERVICE_UNAVAILABLE,
            head.headers,
            detail.clone(),
        )
    } else {
        let answer = respond::rejected_request(breaker, rejected, None);
        let (head, body) = answer.into_parts();
        let body = String::from_utf8_lossy(&body).into_owned();
        (head.status, head.headers, body)
    };
    let headers = headers.iter().map(|(name, value)| HeaderValueOption {
        header: Some(HeaderValue {
            key: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        }),
        append_action: OVERWRITE,
    });
    CheckResponse {
        status: Some(RpcStatus {
            code: Code::Unavailable.into(),
            message: detail,
        }),
        http_response: Some(HttpResponse::Denied(DeniedHttpResponse {
            status: Some(HttpStatus {
                code: status.as_u16().into(),
            }),
            headers: headers.collect(),
            body,
        })),
    }
}

/// A check is the head of a request, which Envoy takes up to 60 KiB of by default, and its body
/// only if Envoy is told to send it.
const MAX_MESSAGE: usize = 128 * 1024;
/// How long a check may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);
