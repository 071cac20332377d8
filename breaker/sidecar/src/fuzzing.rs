//! What `fuzz/` calls with whatever comes from outside: it must not panic, and what is true for
//! all inputs is asserted here. The seeds are played by the tests too.

use std::path::Path;
use std::time::Duration;

use breaker_tower::breaker_core::policy::yaml;
use breaker_tower::breaker_core::{Breaker, Classification, Mode, Outcome, Ratio, Timestamp};
use breaker_tower::{Policy, TraceContext};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use rustls::pki_types::CertificateDer;

use crate::backtest::{Backtest, Options};
use crate::baselines::document;
use crate::config::{Config, ConfigError};
use crate::proxy::Limits;
use crate::proxy::check::check;
use crate::tls::identity::Named;
use crate::tls::{Pattern, SpiffeId};

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; each has a directory of seeds.
pub const TARGETS: [Target; 8] = [
    ("config", config),
    ("policy", policy),
    ("request", request),
    ("trace_context", trace_context),
    ("backtest", backtest),
    ("state_file", state_file),
    ("identity", identity),
    ("core_sequence", core_sequence),
];

/// A configuration is good, or each rule that it breaks is told with its place.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // A directory that is not there: no file is read that has nothing to do with it.
    match Config::parse(text, Some("breaker.yaml"), Path::new("/nowhere")) {
        Ok(config) => assert!(!config.routes().is_empty()),
        Err(ConfigError::Invalid(errors)) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| check_place(error, text));
        }
        Err(_) => {}
    }
}

/// A policy is good, and is the same when it is written and read again; or its first error is told
/// with its place.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match yaml::parse(text, None) {
        Ok(policy) => {
            let written = yaml::write(&policy);
            let again = yaml::parse(&written, None);
            assert_eq!(again.as_ref(), Ok(&policy), "{written}");
        }
        Err(error) => check_place(&error, text),
    }
}

fn check_place(error: &yaml::Error, text: &str) {
    assert!(!error.rule.is_empty(), "{error}");
    assert!(error.line >= 1 && error.column >= 1, "{error}");
    assert!(error.line <= text.lines().count() + 1, "{error}");
}

/// A request that passes is in its normal form: it passes again, and is the same. The first line is
/// method and target, the others are fields.
pub fn request(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let (method, target) = head.split_at(head.iter().position(|b| *b == b' ').unwrap_or(0));
    let (Ok(method), Ok(uri)) = (
        Method::from_bytes(method),
        Uri::try_from(target.trim_ascii_start()),
    ) else {
        return;
    };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(0));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.trim_ascii_start().get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    let (mut parts, ()) = request.into_parts();
    let limits = Limits::default();
    if check(&mut parts, &limits).is_ok() {
        let (uri, fields) = (parts.uri.clone(), parts.headers.clone());
        check(&mut parts, &limits).expect("what is normal passes");
        assert_eq!((&uri, &fields), (&parts.uri, &parts.headers));
        assert!(!uri.path().contains("/../"), "{uri}");
    }
}

/// A trace has an id.
pub fn trace_context(bytes: &[u8]) {
    if let Some(context) = TraceContext::parse(bytes) {
        assert_ne!(context.trace_id, 0);
        assert_ne!(context.span_id, 0);
    }
}

/// A trace of any format is read to its end, and what is reported can be written.
pub fn backtest(bytes: &[u8]) {
    let policy = Policy::builtin("sensitive").expect("it is built in");
    let options = Options::new(vec![("sensitive".to_owned(), policy)]);
    let mut backtest = Backtest::new(options);
    let _ = backtest.read("trace", bytes, |_complaint| {});
    let findings = backtest.finish();
    assert!(serde_json::from_str::<serde_json::Value>(&findings.json()).is_ok());
    assert!(!findings.text().contains('\u{1b}'));
}

/// A state file that can be used is the same when it is written and read again.
pub fn state_file(bytes: &[u8]) {
    if let Ok(document) = document::decode(bytes) {
        let written = document::encode(document.saved, &document.routes);
        assert_eq!(document::decode(&written), Ok(document));
    }
}

