mod published;

use std::fs;
use std::path::Path;

use super::*;
use crate::backtest::line::Ending;
use crate::backtest::source::{Lines, Text, decompressed};

/// The format of `file`, and its requests: milliseconds since [`BEGIN`], latency in milliseconds,
/// how the request ended, route.
fn read(file: &str) -> (&'static str, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/backtest")
        .join(file);
    let text = fs::read(path).expect("a fixture");
    let mut lines = Lines::new(decompressed(std::io::Cursor::new(text)).expect("text"));
    let (mut format, mut reader, mut requests) = (None, None, Vec::new());
    while let Some(Text::Whole(record)) = lines.next().expect("a file") {
        let format = format.get_or_insert_with(|| recognise(record).expect("a known format"));
        let reader = match &mut reader {
            Some(reader) => reader,
            None => reader.insert(format.reader(record).expect("a format that is read")),
        };
        let read = reader.read(record, &mut |line| requests.push(told(line)));
        assert_eq!(read, Ok(()), "{file}:{}", lines.number());
    }
    (format.expect("a record").name, requests)
}

fn told(line: &Line<'_>) -> String {
    let ending = match line.ending {
        Ending::Status(status) => status.to_string(),
        Ending::Span(facts, status) => {
            let rules = breaker_tower::Policy::sensitive();
            format!("{:?}", facts.classification(status, rules.failure()))
        }
        Ending::Outcome(classification) => format!("{classification:?}"),
        ending => format!("{ending:?}"),
    };
    let millis = line.at.as_nanos() as f64 / 1e6;
    let at = if millis < BEGIN {
        millis
    } else {
        millis - BEGIN
    };
    let latency = line.latency.expect("an answer").as_secs_f64() * 1e3;
    format!("{at:.0} {latency:.1} {ending} {}", line.route)
}

/// 2026-11-28 09:15:00 UTC.
const BEGIN: f64 = 1_795_857_300_000.0;

/// A file, its format and its requests.
type Expected = (&'static str, &'static str, &'static [&'static str]);

#[test]
fn the_files_of_real_programs_and_documented_ones_are_read() {
    for (file, format, expected) in MADE.iter().chain(published::FILES).chain(DOCUMENTED) {
        let (name, requests) = read(file);
        let expected: Vec<_> = expected.iter().map(|&line| line.to_owned()).collect();
        assert_eq!((name, requests), (*format, expected), "{file}");
    }
}

#[test]
fn every_format_that_is_read_has_a_file() {
    // `native` has tests of its own.
    let mut tested: Vec<_> = MADE.iter().chain(DOCUMENTED).map(|row| row.1).collect();
    tested.push("native");
    for name in names() {
        assert!(tested.contains(&name), "{name}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    for (file, expected) in [
        ("made/locust-stats.csv", "sums of many requests"),
        ("made/locust-history.csv", "sums of many requests"),
        (
            "made/combined.log",
            "add $request_time (nginx) or %D (Apache)",
        ),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backtest");
        let text = fs::read_to_string(path.join(file)).expect("a fixture");
        let first = text.lines().next().expect("a line").as_bytes();
        let format = recognise(first).expect("a known format");
        let why = format.reader(first).err().expect("it is not read");
        assert!(why.contains(expected), "{file}: {why}");
    }
    let xml = recognise(b"<?xml version=\"1.0\"?>").expect("a known format");
    assert_eq!(xml.name, "jmeter-xml");
}

#[test]
fn a_format_that_is_named_reads_a_file_without_its_heading() {
    let format = named("jmeter").expect("it is known");
    let row =
        b"1795857304000,120,Pay,200,OK,users 1-1,text,true,,512,130,1,1,http://shop/pay,95,0,3";
    let mut requests = Vec::new();
    let mut reader = format.reader(row).expect("it is read");
    reader
        .read(row, &mut |line| requests.push(told(line)))
        .expect("a good row");
    assert_eq!(requests, ["4000 95.0 200 Pay"]);
}

#[test]
fn a_file_of_nothing_that_is_a_request_says_what_would_be_one() {
    let transaction = b"1795857304000,240,Visit,200,\"Number of samples in transaction : 2, \
        number of failing samples : 0\",users 1-1,,true,,228,240,1,1,null,229,129,31";
    let metric =
        br#"{"metric":"vus","type":"Point","data":{"time":"2026-11-28T09:15:04Z","value":1}}"#;
    for (name, row, expected) in [
        ("jmeter", &transaction[..], "rows of samples"),
        ("k6-json", metric, "points of http_req_duration"),
    ] {
        let format = named(name).expect("it is known");
        let mut reader = format.reader(row).expect("it is read");
        let read = reader.read(row, &mut |line| panic!("{line:?}"));
        let why = reader.nothing().unwrap_or_default();
        assert!(read.is_ok() && why.contains(expected), "{read:?} {why}");
    }
}

#[test]
fn the_docs_have_the_table_of_formats() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/backtest.md");
    let docs = fs::read_to_string(docs).expect("the docs");
    for Format {
        name,
        what,
        mark,
        fields,
        ..
    } in FORMATS
    {
        let row = format!("| `{name}` | {what} | {mark} | {fields} |\n");
        assert!(docs.contains(&row), "docs/backtest.md lacks {row}");
    }
}

