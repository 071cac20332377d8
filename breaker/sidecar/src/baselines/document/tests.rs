use proptest::prelude::*;

use super::*;

fn source(name: &str, minutes: usize) -> SourceBaseline {
    let bounds = LatencyBounds {
        deadline: Duration::from_millis(1500),
        measure: LatencyMeasure::Head,
    };
    let learned = |signal| SignalBaseline::new(signal, 1_234.567_89, 0.1).unwrap();
    SourceBaseline::new(name, bounds, Signal::ALL.map(learned), vec![77; minutes]).unwrap()
}

fn kept() -> Vec<StoredBaseline> {
    vec![
        StoredBaseline {
            route: "pay".to_owned(),
            version: Some("v1".to_owned()),
            baseline: Baseline::new([source("proxy", 1440), source("ledger", 0)]),
        },
        StoredBaseline {
            route: "search".to_owned(),
            version: None,
            baseline: Baseline::new([source("proxy", 3)]),
        },
    ]
}

const SAVED: Duration = Duration::new(1_764_000_000, 5);

/// A file whose checksum is good, of these lines.
fn file(lines: &str) -> Vec<u8> {
    let checksum = checksum(lines.as_bytes());
    let head = format!(r#"{{"format":"breaker-state","version":1,"checksum":"{checksum}"}}"#);
    format!("{head}\n{lines}").into_bytes()
}

#[test]
fn what_is_written_is_what_is_read() {
    let document = decode(&encode(SAVED, &kept())).unwrap();
    assert_eq!(document.saved, SAVED);
    assert_eq!(document.routes, kept());
}

#[test]
fn a_route_with_17_sources_and_a_full_day_fits_into_64_kib() {
    let names = (0..17).map(|index| format!("{:64}", index));
    let sources: Vec<_> = names.map(|name| source(&name, 1440)).collect();
    let kept = StoredBaseline {
        route: "p".repeat(64),
        version: Some("v".repeat(128)),
        baseline: Baseline::new(sources),
    };
    let bytes = encode(SAVED, std::slice::from_ref(&kept));
    assert!(bytes.len() < MOST_LINE, "{} bytes", bytes.len());
    assert_eq!(decode(&bytes).unwrap().routes, [kept]);
}

#[test]
fn a_route_that_takes_more_is_not_written() {
    let mut kept = kept();
    kept[0].version = Some("v".repeat(MOST_LINE));
    let document = decode(&encode(SAVED, &kept)).unwrap();
    assert_eq!(document.routes, kept[1..]);
}

#[test]
fn what_is_wrong_is_told() {
    let saved = "{\"saved\":{\"secs\":1,\"nanos\":0}}\n";
    let signal = r#"{"signal":"errors","observations":1.0,"hits":2.0}"#;
    let route = |signals: &str, p95s: &str| {
        format!(
            "{saved}{{\"route\":\"pay\",\"sources\":[{{\"source\":\"proxy\",\"deadline\":{{\"secs\":1,\"nanos\":0}},\"latency\":\"head\",\"signals\":[{signals}],\"p95s\":\"{p95s}\"}}]}}\n"
        )
    };
    let good = encode(SAVED, &kept());
    let version = String::from_utf8(good.clone()).unwrap();
    let version = version.replacen("\"version\":1", "\"version\":2", 1);
    for (bytes, why) in [
        (Vec::new(), "it does not begin like a state file of breaker"),
        (
            b"{}\n".to_vec(),
            "it does not begin like a state file of breaker",
        ),
        (version.into_bytes(), "its version is 2, not 1"),
        (
            good[..good.len() - 1].to_vec(),
            "its checksum is wrong: it is truncated or damaged",
        ),
        (
            file(&format!(
                "{saved}{{\"route\":\"{}\"}}\n",
                "p".repeat(MOST_LINE)
            )),
            "it is larger than 64 KiB for each route",
        ),
        (
            file(&route(signal, "")),
            "line 3: hits: must be 0 to observations",
        ),
        (
            file(&route("", "0NDQ")),
            "line 3: p95s: must have entries less than 208, or 255",
        ),
        (
            file(&route(
                r#"{"signal":"luck","observations":1.0,"hits":0.0}"#,
                "",
            )),
            "line 3: signal: luck is none",
        ),
    ] {
        assert_eq!(decode(&bytes).unwrap_err().to_string(), why);
    }
    let more = vec![b' '; MOST_BYTES as usize + 1];
    assert_eq!(decode(&more), Err(Unusable::TooLarge));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = decode(&bytes);
        let _ = decode(&file(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn a_byte_that_is_another_never_gives_other_numbers(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = encode(SAVED, &kept());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(document) = decode(&bytes) {
            prop_assert_eq!(document.routes, kept());
        }
    }
}
