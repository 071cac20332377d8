//! The image, as `docker run` starts it on the Docker Engine of this machine.

use std::fs;
use std::path::Path;
use std::process::{self, Command};

use breaker_tests::{Metrics, breaker, eventually, get, send};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Empty;

/// A container, which is removed whatever happens.
struct Container(String);

impl Container {
    /// Runs the image with these arguments of `docker run`.
    fn run(name: &str, arguments: &[&str]) -> Self {
        let name = format!("breaker-test-{name}-{}", process::id());
        let mut run = docker(["run", "--detach", "--name", &name, "--publish", PORT]);
        // A port that others reach needs one.
        run.args(["--env", "BREAKER_CONTROL_TOKEN=test"]);
        run.args(arguments).arg(IMAGE);
        // Nobody answers there: what is wanted is the sidecar itself.
        run.args(["run", "--upstream", "http://127.0.0.1:9"]);
        run.args(["--listen", "0.0.0.0:8080", "--admin", "0.0.0.0:9900"]);
        let container = Self(name);
        output(run);
        container
    }

    fn uri(&self, path: &str) -> Uri {
        let address = output(docker(["port", &self.0, "9900/tcp"]));
        let address = address.lines().next().unwrap();
        format!("http://{address}{path}").parse().unwrap()
    }

    /// The fields of its first process, as this machine sees it.
    fn process(&self) -> String {
        let id = output(docker(["inspect", "--format", "{{.State.Pid}}", &self.0]));
        fs::read_to_string(format!("/proc/{}/status", id.trim())).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(["rm", "--force", &self.0]).output();
    }
}

fn docker<const N: usize>(arguments: [&str; N]) -> Command {
    let mut docker = Command::new("docker");
    docker.args(arguments);
    docker
}

/// What a program printed that ended well.
fn output(mut command: Command) -> String {
    let ran = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {stderr}");
    String::from_utf8(ran.stdout).unwrap()
}

/// Builds the images of the binary under test and of the demo's beside it; both must be static.
fn build() {
    let nothing: [&str; 0] = [];
    let command = breaker(nothing);
    let folder = Path::new(command.get_program()).parent().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new(root.join("deploy/image"));
    build.arg(folder.canonicalize().unwrap());
    // Those of the demo's tests may be built at the same time.
    build.env("BREAKER_IMAGE", IMAGE);
    build.env("BREAKER_CHAOS_IMAGE", "breaker-chaos-image-test");
    build.env("BREAKER_REDIS_IMAGE", "breaker-redis-image-test");
    output(build);
}

const IMAGE: &str = "breaker-image-test";
/// Any port of this machine.
const PORT: &str = "127.0.0.1:0:9900";
const LAYERS: [&str; 8] = [
    "no_new_privs",
    "capabilities",
    "core_dumps",
    "filesystem",
    "tcp_connect",
    "tcp_bind",
    "scopes",
    "seccomp",
];

#[tokio::test]
async fn in_a_container_all_layers_of_the_sandbox_are_on() {
    build();
    let hardened = [
        "--security-opt",
        "no-new-privileges",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--user",
        "1234:1234",
    ];
    for (name, arguments) in [
        ("default", &[][..]),
        ("hardened", &hardened),
        // It gives them up by itself.
        ("root", &["--user", "0:0"]),
    ] {
        let container = Container::run(name, arguments);
        let ready = container.uri("/readyz");
        let is_ready = async || {
            let request = Request::get(&ready).body(Empty::<Bytes>::new()).unwrap();
            send(request).await.is_ok_and(|answer| answer.status == 200)
        };
        eventually!(is_ready().await, "{name} is not ready");
        let metrics = get(container.uri("/metrics")).await.text();
        let metrics = Metrics::new(metrics);
        for layer in LAYERS {
            let labels = [("breaker_sandbox_layer", layer)];
            let is_on = metrics.sum("breaker_sandbox", &labels);
            assert_eq!(is_on, Some(1.0), "{layer} of {name}");
        }
        let told = output(docker(["exec", &container.0, "/breaker", "status"]));
        assert!(
            told.contains("(fs, tcp connect, tcp bind, scopes), seccomp "),
            "{told}"
        );

        let process = container.process();
        for field in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
            assert!(process.contains(field), "{field} of {name}: {process}");
        }
    }
}
