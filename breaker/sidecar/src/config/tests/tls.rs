//! Certificates in a configuration: each error names file, line, field and rule.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

use super::super::Config;
use crate::tls::{Credentials, Roots, Workload};

/// A folder with the files of a good pair, and of some that are bad.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let sign = |name: &str, params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.key"), &key.serialize_pem());
        write(&format!("{name}.crt"), &signed.pem());
        signed.pem()
    };
    let params = || CertificateParams::new(["pay.shop".to_owned()]).unwrap();
    let leaf = sign("good", params());
    let mut expired = params();
    expired.not_after = date_time_ymd(2020, 1, 2);
    sign("expired", expired);
    let mut early = params();
    early.not_before = date_time_ymd(2999, 1, 2);
    early.not_after = date_time_ymd(3000, 1, 2);
    sign("early", early);
    write("ca.crt", &issuer.pem());
    write("chain.crt", &format!("{leaf}{}", issuer.pem()));
    write("reversed.crt", &format!("{}{leaf}", issuer.pem()));
    write("empty", "");
    write("half.crt", &leaf[..leaf.len() / 2]);
    folder
}

fn errors(text: &str, folder: &Path) -> String {
    match Config::parse(text, Some("b.yaml"), folder) {
        Ok(_) => String::new(),
        // Without the column: what stands before it says where to look.
        Err(error) => {
            let text = error.to_string();
            let mut parts = text.splitn(4, ':');
            let [file, line, _, rest] = [(); 4].map(|()| parts.next().unwrap());
            format!("{file}:{line}:{rest}")
        }
    }
}

fn of_identity(fields: &str) -> String {
    format!(
        "identity: {{{fields}}}\nupstreams: {{a: {{endpoints: ['http://127.0.0.1:1']}}}}\n\
         routes: [{{name: a, upstream: a}}]\n"
    )
}

fn of_upstream(fields: &str) -> String {
    format!("upstreams:\n  a: {{{fields}}}\nroutes: [{{name: a, upstream: a}}]\n")
}

#[test]
fn a_pair_must_match_be_whole_in_order_and_valid_now() {
    let folder = folder();
    for (fields, error) in [
        ("cert: good.crt, key: good.key", ""),
        ("cert: chain.crt, key: good.key, roots: ca.crt", ""),
        (
            "cert: good.crt, key: expired.key",
            "b.yaml:1: identity.key: must be the key of the first certificate in ",
        ),
        (
            "cert: expired.crt, key: expired.key",
            "b.yaml:1: identity.cert: must be valid now: it expired on Jan  2 00:00:00 2020",
        ),
        (
            "cert: early.crt, key: early.key",
            "b.yaml:1: identity.cert: must be valid now: it is valid from Jan  2 00:00:00 2999",
        ),
        (
            "cert: reversed.crt, key: good.key",
            "b.yaml:1: identity.cert: must have the leaf first, and after each certificate",
        ),
        (
            "cert: none.crt, key: good.key",
            "b.yaml:1: identity.cert: must be a file that can be read: ",
        ),
        (
            "cert: half.crt, key: good.key",
            "b.yaml:1: identity.cert: must have certificates in PEM form: ",
        ),
        (
            "cert: good.crt, key: good.crt",
            "b.yaml:1: identity.key: must have a private key in PEM form",
        ),
        (
            "cert: good.crt, key: good.key, roots: empty",
            "b.yaml:1: identity.roots: must have certificates in PEM form: ",
        ),
        ("key: good.key", "b.yaml:1: identity.cert: is required"),
        ("cert: good.crt", "b.yaml:1: identity.key: is required"),
        ("spiffe: 'unix:///run/agent.sock'", ""),
        ("spiffe: 'unix:///run/agent.sock', roots: ca.crt", ""),
        (
            "cert: good.crt, key: good.key, roots: {spiffe: 'unix:///run/agent.sock'}",
            "",
        ),
        (
            "spiffe: /run/agent.sock",
            "b.yaml:1: identity.spiffe: must be unix:// and an absolute path",
        ),
        (
            "spiffe: 'unix:///run/agent.sock', cert: good.crt, key: good.key",
            "b.yaml:1: identity.spiffe: must not be there together with cert and key",
        ),
        (
            "cert: good.crt, key: good.key, roots: {spiffe: agent.sock}",
            "b.yaml:1: identity.roots.spiffe: must be unix:// and an absolute path",
        ),
        (
            "cert: good.crt, key: good.key, roots: spiffe",
            "b.yaml:1: identity.roots: needs identity.spiffe, or the socket",
        ),
        (
            "cert: good.crt, key: good.key, roots: 7",
            "b.yaml:1: identity.roots: must be the path of a file, or a mapping with spiffe",
        ),
    ] {
        let found = errors(&of_identity(fields), folder.path());
        assert!(found.starts_with(error), "{fields}: {found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{fields}: {found}");
    }
}

