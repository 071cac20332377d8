//! Who may change something, and who may not.

use super::*;

const MODE: &str = "PUT /api/v1/breakers/pay/mode";
const CHANGES: [&str; 8] = [
    MODE,
    "POST /api/v1/breakers/pay/reset",
    "PUT /api/v1/breakers/pay/policy",
    "DELETE /api/v1/breakers/pay/policy",
    "POST /api/v1/upstreams/pay/eject",
    "POST /api/v1/upstreams/pay/admit",
    "POST /api/v1/reload",
    "POST /reload",
];

#[tokio::test]
async fn every_change_needs_the_token_where_there_is_one() {
    let bench = Bench::with(Some("s3cret"), None).await;
    for line in CHANGES {
        let none = bench.ask(line, &[], "").await;
        assert_eq!(none.status, 401, "{line}");
        let challenge = "www-authenticate: Bearer realm=\"breaker\"";
        assert!(none.head.contains(challenge), "{}", none.head);
        let wrong = bench.ask(line, &["Authorization: Bearer secret"], "").await;
        assert_eq!(wrong.status, 403, "{line}");
        let right = bench.ask(line, &["Authorization: Bearer s3cret"], "").await;
        assert!(![401, 403].contains(&right.status), "{line}");
    }
}

#[tokio::test]
async fn reading_needs_no_token() {
    let bench = Bench::with(Some("s3cret"), None).await;
    for path in [
        "status",
        "breakers",
        "breakers/pay",
        "breakers/pay/policy",
        "upstreams",
        "upstreams/pay",
        "openapi.json",
    ] {
        let line = format!("GET /api/v1/{path}");
        assert_eq!(bench.ask(&line, &[], "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let bench = Bench::new().await;
    let own = format!("Origin: http://{}", bench.server.address);
    let body = "{\"mode\":\"shadow\"}";
    for header in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
    ] {
        let answer = bench.ask(MODE, &[header], body).await;
        assert_eq!(answer.status, 403, "{header}");
    }
    for form in [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ] {
        let header = format!("Content-Type: {form}");
        assert_eq!(
            bench.ask(MODE, &[&header], body).await.status,
            415,
            "{form}"
        );
    }
    assert_eq!(bench.pay.mode(), Mode::Auto);
    let answer = bench
        .ask(MODE, &[&own, "Sec-Fetch-Site: same-origin"], body)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(bench.pay.mode(), Mode::Shadow);
}

#[tokio::test]
async fn a_name_that_another_site_points_here_changes_nothing() {
    let bench = Bench::new().await;
    let body = "{\"mode\":\"shadow\"}";
    let answer = bench
        .ask(
            MODE,
            &["Host: evil.example", "Origin: http://evil.example"],
            body,
        )
        .await;
    assert_eq!(answer.status, 421);
    assert_eq!(bench.pay.mode(), Mode::Auto);
}
