//! Reloads when the texts of the configuration have changed.
//!
//! Directories are watched, not files: an editor replaces a file, and Kubernetes a link to the
//! directory that a `ConfigMap`'s files are in. What was seen there only says when to look: the
//! texts decide, by their hash.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Reloader;

/// Reloads when there is something new, for as long as it is polled.
pub(in crate::app) async fn watch(reloader: Reloader) {
    let (notices, mut noticed) = mpsc::channel(1);
    let mut is_warned = false;
    let mut is_settled = false;
    loop {
        // Before the look at the texts, so that nothing happens between the two. Anew each time:
        // what was watched may have been replaced.
        let (shared, notices) = (reloader.0.clone(), notices.clone());
        let looked = spawn_blocking(move || {
            let folders = shared.running().config.folders();
            let watcher = begin(&folders, notices);
            let is_doubtful = shared.rotate();
            (watcher, shared.is_stale(), is_doubtful)
        });
        let Ok((watcher, is_stale, is_doubtful)) = looked.await else {
            return;
        };
        if is_stale {
            if !is_settled {
                // Seen in the middle, it may be half.
                sleep(QUIET).await;
            }
            is_settled = false;
            // What came of it is logged. Other files may count now, so they are looked at again.
            let _ = reloader.reload().await;
            continue;
        }
        match watcher {
            // Not every file system reports what happens in it.
            Ok(_watcher) => {
                let pause = if is_doubtful { LATEST } else { UNREPORTED };
                let settled = timeout(pause, settle(&mut noticed)).await;
                is_settled = settled.is_ok();
            }
            Err(error) => {
                if !is_warned {
                    tracing::warn!(%error, "can't watch the configuration; looking at it every {UNWATCHED:?}");
                    is_warned = true;
                }
                sleep(UNWATCHED).await;
            }
        }
    }
}

/// Watches `folders` until it is dropped.
fn begin(folders: &BTreeSet<PathBuf>, notices: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| is_change(event.kind)) {
            // One that waits is as good as many.
            notices.try_send(()).ok();
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether it may have changed a text: not, when one was only read.
const fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Waits for a change, and then until there is none for a moment.
async fn settle(noticed: &mut Receiver<()>) {
    noticed.recv().await;
    let quiet = async { while timeout(QUIET, noticed.recv()).await.is_ok() {} };
    timeout(LATEST, quiet).await.ok();
}

/// A change comes in several steps; so long after the last one it is complete.
const QUIET: Duration = Duration::from_millis(200);
/// What never settles is looked at all the same.
const LATEST: Duration = Duration::from_secs(2);
/// How often the texts are looked at where nothing is reported.
const UNREPORTED: Duration = Duration::from_secs(30);
/// How often the texts are looked at where their directories can't be watched.
const UNWATCHED: Duration = Duration::from_secs(2);
