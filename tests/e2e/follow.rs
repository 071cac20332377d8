//! A sidecar that follows another Breaker, the brain, which telemetry feeds.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use breaker_tests::{
    Script, Setup, Sidecar, Upstream, breaker, calmly, eventually, free_address, get, send,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::secure::Authority;

/// A brain with a route that only telemetry feeds, and one that no follower knows.
struct Brain {
    sidecar: Sidecar,
    receiver: SocketAddr,
    spans: u64,
}

impl Brain {
    async fn start(admin: SocketAddr) -> Self {
        let receiver = free_address();
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: {admin}\n\
             telemetry: {{ receive: {{ http: {receiver} }} }}\n\
             upstreams:\n  other: {{ endpoints: ['http://127.0.0.1:1'] }}\n\
             routes:\n  - {{ name: other, upstream: other }}\n  \
             - {{ name: pay, policy: adaptive, feeds: [{{ name: spans, service: pay }}] }}\n"
        );
        Self {
            sidecar: Sidecar::start(yaml).await,
            receiver,
            spans: 0,
        }
    }

    /// Tells of so many requests that have just ended, well or not.
    #[expect(
        clippy::disallowed_methods,
        reason = "spans have the time of the wall clock"
    )]
    async fn tell(&mut self, requests: u64, well: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_nanos();
        let spans: Vec<Value> = (0..requests)
            .map(|_| {
                self.spans += 1;
                json!({
                    "traceId": format!("{:032x}", self.spans),
                    "spanId": format!("{:016x}", self.spans),
                    "name": "GET /", "kind": 2,
                    "startTimeUnixNano": (now - 5_000_000).to_string(),
                    "endTimeUnixNano": now.to_string(),
                    "status": { "code": if well { 1 } else { 2 } },
                })
            })
            .collect();
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": "pay" } },
            ] },
            "scopeSpans": [{ "spans": spans }],
        }] });
        let request = Request::post(format!("http://{}/v1/traces", self.receiver))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body.to_string()))
            .unwrap();
        assert_eq!(send(request).await.unwrap().status, 200);
    }

    /// Tells of failures until the brain itself has opened.
    async fn open(&mut self) {
        for _ in 0..10 {
            self.tell(20, true).await;
            sleep(Duration::from_millis(20)).await;
        }
        let began = Instant::now();
        while self.sidecar.metrics().await.state("pay") != "open" {
            assert!(began.elapsed() < breaker_tests::PATIENCE, "still closed");
            self.tell(20, false).await;
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn follower(upstream: &Upstream, brain: SocketAddr, more: &str) -> Setup {
    let follow = format!("follow: {{ brain: 'http://{brain}'{more} }}");
    let setup = Setup::of(upstream.address()).policy("adaptive");
    setup.more("watch: false").more(&follow)
}

async fn following(sidecar: &Sidecar) -> Value {
    let status = get(sidecar.admin_url("/api/v1/status")).await;
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    status["following"].clone()
}

async fn explanation(sidecar: &Sidecar) -> String {
    let told = get(sidecar.admin_url("/api/v1/breakers/pay/explanation")).await;
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    told["text"].as_str().unwrap().to_owned()
}

async fn number(sidecar: &Sidecar, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    sidecar.metrics().await.sum(name, labels)
}

async fn is_connected(sidecar: &Sidecar) -> bool {
    number(sidecar, "breaker_follow_connected", &[]).await == Some(1.0)
}

#[tokio::test]
async fn a_brain_that_telemetry_feeds_opens_its_follower_which_is_alone_without_it() {
    calmly(async || {
        let admin = free_address();
        let mut brain = Brain::start(admin).await;
        let upstream = Upstream::start().await;
        let mut sidecar = follower(&upstream, admin, "").start().await;
        eventually!(is_connected(&sidecar).await);
        assert_eq!(get(sidecar.url("/")).await.status, 200);
        let unknown = "breaker_follow_unknown_routes";
        assert_eq!(number(&sidecar, unknown, &[]).await, Some(1.0));
        assert_eq!(following(&sidecar).await["missing_routes"], json!([]));

        brain.open().await;
        eventually!(sidecar.metrics().await.state("pay") == "open");
        assert_eq!(get(sidecar.url("/")).await.status, 503);
        let text = explanation(&sidecar).await;
        let expected = format!("Brain http://{admin}: ");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("last opened this breaker"), "{text}");
        assert!(text.contains("(source brain)"), "{text}");
        let told = following(&sidecar).await;
        assert_eq!(told["routes"][0]["led"], true, "{told}");
        // It has nothing of its own that others could follow.
        let pay = get(sidecar.admin_url("/api/v1/breakers/pay")).await;
        let pay: Value = serde_json::from_slice(&pay.body).unwrap();
        assert_eq!(pay.get("tripped"), None, "{pay}");

        // Killed.
        drop(brain);
        eventually!(!is_connected(&sidecar).await);
        eventually!(following(&sidecar).await["fresh"] == false);
        eventually!(following(&sidecar).await["routes"][0]["led"] == false);
        let text = explanation(&sidecar).await;
        assert!(
            text.contains("it can't be heard, so this breaker is alone"),
            "{text}"
        );
        let began = Instant::now();
        while sidecar.metrics().await.state("pay") != "closed" {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "it tries by itself"
            );
            let _ = get(sidecar.url("/")).await;
            sleep(Duration::from_millis(100)).await;
        }

        let _brain = Brain::start(admin).await;
        eventually!(is_connected(&sidecar).await);
        let log = sidecar.process().log();
        assert_eq!(log.matches("the brain is lost").count(), 1, "{log}");
    })
    .await;
}

