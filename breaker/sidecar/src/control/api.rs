//! The resources as JSON, under `/api/v1`.

use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aside;
use super::body;
use super::openapi;
use super::operation::{self, Content, Operation, Parameter};
use super::policy::{Choice, Policy};
use super::problem::Problem;
use super::service::Control;
use super::status::{Reloaded, Status};
use super::upstreams::{Admit, Eject};
use super::watch;
use crate::control::explain::Explanation;
use crate::live::History;
use crate::report::{Breaker, Breakers, FleetPage, Mode, Upstream, Upstreams};
use crate::sockets::Peer;

/// A mode that is to be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// Who decides from now on.
    pub mode: Mode,
    /// For how many seconds, 0.1 to 604800; then the policy decides again. For good when it is left
    /// out.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub period: Option<f64>,
    /// Why, 1 to 256 characters: for the log, the collector and who watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether all routes are forced closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPanic {
    /// Whether they are from now on.
    pub on: bool,
    /// For how many seconds, 0.1 to 604800; until it is ended when it is left out.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub period: Option<f64>,
    /// Why, 1 to 256 characters: for the log, the collector and who watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The routes of the API.
pub(super) fn router() -> Router<Control> {
    let document = openapi::document(&operations());
    operation::router(operations())
        .route("/api/v1/openapi.json", get(async || Json(document)))
        // As other proxies have it.
        .route("/reload", post(reload))
        .route("/api/v1/{*path}", axum::routing::any(no_such_resource))
        .method_not_allowed_fallback(wrong_method)
}

/// What the document tells of; beside it, there is the document.
fn operations() -> Vec<Operation<Control>> {
    let breaker = || Content::json::<Breaker>();
    let policy_of = || Content::json::<Policy>();
    let upstream = || Content::json::<Upstream>();
    vec![
        Operation::new(
            Method::GET,
            "/api/v1/status",
            "getStatus",
            "What the sidecar is, and which configuration it follows.",
            Content::json::<Status>(),
            get(status),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/breakers",
            "listBreakers",
            "All breakers, in the order of the configuration.",
            Content::json::<Breakers>(),
            get(breakers),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/breakers/{name}",
            "getBreaker",
            "One breaker.",
            breaker(),
            get(self::breaker),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/breakers/{name}/explanation",
            "getExplanation",
            "What a breaker believes, and what would open or close it, in words.",
            Content::json::<Explanation>(),
            get(explanation),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/breakers/{name}/history",
            "getHistory",
            "The last five minutes of a breaker, a point a second, and its last events.",
            Content::json::<History>(),
            get(watch::history),
        )
        .asked(&HISTORY),
        Operation::new(
            Method::GET,
            "/api/v1/upstreams",
            "listUpstreams",
            "All upstreams with their endpoints.",
            Content::json::<Upstreams>(),
            get(upstreams),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/upstreams/{name}",
            "getUpstream",
            "One upstream with its endpoints.",
            upstream(),
            get(self::upstream),
        ),
        Operation::new(
            Method::POST,
            "/api/v1/upstreams/{name}/eject",
            "ejectEndpoint",
            "Lets an endpoint get no requests for a while, as long as others are in.",
            upstream(),
            post(eject),
        )
        .taking([Content::json::<Eject>()]),
        Operation::new(
            Method::POST,
            "/api/v1/upstreams/{name}/admit",
            "admitEndpoint",
            "Lets an endpoint get requests again, whatever it is out for.",
            upstream(),
            post(admit),
        )
        .taking([Content::json::<Admit>()]),
        Operation::new(
            Method::GET,
            "/api/v1/fleet",
            "getFleet",
            "The fleet as this sidecar sees it, and one page over all members. 404 where there is none.",
            Content::json::<FleetPage>(),
            get(fleet),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/watch",
            "watch",
            "Server-sent events: `snapshot` with all breakers at once, `changes` each second with those that are other than before, `event` as something happens.",
            Content::text("text/event-stream"),
            get(watch::watch),
        ),
        Operation::new(
            Method::PUT,
            "/api/v1/breakers/{name}/mode",
            "setMode",
            "Sets who decides, for good or for a while.",
            breaker(),
            put(set_mode),
        )
        .taking([Content::json::<SetMode>()]),
        Operation::new(
            Method::PUT,
            "/api/v1/panic",
            "setPanic",
            "Forces all routes closed at once, those of later reloads too; or gives each its mode again.",
            Content::json::<Status>(),
            put(set_panic),
        )
        .taking([Content::json::<SetPanic>()]),
        Operation::new(
            Method::POST,
            "/api/v1/breakers/{name}/reset",
            "resetBreaker",
            "Closes the breaker, and makes it forget its windows, its back-off and what its detectors have learned.",
            breaker(),
            post(reset),
        ),
        Operation::new(
            Method::GET,
            "/api/v1/breakers/{name}/policy",
            "getPolicy",
            "The policy that is in force.",
            policy_of(),
            get(policy),
        ),
        Operation::new(
            Method::PUT,
            "/api/v1/breakers/{name}/policy",
            "putPolicy",
            "Puts a policy in the place of the configuration's, until it is deleted. The breaker keeps its state.",
            policy_of(),
            put(put_policy),
        )
        .taking([Content::text("application/yaml"), Content::json::<Choice>()]),
        Operation::new(
            Method::DELETE,
            "/api/v1/breakers/{name}/policy",
            "deletePolicy",
            "Goes back to the configuration's policy.",
            policy_of(),
            delete(delete_policy),
        ),
        Operation::new(
            Method::POST,
            "/api/v1/reload",
            "reload",
            "Loads the configuration anew. One that breaks a rule is refused, and the one in force stays.",
            Content::json::<Reloaded>(),
            post(reload),
        ),
    ]
}

