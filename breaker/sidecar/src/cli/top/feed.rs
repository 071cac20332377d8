//! What the sidecar tells: it is watched, or asked each second where that is refused, and found
//! again when it is lost.

use std::time::Duration;

use breaker_sidecar::control::SetMode;
use breaker_sidecar::live::Reading;
use breaker_sidecar::report::Breakers;
use futures_util::StreamExt;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sse_stream::SseStream;
use tokio::sync::mpsc::Sender;
use tokio::time;

use super::model::{Change, Effect, Update};
use crate::cli::client::{Client, ClientError, breaker_path, upstream_path};
use crate::cli::control;

/// Where `Update` goes; the other end is gone when the terminal is left.
pub(super) type UpdateSender = Sender<Update>;

/// Tells all that happens until nobody listens.
pub(super) async fn follow(client: Client, ear: UpdateSender) {
    let mut pause = FIRST_PAUSE;
    while !ear.is_closed() {
        let mut heard = false;
        let why = match watch(&client, &ear, &mut heard).await {
            Ok(()) => "the sidecar ended".to_owned(),
            // Too many watch already, or it does not know how to.
            Err(ClientError::Foreign { .. } | ClientError::Problem(_)) => {
                match poll(&client, &ear, &mut heard).await {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        if heard {
            pause = FIRST_PAUSE;
        }
        if ear.send(Update::Lost(why)).await.is_err() {
            return;
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn watch(client: &Client, ear: &UpdateSender, heard: &mut bool) -> Result<(), ClientError> {
    let mut events = SseStream::new(client.watch("/api/v1/watch").await?);
    let status = client.get("/api/v1/status").await?;
    let _ = ear.send(Update::Status(Box::new(status))).await;
    let mut latest = Reading::default();
    // A sidecar that says nothing, not even that it is there, is lost.
    while let Ok(Some(Ok(event))) = time::timeout(SILENCE, events.next()).await {
        let data = event.data.unwrap_or_default();
        let told = match event.event.as_deref() {
            Some("snapshot") => serde_json::from_str(&data).map(|reading: Reading| {
                latest = reading.clone();
                Update::Reading(reading)
            }),
            Some("changes") => serde_json::from_str(&data).map(|changes| {
                latest.advance(changes);
                Update::Reading(latest.clone())
            }),
            Some("event") => serde_json::from_str(&data).map(Update::Event),
            _ => continue,
        };
        let told =
            told.map_err(|error| client.foreign(format!("tells something else: {error}")))?;
        *heard = true;
        if ear.send(told).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Asks for a while; then watching may be possible.
async fn poll(client: &Client, ear: &UpdateSender, heard: &mut bool) -> Result<(), ClientError> {
    if let Ok(status) = client.get("/api/v1/status").await {
        let _ = ear.send(Update::Status(Box::new(status))).await;
    }
    for _ in 0..POLLS {
        let breakers: Breakers = client.get("/api/v1/breakers").await?;
        *heard = true;
        if ear.send(Update::Polled(breakers)).await.is_err() {
            break;
        }
        time::sleep(EVERY).await;
    }
    Ok(())
}

/// Does what the model wants of the sidecar, and tells what came of it.
pub(super) async fn ask(client: Client, effect: Effect, ear: UpdateSender) {
    match effect {
        Effect::Leave => {}
        Effect::Status => {
            if let Ok(status) = client.get("/api/v1/status").await {
                let _ = ear.send(Update::Status(Box::new(status))).await;
            }
        }
        Effect::Source(name, source) => of_source(&client, name, source, &ear).await,
        Effect::Refresh { upstream, source } => {
            if let Some(name) = upstream
                && let Ok(upstream) = client.get(&upstream_path(&name, "")).await
            {
                let _ = ear.send(Update::Upstream(upstream)).await;
            }
            if let Some((name, source)) = source {
                of_source(&client, name, source, &ear).await;
            }
        }
        Effect::Remember(names) => {
            for name in names {
                remember(&client, name, &ear).await;
            }
        }
        Effect::Inspect(name) => {
            remember(&client, name, &ear).await;
        }
        Effect::Change(name, change) => {
            let changed = match change {
                Change::Mode(mode) => {
                    let content = control::json(&SetMode {
                        mode,
                        period: None,
                        reason: None,
                    });
                    let path = breaker_path(&name, "/mode");
                    client.send(Method::PUT, &path, Some(content)).await
                }
                Change::Reset => {
                    let path = breaker_path(&name, "/reset");
                    client.send(Method::POST, &path, None).await
                }
            };
            let told = match changed {
                Ok(breaker) => Update::Changed(Box::new(breaker)),
                Err(error) => Update::Refused(error.to_string()),
            };
            let _ = ear.send(told).await;
        }
    }
}

async fn of_source(client: &Client, name: String, source: String, ear: &UpdateSender) {
    let source_in_path = utf8_percent_encode(&source, NON_ALPHANUMERIC);
    let path = breaker_path(&name, &format!("/history?source={source_in_path}"));
    if let Ok(history) = client.get(&path).await {
        let _ = ear.send(Update::OfSource(name, source, history)).await;
    }
}

/// A sidecar that can't tell the past has none to show.
async fn remember(client: &Client, name: String, ear: &UpdateSender) {
    let path = breaker_path(&name, "/history");
    if let Ok(history) = client.get(&path).await {
        let _ = ear.send(Update::History(name, history)).await;
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Readings come each second, and at least a comment every 15.
const SILENCE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_secs(1);
/// How often the sidecar is asked before watching is tried again.
const POLLS: u32 = 30;
