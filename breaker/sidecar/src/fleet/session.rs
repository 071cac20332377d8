//! The task of a member: it connects, reports, listens, and keeps the lease if it can.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;
use breaker_tower::breaker_core::fleet::{Ignored, InstanceId};
use bytes::Bytes;
use rustix::system::uname;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::engine::{Engine, EngineError, Messages};
use super::lease::{Lease, TTL};
use super::member::{Member, OVERVIEW_BYTES, REPORT_BYTES, Topics, VERDICT_BYTES};
#[cfg(feature = "nats")]
use super::nats::Nats;
use super::pace::{Pace, Turn};
use super::redis::Redis;
use super::reported::MemberRoute;
use super::seal::{SIGNATURE, Seal};
use super::seen::Seen;
use super::stats::{Dropping, Stats};
use crate::causes::in_full;
#[cfg(feature = "nats")]
use crate::config::Broker;
use crate::config::{EngineUrl, Fleet};
use crate::random;
use crate::registry::Registry;
use crate::tls::{self, Client, ClientSettings};

/// A member that is about to run.
#[derive(Debug)]
pub(crate) struct Session {
    fleet: Fleet,
    tls: Tls,
    registry: Registry,
    shown: Shown,
}

/// How TLS is spoken to each kind of engine.
#[derive(Debug)]
enum Tls {
    /// With Redis, if it is.
    Redis(Option<Client>),
    /// With NATS, where the server says whether it is.
    #[cfg(feature = "nats")]
    Nats(Box<rustls::ClientConfig>),
}

/// What can be told of a member. Clones share what changes.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The name of the fleet.
    pub(crate) name: Arc<str>,
    /// Where the engine is, without a password.
    pub(crate) engine: String,
    pub(crate) me: InstanceId,
    /// What this machine is called.
    pub(crate) host: Arc<str>,
    pub(crate) stats: Stats,
    pub(crate) seen: Seen,
}

/// Why a sidecar can't be in a fleet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The system has no certificates to trust.
    #[error("engine: {0}")]
    Tls(tls::Fault),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandom,
}

/// What a member needs while it has a connection.
struct Connected<'a, E> {
    engine: &'a E,
    lease: Lease,
    verdicts: Messages,
    reports: Option<Messages>,
    /// While somebody wants to see them, and this is not the aggregator.
    overviews: Option<Messages>,
}

// === impl Session ===

impl Session {
    /// A member of `fleet` with the breakers of `registry`.
    ///
    /// # Errors
    /// When there is nothing to trust for TLS, or nothing random for an id.
    pub(crate) fn new(fleet: Fleet, registry: Registry) -> Result<Self, StartError> {
        Ok(Self {
            tls: Tls::of(fleet.engine()).map_err(StartError::Tls)?,
            shown: Shown {
                name: fleet.name().clone(),
                engine: fleet.engine().to_string(),
                me: InstanceId(random_bytes().ok_or(StartError::NoRandom)?),
                host: uname().nodename().to_string_lossy().into(),
                stats: Stats::default(),
                seen: Seen::default(),
            },
            fleet,
            registry,
        })
    }

    /// What can be told of it.
    pub(crate) const fn shown(&self) -> &Shown {
        &self.shown
    }

    const fn stats(&self) -> &Stats {
        &self.shown.stats
    }

    /// Runs for ever: connects, and connects again when the connection has ended.
    pub(crate) async fn run(self) -> io::Result<()> {
        let topics = Topics::of(self.fleet.name());
        let seal = Seal::new(self.fleet.name(), self.fleet.key());
        let mut member = Member::new(&self.shown, seal, topics.clone());
        let mut pace = Pace::begin();
        let mut backoff = Backoff::default();
        let mut warned = false;
        loop {
            let Err(error) = self
                .serve(&mut member, &topics, &mut pace, &mut backoff, &mut warned)
                .await;
            self.stats().connected(false);
            member.aggregate(None, 0, pace.now());
            if !std::mem::replace(&mut warned, true) {
                let (engine, error) = (self.fleet.engine(), in_full(&error));
                tracing::warn!(%engine, error, "the fleet's engine is gone: each breaker is alone");
            }
            let pause = sleep(backoff.pause(random::unit()));
            self.apart(&mut member, &mut pace, pause).await;
        }
    }