#[test]
fn tls_to_an_upstream_belongs_to_https_and_names_what_it_trusts() {
    let folder = folder();
    let https = "endpoints: ['https://pay.shop:8443'], tls: ";
    for (fields, error) in [
        (format!("{https}{{roots: ca.crt}}"), ""),
        (
            format!("{https}{{roots: ca.crt, name: other.shop, min: '1.2'}}"),
            "",
        ),
        (format!("{https}{{roots: ca.crt}}, protocol: h2"), ""),
        (
            "discover: {name: pay.shop, port: 1}, tls: {roots: ca.crt}".to_owned(),
            "",
        ),
        (
            "endpoints: ['http://pay.shop'], tls: {}".to_owned(),
            "b.yaml:2: upstreams.a.tls: needs endpoints with https://",
        ),
        (
            format!("{https}{{roots: empty}}"),
            "b.yaml:2: upstreams.a.tls.roots: must have certificates in PEM form",
        ),
        (
            format!("{https}{{roots: {{spiffe: 'unix:///run/a.sock'}}}}"),
            "",
        ),
        (
            format!("{https}{{roots: spiffe}}"),
            "b.yaml:2: upstreams.a.tls.roots: needs identity.spiffe, or the socket",
        ),
        (
            format!("{https}{{roots: {{spiffe: 'unix:///a', file: ca.crt}}}}"),
            "b.yaml:2: upstreams.a.tls.roots.file: is not a field here",
        ),
        (
            format!("{https}{{roots: ca.crt, name: 'a b'}}"),
            "b.yaml:2: upstreams.a.tls.name: must be a DNS name or an address",
        ),
        (
            format!("{https}{{roots: ca.crt, allow: ['spiffe://Shop/a']}}"),
            "b.yaml:2: upstreams.a.tls.allow[0]: must have a trust domain of a-z",
        ),
        (
            format!("{https}{{roots: ca.crt, allow: []}}"),
            "b.yaml:2: upstreams.a.tls.allow: must have an entry",
        ),
        (
            format!("{https}{{roots: ca.crt, present: true}}"),
            "b.yaml:2: upstreams.a.tls.present: needs identity",
        ),
        (
            format!("{https}{{roots: ca.crt}}, protocol: h2c"),
            "b.yaml:2: upstreams.a.protocol: must be h2 for endpoints with https://",
        ),
        (
            "endpoints: ['http://a'], protocol: h2".to_owned(),
            "b.yaml:2: upstreams.a.protocol: must be h2c for HTTP/2 without TLS",
        ),
        (
            "endpoints: ['https://a', 'http://b'], tls: {roots: ca.crt}".to_owned(),
            "b.yaml:2: upstreams.a.endpoints[1]: must have the scheme of the first one",
        ),
        (
            "endpoints: ['https://a_b.-c:1'], tls: {roots: ca.crt}".to_owned(),
            "b.yaml:2: upstreams.a.endpoints[0]: must have a host that a certificate can name",
        ),
    ] {
        let found = errors(&of_upstream(&fields), folder.path());
        assert!(found.starts_with(error), "{fields}: {found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{fields}: {found}");
    }
}

