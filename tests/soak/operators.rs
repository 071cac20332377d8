//! What comes by the admin port and beside the traffic: changes, reloads, watchers, telemetry.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use breaker_tests::{Answer, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

use crate::scene::Scene;
use crate::tally::lock;

/// How long the admin port may take, whatever the traffic does.
const PROMPT: Duration = Duration::from_secs(5);

async fn ask(method: &str, url: &str, media_type: &str, body: String) -> Result<Answer, String> {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", media_type)
        .body(Full::<Bytes>::from(body))
        .expect("a good request");
    match timeout(PROMPT, send(request)).await {
        Ok(answer) => answer.map_err(|error| format!("{url}: {error}")),
        Err(_) => Err(format!("{url}: nothing within {PROMPT:?}")),
    }
}

fn expect_200(scene: &Scene, kind: &'static str, answer: Result<Answer, String>) {
    match answer {
        Ok(answer) if answer.status == 200 => scene.tally.count(kind, "200"),
        Ok(answer) => scene
            .tally
            .lose(kind, &format!("{} {}", answer.status, answer.text())),
        Err(how) => scene.tally.lose(kind, &how),
    }
}

/// Modes and policies of one route, while there are faults: after them it has to close.
pub(crate) async fn steer(scene: Arc<Scene>) {
    let url = |what: &str| scene.admin_url(&format!("/api/v1/breakers/steered/{what}"));
    let policy = "name: other\nbase: sensitive\ntrip:\n  - error_rate: 60%\n";
    while scene.has_traffic() {
        if !scene.has_faults() {
            sleep(Duration::from_millis(300)).await;
            continue;
        }
        for mode in ["shadow", "forced_closed", "forced_open", "auto"] {
            if mode == "forced_open" {
                scene.steering.begin("forced open");
            }
            let body = format!("{{\"mode\": \"{mode}\"}}");
            let set = ask("PUT", &url("mode"), "application/json", body).await;
            expect_200(&scene, "control", set);
            if mode == "auto" {
                scene.steering.end();
            }
            sleep(Duration::from_millis(300)).await;
        }
        let set = ask("PUT", &url("policy"), "application/yaml", policy.into()).await;
        expect_200(&scene, "control", set);
        sleep(Duration::from_millis(300)).await;
        let dropped = ask("DELETE", &url("policy"), "application/json", String::new()).await;
        expect_200(&scene, "control", dropped);
        sleep(Duration::from_millis(300)).await;
    }
}

/// Another configuration every second: a route comes and goes, and one in five can't be used.
pub(crate) async fn reload(scene: Arc<Scene>) {
    let file = scene.config();
    let good = fs::read_to_string(&file).expect("the configuration is there");
    let more = good.replace(
        "routes:\n",
        "routes:\n  - { name: more, upstream: plain, match: { path: /more } }\n",
    );
    for turn in 0_usize.. {
        if !scene.has_traffic() {
            break;
        }
        let text = match turn % 5 {
            4 => "rutes: []\n",
            part if part % 2 == 0 => &more,
            _ => &good,
        };
        fs::write(&file, text).expect("the configuration can be written");
        lock(&scene.sidecar).process().hang_up();
        scene.tally.count("reload", "asked for");
        sleep(Duration::from_secs(1)).await;
    }
    fs::write(&file, good).expect("the configuration can be written");
    lock(&scene.sidecar).process().hang_up();
}

/// The dashboard and its stream of events: they come, look for a while, and go.
pub(crate) async fn watch(scene: Arc<Scene>, index: u64) {
    for turn in 0_u64.. {
        if !scene.has_traffic() {
            return;
        }
        for page in ["/", "/api/v1/breakers", "/metrics"] {
            let answer = ask("GET", &scene.admin_url(page), "text/plain", String::new()).await;
            expect_200(&scene, "watcher", answer);
        }
        let stay = Duration::from_millis(300 + 700 * ((turn + index) % 4));
        let heard = async {
            let mut stream = TcpStream::connect(scene.admin).await?;
            let ask = b"GET /api/v1/watch HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
            stream.write_all(ask).await?;
            let mut buffer = vec![0; 64 * 1024];
            let mut heard = stream.read(&mut buffer).await?;
            // The time to stay is over in the middle of whatever comes.
            let _ = timeout(stay, async {
                while let Ok(more @ 1..) = stream.read(&mut buffer).await {
                    heard += more;
                }
            })
            .await;
            std::io::Result::Ok(heard)
        };
        match timeout(PROMPT + stay, heard).await {
            Ok(Ok(1..)) => scene.tally.count("watcher", "heard events"),
            other => scene
                .tally
                .lose("watcher", &format!("no events: {other:?}")),
        }
    }
}

/// Health, which must answer whatever else is going on.
pub(crate) async fn health(scene: Arc<Scene>) {
    let mut ticks = interval(Duration::from_millis(500));
    while scene.has_traffic() {
        ticks.tick().await;
        for path in ["/livez", "/readyz"] {
            let answer = ask("GET", &scene.admin_url(path), "text/plain", String::new()).await;
            expect_200(&scene, "health", answer);
        }
    }
}

/// Twenty spans at a time for the feed of a route. A collector that is away may be told of.
pub(crate) async fn spans(scene: Arc<Scene>) {
    let url = format!("http://{}/v1/traces", scene.receiver);
    let collector = scene.service("collector");
    let mut ticks = interval(Duration::from_millis(200));
    for batch in 1_u64.. {
        ticks.tick().await;
        if !scene.has_traffic() {
            return;
        }
        let since = tokio::time::Instant::now();
        match ask("POST", &url, "application/json", batch_of_spans(batch)).await {
            Ok(answer) if answer.status == 200 => scene.tally.count("spans", "200"),
            Ok(answer)
                if [429, 502, 503, 504].contains(&answer.status)
                    && collector.trouble.explains(since) =>
            {
                scene
                    .tally
                    .count("spans", format!("{} by a fault", answer.status));
            }
            Ok(answer) => scene
                .tally
                .lose("spans", &format!("{} {}", answer.status, answer.text())),
            Err(how) => scene.tally.lose("spans", &how),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "spans tell the time of the wall")]
fn batch_of_spans(batch: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let end = now.as_nanos();
    let spans: Vec<_> = (1..=20)
        .map(|span| {
            format!(
                r#"{{"traceId":"{batch:032x}","spanId":"{span:016x}","name":"soak","kind":3,"startTimeUnixNano":"{}","endTimeUnixNano":"{end}","status":{{}}}}"#,
                end - 1_000_000 * span
            )
        })
        .collect();
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"soak"}}}}]}},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        spans.join(",")
    )
}
