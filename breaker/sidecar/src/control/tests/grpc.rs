//! The same by gRPC.

use breaker_proto::v1;
use breaker_proto::v1::control_client::ControlClient;
use breaker_proto::v1::put_policy_request::Policy as Chosen;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

impl Bench {
    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.server.address));
        endpoint.unwrap().connect().await.unwrap()
    }

    pub(super) async fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel().await)
    }
}

fn forced_open() -> v1::SetModeRequest {
    v1::SetModeRequest {
        name: "pay".into(),
        mode: v1::Mode::ForcedOpen.into(),
        for_seconds: Some(30.0),
        reason: None,
    }
}

#[tokio::test]
async fn a_mode_is_set_and_watched() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let mut readings = client
        .watch_breakers(v1::WatchBreakersRequest {})
        .await
        .unwrap()
        .into_inner();
    let breaker = client.set_mode(forced_open()).await.unwrap().into_inner();
    assert_eq!(breaker.state(), v1::State::Open);
    assert!(breaker.mode_remaining.is_some_and(|seconds| seconds > 29.0));
    loop {
        let reading = readings.message().await.unwrap().expect("more to come");
        if reading
            .breakers
            .iter()
            .any(|breaker| breaker.state() == v1::State::Open)
        {
            break;
        }
    }
    let all = client
        .list_breakers(v1::ListBreakersRequest {})
        .await
        .unwrap();
    assert_eq!(all.get_ref().breakers.len(), 2);
    let reset = v1::ResetBreakerRequest { name: "pay".into() };
    assert_eq!(
        client.reset_breaker(reset).await.unwrap().get_ref().name,
        "pay"
    );
}

#[tokio::test]
async fn a_watcher_is_told_all_once_and_then_what_has_changed() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let watch = client.watch_breakers(v1::WatchBreakersRequest {}).await;
    let mut told = watch.unwrap().into_inner();
    // The server may not have read its breakers yet.
    let first = loop {
        let next = told.message().await.unwrap().expect("a reading");
        if !next.breakers.is_empty() {
            break next;
        }
    };
    assert!(first.all);
    assert_eq!(first.breakers.len(), 2);
    client.set_mode(forced_open()).await.unwrap();
    let changed = loop {
        let next = told.message().await.unwrap().expect("a reading");
        assert!(!next.all, "{next:?}");
        let names = next.breakers.iter().map(|breaker| breaker.name.clone());
        let names: Vec<_> = names.collect();
        if !names.is_empty() {
            break names;
        }
    };
    assert_eq!(changed, ["pay"]);
}

#[tokio::test]
async fn what_happens_is_told_to_watchers_between_readings() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let watch = client.watch_breakers(v1::WatchBreakersRequest {}).await;
    let mut told = watch.unwrap().into_inner();
    while told
        .message()
        .await
        .unwrap()
        .expect("a reading")
        .breakers
        .is_empty()
    {}
    let put = v1::PutPolicyRequest {
        name: "pay".into(),
        policy: Some(Chosen::PolicyName("conservative".into())),
    };
    client.put_policy(put).await.unwrap();
    let event = loop {
        let next = told.message().await.unwrap().expect("more to come");
        if let Some(event) = next.event {
            let about: Vec<_> = next.breakers.iter().map(|of| &*of.name).collect();
            assert_eq!(about, ["pay"], "with what it is like now");
            let policy = next.breakers[0].policy.as_ref().unwrap();
            assert_eq!(policy.name, "conservative");
            break event;
        }
    };
    assert_eq!(event.kind(), v1::EventKind::Policy);
    assert_eq!((event.breaker(), event.from), ("pay", None));
    assert_eq!(event.reason.unwrap().label, "override");
}

#[tokio::test]
async fn errors_have_their_codes() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let unknown = v1::GetBreakerRequest {
        name: "serch".into(),
    };
    let status = client.get_breaker(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        status.message(),
        "no breaker is called 'serch'; did you mean search?"
    );
    let bad = v1::PutPolicyRequest {
        name: "pay".into(),
        policy: Some(Chosen::Yaml(
            "name: strict\ntrip:\n  - error_rate: 8\n".into(),
        )),
    };
    let status = client.put_policy(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let message = "3:17: trip[0].error_rate: must be a share: write 8% or 0.08";
    assert_eq!(status.message(), message);
    let unsaid = v1::SetModeRequest {
        mode: 0,
        ..forced_open()
    };
    assert_eq!(
        client.set_mode(unsaid).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let reload = client
        .reload_configuration(v1::ReloadConfigurationRequest {})
        .await;
    assert_eq!(reload.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_policy_is_put_and_taken_back() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let put = v1::PutPolicyRequest {
        name: "pay".into(),
        policy: Some(Chosen::PolicyName("conservative".into())),
    };
    let policy = client.put_policy(put).await.unwrap().into_inner();
    assert_eq!(
        (policy.origin(), &*policy.name),
        (v1::Origin::Override, "conservative")
    );
    assert_eq!(policy.conditions[0].threshold, Some(0.03));
    let delete = v1::DeletePolicyRequest { name: "pay".into() };
    let policy = client.delete_policy(delete).await.unwrap().into_inner();
    assert_eq!(
        (policy.origin(), &*policy.name),
        (v1::Origin::Configuration, "sensitive")
    );
}

#[tokio::test]
async fn changes_need_the_token_and_reading_does_not() {
    let bench = Bench::with(Some("s3cret"), None).await;
    let mut client = bench.client().await;
    let status = client.get_status(v1::GetStatusRequest {}).await.unwrap();
    assert!(status.get_ref().token_required);
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("Bearer secret"), Code::PermissionDenied),
        (Some("Bearer s3cret"), Code::Ok),
    ] {
        let mut request = Request::new(forced_open());
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", token.parse().unwrap());
        }
        let answer = client.set_mode(request).await;
        let given = answer
            .as_ref()
            .map_or_else(tonic::Status::code, |_| Code::Ok);
        assert_eq!(given, code, "{token:?}: {answer:?}");
    }
}

#[tokio::test]
async fn health_is_readiness_and_reflection_knows_the_services() {
    let bench = Bench::new().await;
    let mut health = HealthClient::new(bench.channel().await);
    let whole = HealthCheckRequest::default();
    let own = HealthCheckRequest {
        service: "breaker.v1.Control".into(),
    };
    // NOT_SERVING while the proxy starts.
    for (request, expected) in [(whole, 2), (own, 1)] {
        let status = health.check(request).await.unwrap().get_ref().status;
        assert_eq!(status, expected);
    }

    let mut reflection = ServerReflectionClient::new(bench.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut answers = reflection
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let mut names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    let expected = [
        "breaker.v1.Control",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(names, expected);
}
