//! No descriptors, no room on the disk, nobody who takes the log: traffic goes on, and afterwards
//! everything is as before.

use std::fs;
use std::process::Command;
use std::time::Duration;

use breaker_tests::{Setup, Sidecar, Tiny, Upstream, breaker, eventually, free_ports, get};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Ticks of 10 ms that a process has worked.
fn worked(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may have spaces and is in parentheses.
    let fields = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<_> = fields.split(' ').collect();
    [11, 12]
        .map(|index: usize| fields[index].parse::<u64>().unwrap())
        .iter()
        .sum()
}

fn descriptors(pid: u32) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.count() as u64
}

fn limit_descriptors(pid: u32, limit: u64) {
    let limit = Rlimit {
        current: Some(limit),
        maximum: Some(20_000),
    };
    let pid = Pid::from_raw(pid as i32);
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

const REQUEST: &[u8] = b"GET /pay/x HTTP/1.1\r\nhost: a\r\n\r\n";

/// Whether a new connection is served within `patience`.
async fn is_served(sidecar: &Sidecar, patience: Duration) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(sidecar.address()).await.ok()?;
        stream.write_all(REQUEST).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        (&head == b"HTTP/1.1 200").then_some(())
    };
    timeout(patience, asking)
        .await
        .is_ok_and(|served| served.is_some())
}

#[tokio::test]
async fn without_descriptors_it_waits_and_recovers() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    assert!(is_served(&sidecar, Duration::from_secs(10)).await);
    let pid = sidecar.process().id();
    let before = descriptors(pid);
    limit_descriptors(pid, before + 3);
    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = TcpStream::connect(sidecar.address()).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        clients.push(client);
    }
    sleep(Duration::from_millis(500)).await;
    let (since, ticks) = (Instant::now(), worked(pid));
    sleep(Duration::from_secs(2)).await;
    let share = (worked(pid) - ticks) as f64 / (since.elapsed().as_secs_f64() * 100.0);
    assert!(share < 0.3, "it spins: {share:.2} of a core");
    let log = sidecar.process().log();
    assert!(log.contains("cannot accept connections"), "{log}");
    assert!(log.lines().count() < 200, "{} lines", log.lines().count());
    assert!(sidecar.process().exit_status().is_none());
    // Those that leave make room for those that wait.
    clients.truncate(2);
    eventually!(is_served(&sidecar, Duration::from_secs(2)).await);
    limit_descriptors(pid, 1000);
    drop(clients);
    assert!(is_served(&sidecar, Duration::from_secs(10)).await);
    eventually!(
        descriptors(pid) <= before + 2,
        "{} of {before}",
        descriptors(pid)
    );
    assert_eq!(get(sidecar.admin_url("/livez")).await.status, 200);
    let log = sidecar.process().log();
    assert!(!log.contains("panicked"), "{log}");
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.state("pay"), "closed");
}

#[tokio::test]
async fn on_a_full_disk_traffic_goes_on_and_files_come_back() {
    let Some(disk) = Tiny::mount(64) else {
        // Only where it may: in containers for tests, and as root.
        return;
    };
    let upstream = Upstream::start().await;
    let (state, record) = (disk.path().join("state"), disk.path().join("record"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breaker.yaml");
    let setup = Setup::of(upstream.address()).more(&format!("state: {}", state.display()));
    fs::write(&file, setup.yaml()).unwrap();
    let mut command = breaker(["run", "--config"]);
    command.arg(&file).arg("--record").arg(&record);
    let mut sidecar = Sidecar::spawn(command).await;
    assert!(is_served(&sidecar, Duration::from_secs(10)).await);
    eventually!(fs::metadata(&record).is_ok_and(|record| record.len() > 0));
    disk.fill();
    let full = fs::metadata(&record).unwrap().len();
    for _ in 0..300 {
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 200);
    }
    eventually!(
        sidecar
            .process()
            .log()
            .contains("can't write the recording")
    );
    assert_eq!(get(sidecar.admin_url("/livez")).await.status, 200);
    disk.make_room();
    eventually!({
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 200);
        fs::metadata(&record).is_ok_and(|record| record.len() > full)
    });
    disk.fill();
    sidecar.process().terminate();
    let ended = sidecar.process().ended().await;
    eventually!(
        sidecar
            .process()
            .log()
            .contains("what was learned can't be written")
    );
    let log = sidecar.process().log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(ended.code(), Some(0), "{log}");
    // What is there can be read: whole lines, though the last may be cut.
    let recorded = fs::read_to_string(&record).unwrap();
    let lines = recorded.lines().filter(|line| !line.is_empty());
    let broken = lines.filter(|line| !(line.starts_with('{') && line.ends_with('}')));
    assert!(broken.count() <= 2, "{recorded}");
}

#[tokio::test]
async fn a_log_that_nobody_can_write_is_nobodys_trouble() {
    let upstream = Upstream::start().await;
    let ports: [u16; 2] = free_ports();
    let yaml = Setup::of(upstream.address()).yaml();
    let yaml = yaml
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports[0]), 1)
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports[1]), 1);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breaker.yaml");
    fs::write(&file, yaml).unwrap();
    let program = breaker(["run"]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"exec "$0" run --config "$1" >/dev/full 2>/dev/full"#,
    ]);
    command.arg(program).arg(&file);
    let mut process = breaker_tests::Process::spawn(command);
    let url = |port: u16, path: &str| -> http::Uri {
        format!("http://127.0.0.1:{port}{path}").parse().unwrap()
    };
    eventually!(TcpStream::connect(("127.0.0.1", ports[1])).await.is_ok());
    eventually!(get(url(ports[1], "/readyz")).await.status == 200);
    for _ in 0..20 {
        assert_eq!(get(url(ports[0], "/pay/x")).await.status, 200);
    }
    let metrics = breaker_tests::Metrics::new(get(url(ports[1], "/metrics")).await.text());
    assert!(metrics.sum("breaker_log_dropped_total", &[]) > Some(0.0));
    process.hang_up();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(get(url(ports[0], "/pay/x")).await.status, 200);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}
