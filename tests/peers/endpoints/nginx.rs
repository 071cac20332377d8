//! An nginx with one worker process, as one endpoint.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use breaker_tests::{Process, Sidecar, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::tools::nginx;

/// A running nginx. Dropping it ends it, and its worker.
pub(crate) struct Nginx {
    /// `None` between an end and the next start.
    process: Option<Process>,
    directory: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// One that answers as these directives of a `location` say.
    pub(crate) async fn start(port: u16, location: &str) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), location, "").await
    }

    /// One at this address, with further directives of its `server`; `@` is its directory.
    pub(crate) async fn start_at(address: SocketAddr, location: &str, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            r#"daemon off; worker_processes 1; pid @/pid; error_log stderr;
            load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
            events {{ worker_connections 2048; }}
            http {{
                client_body_temp_path @/1; proxy_temp_path @/2; fastcgi_temp_path @/3;
                uwsgi_temp_path @/4; scgi_temp_path @/5;
                log_format asked '$request_method $request_uri $status';
                access_log @/asked asked;
                keepalive_requests 1000000;
                split_clients $request_id $third {{ 30% 1; * 0; }}
                server {{
                    listen {address} backlog=4096;
                    add_header x-from {address} always;
                    {more}
                    location / {{ {location} }}
                }}
            }}"#
        );
        let config = config.replace('@', directory.path().to_str().unwrap());
        fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let mut nginx = Self {
            process: None,
            directory,
            address,
        };
        nginx.start_again().await;
        nginx
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The requests that came, as `METHOD URI STATUS`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory().join("asked")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        let mut process = Process::spawn(self.command());
        eventually!(
            {
                assert!(process.exit_status().is_none(), "{}", process.log());
                TcpStream::connect(self.address).is_ok()
            },
            "nginx does not listen"
        );
        self.process = Some(process);
    }

    /// `nginx -s quit`: it closes its port, answers what is under way, and ends.
    pub(crate) async fn quit(&mut self) {
        let mut quit = self.command();
        assert!(quit.args(["-s", "quit"]).status().unwrap().success());
        let mut process = self.process.take().expect("it runs");
        process.ended().await;
    }

    /// Stops its worker where it is: connections are accepted by the system, and nothing answers.
    pub(crate) fn freeze(&self) {
        self.workers()
            .for_each(|worker| signal(worker, Signal::STOP));
    }

    fn command(&self) -> Command {
        nginx(self.directory(), &self.directory().join("nginx.conf"))
    }

    fn workers(&self) -> impl Iterator<Item = Pid> + use<> {
        let id = self.process.as_ref().map(Process::id);
        let children =
            id.and_then(|id| fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok());
        let children = children.unwrap_or_default();
        let ids: Vec<_> = children
            .split_whitespace()
            .filter_map(|id| Pid::from_raw(id.parse().ok()?))
            .collect();
        ids.into_iter()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let workers = self.workers();
        // The master first: it would start another worker.
        drop(self.process.take());
        workers.for_each(|worker| signal(worker, Signal::KILL));
    }
}

/// Five of them, each answering as `location` says.
pub(crate) async fn five(location: &str) -> Vec<Nginx> {
    let mut all = Vec::new();
    for port in crate::tools::free_ports::<5>() {
        all.push(Nginx::start(port, location).await);
    }
    all
}

/// A sidecar before these endpoints, with more fields of the upstream and of the route.
pub(crate) async fn before(
    endpoints: impl IntoIterator<Item = SocketAddr>,
    upstream: &str,
    route: &str,
) -> Sidecar {
    let mut list = String::new();
    for endpoint in endpoints {
        let _ = write!(list, "\"http://{endpoint}\", ");
    }
    Sidecar::start(format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\n\
         upstreams: {{ pay: {{ endpoints: [{list}]{upstream} }} }}\n\
         routes: [{{ name: pay, match: {{ path: \"/{{*rest}}\" }}, upstream: pay{route} }}]\n"
    ))
    .await
}

fn signal(process: Pid, signal: Signal) {
    // It may have ended.
    let _ = kill_process(process, signal);
}
