//! What goes wrong around the sidecar, each in its own rhythm, so that everything meets everything.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use breaker_tests::{Script, Tiny};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::scene::Scene;
use crate::tally::lock;

/// Faults that are going on; all are over when it is 0 and none may begin.
static ONGOING: AtomicUsize = AtomicUsize::new(0);

struct Ongoing;

impl Ongoing {
    fn begin() -> Self {
        ONGOING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        ONGOING.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn ongoing() -> usize {
    ONGOING.load(Ordering::Relaxed)
}

/// Starts all of them; they pause while there are to be none.
pub(crate) fn start(scene: &Arc<Scene>) -> JoinSet<()> {
    let mut faults = JoinSet::new();
    for (index, name) in ["plain", "upload", "h2", "grpc", "collector"]
        .into_iter()
        .enumerate()
    {
        faults.spawn(service(Arc::clone(scene), name, index));
    }
    faults.spawn(tunnels(Arc::clone(scene)));
    faults.spawn(log(Arc::clone(scene)));
    faults.spawn(disk(Arc::clone(scene)));
    faults
}

/// Killed, hung, slow, reset, cut off, no HTTP, and errors of its own, in turn.
async fn service(scene: Arc<Scene>, name: &'static str, index: usize) {
    const KINDS: [(&str, Option<Script>); 7] = [
        ("killed", None),
        ("hung", Some(Script::Hang)),
        ("slow", Some(Script::Delay(Duration::from_millis(800)))),
        ("reset", Some(Script::Reset)),
        ("500", Some(Script::Status(500))),
        ("cut off", Some(Script::CloseMidBody)),
        ("no HTTP", Some(Script::Garbage)),
    ];
    let service = scene.service(name);
    let calm = Duration::from_millis(3000 + 370 * index as u64);
    for turn in index.. {
        sleep(calm).await;
        if !scene.has_faults() {
            continue;
        }
        let ongoing = Ongoing::begin();
        let (fault, script) = &KINDS[turn % KINDS.len()];
        service.trouble.begin(fault);
        match script {
            Some(script) => service.play(script.clone()),
            None => service.kill(),
        }
        scene.fault_for(Duration::from_secs(2)).await;
        match script {
            Some(_) => service.recover(),
            None => service.come_back().await,
        }
        service.trouble.end();
        scene.tally.count("faults", *fault);
        drop(ongoing);
    }
}

async fn tunnels(scene: Arc<Scene>) {
    loop {
        sleep(Duration::from_secs(7)).await;
        if !scene.has_faults() {
            continue;
        }
        let _ongoing = Ongoing::begin();
        scene.tunnels.trouble.begin("closed");
        scene.tunnels.set_broken(true);
        scene.fault_for(Duration::from_secs(2)).await;
        scene.tunnels.set_broken(false);
        scene.tunnels.trouble.end();
        scene.tally.count("faults", "tunnels closed");
    }
}

/// Nobody reads the log for a while.
async fn log(scene: Arc<Scene>) {
    loop {
        sleep(Duration::from_secs(5)).await;
        if !scene.has_faults() {
            continue;
        }
        let _ongoing = Ongoing::begin();
        lock(&scene.sidecar).process().stall_log(true);
        scene.fault_for(Duration::from_secs(6)).await;
        lock(&scene.sidecar).process().stall_log(false);
        scene.tally.count("faults", "log not read");
    }
}

/// The disk of the recording and of what was learned is full for a while, and then empty.
async fn disk(scene: Arc<Scene>) {
    let Some(disk) = &scene.disk else {
        scene
            .tally
            .count("faults", "NO full disk: this process may not mount one");
        return;
    };
    loop {
        sleep(Duration::from_secs(4)).await;
        if !scene.has_faults() {
            continue;
        }
        let _ongoing = Ongoing::begin();
        disk.fill();
        scene.fault_for(Duration::from_secs(4)).await;
        make_room(disk);
        scene.tally.count("faults", "disk full");
    }
}

fn make_room(disk: &Tiny) {
    disk.make_room();
    let record = OpenOptions::new()
        .write(true)
        .open(disk.path().join("record"));
    if let Ok(record) = record {
        // The recording fills the disk by itself in time. It is no fault that it is then cut.
        let _ = record.set_len(0);
    }
}
