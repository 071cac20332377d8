use super::*;

fn headers<const N: usize>(fields: [(&'static str, &'static str); N]) -> HeaderMap {
    fields
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn site<const N: usize>(fields: [(&'static str, &'static str); N]) -> Option<u16> {
    let uri = Uri::from_static("/api/v1/reload");
    let checked = check_site(&headers(fields), &uri);
    checked.err().map(|problem| problem.status)
}

#[test]
fn requests_of_programs_and_of_our_own_pages_pass() {
    let host = ("host", "localhost:9900");
    assert_eq!(site([host]), None);
    assert_eq!(site([host, ("origin", "http://localhost:9900")]), None);
    assert_eq!(site([host, ("sec-fetch-site", "same-origin")]), None);
    assert_eq!(site([host, ("sec-fetch-site", "none")]), None);
    assert_eq!(site([host, ("content-type", "application/json")]), None);
    assert_eq!(site([host, ("content-type", "application/yaml")]), None);
}

#[test]
fn requests_of_other_sites_do_not() {
    let host = ("host", "localhost:9900");
    for origin in [
        "http://evil.example",
        "http://localhost:9901",
        "null",
        "localhost:9900",
    ] {
        assert_eq!(site([host, ("origin", origin)]), Some(403), "{origin}");
    }
    for from in ["cross-site", "same-site"] {
        assert_eq!(site([host, ("sec-fetch-site", from)]), Some(403), "{from}");
    }
    for form in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "Text/Plain; charset=utf-8",
    ] {
        assert_eq!(site([host, ("content-type", form)]), Some(415), "{form}");
    }
}

fn caller(token: Option<&str>, peer: &str, authorization: Option<&'static str>) -> Option<u16> {
    let peer = match peer {
        "unix" => Peer::Unix,
        address => Peer::Tcp(address.parse().unwrap()),
    };
    let token = token.map(|token| Token::new(token).unwrap());
    let peer = Some(peer);
    let headers = authorization.map(|value| headers([("authorization", value)]));
    let checked = check_caller(token.as_ref(), peer, &headers.unwrap_or_default());
    checked.err().map(|problem| problem.status)
}

#[test]
fn without_a_token_only_this_machine_may() {
    for own in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix"] {
        assert_eq!(caller(None, own, None), None, "{own}");
    }
    assert_eq!(caller(None, "10.0.0.1:1", None), Some(403));
    assert_eq!(caller(None, "10.0.0.1:1", Some("Bearer x")), Some(403));
}

#[test]
fn with_a_token_whoever_has_it_may_and_nobody_else() {
    let token = Some("s3cret");
    for peer in ["127.0.0.1:1", "10.0.0.1:1"] {
        assert_eq!(caller(token, peer, Some("Bearer s3cret")), None);
        assert_eq!(caller(token, peer, Some("bearer s3cret")), None);
        assert_eq!(caller(token, peer, None), Some(401));
        assert_eq!(caller(token, peer, Some("Basic s3cret")), Some(401));
        for wrong in ["Bearer s3cre", "Bearer s3cretx", "Bearer ", "Bearer S3CRET"] {
            assert_eq!(caller(token, peer, Some(wrong)), Some(403), "{wrong}");
        }
    }
}

#[test]
fn a_token_is_one_word_and_is_not_shown() {
    assert!(Token::new(" a-b_c \n").unwrap().is(b"a-b_c"));
    for wrong in ["", "\n", "two words", "a\nb", "ü", &"x".repeat(4097)] {
        assert_eq!(Token::new(wrong).unwrap_err(), Token::RULE);
    }
    let token = Token::new("s3cret").unwrap();
    assert!(!format!("{token:?}").contains("s3cret"));
}
