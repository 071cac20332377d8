//! The access logs of proxies.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Script, Sidecar, Upstream, breaker, eventually, get};
use http::Uri;
use tokio::net::UdpSocket;
use tokio::time;

use super::{REQUESTS, ask, backtest, now, slow_service};
use crate::tools::{caddy, envoy, free_ports, installed, nginx, serve, server};

/// All requests, and one whose caller leaves.
const LOGGED: usize = REQUESTS + 1;

/// Sends the requests through a proxy to `upstream`, the last of which is given up by its caller.
async fn pass(upstream: &Upstream, url: &str) {
    ask(url).await;
    upstream.play(Script::Hang);
    let left: Uri = format!("{url}/hang").parse().unwrap();
    let left = time::timeout(Duration::from_millis(100), get(left)).await;
    assert!(left.is_err(), "{left:?}");
}

/// Starts a proxy on `port`, which writes each of `logs`: a file and the format that it is.
async fn logged(upstream: &Upstream, command: Command, port: u16, logs: &[(&Path, &str)]) {
    let began = now();
    let _proxy = serve(command, port).await;
    logged_by(upstream, port, began, logs).await;
}

/// The same for one that runs.
async fn logged_by(upstream: &Upstream, port: u16, began: f64, logs: &[(&Path, &str)]) {
    pass(upstream, &format!("http://127.0.0.1:{port}")).await;
    for (file, format) in logs {
        let mut log;
        eventually!(
            {
                log = fs::read_to_string(file).unwrap_or_default();
                log.lines().count() >= LOGGED && log.ends_with('\n')
            },
            "{log}"
        );
        backtest(file, format, LOGGED, Some(began));
    }
}

#[tokio::test]
async fn nginx_with_its_request_time() {
    let upstream = slow_service().await;
    let [port] = free_ports();
    let directory = tempfile::tempdir().unwrap();
    let [bare, named, json] = ["bare", "named", "json"].map(|name| directory.path().join(name));
    let config = format!(
        r#"daemon off; master_process off; pid @/pid; error_log stderr; events {{}}
        http {{
            client_body_temp_path @/1; proxy_temp_path @/2; fastcgi_temp_path @/3;
            uwsgi_temp_path @/4; scgi_temp_path @/5;
            log_format bare '$remote_addr - $remote_user [$time_local] "$request" $status '
                '$body_bytes_sent "$http_referer" "$http_user_agent" $request_time';
            log_format named '$remote_addr - $remote_user [$time_local] "$request" $status '
                '$body_bytes_sent "$http_referer" "$http_user_agent" '
                'rt=$request_time urt="$upstream_response_time"';
            log_format json escape=json '{{"msec":"$msec","request_uri":"$request_uri",'
                '"status":$status,"request_time":$request_time,'
                '"upstream_response_time":"$upstream_response_time"}}';
            access_log @/bare bare;
            access_log @/named named;
            access_log @/json json;
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{}; }} }}
        }}"#,
        upstream.address()
    );
    let file = directory.path().join("nginx.conf");
    let config = config.replace('@', directory.path().to_str().unwrap());
    fs::write(&file, config).unwrap();
    let logs = [
        (&*bare, "nginx"),
        (&*named, "nginx"),
        (&*json, "nginx-json"),
    ];
    logged(&upstream, nginx(directory.path(), &file), port, &logs).await;
}

#[tokio::test]
async fn traefik_in_text_and_in_json() {
    for (told, format) in [("common", "traefik"), ("json", "traefik-json")] {
        let upstream = slow_service().await;
        let [port] = free_ports();
        let directory = tempfile::tempdir().unwrap();
        let [dynamic, log] = ["dynamic.yaml", "access"].map(|name| directory.path().join(name));
        let config = format!(
            "http:\n  routers: {{ shop: {{ rule: PathPrefix(`/`), service: shop }} }}\n  \
             services: {{ shop: {{ loadBalancer: {{ servers: [{{ url: \"http://{}\" }}] }} }} }}\n",
            upstream.address()
        );
        fs::write(&dynamic, config).unwrap();
        let mut command = Command::new(installed("venv/bin/traefik"));
        command.args([
            format!("--providers.file.filename={}", dynamic.display()),
            format!("--entrypoints.web.address=127.0.0.1:{port}"),
            format!("--accesslog.filepath={}", log.display()),
            format!("--accesslog.format={told}"),
            "--global.checknewversion=false".to_owned(),
            "--global.sendanonymoususage=false".to_owned(),
        ]);
        let began = now();
        let _traefik = serve(command, port).await;
        // It listens before it has read of its routes.
        let url = format!("http://127.0.0.1:{port}");
        eventually!(get(url.parse().unwrap()).await.status == 200);
        eventually!(fs::read_to_string(&log).unwrap().contains("200"));
        fs::write(&log, "").unwrap();
        logged_by(&upstream, port, began, &[(&log, format)]).await;
    }
}

