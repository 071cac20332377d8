use super::*;

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[test]
fn what_is_about_the_way_here_is_removed_and_the_rest_is_left() {
    let mut headers = map(&[
        ("connection", "keep-alive, x-hop, content-encoding"),
        ("x-hop", "1"),
        ("host", "here"),
        ("content-length", "1"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("grpc-timeout", "1S"),
        ("accept-encoding", "gzip"),
        ("content-encoding", "gzip"),
        ("content-type", "application/json"),
        ("authorization", "Bearer 1"),
        ("traceparent", "00-1-1-01"),
        ("x-scope", "a"),
        ("user-agent", "b"),
    ]);
    strip(&mut headers);
    let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    let expected = [
        "content-encoding",
        "content-type",
        "authorization",
        "traceparent",
        "x-scope",
        "user-agent",
    ];
    assert_eq!(left.len(), expected.len(), "{left:?}");
    assert!(expected.iter().all(|name| left.contains(name)), "{left:?}");
}

#[test]
fn a_mark_is_known_among_others_and_is_drawn_anew() {
    let (one, two) = (Marker::draw(), Marker::draw());
    let mut headers = HeaderMap::new();
    for mark in [&one, &two] {
        let (name, value) = mark.field();
        assert_eq!(value.len(), 32);
        headers.append(name, value);
    }
    assert!(one.is_in(&headers) && two.is_in(&headers));
    assert!(!Marker::draw().is_in(&headers));
}