    /// Connects, and serves until the connection ends.
    async fn serve(
        &self,
        member: &mut Member,
        topics: &Topics,
        pace: &mut Pace,
        backoff: &mut Backoff,
        warned: &mut bool,
    ) -> Result<std::convert::Infallible, EngineError> {
        let (url, stats) = (self.fleet.engine(), self.stats().clone());
        match &self.tls {
            Tls::Redis(tls) => {
                let connecting = Redis::connect(url, &topics.lease, tls.as_ref(), stats);
                let engine = self.apart(member, pace, connecting).await?;
                self.serve_by(engine, member, topics, pace, backoff, warned)
                    .await
            }
            #[cfg(feature = "nats")]
            Tls::Nats(tls) => {
                let connecting = Nats::connect(url, (**tls).clone(), stats);
                let engine = self.apart(member, pace, connecting).await?;
                self.serve_by(engine, member, topics, pace, backoff, warned)
                    .await
            }
        }
    }

    async fn serve_by<E: Engine>(
        &self,
        engine: E,
        member: &mut Member,
        topics: &Topics,
        pace: &mut Pace,
        backoff: &mut Backoff,
        warned: &mut bool,
    ) -> Result<std::convert::Infallible, EngineError> {
        // That was before this subscription.
        let _ = pace.stood_still();
        let mut connected = Connected {
            verdicts: engine
                .subscribe(&topics.verdicts, VERDICT_BYTES + SIGNATURE)
                .await?,
            engine: &engine,
            lease: Lease::default(),
            reports: None,
            overviews: None,
        };
        self.stats().connected(true);
        tracing::info!(engine = %self.fleet.engine(), fleet = &**self.fleet.name(), "in a fleet");
        // An engine may forbid what is asked of it later. Then the session must not begin anew at
        // once, for ever.
        let proven = pace.now() + PROVEN;
        self.until(proven, member, topics, pace, &mut connected)
            .await?;
        (*backoff, *warned) = (Backoff::default(), false);
        loop {
            let later = pace.now() + PROVEN;
            self.until(later, member, topics, pace, &mut connected)
                .await?;
        }
    }