/// A certificate has one SPIFFE ID or none; an ID is what it is read from, and matches itself.
pub fn identity(bytes: &[u8]) {
    if let Ok(named) = Named::of(&CertificateDer::from(bytes))
        && let Some(id) = named.spiffe
    {
        assert_eq!(named.uris, [id.as_str()]);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.as_str(), text);
        assert!(
            text.len() <= 2048 && !text.contains(['?', '#', '@', '*', ' ']),
            "{text}"
        );
        let pattern: Pattern = text.parse().expect("an ID is a pattern");
        assert!(pattern.matches(&id), "{text}");
    }
    let _ = text.parse::<Pattern>();
}

/// Whatever is called at whatever times, each request counts once, and what is told is in range.
pub fn core_sequence(bytes: &[u8]) {
    let names = ["sensitive", "conservative", "adaptive"];
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let policy = |byte: u8| Policy::builtin(names[usize::from(byte) % names.len()]);
    let policy = |byte| policy(byte).expect("it is built in");
    let mut breaker = Breaker::new(policy(*first), 7, Timestamp::ZERO);
    let (mut now, mut permits, mut admitted) = (Timestamp::ZERO, Vec::new(), 0);
    for act in rest.chunks_exact(2) {
        // Up to 17 min at once; clocks that go back are the callers' matter, and stand still.
        now = now + Duration::from_millis(u64::from(act[1]).pow(2) * u64::from(act[0] >> 4));
        match act[0] & 15 {
            0..=4 => permits.extend(breaker.try_acquire(now).inspect(|_permit| admitted += 1)),
            5..=12 => {
                if !permits.is_empty() {
                    let permit = permits.swap_remove(usize::from(act[1]) % permits.len());
                    let classification = match act[0] & 3 {
                        0 => Classification::Success,
                        1 => Classification::Ignored,
                        _ => Classification::Failure,
                    };
                    let latency = now.saturating_since(permit.admitted());
                    breaker.record(permit, Outcome::new(classification, latency), now);
                }
            }
            13 => breaker.set_policy(policy(act[1]), now),
            14 => breaker.force(Mode::ALL[usize::from(act[1]) % Mode::ALL.len()], now),
            _ => while breaker.poll_event().is_some() {},
        }
        let told = breaker.snapshot(now);
        let counted = told.totals.success + told.totals.failure + told.totals.ignored;
        assert_eq!(counted + permits.len() as u64, admitted);
        assert!(told.admitted_share <= Ratio::ONE, "{told:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::TARGETS;

    /// The seeds, and what was found once.
    #[test]
    fn all_seeds_hold() {
        let seeds = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds"));
        for (name, target) in TARGETS {
            let files = fs::read_dir(seeds.join(name)).expect(name);
            let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            assert!(files.len() >= 2, "{name} has too few seeds");
            for file in files {
                let seed = fs::read(&file).unwrap();
                target(&seed);
                mutated(&seed, target);
            }
        }
    }

    /// A fuzzer's first steps: bytes changed, taken out and repeated.
    fn mutated(seed: &[u8], target: fn(&[u8])) {
        let rounds = std::env::var("FUZZ_ROUNDS").ok();
        let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(50);
        let mut draw = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |most: usize| {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            usize::try_from(draw % most.max(1) as u64).unwrap()
        };
        for _ in 0..rounds {
            let mut input = seed.to_vec();
            for _ in 0..=below(4) {
                let (at, length) = (below(input.len()), below(16));
                let end = (at + length).min(input.len());
                match below(4) {
                    0 if at < input.len() => input[at] = below(256) as u8,
                    1 => drop(input.drain(at..end)),
                    2 => {
                        let part = input[at..end].to_vec();
                        input.splice(at..at, part);
                    }
                    _ => input.insert(at, b"\x00\xff:{}[]/%-"[below(10)]),
                }
            }
            target(&input);
        }
    }
}