proptest::proptest! {
    #[test]
    fn no_record_panics_any_reader(text in "[\\[\\]\"{}:,/. 0-9a-z+-]{0,120}") {
        let _ = recognise(text.as_bytes());
        for format in FORMATS {
            if let Ok(mut reader) = format.reader(text.as_bytes()) {
                let _ = reader.read(text.as_bytes(), &mut |_| {});
            }
        }
    }
}

const MADE: &[Expected] = &[
    (
        "made/apache.log",
        "apache",
        &[
            "63000 4.4 200 /",
            "63000 48.0 200 /users/{id}",
            "63000 43.4 200 /users/{id}",
            "63000 191.4 200 /slow",
            "64000 4.0 404 /none",
            "64000 4.1 200 /refused",
            "64000 47.4 503 /bad",
            "64000 44.0 503 /bad",
            "64000 43.3 200 /orders/{id}",
            "64000 1043.5 200 /hang",
            "65000 1047.5 200 /hang",
        ],
    ),
    (
        "made/caddy.log",
        "caddy",
        &[
            "1344879 1.5 200 /",
            "1344884 43.3 200 /users/{id}",
            "1344935 44.0 200 /users/{id}",
            "1344984 191.2 200 /slow",
            "1345180 43.2 503 /bad",
            "1345231 44.0 404 /none",
            "1345276 43.6 503 /bad",
            "1345321 0.3 502 /refused",
            "1345323 44.1 200 /orders/{id}",
            "1345368 1043.1 200 /hang",
            "1346412 102.6 CallerLeft /hang",
        ],
    ),
    (
        "made/envoy-istio.log",
        "envoy",
        &[
            "4953 0.0 200 /",
            "4956 0.0 200 /users/{id}",
            "4999 0.0 200 /users/{id}",
            "5043 171.0 200 /slow",
            "5296 10.0 503 /bad",
            "5310 1.0 404 /none",
            "5317 0.0 503 /bad",
            "5322 0.0 503 /refused",
            "5324 0.0 200 /orders/{id}",
            "5374 499.0 TimedOut /hang",
            "5875 100.0 CallerLeft /hang",
        ],
    ),
    (
        "made/envoy-json.log",
        "envoy-json",
        &[
            "4960 0.0 200 /",
            "4962 0.0 200 /users/{id}",
            "5003 0.0 200 /users/{id}",
            "5047 167.0 200 /slow",
            "5307 0.0 503 /bad",
            "5308 0.0 404 /none",
            "5314 0.0 503 /bad",
            "5318 4.0 503 /refused",
            "5324 10.0 200 /orders/{id}",
            "5341 499.0 TimedOut /hang",
            "5841 100.0 CallerLeft /hang",
        ],
    ),
    (
        "made/envoy.log",
        "envoy",
        &[
            "5143 0.0 200 /",
            "5159 0.0 200 /users/{id}",
            "5216 0.0 200 /users/{id}",
            "5307 150.0 200 /slow",
            "5459 0.0 503 /bad",
            "5460 0.0 404 /none",
            "5461 0.0 503 /bad",
            "5462 0.0 503 /refused",
            "5463 0.0 200 /orders/{id}",
            "5464 502.0 TimedOut /hang",
            "5967 100.0 CallerLeft /hang",
        ],
    ),
    (
        "made/haproxy.log",
        "haproxy",
        &[
            "4606 1.0 200 shop",
            "4608 0.0 200 shop",
            "4609 1.0 200 shop",
            "4643 171.0 200 shop",
            "4815 1.0 503 shop",
            "4820 2.0 404 shop",
            "4831 0.0 503 shop",
            "4836 0.0 503 refused",
            "4836 3.0 200 shop",
            "4840 502.0 TimedOut shop",
            "5343 503.0 TimedOut shop",
        ],
    ),
    (
        "made/hey.csv",
        "hey",
        &[
            "0 151.2 200 hey",
            "0 150.6 200 hey",
            "152 150.7 200 hey",
            "152 150.5 200 hey",
            "351 150.6 200 hey",
            "350 150.8 200 hey",
            "546 150.7 200 hey",
            "547 150.6 200 hey",
            "744 150.6 200 hey",
            "744 150.7 200 hey",
            "942 150.7 200 hey",
            "943 150.6 200 hey",
        ],
    ),
    (
        "made/jmeter.csv",
        "jmeter",
        &[
            "21711541 36.0 200 Home",
            "21711589 193.0 200 Slow",
            "21711783 47.0 200 Home",
            "21711834 44.0 200 Users, by number",
            "21711878 200.0 200 Slow",
            "21712078 48.0 503 Bad",
            "21712127 43.0 404 None",
            "21712171 1.0 Failure Refused",
            "21712173 1.0 Failure Cut",
            "21712175 7.0 Failure Reset",
            "21712183 101.0 Failure Hang",
            "21712285 9.0 Failure Home",
        ],
    ),
    (
        "made/k6.csv",
        "k6-csv",
        &[
            "21377995 5.2 200 /",
            "21377957 43.2 200 /users/{id}",
            "21377956 43.8 200 user, by number",
            "21377808 191.7 200 /slow",
            "21377957 43.5 503 /bad",
            "21377956 43.7 404 /none",
            "21377999 0.6 503 /bad",
            "21377956 43.6 200 /",
            "21378000 0.0 Failure /refused",
            "21377999 1.0 Failure /reset",
            "21377999 1.4 Failure /cut",
            "21377899 100.7 Failure /hang",
        ],
    ),
    (
        "made/k6.json",
        "k6-json",
        &[
            "21378469 5.2 200 /",
            "21378475 43.2 200 /users/{id}",
            "21378518 43.8 200 user, by number",
            "21378562 191.7 200 /slow",
            "21378754 43.5 503 /bad",
            "21378798 43.7 404 /none",
            "21378843 0.6 503 /bad",
            "21378842 43.6 200 /",
            "21378886 0.0 Failure /refused",
            "21378887 1.0 Failure /reset",
            "21378889 1.4 Failure /cut",
            "21378890 100.7 Failure /hang",
        ],
    ),
    (
        "made/nginx-json.log",
        "nginx-json",
        &[
            "4823 8.0 200 /",
            "4833 0.0 200 /users/{id}",
            "4834 0.0 200 /users/{id}",
            "4838 151.0 200 /slow",
            "4990 1.0 503 /bad",
            "4991 1.0 404 /none",
            "4992 1.0 503 /bad",
            "4993 0.0 502 /refused",
            "4994 0.0 200 /orders/{id}",
            "4994 1004.0 200 /hang",
            "5999 100.0 CallerLeft /hang",
        ],
    ),
    (
        "made/nginx-named.log",
        "nginx",
        &[
            "3992 8.0 200 /",
            "4000 0.0 200 /users/{id}",
            "4000 0.0 200 /users/{id}",
            "3849 151.0 200 /slow",
            "3999 1.0 503 /bad",
            "3999 0.0 404 /none",
            "3999 1.0 503 /bad",
            "4000 0.0 502 /refused",
            "4000 0.0 200 /orders/{id}",
            "3995 1004.0 200 /hang",
            "5899 100.0 CallerLeft /hang",
        ],
    ),
    (
        "made/nginx.log",
        "nginx",
        &[
            "3992 8.0 200 /",
            "4000 0.0 200 /users/{id}",
            "4000 0.0 200 /users/{id}",
            "3849 151.0 200 /slow",
            "3999 1.0 503 /bad",
            "3999 1.0 404 /none",
            "3999 1.0 503 /bad",
            "4000 0.0 502 /refused",
            "4000 0.0 200 /orders/{id}",
            "3995 1005.0 200 /hang",
            "5899 101.0 CallerLeft /hang",
        ],
    ),
    (
        "made/otlp.jsonl",
        "otlp",
        &[
            "21642230 0.9 Success /",
            "21642247 0.7 Success /users/<int:n>",
            "21642260 0.6 Success /users/<int:n>",
            "21642282 150.8 Success /slow",
            "21642451 0.6 Failure /bad",
            "21642464 0.7 Success GET /none",
            "21642483 1.8 Failure /broken",
            "21642497 1000.8 Success /hang",
        ],
    ),
    (
        "made/traefik-json.log",
        "traefik-json",
        &[
            "22041518 1.2 200 shop@file",
            "22041522 43.3 200 shop@file",
            "22041567 42.5 200 shop@file",
            "22041611 190.8 200 shop@file",
            "22041803 42.8 503 shop@file",
            "22041847 47.3 404 shop@file",
            "22041895 46.4 503 shop@file",
            "22041943 0.4 502 refused@file",
            "22041944 41.5 200 shop@file",
            "22041987 1046.8 200 shop@file",
            "22043036 0.1 404 /nothing/{id}",
            "22043037 100.3 CallerLeft shop@file",
        ],
    ),
    (
        "made/traefik.log",
        "traefik",
        &[
            "22036000 3.0 200 shop@file",
            "22036000 42.0 200 shop@file",
            "22036000 42.0 200 shop@file",
            "22036000 191.0 200 shop@file",
            "22036000 42.0 503 shop@file",
            "22036000 42.0 404 shop@file",
            "22036000 42.0 503 shop@file",
            "22036000 0.0 502 refused@file",
            "22036000 41.0 200 shop@file",
            "22036000 1043.0 200 shop@file",
            "22037000 0.0 404 /nothing/{id}",
            "22037000 100.0 CallerLeft shop@file",
        ],
    ),
    (
        "made/zipkin.json",
        "zipkin",
        &[
            "21630191 1.8 Success /",
            "21630193 1.1 Success /users/{id}",
            "21630197 0.8 Success /users/{id}",
            "21630198 151.3 Success /slow",
            "21630351 0.9 Failure /bad",
            "21630354 4.0 Success /none",
            "21630358 3.4 Failure /bad",
            "21630362 0.2 Failure refused",
            "21630363 0.7 Success /orders/{id}",
            "21630364 501.5 Failure /hang",
            "21630867 100.8 Ignored /hang",
        ],
    ),
];

