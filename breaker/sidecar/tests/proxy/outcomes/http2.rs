//! HTTP/2 by prior knowledge on both sides, and gRPC to an upstream that does not speak it.

use std::sync::Arc;

use breaker_sidecar::upstream::{Protocol, Upstream as App};
use breaker_tests::calmly;
use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Cells, compare, counted, in_flight, options, unbounded};
use crate::frames::{self, Act, Begun, DATA, begin, frame, goaway, ok};
use crate::harness::{Options, Origin, PATIENCE, Sidecar, nobody, read_head};
use crate::names::nobody_known;

/// What the upstream does with a request.
#[derive(Clone, Copy)]
enum Upstream {
    /// Says this head, and then ends so.
    Answers(Head, End),
    /// Ends so without a head.
    Ends(End),
    Refuses,
    Unknown,
    /// Answers by HTTP/1.1, whatever it is asked.
    Http1,
    /// The same, and only the caller's gRPC makes us speak HTTP/2 to it.
    OnlyHttp1,
    /// Does so at each request.
    Acts(fn(Begun) -> Vec<Act>),
}

/// A status, and a field beside it.
type Head = (u16, [&'static str; 2]);

/// How a stream of the upstream ends.
#[derive(Clone, Copy)]
enum End {
    /// With this body.
    With(&'static str),
    /// With `ok`, and RST_STREAM after it.
    Reset(Reason),
    /// With `ok`, and then the connection.
    Closed,
    /// Not at all.
    Never,
}

use End::{Closed, Never, Reset, With};
use Upstream::{Acts, Answers, Ends, Http1, OnlyHttp1, Refuses, Unknown};

/// What the caller does.
#[derive(Clone, Copy)]
enum Caller {
    Gets,
    Heads,
    /// With this field in the head.
    Says([&'static str; 2]),
    /// Sends this body, and this field before it.
    Posts([&'static str; 2], &'static str),
    /// Sends a body that is larger than the window which the upstream opens.
    Uploads,
    /// Resets its stream when the upstream has the request.
    Leaves,
    /// Resets it when the head has come.
    LeavesBody,
}

use Caller::{Gets, Heads, Leaves, LeavesBody, Posts, Says, Uploads};

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) cells: Cells,
    upstream: Upstream,
    caller: Caller,
}

macro_rules! rows {
    ($($ending:literal, $protocol:literal, $by:literal, $outcome:literal, $latency:literal,
       $gets:literal, $upstream:expr, $caller:expr;)*) => {
        &[$(Row {
            cells: Cells {
                ending: $ending, protocol: $protocol, by: $by, outcome: $outcome,
                latency: $latency, gets: $gets,
            },
            upstream: $upstream, caller: $caller,
        }),*]
    };
}

const X: [&str; 2] = ["x", "y"];
const OK: Head = (200, X);
const NINE: [&str; 2] = ["content-length", "9"];
const LARGE: &str = "01234567890123456789";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows![
    "answer 200", "HTTP/2", "upstream", "success", "yes", "200", Answers(OK, With("ok")), Gets;
    "answer 404", "HTTP/2", "upstream", "success", "yes", "404", Answers((404, X), With("")), Gets;
    "answer 500", "HTTP/2", "upstream", "failure", "yes", "500", Answers((500, X), With("")), Gets;
    "answer 200 to HEAD, with a Content-Length", "HTTP/2", "upstream", "success", "yes", "200",
        Answers((200, NINE), With("")), Heads;
    "body shorter than its Content-Length", "HTTP/2", "upstream", "failure", "yes", "cut",
        Answers((200, NINE), With("ok")), Gets;
    "RST_STREAM in the body", "HTTP/2", "upstream", "failure", "yes", "cut",
        Answers(OK, Reset(Reason::INTERNAL_ERROR)), Gets;
    "RST_STREAM with NO_ERROR before the end of the Content-Length", "HTTP/2", "upstream",
        "failure", "yes", "cut", Answers((200, NINE), Reset(Reason::NO_ERROR)), Gets;
    "closed in the body", "HTTP/2", "upstream", "failure", "yes", "cut", Answers(OK, Closed), Gets;
    "closed before the head", "HTTP/2", "upstream", "failure", "yes", "502", Ends(Closed), Gets;
    "RST_STREAM before the head", "HTTP/2", "upstream", "failure", "yes", "502",
        Ends(Reset(Reason::INTERNAL_ERROR)), Gets;
    "answer is not HTTP/2, although HTTP/2 is configured", "HTTP/2", "upstream", "failure", "yes",
        "502", Http1, Gets;
    "no head within the route's timeout", "HTTP/2", "upstream", "failure", "yes", "504",
        Ends(Never), Gets;
    "upload without progress for the route's timeout", "HTTP/2", "upstream", "failure", "yes",
        "504", Ends(Never), Uploads;
    "connection refused", "HTTP/2", "upstream", "failure", "yes", "502", Refuses, Gets;
    "name not resolved", "HTTP/2", "name", "ignored", "no", "502", Unknown, Gets;
    "body pauses longer than body_idle_timeout", "HTTP/2", "proxy", "ignored", "yes", "cut",
        Answers(OK, Never), Gets;
    "rejection by a breaker further upstream", "HTTP/2", "inner_breaker", "ignored", "no", "503",
        Answers((503, ["proxy-status", "x; error=destination_unavailable"]), With("")), Gets;
    "REFUSED_STREAM, sent again, answer 200", "HTTP/2", "upstream", "success", "yes", "200",
        Acts(|begun| once(frames::reset(begun.stream, 7), begun)), Gets;
    "REFUSED_STREAM each time", "HTTP/2", "upstream", "failure", "yes", "503",
        Acts(|begun| vec![Act::Send(frames::reset(begun.stream, 7))]), Gets;
    "GOAWAY below the stream, sent again, answer 200", "HTTP/2", "upstream", "success", "yes",
        "200", Acts(|begun| once(goaway(0), begun)), Gets;
    "GOAWAY below the first stream of each connection", "HTTP/2", "upstream", "failure", "yes",
        "502", Acts(|_| vec![Act::Send(goaway(0))]), Gets;
    "GOAWAY that includes the stream, answer 200", "HTTP/2", "upstream", "success", "yes", "200",
        Acts(|begun| vec![Act::Send([goaway(begun.stream), ok(begun.stream)].concat())]), Gets;
    "more than 100 empty DATA frames", "HTTP/2", "proxy", "ignored", "yes", "cut",
        Acts(many_empty), Gets;
    "malformed request body", "HTTP/2", "caller", "ignored", "no", "reset", Ends(Never),
        Posts(NINE, "ok");
    "request body too large", "HTTP/2", "caller", "ignored", "no", "413", Ends(Never),
        Posts(X, LARGE);
    "RST_STREAM by the caller before the head", "HTTP/2", "caller", "ignored", "no", "-",
        Ends(Never), Leaves;
    "RST_STREAM by the caller in the body", "HTTP/2", "caller", "ignored", "yes", "-",
        Answers(OK, Never), LeavesBody;
    "RST_STREAM by the caller in the body of a 500", "HTTP/2", "upstream", "failure", "yes", "-",
        Answers((500, X), Never), LeavesBody;
    "caller's deadline passes without a head", "HTTP/2", "caller", "ignored", "no", "504",
        Ends(Never), Says(["x-time", "50"]);
    "caller's deadline is zero", "HTTP/2", "caller", "ignored", "no", "504",
        Answers(OK, With("ok")), Says(["x-time", "0"]);
    "caller's deadline is malformed, answer 200", "HTTP/2", "upstream", "success", "yes", "200",
        Answers(OK, With("ok")), Says(["x-time", "soon"]);
    "the upstream does not speak HTTP/2", "gRPC", "proxy", "ignored", "no", "200", OnlyHttp1,
        Posts(["content-type", "application/grpc"], "");
];

/// Sends these bytes once, and then answers.
fn once(bytes: Vec<u8>, begun: Begun) -> Vec<Act> {
    vec![Act::Send(match begun.request {
        1 => bytes,
        _ => ok(begun.stream),
    })]
}

fn many_empty(begun: Begun) -> Vec<Act> {
    let empty = frame(DATA, 0, begun.stream, &[]).repeat(150);
    vec![Act::Send([begin(begun.stream), empty].concat())]
}

fn over(protocol: Protocol, options: Options) -> Options {
    Options {
        upstream: match protocol {
            Protocol::H2c => |app| App {
                protocol: Protocol::H2c,
                ..app
            },
            _ => |app| app,
        },
        ..options
    }
}

/// A sidecar with such an upstream, which goes on from the head of its answer when it is told.
async fn start(upstream: Upstream, caller: Caller) -> (Sidecar, Arc<Notify>) {
    let go_on = Arc::<Notify>::default();
    let told = go_on.clone();
    let options = match caller {
        Uploads => unbounded(),
        _ => options(),
    };
    let sidecar = match upstream {
        Unknown => nobody_known().await,
        Refuses => Sidecar::start(nobody(), over(Protocol::H2c, options)),
        Http1 | OnlyHttp1 => {
            let origin = Origin::raw(|mut stream| async move {
                let _ = stream.write_all(b"HTTP/1.1 400 No\r\n\r\n").await;
                read_head(&mut stream).await;
            })
            .await;
            let protocol = match upstream {
                Http1 => Protocol::H2c,
                _ => Protocol::Auto,
            };
            Sidecar::start(origin.address, over(protocol, options))
        }
        Acts(acts) => {
            let (origin, _) = frames::origin(Vec::new(), acts).await;
            Sidecar::start(origin.address, over(Protocol::H2c, options))
        }
        Answers(..) | Ends(_) => {
            let origin = Origin::raw(move |stream| serve(stream, upstream, told.clone())).await;
            Sidecar::start(origin.address, over(Protocol::H2c, options))
        }
    };
    (sidecar, go_on)
}

/// Serves the first stream of a connection, until that is closed.
async fn serve(stream: TcpStream, upstream: Upstream, told: Arc<Notify>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    let end = async {
        let (mut body, end) = match upstream {
            Answers((status, [name, value]), end) => {
                let head = Response::builder().status(status).header(name, value);
                let mut body = respond
                    .send_response(head.body(()).unwrap(), false)
                    .unwrap();
                let (data, is_end) = match end {
                    With(data) => (data, true),
                    _ => ("ok", false),
                };
                body.send_data(Bytes::from_static(data.as_bytes()), is_end)
                    .unwrap();
                told.notified().await;
                (Some(body), end)
            }
            Ends(end) => (None, end),
            _ => unreachable!("it is not served by HTTP/2"),
        };
        match (end, &mut body) {
            (Closed, _) => return,
            (Reset(reason), Some(body)) => body.send_reset(reason),
            (Reset(reason), None) => respond.send_reset(reason),
            _ => {}
        }
        // What is dropped would be reset.
        std::future::pending().await
    };
    tokio::select! {
        () = end => {}
        () = async { while connection.accept().await.is_some() {} } => {}
    }
}

/// What becomes of a request.
async fn run(row: Row) -> [String; 4] {
    let (sidecar, go_on) = start(row.upstream, row.caller).await;
    let gets = ask(&sidecar, row.caller, &go_on).await;
    let gets = match row.cells.gets {
        // A reset overtakes what was sent before it.
        "cut" if gets == "reset" => "cut".to_owned(),
        _ => gets,
    };
    let [by, outcome, latency] = counted(&sidecar, row.cells.ending).await;
    [by.to_owned(), outcome.to_owned(), latency.to_owned(), gets]
}

/// Sends one request, and tells what comes of it.
async fn ask(sidecar: &Sidecar, caller: Caller, go_on: &Notify) -> String {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (method, [name, value]) = match caller {
        Posts(field, _) => ("POST", field),
        Uploads => ("POST", X),
        Says(field) => ("GET", field),
        Heads => ("HEAD", X),
        _ => ("GET", X),
    };
    let request = Request::builder().method(method).uri("http://a/x.Y/Z");
    let request = request.header(name, value).body(()).unwrap();
    let is_end = !matches!(caller, Posts(..) | Uploads);
    let mut sender = sender.ready().await.unwrap();
    let (response, mut upload) = sender.send_request(request, is_end).unwrap();
    match caller {
        Posts(_, body) => upload
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .unwrap(),
        Uploads => upload
            .send_data(Bytes::from(vec![0; 200_000]), true)
            .unwrap(),
        Leaves => {
            in_flight(sidecar).await;
            upload.send_reset(Reason::CANCEL);
            return "-".to_owned();
        }
        _ => {}
    }
    let Ok(response) = timeout(PATIENCE, response).await.expect("an answer") else {
        return "reset".to_owned();
    };
    let status = response.status().as_str().to_owned();
    if matches!(caller, LeavesBody) {
        upload.send_reset(Reason::CANCEL);
        return "-".to_owned();
    }
    let mut body = response.into_body();
    loop {
        match timeout(PATIENCE, body.data()).await.expect("an end") {
            Some(Ok(_)) => go_on.notify_one(),
            Some(Err(_)) => return "cut".to_owned(),
            None => return status,
        }
    }
}

#[tokio::test]
async fn each_ending_counts_as_the_table_says() {
    calmly(async || {
        compare(ROWS, |row| &row.cells, run).await;
    })
    .await;
}
