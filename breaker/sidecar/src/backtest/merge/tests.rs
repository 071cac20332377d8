use std::fmt::Write;
use std::io::Cursor;

use breaker_tower::Policy;
use proptest::prelude::*;

use super::super::{Backtest, Shard};
use super::*;

fn options(shard: Option<&str>) -> Options {
    let policies = ["sensitive", "combined"].map(|name| {
        let policy = Policy::builtin(name).expect("a built-in policy");
        (name.to_owned(), policy)
    });
    let mut options = Options::new(policies.into());
    options.timelines = true;
    options.shard = shard.map(|shard| shard.parse::<Shard>().unwrap());
    options
}

fn outcome(options: Options, trace: &str) -> BacktestDocument {
    let mut backtest = Backtest::new(options);
    let read = backtest.read("trace", Cursor::new(trace.to_owned()), |_| {});
    read.expect("it is not strict");
    backtest.finish().document()
}

/// The documents of all parts of `trace`.
fn parts(trace: &str, of: u32) -> Vec<(String, String)> {
    let parts = (1..=of).map(|part| {
        let shard = format!("{part}/{of}");
        let document = outcome(options(Some(&shard)), trace).line();
        (format!("{part}.json"), document)
    });
    parts.collect()
}

/// Requests of so many routes, some of which have an incident. There are also bad lines, lines out
/// of order and lines that come too late.
fn trace(routes: u64, requests: u64, luck: u64) -> String {
    let mut trace = String::new();
    let mut luck = luck | 1;
    let mut draw = |below: u64| {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (luck >> 33) % below
    };
    for number in 0..requests {
        let route = draw(routes);
        let begins = route * 3 % 40;
        let second = number / 50;
        let fails = route % 3 == 0 && (begins..begins + 8).contains(&second);
        let status = if fails && draw(10) < 9 { 503 } else { 200 };
        // Some requests end late, and some are written much too late.
        let back = match draw(100) {
            0 => 200,
            1..5 => draw(50),
            _ => 0,
        };
        let t = 1_700_000_000.0 + number as f64 / 50.0 - back as f64;
        let latency = 0.005 + draw(100) as f64 / 1000.0;
        let _ = match draw(300) {
            0 => writeln!(trace, "{{\"t\":{t}}}"),
            _ => writeln!(
                trace,
                r#"{{"t":{t:.6},"route":"r{route}","latency":{latency},"status":{status}}}"#
            ),
        };
    }
    trace
}

#[test]
fn the_parts_of_a_backtest_make_the_whole() {
    let trace = trace(30, 6000, 7);
    let whole = outcome(options(None), &trace);
    assert!(
        whole.lost.late > 10 && whole.lost.lines > whole.lost.late,
        "{:?}",
        whole.lost
    );
    assert!(whole.policies[0].sums.trips > 5, "{}", whole.text());
    for of in [1, 2, 7, 50] {
        let merged = BacktestDocument::merge(&parts(&trace, of)).unwrap();
        assert_eq!(merged.text(), whole.text(), "{of} parts");
        assert_eq!(merged.json(), whole.json(), "{of} parts");
        assert_eq!(merged.html(), whole.html(), "{of} parts");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_trace_is(
        routes in 1_u64..20,
        requests in 0_u64..1500,
        luck in any::<u64>(),
        of in 1_u32..9,
    ) {
        let trace = trace(routes, requests, luck);
        let whole = outcome(options(None), &trace);
        let merged = BacktestDocument::merge(&parts(&trace, of)).unwrap();
        prop_assert_eq!(merged.text(), whole.text());
        prop_assert_eq!(merged.json(), whole.json());
    }
}

#[test]
fn what_is_not_the_whole_is_refused_with_the_file() {
    let trace = trace(5, 500, 3);
    let all = parts(&trace, 3);
    let refused = |documents: &[(String, String)]| {
        BacktestDocument::merge(documents).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "there is nothing to merge");
    assert_eq!(refused(&all[1..]), "part 1/3 is missing");
    assert_eq!(refused(&all[..2]), "part 3/3 is missing");
    let without = [all[0].clone(), all[2].clone()];
    assert_eq!(refused(&without), "part 2/3 is missing");
    let twice = [
        all[0].clone(),
        all[1].clone(),
        all[1].clone(),
        all[2].clone(),
    ];
    assert_eq!(refused(&twice), "2.json: part 2/3 is there twice");
    let other = self::trace(5, 501, 3);
    let mixed = [all[0].clone(), parts(&other, 3)[1].clone(), all[2].clone()];
    let same =
        "must be of the same backtest as 1.json: the same options, traces and number of parts";
    assert_eq!(refused(&mixed), format!("2.json: {same}"));
    let mixed = [all[0].clone(), parts(&trace, 2)[1].clone()];
    assert_eq!(refused(&mixed), format!("2.json: {same}"));
    let mut tolerant = options(Some("2/3"));
    tolerant.tolerance *= 2;
    let tolerant = outcome(tolerant, &trace).line();
    let mixed = [all[0].clone(), ("t.json".into(), tolerant), all[2].clone()];
    assert_eq!(refused(&mixed), format!("t.json: {same}"));
    let whole = outcome(options(None), &trace).line();
    assert_eq!(
        refused(&[("whole.json".into(), whole)]),
        "whole.json: must be a document of --shard of this version"
    );
    for garbage in ["", "{}", "[1]", "{\"kind\":\"summary\"}"] {
        let refused = refused(&[("x.json".into(), garbage.into())]);
        assert!(
            refused.starts_with("x.json: must be a document of --shard: "),
            "{refused}"
        );
    }
}