const DOCUMENTED: &[Expected] = &[
    (
        "documented/jaeger-spans.jsonl",
        "jaeger",
        &["4250 120.5 Success /users/{id}", "4350 12.0 Failure pay"],
    ),
    (
        "documented/jaeger-v3.json",
        "otlp",
        &["4250 120.5 Success /users/{id}"],
    ),
    (
        "documented/jaeger.json",
        "jaeger",
        &[
            "4250 120.5 Success /users/{id}",
            "4350 12.0 Failure pay",
            "4450 0.3 Failure pay",
        ],
    ),
    (
        "documented/vegeta-old.csv",
        "vegeta-csv",
        &[
            "4250 120.5 200 shop",
            "4350 12.0 503 shop",
            "4450 0.3 Failure shop",
        ],
    ),
    (
        "documented/vegeta.csv",
        "vegeta-csv",
        &[
            "4250 120.5 200 /users/{id}",
            "4350 12.0 503 /pay",
            "4450 0.3 Failure /pay",
        ],
    ),
    (
        "documented/vegeta.json",
        "vegeta-json",
        &[
            "4250 120.5 200 /users/{id}",
            "4350 12.0 503 /pay",
            "4450 0.3 Failure /pay",
            "4550 30000.0 Failure /pay",
        ],
    ),
    (
        "documented/zipkin.json",
        "zipkin",
        &[
            "4250 120.5 Success get /users/{id}",
            "4350 12.0 Failure get /pay",
            "4450 0.3 Failure get /pay",
        ],
    ),
];
