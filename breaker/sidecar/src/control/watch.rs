//! What happens, for watchers: server-sent events, and the last minutes of a breaker.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::{StatusCode, header};
use serde::Deserialize;
use tokio::time;

use super::aside::aside;
use super::problem::Problem;
use super::state::AdminState;
use crate::live::{History, Update, Watcher};

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

/// What of a history is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// By which source; by those that explain the breaker when it is left out.
    source: Option<String>,
    /// Only what came after this, in seconds since 1970.
    since: Option<f64>,
}

pub(crate) async fn history(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let told = wanted.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()));
    let told = told.and_then(|Query(wanted)| history_of(&state, &name, &wanted));
    told.map(Json).into_response()
}

fn history_of(state: &AdminState, name: &str, wanted: &Wanted) -> Result<History, Problem> {
    let entry = state.registry.find(name)?;
    if let Some(source) = &wanted.source {
        let snapshot = entry.breaker().snapshot();
        let names: Vec<_> = snapshot
            .sources
            .iter()
            .map(|source| &*source.name)
            .collect();
        if !names.contains(&&**source) {
            let rule = format!("must be a source of {name}: {}", names.join(", "));
            return Err(Problem::of_field("source", rule));
        }
    }
    // A route that a reload has just added has no history yet.
    let history = state.live.history(name, wanted.source.as_deref());
    let mut history = history.unwrap_or_default();
    if let Some(since) = wanted.since {
        history.points.retain(|point| point.t > since);
        history.events.retain(|event| event.t > since);
    }
    Ok(history)
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
