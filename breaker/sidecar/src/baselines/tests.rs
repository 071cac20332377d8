use std::fs;

use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::{LatencyMeasure, Signal};
use breaker_tower::breaker_core::{Baseline, LatencyBounds, SignalBaseline, SourceBaseline};

use super::*;

/// What a route has learned whose requests take 100 ms, and of which one in a hundred fails.
fn learned() -> Baseline {
    let bounds = LatencyBounds {
        deadline: Duration::from_secs(1),
        measure: LatencyMeasure::Head,
    };
    let signal = |signal| SignalBaseline::new(signal, 5000.0, 50.0).unwrap();
    let proxy = SourceBaseline::new("proxy", bounds, Signal::ALL.map(signal), vec![100; 60]);
    Baseline::new([proxy.unwrap()])
}

fn breaker() -> BreakerHandle {
    BreakerHandle::with_seed("pay", Policy::adaptive(), 1)
}

fn learner(breaker: &BreakerHandle, version: Option<&str>) -> TrackedBreaker {
    TrackedBreaker {
        breaker: breaker.clone(),
        version: version.map(Arc::from),
    }
}

fn keeper(file: &Path, breaker: &BreakerHandle, version: Option<&str>) -> BaselineStore {
    BaselineStore::open(file, Baselines::new([learner(breaker, version)])).unwrap()
}

/// A directory with a file of a breaker that has [`learned`].
fn written(version: Option<&str>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let before = breaker();
    before.restore_baseline(&learned());
    keeper(&file, &before, version).write();
    (folder, file)
}

fn bad(file: &Path) -> PathBuf {
    file.with_extension("bad")
}

#[test]
fn a_restart_keeps_what_was_learned() {
    let (folder, file) = written(Some("v1"));
    let after = breaker();
    keeper(&file, &after, Some("v1"));
    assert_eq!(after.baseline(), learned());
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside the file");
}

#[test]
fn another_version_learns_anew() {
    let (_folder, file) = written(Some("v1"));
    for version in [Some("v2"), None] {
        let after = breaker();
        keeper(&file, &after, version);
        assert_eq!(after.baseline(), breaker().baseline(), "{version:?}");
    }
}

#[test]
fn a_list_with_another_version_makes_the_breaker_forget() {
    let breaker = breaker();
    breaker.restore_baseline(&learned());
    let baselines = Baselines::new([learner(&breaker, Some("v1"))]);
    baselines.replace([learner(&breaker, Some("v1"))]);
    assert_eq!(breaker.baseline(), learned());
    baselines.replace([learner(&breaker, Some("v2"))]);
    assert_ne!(breaker.baseline(), learned());
}

#[test]
fn a_route_that_is_gone_is_dropped() {
    let (_folder, file) = written(None);
    let other = BreakerHandle::with_seed("search", Policy::adaptive(), 1);
    let keeper = keeper(&file, &other, None);
    keeper.write();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("search") && !text.contains("pay"), "{text}");
}

#[test]
fn a_file_that_is_damaged_is_set_aside_and_harms_nothing() {
    let (_folder, file) = written(None);
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, &bytes).unwrap();
    let after = breaker();
    keeper(&file, &after, None).write();
    assert_eq!(after.baseline(), breaker().baseline());
    assert_eq!(
        fs::read(bad(&file)).unwrap(),
        bytes,
        "for people to look at"
    );
    assert!(document::decode(&fs::read(&file).unwrap()).is_ok());
}

#[test]
fn a_missing_file_is_no_news() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    keeper(&file, &breaker(), None);
    assert!(!file.exists() && !bad(&file).exists());
}

#[test]
fn a_file_older_than_a_week_is_not_used() {
    let (_folder, file) = written(None);
    for (age, used) in [(6, true), (8, false)] {
        let kept = StoredBaseline {
            route: "pay".to_owned(),
            version: None,
            baseline: learned(),
        };
        let saved = since_epoch().saturating_sub(Duration::from_secs(age * 86_400));
        fs::write(&file, document::encode(saved, &[kept])).unwrap();
        let after = breaker();
        keeper(&file, &after, None);
        assert_eq!(after.baseline() == learned(), used, "{age} days");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere/state");
    for file in [nowhere.as_path(), folder.path()] {
        assert!(
            BaselineStore::open(file, Baselines::default()).is_err(),
            "{file:?}"
        );
    }
}

#[test]
fn a_write_that_fails_is_counted_and_the_next_may_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("within");
    fs::create_dir(&within).unwrap();
    let keeper = keeper(&within.join("state"), &breaker(), None);
    let saves = keeper.saves();
    fs::remove_dir(&within).unwrap();
    keeper.write();
    assert_eq!((saves.succeeded(), saves.failed()), (0, 1));
    fs::create_dir(&within).unwrap();
    keeper.write();
    assert_eq!((saves.succeeded(), saves.failed()), (1, 1));
}
