use super::*;
use crate::encode::{self, Sent};

fn judged(rules: &FailureRules, status: StatusCode, sent: &[(&str, Sent<'_>)]) -> Classification {
    let message = encode::attributes(sent);
    Facts::of(Attributes::new(&message, encode::FIELD)).classification(status, rules)
}

fn classification(status: StatusCode, sent: &[(&str, Sent<'_>)]) -> Classification {
    judged(&FailureRules::default(), status, sent)
}

use Classification::{Failure, Ignored, Success};

#[test]
fn a_status_of_the_protocol_decides_in_every_convention_and_type() {
    for (name, value, expected) in [
        ("http.response.status_code", Sent::Int(200), Success),
        ("http.response.status_code", Sent::Int(503), Failure),
        ("http.response.status_code", Sent::Str("503"), Failure),
        ("http.response.status_code", Sent::Int(404), Success),
        ("http.status_code", Sent::Int(500), Failure),
        ("http.status_code", Sent::Str("500"), Failure),
        ("http.status_code", Sent::Str("429"), Success),
        ("rpc.grpc.status_code", Sent::Int(0), Success),
        ("rpc.grpc.status_code", Sent::Int(14), Failure),
        ("rpc.grpc.status_code", Sent::Str("14"), Failure),
        ("rpc.grpc.status_code", Sent::Str("UNAVAILABLE"), Failure),
        ("rpc.grpc.status_code", Sent::Int(5), Success),
        ("rpc.grpc.status_code", Sent::Int(99), Failure),
        ("rpc.grpc.status_code", Sent::Str("?"), Failure),
        ("grpc.status_code", Sent::Str("13"), Failure),
        ("rpc.response.status_code", Sent::Str("OK"), Success),
        (
            "rpc.response.status_code",
            Sent::Str("UNAVAILABLE"),
            Failure,
        ),
        (
            "rpc.response.status_code",
            Sent::Str("unavailable"),
            Failure,
        ),
        ("rpc.response.status_code", Sent::Str("4"), Ignored),
        (
            "rpc.response.status_code",
            Sent::Str("deadline_exceeded"),
            Ignored,
        ),
        ("rpc.grpc.status_code", Sent::Int(4), Ignored),
        ("rpc.grpc.status_code", Sent::Str("4"), Ignored),
        ("grpc.status_code", Sent::Str("DEADLINE_EXCEEDED"), Ignored),
        ("rpc.response.status_code", Sent::Int(15), Failure),
        ("rpc.response.status_code", Sent::Str("NOT_FOUND"), Success),
    ] {
        let found = classification(StatusCode::Unset, &[(name, value)]);
        assert_eq!(found, expected, "{name} {value:?}");
    }
}

#[test]
fn a_4xx_is_a_success_of_the_called_service_though_its_client_marks_an_error() {
    let sent = [
        ("error.type", Sent::Str("404")),
        ("http.response.status_code", Sent::Int(404)),
    ];
    assert_eq!(classification(StatusCode::Error, &sent), Success);
}

#[test]
fn what_is_not_supported_is_a_success_of_the_called_service() {
    for status in [501, 505] {
        let sent = [("http.response.status_code", Sent::Int(status))];
        assert_eq!(classification(StatusCode::Error, &sent), Success);
    }
}

#[test]
fn a_5xx_is_a_failure_whatever_the_span_says() {
    let sent = [("http.response.status_code", Sent::Int(500))];
    for status in [StatusCode::Unset, StatusCode::Ok, StatusCode::Error] {
        assert_eq!(classification(status, &sent), Failure);
    }
}

#[test]
fn grpc_decides_before_the_http_that_carries_it() {
    let sent = [
        ("http.response.status_code", Sent::Int(200)),
        ("rpc.grpc.status_code", Sent::Int(14)),
    ];
    assert_eq!(classification(StatusCode::Unset, &sent), Failure);
}

#[test]
fn the_new_name_counts_where_both_are_sent_in_any_order() {
    let mut sent = [
        ("http.response.status_code", Sent::Int(503)),
        ("http.status_code", Sent::Int(200)),
        ("rpc.response.status_code", Sent::Str("INTERNAL")),
        ("rpc.grpc.status_code", Sent::Int(0)),
    ];
    for _ in 0..2 {
        assert_eq!(classification(StatusCode::Unset, &sent[..2]), Failure);
        assert_eq!(classification(StatusCode::Unset, &sent[2..]), Failure);
        sent.swap(0, 1);
        sent.swap(2, 3);
    }
}

#[test]
fn without_a_status_of_the_protocol_the_span_and_its_error_decide() {
    let error = [("error.type", Sent::Str("psycopg.OperationalError"))];
    assert_eq!(classification(StatusCode::Unset, &[]), Success);
    assert_eq!(classification(StatusCode::Error, &[]), Failure);
    assert_eq!(classification(StatusCode::Ok, &[]), Success);
    assert_eq!(classification(StatusCode::Unset, &error), Failure);
    assert_eq!(classification(StatusCode::Ok, &error), Success);
    let exception = [("exception.type", Sent::Str("java.io.IOException"))];
    assert_eq!(classification(StatusCode::Unset, &exception), Failure);
    let empty = [("error.type", Sent::Str(""))];
    assert_eq!(classification(StatusCode::Unset, &empty), Success);
    for flag in [Sent::Bool(true), Sent::Str("true")] {
        assert_eq!(
            classification(StatusCode::Unset, &[("error", flag)]),
            Failure
        );
    }
    let no_flag = [("error", Sent::Bool(false))];
    assert_eq!(classification(StatusCode::Unset, &no_flag), Success);
}

#[test]
fn an_unreadable_status_is_none() {
    for (name, value) in [
        ("http.response.status_code", Sent::Str("ok")),
        ("http.response.status_code", Sent::Str("+50")),
        ("http.response.status_code", Sent::Int(99)),
        ("http.response.status_code", Sent::Int(-500)),
        ("http.response.status_code", Sent::Int(70_000)),
        ("http.response.status_code", Sent::List),
        ("http.response.status_code", Sent::Double(503.0)),
        ("rpc.grpc.status_code", Sent::List),
        // JSON-RPC and Dubbo.
        ("rpc.response.status_code", Sent::Str("-32602")),
        ("rpc.response.status_code", Sent::Int(31)),
    ] {
        let sent = [(name, value)];
        assert_eq!(
            classification(StatusCode::Unset, &sent),
            Success,
            "{sent:?}"
        );
        assert_eq!(
            classification(StatusCode::Error, &sent),
            Failure,
            "{sent:?}"
        );
    }
}

#[test]
fn a_type_of_error_that_is_a_status_counts_as_one() {
    for (error, expected) in [
        ("404", Success),
        ("500", Failure),
        ("NOT_FOUND", Success),
        ("DEADLINE_EXCEEDED", Ignored),
        ("4", Failure),
        ("context deadline exceeded", Ignored),
        ("timeout", Failure),
        ("_OTHER", Failure),
        ("700", Failure),
    ] {
        let sent = [("error.type", Sent::Str(error))];
        assert_eq!(
            classification(StatusCode::Error, &sent),
            expected,
            "{error}"
        );
    }
}

#[test]
fn a_caller_that_went_away_is_ignored_unless_the_policy_says_otherwise() {
    let cancelled = GrpcCode::from_number(1);
    let strict = FailureRules::default().http([499..=599]).grpc([cancelled]);
    let gone = CALLER_GONE.map(|error| ("error.type", Sent::Str(error)));
    let statuses = [
        ("rpc.grpc.status_code", Sent::Int(1)),
        ("rpc.response.status_code", Sent::Str("canceled")),
        ("error.type", Sent::Str("CANCELLED")),
        ("http.response.status_code", Sent::Int(499)),
        ("error.type", Sent::Str("499")),
    ];
    for sent in gone.into_iter().chain(statuses) {
        assert_eq!(
            classification(StatusCode::Error, &[sent]),
            Ignored,
            "{sent:?}"
        );
        let found = judged(&strict, StatusCode::Error, &[sent]);
        assert_eq!(found, Failure, "{sent:?}");
    }
}

/// As Envoy 1.40 was seen to send them.
#[test]
fn envoy_s_status_0_is_a_failure_unless_the_caller_went_away() {
    let sent = |status, flags, error: &'static [(&'static str, Sent<'static>)]| {
        let status = ("http.status_code", Sent::Str(status));
        [&[status, ("response_flags", Sent::Str(flags))], error].concat()
    };
    let error = &[("error", Sent::Str("true"))][..];
    for (sent, expected) in [
        (sent("200", "-", &[]), Success),
        (sent("504", "UT", error), Failure),
        (sent("503", "UF", error), Failure),
        (sent("0", "UF", error), Failure),
        (sent("0", "-", error), Failure),
        (sent("0", "DC", error), Ignored),
        (sent("0", "UT,DC", error), Ignored),
        (sent("200", "DC", &[]), Success),
    ] {
        assert_eq!(
            classification(StatusCode::Unset, &sent),
            expected,
            "{sent:?}"
        );
    }
}

#[test]
fn the_rules_are_those_of_the_policy() {
    let rules = FailureRules::default()
        .http([429..=429])
        .ignore_http([500..=500])
        .ignore_grpc([GrpcCode::UNAVAILABLE]);
    let http = |status| [("http.response.status_code", Sent::Int(status))];
    assert_eq!(judged(&rules, StatusCode::Error, &http(429)), Failure);
    assert_eq!(judged(&rules, StatusCode::Error, &http(500)), Ignored);
    assert_eq!(judged(&rules, StatusCode::Error, &http(503)), Success);
    let grpc = [("rpc.grpc.status_code", Sent::Int(14))];
    assert_eq!(judged(&rules, StatusCode::Error, &grpc), Ignored);
}

#[test]
fn how_a_request_failed_is_told_by_what_decided_it() {
    let failed = |sent: &[(&str, Sent<'_>)]| {
        let message = encode::attributes(sent);
        let facts = Facts::of(Attributes::new(&message, encode::FIELD));
        facts.failed().to_string()
    };
    let error = ("error.type", Sent::Str("java.net.ConnectException"));
    let http = ("http.response.status_code", Sent::Int(503));
    let grpc = ("rpc.grpc.status_code", Sent::Int(14));
    assert_eq!(failed(&[]), "_OTHER");
    assert_eq!(failed(&[("error", Sent::Bool(true))]), "_OTHER");
    assert_eq!(failed(&[error]), "java.net.ConnectException");
    assert_eq!(failed(&[error, http]), "503");
    assert_eq!(failed(&[error, http, grpc]), "UNAVAILABLE");
    assert_eq!(failed(&[("response_flags", Sent::Str("DC"))]), "CANCELLED");
}
