//! Variables in values.

use std::ffi::OsString;

use proptest::prelude::*;

use crate::policy::yaml::{Document, parse, read};
use crate::policy::{InvalidField, Policy};

fn variables(name: &str) -> Option<OsString> {
    let value = match name {
        "WINDOW" => "30s",
        "COUNT" => "50",
        "SHARE" => "8%",
        "TRUE" => "true",
        "EMPTY" => "",
        "NAME" => "strict",
        "STATUS" => "429",
        "FACTOR" => "1.5",
        "QUOTES" => "a \"b\" \\ 'c'",
        "LINES" => "x\nopen: { for: 1h }",
        "FIELDS" => "20s, min_requests: 9 }",
        "NULL" => "null",
        "NESTED" => "${WINDOW}",
        "DIGITS" => "1234567",
        "TOKEN" => "hunter2-hunter2",
        #[cfg(unix)]
        "BYTES" => return Some(std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])),
        _ => return None,
    };
    Some(value.into())
}

fn parsed(text: &str) -> Result<Policy, String> {
    let document = Document::new(text, Some("p.yaml")).map_err(|error| error.to_string())?;
    let document = document.expand(variables).map_err(|errors| {
        let errors = errors.iter().map(ToString::to_string);
        errors.collect::<Vec<_>>().join("\n")
    })?;
    read(&document, Policy::builtin).map_err(|error| error.to_string())
}

const HEAD: &str = "name: p\nbase: sensitive\n";

#[test]
fn a_value_is_as_if_it_stood_there() {
    for (with, without) in [
        ("window: ${WINDOW}", "window: 30s"),
        ("window: \"${WINDOW}\"", "window: 30s"),
        ("window: '${WINDOW}'", "window: 30s"),
        ("window: ${NO:-5s}", "window: 5s"),
        ("window: ${NO:-5}s", "window: 5s"),
        ("window: ${WINDOW:-5s}", "window: 30s"),
        ("window: ${EMPTY:-5s}", "window: 5s"),
        ("window: 1m${WINDOW}", "window: 1m30s"),
        (
            "window: &w ${WINDOW}\ndeadline: *w",
            "window: 30s\ndeadline: 30s",
        ),
        ("min_requests: ${COUNT}", "min_requests: 50"),
        ("min_requests: ${NO:-7}", "min_requests: 7"),
        ("honour_retry_after: ${TRUE}", "honour_retry_after: true"),
        ("open: { factor: \"${FACTOR}\" }", "open: { factor: 1.5 }"),
        (
            "trip: [{ error_rate: \"${SHARE}\" }]",
            "trip: [{ error_rate: 8% }]",
        ),
        (
            "trip:\n  - error_rate: ${SHARE}",
            "trip: [{ error_rate: 8% }]",
        ),
        (
            "failure: { http: [\"${STATUS}\"] }",
            "failure: { http: [429] }",
        ),
        // Texts.
        (
            "reject: { body: '${QUOTES}' }",
            "reject: { body: \"a \\\"b\\\" \\\\ 'c'\" }",
        ),
        (
            "reject: { body: '$${WINDOW}' }",
            "reject: { body: '${WINDOW}' }",
        ),
        (
            "reject: { body: '$$${WINDOW}' }",
            "reject: { body: '$${WINDOW}' }",
        ),
        (
            "reject: { body: '$WINDOW costs $5' }",
            "reject: { body: '$WINDOW costs $5' }",
        ),
        (
            "reject: { body: \"\\u0024{WINDOW}\" }",
            "reject: { body: '30s' }",
        ),
        ("reject: { body: 'ü ${NO:-ö}' }", "reject: { body: 'ü ö' }"),
        ("reject: { body: 'a${EMPTY}b' }", "reject: { body: ab }"),
        (
            "reject:\n  body: |\n    a ${COUNT}\n    b\nwindow: 5s",
            "reject: { body: \"a 50\\nb\\n\" }\nwindow: 5s",
        ),
        (
            "reject:\n  body: >-\n    a\n    ${COUNT}\nwindow: 5s",
            "reject: { body: a 50 }\nwindow: 5s",
        ),
        (
            "reject:\n  body: |2- # b\n    a >\n\n    ${COUNT} |\n\nwindow: 5s",
            "reject: { body: \"a >\\n\\n50 |\" }\nwindow: 5s",
        ),
        (
            "reject:\n  body:\n    a >\n    ${COUNT}\nwindow: 5s",
            "reject: { body: a > 50 }\nwindow: 5s",
        ),
        (
            "reject:\n  body: \"a\n    ${COUNT}\"\nwindow: 5s",
            "reject: { body: a 50 }\nwindow: 5s",
        ),
        // A variable's value is one value, whatever is in it, and isn't expanded again.
        (
            "reject:\n  body: ${LINES}",
            "reject: { body: \"x\\nopen: { for: 1h }\" }",
        ),
        (
            "reject: { body: '${NESTED}' }",
            "reject: { body: '${WINDOW}' }",
        ),
        ("reject:\n  body: ${NULL}", "reject: { body: 'null' }"),
        // Not in comments.
        ("window: 5s # ${NO}", "window: 5s"),
    ] {
        let text = format!("{HEAD}{with}\n");
        let expected = parse(&format!("{HEAD}{without}\n"), None).unwrap();
        assert_eq!(parsed(&text), Ok(expected), "{with}");
    }
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    for (text, expected) in [
        (
            "window: ${NO}",
            "3:9: window: needs the environment variable NO, which is not set",
        ),
        (
            "window: ${NO}\nopen: { for: \"${NOR}\" }",
            "3:9: window: needs the environment variable NO, which is not set\n\
             p.yaml:4:14: open.for: needs the environment variable NOR, which is not set",
        ),
        (
            "window: ${BYTES}",
            "3:9: window: needs the environment variable BYTES, which is not UTF-8 text",
        ),
        ("window: ${WIN DOW}", MALFORMED),
        ("window: ${}", MALFORMED),
        ("window: ${1A}", MALFORMED),
        ("window: ${WINDOW", MALFORMED),
        ("window: ${NO:-${WINDOW}}", MALFORMED),
        ("window: ${NO-5s}", MALFORMED),
        // Of the wrong type, or beyond its range, in the place of the file.
        (
            "window: ${NAME}",
            "3:9: window: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
        ),
        (
            "min_requests: ${NAME}",
            "3:15: min_requests: must be a whole number, at least 0",
        ),
        ("window: ${NO:-2h}", "3:9: window: must be 100ms to 1h"),
        (
            "open: { for: '${NO:-1s}', factor: 11 }",
            "3:35: open.factor: must be 1 to 10",
        ),
        (
            "open: { for: '${NO:-1s}', max: soon }",
            "3:32: open.max: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
        ),
        (
            "open: { for: '${NO:-1s}', mx: 1h }",
            "3:27: open.mx: is not a field here; did you mean max?",
        ),
        (
            "reject:\n  body: |\n    ${COUNT}\n    b\nwindow: 5",
            "7:9: window: must have a unit: write 5s, 5ms or 5m",
        ),
        (
            "open: { for: '${FIELDS}' }",
            "3:14: open.for: must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s",
        ),
        (
            "open: { for: ${WINDOW} }",
            "3:15: while parsing a flow mapping, did not find expected ',' or '}'; \
             within [] and {} quote a value that has ${",
        ),
        // Not in names.
        (
            "${NAME}: 5s",
            "3:1: ${NAME}: is not a field here; the fields are name, base, window, \
             min_requests, trip, false_alarm_budget, usual_errors, deadline, recovery, open, half_open, ramp, latency, \
             failure, reject, honour_retry_after",
        ),
        // A secret in the wrong place.
        (
            "window: ${DIGITS}",
            "3:9: window: must have a unit: write ${DIGITS}s, ${DIGITS}ms or ${DIGITS}m",
        ),
    ] {
        let error = parsed(&format!("{HEAD}{text}\n")).expect_err(text);
        assert_eq!(error, format!("p.yaml:{expected}"), "{text}");
    }
}

