//! What telemetry costs a request: both histograms together, on one thread and on two that share
//! the series.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breaker_sidecar::registry::Breakers;
use breaker_sidecar::telemetry::{
    Catalog, Environment, ExportSettings, Finished, Recorder, Sent, Telemetry,
};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode, Version};

fn recorder() -> Recorder {
    let settings = ExportSettings::resolve(None, &Environment::default()).expect("no setting");
    let (telemetry, _) = Telemetry::start(settings, Breakers::from_iter([])).expect("no export");
    telemetry.recorder(Arc::new(Catalog {
        routes: vec!["pay".into(), "list".into()],
        endpoints: vec![("127.0.0.1".into(), Some(9001))],
    }))
}

fn record(recorder: &Recorder, n: u64) {
    // Latencies of 0.5 to 4.6 ms; one request of eight fails.
    let nanos = 500_000 + (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 42);
    let status = if n.is_multiple_of(8) {
        StatusCode::BAD_GATEWAY
    } else {
        StatusCode::OK
    };
    recorder.record(black_box(&Finished {
        method: &Method::GET,
        https: false,
        version: Version::HTTP_11,
        route: Some((n % 2) as u16),
        status: Some(status),
        error: None,
        duration: Duration::from_nanos(nanos + 20_000),
        trace: None,
    }));
    recorder.sent(black_box(&Sent {
        method: &Method::GET,
        endpoint: Some(0),
        https: false,
        version: Version::HTTP_11,
        status: Some(status),
        error: None,
        resends: 0,
        duration: Duration::from_nanos(nanos),
    }));
}

fn both_histograms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record both histograms");
    let alone = recorder();
    let mut n = 0;
    group.bench_function("one thread", |bencher| {
        bencher.iter(|| {
            n += 1;
            record(&alone, n);
        });
    });

    let contended = recorder();
    let other = contended.clone();
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let rival = std::thread::spawn(move || {
        let mut n = 0;
        while !seen.load(Ordering::Relaxed) {
            n += 1;
            record(&other, n);
        }
    });
    group.bench_function("two threads", |bencher| {
        bencher.iter(|| {
            n += 1;
            record(&contended, n);
        });
    });
    done.store(true, Ordering::Relaxed);
    rival.join().expect("the rival does not panic");
    group.finish();
}

criterion_group!(benches, both_histograms);
criterion_main!(benches);
