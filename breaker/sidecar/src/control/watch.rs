//! What happens, for watchers: server-sent events, and the last minutes of a breaker.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::{StatusCode, header};
use tokio::time;

use super::aside::aside;
use super::problem::Problem;
use super::state::AdminState;
use crate::live::{Update, Watcher};

/// `snapshot` with all breakers at once, `changes` each second with those that are other than the
/// second before, `event` as it happens. Who is too slow for each second gets another `snapshot`.
pub(crate) async fn watch(State(state): State<AdminState>) -> Response {
    match state.live.watch() {
        Ok(watcher) => {
            let media_type = [(header::CONTENT_TYPE, "text/event-stream")];
            (media_type, Body::from_stream(events(watcher))).into_response()
        }
        Err(error) => {
            let retry_after = [(header::RETRY_AFTER, "5")];
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            (retry_after, problem).into_response()
        }
    }
}

pub(crate) async fn history(State(state): State<AdminState>, Path(name): Path<String>) -> Response {
    match state.registry.find(&name) {
        Ok(_) => Json(state.live.history(&name)).into_response(),
        Err(unknown) => Problem::from(unknown).into_response(),
    }
}

/// The events in their format, of which the large part is shared by all watchers, and is not
/// copied.
fn events(watcher: Watcher) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let begin = stream::iter([Bytes::from_static(RETRY)]);
    let updates = stream::unfold(watcher, |mut watcher| async {
        let parts = match time::timeout(KEEP_ALIVE, watcher.next()).await {
            Ok(Some(Update::Changes(reading))) => {
                let json = aside(move || reading.changes()).await.ok()?;
                event(b"event: changes\ndata: ", json)
            }
            Ok(Some(Update::All(reading))) => {
                let json = aside(move || reading.json()).await.ok()?;
                event(b"event: snapshot\ndata: ", json)
            }
            Ok(Some(Update::Event(told))) => {
                let json = serde_json::to_vec(&*told).expect("strings and numbers are good JSON");
                event(b"event: event\ndata: ", json.into())
            }
            Ok(None) => return None,
            Err(_) => event(b":", Bytes::new()),
        };
        Some((parts, watcher))
    });
    let parts = updates.flat_map(stream::iter);
    begin.chain(parts).map(Ok)
}

fn event(name: &'static [u8], json: Bytes) -> [Bytes; 3] {
    [Bytes::from_static(name), json, Bytes::from_static(b"\n\n")]
}

/// How long a browser waits before it connects again, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";
/// Readings come each second: this is for when they don't.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