type Answer<T> = Result<Json<T>, Problem>;
/// Absent only where no connection is.
type Caller = Option<Extension<Peer>>;

async fn status(State(control): State<Control>) -> Json<Status> {
    Json(control.status())
}

async fn breakers(State(control): State<Control>) -> Response {
    aside::json(move || control.breakers()).await
}

async fn breaker(State(control): State<Control>, Path(name): Path<String>) -> Answer<Breaker> {
    control.breaker(&name).map(Json)
}

async fn set_mode(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
    request: Request,
) -> Answer<Breaker> {
    // A name that is not there says more than what may be wrong with the body.
    control.breaker(&name)?;
    let wanted: SetMode = body::json(request.into_body()).await?;
    let mode = wanted.mode.into();
    control
        .set_mode(
            peer(from),
            &name,
            mode,
            wanted.period,
            wanted.reason.as_deref(),
        )
        .map(Json)
}

async fn set_panic(
    State(control): State<Control>,
    from: Caller,
    request: Request,
) -> Answer<Status> {
    let wanted: SetPanic = body::json(request.into_body()).await?;
    let (on, period, reason) = (wanted.on, wanted.period, wanted.reason.as_deref());
    control.set_panic(peer(from), on, period, reason).map(Json)
}

async fn reset(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
) -> Answer<Breaker> {
    control.reset(peer(from), &name).map(Json)
}

async fn policy(State(control): State<Control>, Path(name): Path<String>) -> Answer<Policy> {
    control.policy(&name).map(Json)
}

async fn put_policy(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
    request: Request,
) -> Answer<Policy> {
    control.breaker(&name)?;
    let choice = body::policy(request).await?;
    control.put_policy(peer(from), &name, &choice).map(Json)
}

async fn delete_policy(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
) -> Answer<Policy> {
    control.delete_policy(peer(from), &name).map(Json)
}

async fn explanation(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Answer<Explanation> {
    control.explanation(&name).map(Json)
}

async fn fleet(State(control): State<Control>) -> Answer<FleetPage> {
    control.fleet().await.map(Json)
}

async fn upstreams(State(control): State<Control>) -> Response {
    aside::json(move || control.upstreams()).await
}

async fn upstream(State(control): State<Control>, Path(name): Path<String>) -> Answer<Upstream> {
    control.upstream(&name).map(Json)
}

async fn eject(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
    request: Request,
) -> Answer<Upstream> {
    control.upstream(&name)?;
    let wanted: Eject = body::json(request.into_body()).await?;
    control.eject(peer(from), &name, &wanted).map(Json)
}

async fn admit(
    State(control): State<Control>,
    Path(name): Path<String>,
    from: Caller,
    request: Request,
) -> Answer<Upstream> {
    control.upstream(&name)?;
    let wanted: Admit = body::json(request.into_body()).await?;
    control.admit(peer(from), &name, &wanted).map(Json)
}

async fn reload(State(control): State<Control>, from: Caller) -> Answer<Reloaded> {
    control.reload(peer(from)).await.map(Json)
}

async fn no_such_resource() -> Problem {
    let detail = "no such resource: /api/v1/openapi.json says what is there";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn wrong_method(method: Method) -> Response {
    let detail = format!("{method} is not for this resource: Allow says what is");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

fn peer(from: Caller) -> Option<Peer> {
    from.map(|Extension(peer)| peer)
}

const HISTORY: [Parameter; 2] = [
    Parameter {
        name: "source",
        kind: "string",
        description: "The points of this source: `proxy`, or a feed. Without it, of the source that explains the breaker.",
    },
    Parameter {
        name: "since",
        kind: "number",
        description: "Only what came after this time.",
    },
];
