//! Three axum servers, each of which calls the next one through a breaker.

use axum::body::Body;
use axum::extract::State as Next;
use axum::http::{Request, Response, StatusCode};
use axum::{Router, routing::get};
use breaker_tower::{
    BreakerHandle, BreakerLayer, BreakerService, Mode, Policy, RejectedExt, State, rejection,
};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

type Call = BreakerService<Client<HttpConnector, Body>>;

#[derive(Clone)]
struct Tier {
    next: Option<(Call, String)>,
    marks: bool,
}

/// What becomes of a request to the outermost tier, and the breakers before the one that is open.
async fn outermost(marks: bool) -> (Response<Body>, Vec<BreakerHandle>) {
    let mut breakers = Vec::new();
    let mut next = None;
    for tier in ["c", "b", "a"] {
        let server = BreakerHandle::new(tier, Policy::sensitive());
        let tier = Tier { next, marks };
        let app = Router::new()
            .route("/", get(handle))
            .with_state(tier)
            .layer(BreakerLayer::server(server.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let breaker = BreakerHandle::new("next", Policy::sensitive());
        let client = Client::builder(TokioExecutor::new()).build_http();
        let call = BreakerLayer::new(breaker.clone()).layer(client);
        next = Some((call, format!("http://{address}/")));
        breakers.extend([server, breaker]);
    }
    // Of tier b, which calls tier c.
    breakers.remove(1).force(Mode::ForcedOpen);
    // Tier c is never called.
    breakers.remove(0);
    let outermost = Tier { next, marks };
    let mut answer = Response::default();
    for _ in 0..200 {
        answer = handle(Next(outermost.clone())).await;
    }
    (answer, breakers)
}

async fn handle(Next(tier): Next<Tier>) -> Response<Body> {
    let Some((next, uri)) = tier.next else {
        return Response::new(Body::from("paid"));
    };
    let request = Request::get(uri).body(Body::empty()).unwrap();
    match next.oneshot(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => match rejection(&*error) {
            Some(rejected) if tier.marks => rejected.http_response(),
            _ => {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                answer
            }
        },
    }
}

#[tokio::test]
async fn a_rejection_that_two_tiers_pass_on_is_counted_by_none() {
    let (answer, breakers) = outermost(true).await;
    let (head, body) = answer.into_parts();
    // Its request ends with its body.
    drop(body);
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(head.headers.contains_key("retry-after"));
    let value = head.headers["proxy-status"].to_str().unwrap();
    assert!(value.starts_with("breaker; error=destination_unavailable"));
    assert_eq!(breakers.len(), 4);
    for breaker in breakers {
        let totals = breaker.snapshot().totals;
        assert_eq!(breaker.state(), State::Closed, "{breaker:?}");
        assert_eq!((totals.ignored, totals.failure), (200, 0), "{breaker:?}");
    }
}

#[tokio::test]
async fn one_that_is_not_marked_opens_the_breakers_before_it() {
    let (answer, breakers) = outermost(false).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        breakers
            .iter()
            .any(|breaker| breaker.state() == State::Open)
    );
}