const MALFORMED: &str =
    "3:9: window: must have ${NAME} or ${NAME:-default}; $${ stands for ${ itself";

#[test]
fn an_error_that_is_found_later_tells_no_secret() {
    let text = "name: p\nreject: { body: \"${TOKEN}\" }\n";
    let document = Document::new(text, None)
        .unwrap()
        .expand(variables)
        .unwrap();
    let late = InvalidField::new("reject.body", "hunter2-hunter2 is too short");
    let error = document.error(&late.field, late.rule);
    assert_eq!(
        error.to_string(),
        "2:17: reject.body: ${TOKEN} is too short"
    );
}

/// Pieces of texts that people and their enemies write.
const PIECES: [&str; 26] = [
    "name: p\n",
    "base: sensitive\n",
    "window: ",
    "reject:\n",
    "  body: ",
    "open: { for: ",
    " }",
    "[",
    "]",
    "${WINDOW}",
    "${NO:-5s}",
    "$${",
    "${",
    "}",
    "|\n",
    "|2- # c\n",
    ">+\n",
    "    ü ",
    "\n",
    "\"",
    "'",
    "&a ",
    "*a",
    "!!str ",
    "- ",
    ": ",
];

proptest! {
    #[test]
    fn no_text_is_too_strange(
        pieces in prop::collection::vec(prop::sample::select(&PIECES), 0..24),
    ) {
        let text = pieces.concat();
        let Ok(document) = Document::new(&text, None) else {
            return Ok(());
        };
        if let Ok(document) = document.expand(variables) {
            // What could be parsed can be parsed with other values in it.
            if let Err(error) = read(&document, Policy::builtin) {
                prop_assert!(!error.rule.contains("while parsing"), "{text}: {error}");
                prop_assert!(!error.rule.contains("hunter2"));
            }
        }
    }

    #[test]
    fn any_value_is_the_text_that_it_is(value in any::<String>()) {
        prop_assume!(!value.is_empty() && !value.contains('\0'));
        for text in ["reject: { body: \"${V}\" }\n", "reject:\n  body: '${V}'\n"] {
            let text = format!("{HEAD}{text}");
            let document = Document::new(&text, None).unwrap();
            let document = document.expand(|_| Some(value.clone().into())).unwrap();
            let policy = read(&document, Policy::builtin).unwrap();
            prop_assert_eq!(policy.reject().body.as_deref(), Some(&*value));
        }
    }
}
