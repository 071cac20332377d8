//! `AnyLayer`: services of any request and response.

use std::io;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{AnyLayer, BreakerHandle, BreakerSet, Mode, State, rejection};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

use crate::harness::*;

async fn echo(command: &'static str) -> Result<&'static str, io::Error> {
    match command {
        "fail" => Err(io::Error::other("refused")),
        command => Ok(command),
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_failure_and_opens() {
    let breaker = BreakerHandle::new("test", touchy());
    let mut service = AnyLayer::new(breaker.clone()).layer(service_fn(echo));
    let answer = service.ready().await.unwrap().call("ping").await;
    assert_eq!(answer.unwrap(), "ping");
    let error = service.ready().await.unwrap().call("fail").await;
    assert_eq!(error.unwrap_err().to_string(), "refused");
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Open, (1, 1, 0))
    );
    let error = service.ready().await.unwrap().call("ping").await;
    assert!(rejection(&*error.unwrap_err()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_judge_sees_the_answer() {
    let breaker = BreakerHandle::new("test", sensitive());
    let judge = |reply: &Result<&str, io::Error>| match reply {
        Ok("busy") => Classification::Failure,
        Ok(_) => Classification::Success,
        Err(_) => Classification::Ignored,
    };
    let mut service = AnyLayer::new(breaker.clone())
        .judge(judge)
        .layer(service_fn(echo));
    for command in ["ping", "busy", "fail"] {
        let _ = service.ready().await.unwrap().call(command).await;
    }
    assert_eq!(counted(&breaker), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_breaker() {
    let breakers = BreakerSet::new(touchy(), 10);
    let layer = AnyLayer::per_key(breakers.clone(), |command: &&'static str| *command);
    let mut service = layer.layer(service_fn(echo));
    for command in ["ping", "fail"] {
        let _ = service.ready().await.unwrap().call(command).await;
    }
    assert_eq!(breakers.get("ping").state(), State::Closed);
    assert_eq!(breakers.get("fail").state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_unless_the_breaker_rejects_and_a_drop_is_ignored() {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, mut handle) = mock::pair::<u8, u8>();
    let mut service = mock::Spawn::new(AnyLayer::new(breaker.clone()).layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    drop(service.call(1));
    assert_eq!(counted(&breaker), (0, 0, 1));
    breaker.force(Mode::ForcedOpen);
    assert_ready_ok!(service.poll_ready());
    service.call(2).await.unwrap_err();
}
