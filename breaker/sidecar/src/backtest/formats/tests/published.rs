//! Files that vegeta and Jaeger wrote elsewhere: neither can be installed where the tests run.

use super::{Expected, read};

/// The counts and times are those of vegeta's own report of this file, `report-mixed.json`.
#[test]
fn the_figures_of_a_whole_file_are_those_of_vegetas_own_report() {
    let (format, requests) = read("published/vegeta-mixed.csv");
    assert_eq!((format, requests.len()), ("vegeta-csv", 100));
    let rows: Vec<Vec<&str>> = requests
        .iter()
        .map(|request| request.split(' ').collect())
        .collect();
    let count = |ending| rows.iter().filter(|row| row[2] == ending).count();
    assert_eq!(
        ["200", "500", "503", "Failure"].map(count),
        [40, 20, 20, 20],
        "the last are those with the code 0"
    );
    let numbers = |column: usize| -> Vec<f64> {
        let numbers = rows.iter().map(|row| row[column].parse());
        numbers.collect::<Result<_, _>>().expect("numbers")
    };
    let (times, latencies) = (numbers(0), numbers(1));
    assert!(times.is_sorted() && latencies.is_sorted());
    // 2026-09-23, 10:00:00 and 10:00:00.99 UTC.
    assert_eq!(
        (times[0], times[99]),
        (1_790_157_600_000.0, 1_790_157_600_990.0)
    );
    assert_eq!((latencies[0], latencies[99]), (1.0, 100.0));
    assert_eq!(latencies.iter().sum::<f64>(), 5050.0);
    assert!(rows.iter().all(|row| row[3] == "/"), "{rows:?}");
}

pub(super) const FILES: &[Expected] = &[
    (
        "published/jaeger-demo.json",
        "jaeger",
        &[
            "1789068874544 0.9 Success /api/data",
            "1789068874553 188.6 Failure /api/data",
            "1789068874564 0.5 Success flagd.evaluation.v2.Service/ResolveBoolean",
            "1789068874584 0.8 Success flagd.evaluation.v2.Service/ResolveBoolean",
            "1789068874559 185.8 Failure oteldemo.AdService/GetAds",
            "1789068874543 2.4 Success /api/data/",
            "1789068874548 195.3 Failure /api/data",
        ],
    ),
    (
        "published/jaeger.json",
        "jaeger",
        &["1706678909210 0.1 Success okey-dokey-0"],
    ),
    (
        "published/vegeta-2016.csv",
        "vegeta-csv",
        &["1476696644002 2.1 200 vegeta"],
    ),
    (
        "published/vegeta-2016.json",
        "vegeta-json",
        &["1476696653992 0.5 200 vegeta"],
    ),
    (
        "published/vegeta-2019.json",
        "vegeta-json",
        &["1572853576885 1.1 Failure vegeta"],
    ),
    (
        "published/vegeta-ccf.json",
        "vegeta-json",
        &["1647951471942 118.0 200 /app/log/private"],
    ),
    ("published/vegeta-edges.csv", "vegeta-csv", EDGES),
    ("published/vegeta-edges.json", "vegeta-json", EDGES),
];

/// The same six results in CSV and in JSON. vegeta calls three of them successful.
const EDGES: &[&str] = &[
    "1790129387936 1.5 200 /",
    "1790129387937 0.3 Failure /",
    "1790129387938 25.0 500 /x",
    "1790129387939 7.0 200 /q",
    "1790129387940 1.0 404 /",
    "0 0.0 302 /r",
];