#[test]
fn the_name_is_the_configured_host_and_an_address_is_itself() {
    let folder = folder();
    for (url, name) in [
        ("https://pay.shop", "pay.shop"),
        ("https://localhost:8443", "localhost"),
        ("https://127.0.0.1:8443", "127.0.0.1"),
        ("https://[::1]:8443", "::1"),
    ] {
        let text = of_upstream(&format!("endpoints: ['{url}'], tls: {{roots: ca.crt}}"));
        let config = Config::parse(&text, None, folder.path()).unwrap();
        let upstream = config.routes()[0].upstream().unwrap().clone();
        let found = upstream.endpoints[0].server_name().unwrap();
        assert_eq!(found.to_str(), name);
        let port = if url.ends_with("8443") { 8443 } else { 443 };
        assert_eq!(upstream.endpoints[0].port(), Some(port));
    }
}

fn of_listener(fields: &str) -> String {
    format!(
        "tls: {{{fields}}}\nupstreams: {{a: {{endpoints: ['http://127.0.0.1:1']}}}}\n\
         routes: [{{name: a, upstream: a}}]\n"
    )
}

#[test]
fn tls_on_a_listener_has_certificates_and_may_ask_for_some() {
    let folder = folder();
    let pair = "cert: good.crt, key: good.key";
    for (fields, error) in [
        (pair.to_owned(), ""),
        (format!("{pair}, min: '1.2', handshake_timeout: 2s"), ""),
        (format!("certificates: [{{{pair}}}, {{{pair}}}]"), ""),
        (
            format!("{pair}, clients: {{roots: ca.crt, forward: client-cert}}"),
            "",
        ),
        (
            "".to_owned(),
            "b.yaml:1: tls.cert: is required, unless there is certificates",
        ),
        ("cert: good.crt".to_owned(), "b.yaml:1: tls.cert: needs key"),
        ("key: good.key".to_owned(), "b.yaml:1: tls.key: needs cert"),
        (
            format!("{pair}, certificates: [{{{pair}}}]"),
            "b.yaml:1: tls.certificates: must not be there together with cert and key",
        ),
        (
            format!("certificates: [{{{pair}}}, {{cert: good.crt, key: early.key}}]"),
            "b.yaml:1: tls.certificates[1].key: must be the key of the first certificate",
        ),
        (
            "cert: expired.crt, key: expired.key".to_owned(),
            "b.yaml:1: tls.cert: must be valid now: it expired on Jan  2 00:00:00 2020",
        ),
        (
            format!("{pair}, handshake_timeout: 2m"),
            "b.yaml:1: tls.handshake_timeout: must be 10ms to 1m",
        ),
        (format!("{pair}, min: '1.1'"), "b.yaml:1: tls.min: "),
        (
            format!("{pair}, clients: {{}}"),
            "b.yaml:1: tls.clients.roots: is required, unless identity has roots",
        ),
        (
            format!("{pair}, clients: {{roots: empty}}"),
            "b.yaml:1: tls.clients.roots: must have certificates in PEM form",
        ),
        (
            format!("{pair}, clients: {{roots: ca.crt, allow: ['spiffe://a/**/b']}}"),
            "b.yaml:1: tls.clients.allow[0]: must have ** at its end alone",
        ),
    ] {
        let found = errors(&of_listener(&fields), folder.path());
        assert!(found.starts_with(error), "{fields}: {found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{fields}: {found}");
    }
    for (clients, error) in [
        ("{roots: ca.crt, require: false}", ""),
        (
            "{roots: ca.crt, forward: xfcc}",
            "b.yaml:1: admin_tls.clients.forward: is not a field here",
        ),
        (
            "{roots: empty}",
            "b.yaml:1: admin_tls.clients.roots: must have certificates in PEM form",
        ),
    ] {
        let admin = of_listener(&format!("{pair}, clients: {clients}"));
        let found = errors(&admin.replacen("tls", "admin_tls", 1), folder.path());
        assert!(found.starts_with(error), "{clients}: {found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{clients}: {found}");
    }
    let receiver = |fields: &str| {
        let text = of_listener(fields).replacen("tls: ", "telemetry: {receive: {tls: ", 1);
        text.replacen("}\n", "}}}\n", 1)
    };
    for (fields, error) in [
        (pair.to_owned(), ""),
        (
            format!("{pair}, clients: {{roots: ca.crt, require: false, allow: ['spiffe://a/b']}}"),
            "",
        ),
        (
            "cert: good.crt, key: early.key".to_owned(),
            "key: must be the key of the first certificate",
        ),
        (
            format!("{pair}, clients: {{}}"),
            "clients.roots: is required, unless identity has roots",
        ),
        (
            format!("{pair}, clients: {{roots: empty}}"),
            "clients.roots: must have certificates in PEM form",
        ),
        (
            format!("{pair}, clients: {{roots: ca.crt, forward: xfcc}}"),
            "clients.forward: is not a field here",
        ),
        (
            format!("{pair}, handshake_timeout: 1ms"),
            "handshake_timeout: must be 10ms to 1m",
        ),
        (
            "".to_owned(),
            "cert: is required, unless there is certificates or identity",
        ),
    ] {
        let found = errors(&receiver(&fields), folder.path());
        let error = match error {
            "" => String::new(),
            error => format!("b.yaml:1: telemetry.receive.tls.{error}"),
        };
        assert!(found.starts_with(&error), "{fields}: {found}");
        assert_eq!(found.is_empty(), error.is_empty(), "{fields}: {found}");
    }
    let with_identity = |fields: &str| {
        let identity = of_identity("cert: good.crt, key: good.key, roots: ca.crt");
        format!("tls: {{{fields}}}\n{identity}")
    };
    for fields in ["", "clients: {}"] {
        assert_eq!(errors(&with_identity(fields), folder.path()), "");
        let identity = of_identity("cert: good.crt, key: good.key, roots: ca.crt");
        let receiver = format!("telemetry: {{receive: {{tls: {{{fields}}}}}}}\n{identity}");
        assert_eq!(errors(&receiver, folder.path()), "");
    }
    let peer = of_listener(pair).replace(
        "upstream: a}",
        "upstream: a, match: {peer: 'spiffe://a/b'}}",
    );
    let found = errors(&peer, folder.path());
    assert!(
        found.starts_with("b.yaml:3: routes[0].match.peer: needs tls.clients"),
        "{found}"
    );
}

