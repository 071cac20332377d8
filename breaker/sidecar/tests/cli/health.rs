//! `breaker health`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::{Folder, stderr};

#[test]
fn health_is_exit_code_0_for_a_good_answer_only() {
    let folder = Folder::new("health");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        for status in ["200 OK", "503 Service Unavailable"] {
            let (mut socket, _) = listener.accept().expect("a connection");
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).expect("a request");
            socket.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    let url = format!("http://{address}/readyz");
    let ask = || folder.breaker(&["health", &url]);
    assert_eq!(ask().status.code(), Some(0));
    let unwell = ask();
    assert_eq!(unwell.status.code(), Some(1));
    assert_eq!(stderr(&unwell), format!("{url}: 503 Service Unavailable\n"));
    server.join().expect("the server ends");
    let gone = ask();
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).starts_with(&url), "{}", stderr(&gone));
}

#[test]
fn health_of_an_admin_port_asks_whether_it_is_ready() {
    let folder = Folder::new("health-of-admin");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = format!("http://{}", listener.local_addr().expect("its address"));
    let server = thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..4 {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut request = [0; 1024];
            let length = socket.read(&mut request).expect("a request");
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            socket.write_all(answer.as_bytes()).expect("an answer");
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            asked.push(request.lines().next().unwrap_or_default().to_owned());
        }
        asked
    });
    let [slash, livez] = ["/", "/livez"].map(|path| format!("{admin}{path}"));
    for url in [&admin, &slash, &livez] {
        let answer = folder.breaker(&["health", url]);
        assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    }
    let answer = folder.breaker_with(&["health"], &[("BREAKER_ADMIN_URL", &admin)]);
    assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    let expected = ["/readyz", "/readyz", "/livez", "/readyz"];
    let asked = server.join().expect("the server ends");
    assert_eq!(asked, expected.map(|path| format!("GET {path} HTTP/1.1")));
}
