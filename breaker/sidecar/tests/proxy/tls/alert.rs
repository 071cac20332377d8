//! What callers are told of an upstream that refuses TLS by an alert.

use breaker_sidecar::tls::ClientSettings;

use super::authority::{Authority, Leaf};
use super::{GET, Secure, sidecar, trusting};
use crate::harness::header;

#[tokio::test]
async fn an_alert_is_told_by_its_number_whenever_it_comes() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let asking = |alpn: &[&str]| authority.server(&Leaf::server(), alpn, Some(&stranger));
    let foreign = || ClientSettings {
        present: Some(authority.pair("client", &Leaf::client())),
        ..trusting(&authority)
    };
    for (what, server, settings, alert) in [
        (
            "no version in common, within the handshake",
            authority.only_tls12(&Leaf::server()),
            trusting(&authority),
            70,
        ),
        (
            "no certificate, after it",
            asking(&["http/1.1"]),
            trusting(&authority),
            116,
        ),
        (
            "a foreign one, after it",
            asking(&["http/1.1"]),
            foreign(),
            48,
        ),
        ("a foreign one, by HTTP/2", asking(&["h2"]), foreign(), 48),
        (
            "no protocol in common",
            authority.server(&Leaf::server(), &["spdy"], None),
            trusting(&authority),
            120,
        ),
    ] {
        let server = Secure::start(server).await;
        let sidecar = sidecar(&[&server], settings, |_| ());
        let answer = sidecar.ask(GET).await;
        let told = header(&answer, "proxy-status").expect(what);
        let error = "error=tls_alert_received; ";
        let number = format!("; alert-id={alert}");
        assert!(
            told.contains(error) && told.ends_with(&number),
            "{what}: {told}"
        );
    }
    // What refuses otherwise has none.
    let named = authority.server(&Leaf::named("other"), &[], None);
    let server = Secure::start(named).await;
    let sidecar = sidecar(&[&server], trusting(&authority), |_| ());
    let answer = sidecar.ask(GET).await;
    assert!(answer.contains("error=tls_certificate_error"), "{answer}");
    assert!(!answer.contains("alert-id"), "{answer}");
}