#[test]
fn an_identity_of_the_workload_api_is_used_in_both_directions_where_they_say_nothing() {
    let agent = "unix:///run/agent.sock";
    let with = |identity: &str, clients: &str, upstream: &str| {
        let text = format!(
            "identity: {{{identity}}}\ntls: {{clients: {{{clients}}}}}\n\
             upstreams: {{a: {{endpoints: ['https://pay.shop'], tls: {{{upstream}}}}}}}\n\
             routes: [{{name: a, upstream: a}}]\n"
        );
        Config::parse(&text, None, Path::new("/none")).unwrap()
    };
    let own = format!("spiffe: '{agent}'");
    let workload = Workload::new(agent).unwrap();
    let roots = Roots::Spiffe(workload.clone());
    for (clients, upstream) in [("", ""), ("roots: spiffe", "roots: spiffe")] {
        let config = with(&own, clients, upstream);
        let server = config.tls().unwrap().settings().clone();
        let shown = Credentials::Spiffe(workload.clone());
        assert_eq!(server.certificates, std::slice::from_ref(&shown));
        assert_eq!(server.clients.unwrap().roots, roots);
        let upstream = config.routes()[0].upstream().unwrap().tls.clone().unwrap();
        assert_eq!(upstream.settings().present, Some(shown));
        assert_eq!(upstream.settings().roots, roots);
        assert_eq!(config.workloads(), std::slice::from_ref(&workload));
    }
    let other = "roots: {spiffe: 'unix:///run/other.sock'}";
    let config = with(&own, other, "roots: system, present: false");
    let names: Vec<_> = config.workloads().iter().map(ToString::to_string).collect();
    assert_eq!(names, [agent, "unix:///run/other.sock"]);
    let upstream = config.routes()[0].upstream().unwrap().tls.clone().unwrap();
    assert_eq!(upstream.settings().roots, Roots::System);
    assert!(!upstream.lacks_identity(), "it needs none");
}