    /// Waits for `what` without the fleet: reports are dropped.
    async fn apart<T>(
        &self,
        member: &mut Member,
        pace: &mut Pace,
        what: impl Future<Output = T>,
    ) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                () = pace.slice() => {
                    member.set_routes(self.routes());
                    for _ in member.reports(pace.now()) {
                        self.stats().drop_one(Dropping::Disconnected);
                    }
                }
            }
        }
    }

    /// Serves until this time.
    async fn until<E: Engine>(
        &self,
        end: Timestamp,
        member: &mut Member,
        topics: &Topics,
        pace: &mut Pace,
        connected: &mut Connected<'_, E>,
    ) -> Result<(), EngineError> {
        while pace.now() < end {
            tokio::select! {
                turn = pace.turn() => match turn {
                    Turn::Slice => self.slice(member, topics, pace, connected).await?,
                    Turn::Look => self.look(member, topics, pace, connected).await?,
                },
                verdict = connected.verdicts.recv() => {
                    let verdict = verdict.ok_or_else(|| connected.engine.why_ended())?;
                    if pace.stood_still() {
                        // Others may wait behind it.
                        self.stats().ignore(Ignored::Stale);
                        return Err(EngineError::StoodStill);
                    }
                    member.hear_verdict(pace.now(), &verdict);
                }
                report = next(&mut connected.reports) => {
                    let report = report.ok_or_else(|| connected.engine.why_ended())?;
                    if pace.stood_still() {
                        // It is old, as a verdict is.
                        return Err(EngineError::StoodStill);
                    }
                    member.hear_report(pace.now(), &report);
                    // It may be enough for an alarm.
                    self.judge(member, topics, pace, connected).await?;
                }
                overview = next(&mut connected.overviews) => {
                    let overview = overview.ok_or_else(|| connected.engine.why_ended())?;
                    member.hear_overview(&overview);
                }
            }
        }
        Ok(())
    }

    /// What is done between slices: requests are reported, and judged, as they come.
    async fn look<E: Engine>(
        &self,
        member: &mut Member,
        topics: &Topics,
        pace: &Pace,
        connected: &Connected<'_, E>,
    ) -> Result<(), EngineError> {
        for report in member.early_reports(pace.now()) {
            connected.engine.publish(&topics.reports, report).await?;
            self.stats().reported();
        }
        self.judge(member, topics, pace, connected).await
    }

    /// Publishes a verdict, if there is one to publish, and if the lease is still held: another may
    /// have it after a time in which this task was not run.
    async fn judge<E: Engine>(
        &self,
        member: &mut Member,
        topics: &Topics,
        pace: &Pace,
        connected: &Connected<'_, E>,
    ) -> Result<(), EngineError> {
        let now = pace.now();
        if connected.lease.term(now).is_none() {
            return Ok(());
        }
        if let Some(verdict) = member.verdict(now) {
            connected.engine.publish(&topics.verdicts, verdict).await?;
        }
        Ok(())
    }

    /// What is done each half second.
    async fn slice<E: Engine>(
        &self,
        member: &mut Member,
        topics: &Topics,
        pace: &Pace,
        connected: &mut Connected<'_, E>,
    ) -> Result<(), EngineError> {
        let Connected {
            engine,
            lease,
            reports,
            overviews,
            ..
        } = connected;
        if member.set_routes(self.routes()) && lease.term(pace.now()).is_some() {
            // Asked for anew, it comes with a new term.
            *lease = Lease::default();
        }
        for report in member.reports(pace.now()) {
            engine.publish(&topics.reports, report).await?;
            self.stats().reported();
        }
        let asked = pace.now();
        if lease.is_due(asked, member.verdict_age(asked)) {
            let holder = member.candidate();
            let leased = engine.lease(&topics.lease, &holder, TTL, member.term());
            lease.answered(asked, leased.await?);
        }
        let now = pace.now();
        member.aggregate(lease.term(now), seed(), now);
        if member.is_aggregator() && reports.is_none() {
            *reports = Some(
                engine
                    .subscribe(&topics.reports, REPORT_BYTES + SIGNATURE)
                    .await?,
            );
        } else if !member.is_aggregator() && reports.take().is_some() {
            engine.unsubscribe(&topics.reports).await?;
        }
        let wants = self.shown.seen.is_watched() && !member.is_aggregator();
        if wants && overviews.is_none() {
            *overviews = Some(
                engine
                    .subscribe(&topics.overviews, OVERVIEW_BYTES + SIGNATURE)
                    .await?,
            );
        } else if !wants && overviews.take().is_some() {
            engine.unsubscribe(&topics.overviews).await?;
        }
        self.judge(member, topics, pace, connected).await?;
        if let Some(overview) = member.overview(pace.now()) {
            connected
                .engine
                .publish(&topics.overviews, overview)
                .await?;
        }
        Ok(())
    }

    /// The routes of the configuration that is in force.
    fn routes(&self) -> Vec<MemberRoute> {
        MemberRoute::of(&self.registry, |name| self.fleet.has(name))
    }
}

// === impl Tls ===

impl Tls {
    fn of(engine: &EngineUrl) -> Result<Self, tls::Fault> {
        match engine.broker() {
            #[cfg(feature = "nats")]
            Broker::Nats => super::nats::tls().map(|tls| Self::Nats(Box::new(tls))),
            // Without the feature, the configuration refuses NATS.
            _ => {
                let tls = engine.is_secure();
                let tls = tls.then(|| Client::new(ClientSettings::default()));
                tls.transpose().map(Self::Redis)
            }
        }
    }
}

async fn next(messages: &mut Option<Messages>) -> Option<Bytes> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}

fn random_bytes() -> Option<[u8; 8]> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn seed() -> u64 {
    u64::from_be_bytes(random_bytes().unwrap_or_default())
}

/// After so long, a connection is one that lasts.
const PROVEN: Duration = Duration::from_secs(3);
