//! What is for operators: the admin port, and who tells what happens.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::reload::{self, EventSubscription, Reloader};
use crate::admin;
use crate::baselines::BaselineStore;
use crate::control::{AdminState, end_panics};
use crate::live::{self, Live};
use crate::sockets::Listening;
use crate::telemetry::Telemetry;
use crate::tls::{Server, Workload};
use crate::upstream::Happened;

/// What is for operators: the admin port, and who tells what happens.
pub(super) struct Operation {
    pub(super) state: AdminState,
    pub(super) listener: Listening,
    pub(super) tls: Option<Server>,
    pub(super) followed: mpsc::UnboundedReceiver<EventSubscription>,
    pub(super) reload_events: mpsc::UnboundedReceiver<live::Event>,
    pub(super) happened: mpsc::UnboundedReceiver<Happened>,
    pub(super) workloads: mpsc::UnboundedReceiver<Workload>,
    pub(super) reloader: Reloader,
    pub(super) keeper: Option<Arc<BaselineStore>>,
}

impl Operation {
    /// Serves for ever.
    pub(super) async fn run(self) {
        let (telemetry, live) = (self.state.telemetry.clone(), self.state.live.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_all(self.followed, telemetry.clone(), live.clone()));
        tasks.spawn(follow_upstreams(self.happened, telemetry, live.clone()));
        tasks.spawn(tell_all(self.reload_events, live.clone()));
        tasks.spawn(live.run());
        tasks.spawn(end_panics(self.state.clone()));
        let heard = reload::follow_workloads(self.workloads, self.reloader.clone());
        tasks.spawn(heard);
        if self.reloader.watches() {
            tasks.spawn(reload::watch(self.reloader));
        }
        if let Some(keeper) = self.keeper {
            tasks.spawn(keeper.keep());
        }
        match self.listener.into_async() {
            Ok(listener) => {
                admin::serve_by(self.state, listener, self.tls, std::future::pending()).await;
            }
            Err(error) => tracing::error!(%error, "the admin port can't be served"),
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Tells telemetry and watchers what the breakers do that are `followed`, each until it is gone.
async fn follow_all(
    mut followed: mpsc::UnboundedReceiver<EventSubscription>,
    telemetry: Telemetry,
    live: Live,
) {
    let mut following = JoinSet::new();
    loop {
        tokio::select! {
            next = followed.recv() => match next {
                Some(next) => drop(following.spawn(follow(next, telemetry.clone(), live.clone()))),
                None => break,
            },
            Some(_) = following.join_next() => {}
        }
    }
    while following.join_next().await.is_some() {}
}

async fn follow((name, mut events): EventSubscription, telemetry: Telemetry, live: Live) {
    while let Some(event) = events.recv().await {
        telemetry.event(&name, &event);
        if let Some(event) = live::Event::told(&name, &event) {
            live.tell(event);
        }
    }
}

/// Tells telemetry and watchers what happens to the endpoints of upstreams.
async fn follow_upstreams(
    mut happened: mpsc::UnboundedReceiver<Happened>,
    telemetry: Telemetry,
    live: Live,
) {
    while let Some(happened) = happened.recv().await {
        telemetry.happened(&happened);
        live.tell(live::Event::happened(&happened));
    }
}

/// Tells watchers how reloads end.
async fn tell_all(mut events: mpsc::UnboundedReceiver<live::Event>, live: Live) {
    while let Some(event) = events.recv().await {
        live.tell(event);
    }
}
