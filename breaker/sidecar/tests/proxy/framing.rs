//! Where a message ends, and how far it may go: transfer codings, answers without content,
//! `Max-Forwards`.

use tokio::io::AsyncWriteExt;

use crate::harness::{GET, OK, Options, Origin, Sidecar, eventually, header, read_head, status};

#[tokio::test]
async fn a_coding_that_is_not_undone_is_not_taken_off() {
    // What the upstream says of its coding, and what becomes of it.
    for (coding, expected) in [
        ("chunked", "200"),
        ("Chunked", "200"),
        (", chunked", "200"),
        ("gzip, chunked", "502"),
        ("deflate,chunked", "502"),
        ("gzip\r\nTransfer-Encoding: chunked", "502"),
        ("chunked, chunked", "502"),
        ("gzip", "502"),
    ] {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let sidecar = Sidecar::start(origin.address, Options::default());
        let request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let response = sidecar.exchange(&request).await;
        assert_eq!(status(&response), expected, "{coding}: {response}");
        let counted = if expected == "200" {
            (1, 0, 0)
        } else {
            assert!(response.contains("error=http_protocol_error"), "{response}");
            (0, 1, 0)
        };
        eventually(coding, || sidecar.totals() == counted).await;
    }
}

#[tokio::test]
async fn a_coding_of_no_content_is_no_fault() {
    let origin = Origin::answering(|_, _| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned()
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&response), "200");
    assert_eq!(header(&response, "transfer-encoding"), None);
}

#[tokio::test]
async fn an_answer_without_content_is_framed_as_its_status_says() {
    // Method, status and fields of the answer, and the Content-Length that the caller gets.
    for (method, answer, length) in [
        ("HEAD", "200 OK\r\nContent-Length: 5", Some("5")),
        ("HEAD", "200 OK\r\nContent-Length: 05", Some("5")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("HEAD", "204 No\r\nContent-Length: 5", None),
        ("HEAD", "304 No\r\nContent-Length: 5", Some("5")),
        ("GET", "204 No\r\nContent-Length: 5", None),
        ("GET", "304 No\r\nContent-Length: 5", None),
        ("GET", "204 No\r\nTransfer-Encoding: chunked", None),
        ("POST", "204 No\r\nContent-Length: 0", None),
    ] {
        let case = format!("{method} {answer}");
        let origin = Origin::answering(move |_, _| format!("HTTP/1.1 {answer}\r\n\r\n")).await;
        let sidecar = Sidecar::start(origin.address, Options::default());
        let mut client = sidecar.connect().await;
        // Twice on both connections: nothing hangs, and nothing of the first is taken for the
        // second.
        for _ in 0..2 {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            client.send(&request).await;
            let head = client.head().await;
            assert_eq!(status(&head), &answer[..3], "{case}: {head}");
            assert_eq!(header(&head, "content-length"), length, "{case}: {head}");
            assert_eq!(header(&head, "transfer-encoding"), None, "{case}: {head}");
        }
        assert_eq!(origin.connections(), 1, "{case}");
        eventually(&case, || sidecar.totals() == (2, 0, 0)).await;
    }
}

#[tokio::test]
async fn interim_responses_have_no_length() {
    let origin = Origin::answering(|_, _| {
        format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n{OK}")
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    let hints = client.head().await;
    assert_eq!(status(&hints), "103");
    assert_eq!(header(&hints, "content-length"), None);
    assert!(client.response().await.ends_with("ok"));
}

#[tokio::test]
async fn options_goes_no_farther_than_max_forwards() {
    // What the caller says, what the upstream gets; `None` where it gets nothing.
    for (method, said, expected) in [
        ("OPTIONS", "0", None),
        ("OPTIONS", "00", None),
        ("OPTIONS", "1", Some("0")),
        ("OPTIONS", "10", Some("9")),
        ("OPTIONS", "99999999999999999999", Some("255")),
        ("OPTIONS", "soon", Some("soon")),
        ("OPTIONS", "-1", Some("-1")),
        ("GET", "0", Some("0")),
    ] {
        for target in ["/", "*"] {
            if (method, target) == ("GET", "*") {
                continue;
            }
            let origin = Origin::ok().await;
            let sidecar = Sidecar::start(origin.address, Options::default());
            let request =
                format!("{method} {target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: {said}\r\n\r\n");
            let mut client = sidecar.connect().await;
            client.send(&request).await;
            let response = client.response().await;
            let heads = origin.heads();
            if target == "/" {
                let passed = heads.first().map(|head| header(head, "max-forwards"));
                assert_eq!(passed.flatten(), expected, "{method} {said}");
                assert_eq!(heads.is_empty(), expected.is_none(), "{method} {said}");
            }
            if expected.is_none() {
                assert_eq!(status(&response), "200", "{response}");
                assert_eq!(header(&response, "content-length"), Some("0"));
                assert!(header(&response, "allow").is_some_and(|allow| allow.contains("OPTIONS")));
                assert_eq!(
                    sidecar.totals(),
                    (0, 0, 0),
                    "no observation of the upstream"
                );
                assert!(heads.is_empty());
                // And the connection goes on.
                client.send(GET).await;
                assert!(client.response().await.ends_with("ok"));
            }
        }
    }
}

#[tokio::test]
async fn trace_is_not_reflected_whatever_it_may_pass() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for said in ["0", "5"] {
        let request = format!(
            "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {said}\r\nCookie: secret\r\n\r\n"
        );
        let response = sidecar.exchange(&request).await;
        assert_eq!(status(&response), "405");
        assert!(!response.contains("secret"));
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(sidecar.totals(), (0, 0, 0));
}