#[tokio::test]
async fn caddy_in_json() {
    let upstream = slow_service().await;
    let [port] = free_ports();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access");
    let file = directory.path().join("Caddyfile");
    let config = format!(
        "{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{\n\
         \tlog {{\n\t\toutput file {}\n\t}}\n\treverse_proxy {}\n}}\n",
        log.display(),
        upstream.address()
    );
    fs::write(&file, config).unwrap();
    let command = caddy(directory.path(), &file);
    logged(&upstream, command, port, &[(&log, "caddy")]).await;
}

#[tokio::test]
async fn haproxy_by_syslog() {
    let upstream = slow_service().await;
    let [port] = free_ports();
    let syslog = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    let config = format!(
        "global\n log {} local0\n\
         defaults\n mode http\n log global\n\
         \x20option httplog\n option dontlognull\n option abortonclose\n\
         \x20timeout connect 1s\n timeout client 5s\n timeout server 5s\n\
         frontend web\n bind 127.0.0.1:{port}\n default_backend shop\n\
         backend shop\n server s1 {}\n",
        syslog.local_addr().unwrap(),
        upstream.address()
    );
    fs::write(&file, config).unwrap();
    let mut command = server("haproxy");
    command.arg("-db").arg("-f").arg(&file).env("TZ", "UTC");
    let began = now();
    let haproxy = serve(command, port).await;
    pass(&upstream, &format!("http://127.0.0.1:{port}")).await;
    let mut log = String::new();
    let mut datagram = [0; 4096];
    let patience = Duration::from_millis(500);
    while let Ok(length) = time::timeout(patience, syslog.recv(&mut datagram)).await {
        log += String::from_utf8_lossy(&datagram[..length.unwrap()]).trim_end();
        log += "\n";
    }
    drop(haproxy);
    let file = directory.path().join("haproxy.log");
    fs::write(&file, log).unwrap();
    backtest(&file, "haproxy", LOGGED, Some(began));
}

/// In text as it comes, in Istio's and in JSON; beside them it sends spans to a Zipkin.
#[tokio::test]
async fn envoy_in_text_in_json_and_by_spans_for_zipkin() {
    let upstream = slow_service().await;
    let zipkin = Upstream::start().await;
    let [port] = free_ports();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.yaml");
    let config = include_str!("envoy.yaml")
        .replace("@DIRECTORY@", directory.path().to_str().unwrap())
        .replace("@PORT@", &port.to_string())
        .replace("@SHOP@", &upstream.address().port().to_string())
        .replace("@ZIPKIN@", &zipkin.address().port().to_string());
    fs::write(&file, config).unwrap();
    let [text, istio, json] = ["text", "istio", "json"].map(|name| directory.path().join(name));
    let mut command = envoy(&file);
    command.args(["--file-flush-interval-msec", "100"]);
    let began = now();
    let logs = [
        (&*text, "envoy"),
        (&*istio, "envoy"),
        (&*json, "envoy-json"),
    ];
    let proxy = serve(command, port).await;
    logged_by(&upstream, port, began, &logs).await;

    let mut spans = String::new();
    eventually!(
        {
            spans.clear();
            for sent in zipkin.seen() {
                spans += &String::from_utf8_lossy(&sent.body);
                spans += "\n";
            }
            spans.matches("\"SERVER\"").count() >= LOGGED
        },
        "{spans}"
    );
    drop(proxy);
    let file = directory.path().join("zipkin");
    fs::write(&file, spans).unwrap();
    backtest(&file, "zipkin", LOGGED, Some(began));
}

#[tokio::test]
async fn the_sidecar_itself() {
    let upstream = slow_service().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace");
    let mut command = breaker([
        "record",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    command.args(["--policy", "conservative", "--upstream"]);
    command.arg(format!("http://{}", upstream.address()));
    command.arg("--out").arg(&file);
    let began = now();
    let sidecar = Sidecar::spawn(command).await;
    let port = sidecar.address().port();
    logged_by(&upstream, port, began, &[(&file, "native")]).await;
}