#[tokio::test]
async fn good_requests_of_its_own_keep_it_closed() {
    calmly(async || {
        let admin = free_address();
        let mut brain = Brain::start(admin).await;
        let upstream = Upstream::start().await;
        let sidecar = follower(&upstream, admin, "").start().await;
        eventually!(is_connected(&sidecar).await);
        let own = [("breaker_follow_reason", "own_evidence")];
        let ask = async {
            loop {
                assert_eq!(get(sidecar.url("/")).await.status, 200);
                sleep(Duration::from_millis(10)).await;
            }
        };
        let ignored = "breaker_follow_ignored_total";
        let tell = async {
            eventually!(
                following(&sidecar).await["routes"][0]["own"][0]["requests"].as_u64() > Some(150)
            );
            brain.open().await;
            eventually!(number(&sidecar, ignored, &own).await > Some(0.0));
        };
        tokio::select! {
            () = ask => {}
            () = tell => {}
        }
        assert_eq!(sidecar.metrics().await.state("pay"), "closed");
        let text = explanation(&sidecar).await;
        assert!(text.contains("its own requests go well"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_brain_that_is_stopped_is_silent_after_three_seconds() {
    let admin = free_address();
    let mut brain = Brain::start(admin).await;
    let upstream = Upstream::start().await;
    let sidecar = follower(&upstream, admin, "").start().await;
    eventually!(is_connected(&sidecar).await);
    let id = brain.sidecar.process().id().to_string();
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &id]).status();
        assert!(status.unwrap().success());
    };
    signal("-STOP");
    eventually!(!is_connected(&sidecar).await);
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    eventually!(following(&sidecar).await["fresh"] == false);
    let age = following(&sidecar).await["age"].as_f64();
    assert!(age >= Some(3.0), "{age:?}");
    signal("-CONT");
    eventually!(is_connected(&sidecar).await);
}

#[tokio::test]
async fn a_follower_that_was_stopped_follows_nothing_that_was_said_meanwhile() {
    calmly(async || {
        let admin = free_address();
        let mut brain = Brain::start(admin).await;
        let upstream = Upstream::start().await;
        let mut sidecar = follower(&upstream, admin, "").start().await;
        eventually!(is_connected(&sidecar).await);
        let id = sidecar.process().id().to_string();
        let signal = |name: &str| {
            let status = Command::new("kill").args([name, &id]).status();
            assert!(status.unwrap().success());
        };
        signal("-STOP");
        let stopped = Instant::now();
        brain.open().await;
        force(&brain.sidecar, "forced_closed").await;
        sleep(Duration::from_secs(4).saturating_sub(stopped.elapsed())).await;
        signal("-CONT");
        let stale = [("breaker_follow_reason", "stale")];
        eventually!(number(&sidecar, "breaker_follow_ignored_total", &stale).await == Some(1.0));
        eventually!(is_connected(&sidecar).await);
        let transitions = number(&sidecar, "breaker_transitions_total", &[]).await;
        assert_eq!(transitions.unwrap_or(0.0), 0.0);
        assert_eq!(get(sidecar.url("/")).await.status, 200);
        let log = sidecar.process().log();
        assert!(log.contains("this process stood still"), "{log}");
    })
    .await;
}

/// Forces a mode on the breaker `pay`.
async fn force(of: &Sidecar, mode: &str) {
    let request = Request::put(of.admin_url("/api/v1/breakers/pay/mode"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(json!({ "mode": mode }).to_string()))
        .unwrap();
    let answer = send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn what_an_operator_forces_wins_there_and_here() {
    let admin = free_address();
    let mut brain = Brain::start(admin).await;
    let upstream = Upstream::start().await;
    let sidecar = follower(&upstream, admin, "").start().await;
    eventually!(is_connected(&sidecar).await);
    force(&brain.sidecar, "forced_open").await;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(sidecar.metrics().await.state("pay"), "closed");
    force(&brain.sidecar, "auto").await;
    force(&sidecar, "forced_closed").await;
    brain.open().await;
    let forced = [("breaker_follow_reason", "forced")];
    eventually!(number(&sidecar, "breaker_follow_ignored_total", &forced).await > Some(0.0));
    assert_eq!(get(sidecar.url("/")).await.status, 200);
}

#[tokio::test]
async fn a_reload_may_change_routes_and_not_the_brain() {
    let admin = free_address();
    let _brain = Brain::start(admin).await;
    let upstream = Upstream::start().await;
    let setup = follower(&upstream, admin, "");
    let sidecar = setup.clone().start().await;
    eventually!(is_connected(&sidecar).await);
    let reload = async |yaml: &str| {
        std::fs::write(sidecar.config_file(), yaml).unwrap();
        let request = Request::post(sidecar.admin_url("/api/v1/reload"));
        let answer = send(request.body(Full::<Bytes>::default()).unwrap()).await;
        let answer = answer.unwrap();
        (answer.status, answer.text())
    };
    let before = setup.yaml();
    let other = before.replace(&admin.to_string(), &free_address().to_string());
    let (status, why) = reload(&other).await;
    assert_eq!((status, why.contains("follow")), (422, true), "{why}");
    let more = "  - { name: more, upstream: pay, match: { path: /more }, policy: adaptive }\nwatch";
    let (status, why) = reload(&before.replacen("watch", more, 1)).await;
    assert_eq!(status, 200, "{why}");
    eventually!(following(&sidecar).await["missing_routes"] == json!(["more"]));
    let mut command = breaker(["status"]);
    command.args(["--admin", &format!("http://{}", sidecar.admin_address())]);
    let told = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    let expected = format!("follows http://{admin}, which has no more");
    assert!(told.contains(&expected), "{told}");
    assert!(is_connected(&sidecar).await);
}

#[tokio::test]
async fn two_that_follow_each_other_do_not_hold_each_other_open() {
    let (one, other) = (free_address(), free_address());
    let upstream = Upstream::start().await;
    let start = async |own: SocketAddr, brain: SocketAddr| {
        let yaml = follower(&upstream, brain, "").yaml();
        let yaml = yaml.replacen("admin: 127.0.0.1:0", &format!("admin: {own}"), 1);
        Sidecar::start(yaml).await
    };
    let both = [start(one, other).await, start(other, one).await];
    for sidecar in &both {
        eventually!(is_connected(sidecar).await);
    }
    let until = async |state: &str| {
        let began = Instant::now();
        loop {
            let mut are = true;
            for sidecar in &both {
                let _ = get(sidecar.url("/")).await;
                are &= sidecar.metrics().await.state("pay") == state;
            }
            if are {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "not {state}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    for _ in 0..30 {
        until("closed").await;
    }
    upstream.play(Script::Status(500));
    until("open").await;
    upstream.play(Script::Status(200));
    until("closed").await;
}

/// Lets watch who has the token, and says nothing to them.
async fn gateway(right: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let let_in = Arc::new(AtomicUsize::new(0));
    let counted = let_in.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counted = counted.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let counted = counted.clone();
                async move {
                    let given = request.headers().get("authorization");
                    let is_right = given.is_some_and(|given| given == right);
                    let mut trailers = HeaderMap::new();
                    let status = if is_right { "0" } else { "7" };
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    let refusal = HeaderValue::from_static("not with this token");
                    trailers.insert("grpc-message", refusal);
                    counted.fetch_add(usize::from(is_right), Ordering::Relaxed);
                    let frames = [Ok::<_, std::io::Error>(Frame::<Bytes>::trailers(trailers))];
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    let response = Response::builder().header("content-type", "application/grpc");
                    response.body(body)
                }
            });
            let serving = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = serving
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, let_in)
}

#[tokio::test]
async fn a_wrong_token_is_refused_by_a_gateway_and_a_new_one_needs_no_restart() {
    let (gateway, let_in) = gateway("Bearer right").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "wrong\n").unwrap();
    let upstream = Upstream::start().await;
    let more = format!(", token_file: '{}'", file.display());
    let mut sidecar = follower(&upstream, gateway, &more).start().await;
    let log = |sidecar: &mut Sidecar| sidecar.process().log();
    eventually!(log(&mut sidecar).contains("it refuses: not with this token"));
    assert_eq!(get(sidecar.url("/")).await.status, 200);
    assert!(!is_connected(&sidecar).await);
    assert_eq!(let_in.load(Ordering::Relaxed), 0);
    std::fs::write(&file, "right\n").unwrap();
    eventually!(let_in.load(Ordering::Relaxed) > 0);
    let log = log(&mut sidecar);
    assert_eq!(log.matches("the brain is lost").count(), 1, "{log}");
}

#[tokio::test]
async fn a_brain_is_watched_by_tls_if_its_certificate_is_good() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (admin, upstream) = (free_address(), Upstream::start().await);
    upstream.play(Script::Status(200));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brain.yaml");
    let yaml = Setup::of(upstream.address())
        .more(&format!("admin_tls: {{ {} }}", authority.pair()))
        .yaml()
        .replace("admin: 127.0.0.1:0", &format!("admin: {admin}"));
    std::fs::write(&file, yaml).unwrap();
    let mut command = breaker(["run", "--config"]);
    command.arg(&file);
    let _brain = breaker_tests::Process::spawn(command);
    eventually!(tokio::net::TcpStream::connect(admin).await.is_ok());
    let follower = |authority: &Authority| {
        let roots = authority.path().join("ca.crt");
        let brain = format!("https://localhost:{}", admin.port());
        let follow = format!(
            "follow: {{ brain: '{brain}', tls: {{ roots: '{}' }} }}",
            roots.display()
        );
        Setup::of(upstream.address())
            .policy("adaptive")
            .more(&follow)
    };
    let good = follower(&authority).start().await;
    eventually!(is_connected(&good).await);
    let mut bad = follower(&stranger).start().await;
    eventually!(bad.process().log().contains("the brain is lost"));
    let log = bad.process().log();
    assert!(
        log.to_lowercase().contains("certificate") || log.contains("issuer"),
        "{log}"
    );
    assert!(!is_connected(&bad).await);
}
