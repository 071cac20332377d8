//! The fleet, and the Breaker that is followed, as documents: what the admin port tells of them.

use std::sync::Arc;

use async_trait::async_trait;
use breaker_tower::breaker_core::fleet::{
    FRESH, MemberOverview, Numbers, RouteOverview, RouteVerdict, SignalOverview, Stage,
};
use breaker_tower::breaker_core::policy;

use super::StartError;
use crate::config::Config;
use crate::control::{Following, Pooling};
use crate::fleet::{Followed, Follower, OverviewSeen, RouteSeen, Session, Shown};
use crate::registry::Registry;
use crate::report::{
    FleetAggregator, FleetCount, FleetEvidence, FleetMember, FleetOpening, FleetOverview,
    FleetRoute, FleetStage, FleetStatus, FollowingStatus, OverviewRoute, OverviewSignal,
    OwnEvidence,
};

/// A member of the fleet that the configuration has, if it has one.
pub(super) fn join(config: &Config, registry: &Registry) -> Result<Option<Session>, StartError> {
    let session = config
        .fleet()
        .map(|fleet| Session::new(fleet.clone(), registry.clone()));
    let session = session.transpose();
    session.map_err(|error| StartError::Setting(format!("fleet: {error}")))
}

/// Who follows the Breaker that the configuration has, if it has one.
pub(super) fn follow(config: &Config, registry: &Registry) -> Option<Follower> {
    let follow = config.follow()?.clone();
    Some(Follower::new(follow, registry.clone()))
}

/// Who tells of the brain.
pub(super) fn followed(follower: &Follower) -> Arc<dyn Following> {
    Arc::new(follower.shown().clone())
}

/// Who tells of it.
pub(super) fn shown(session: &Session) -> Arc<dyn Pooling> {
    Arc::new(session.shown().clone())
}

#[async_trait]
impl Pooling for Shown {
    fn fleet(&self) -> FleetStatus {
        let numbers = self.stats.numbers();
        let age = numbers.verdict_age();
        let fresh = age.is_some_and(|age| age <= FRESH);
        let speaker = numbers.speaker.as_ref();
        let aggregator = speaker.and_then(|speaker| {
            let instance = speaker.instance?;
            Some(FleetAggregator {
                instance: instance.to_string(),
                host: speaker.host.as_deref().unwrap_or_default().to_owned(),
                here: instance == self.me,
            })
        });
        let routes = self.seen.routes();
        FleetStatus {
            name: self.name.to_string(),
            engine: self.engine.clone(),
            connected: numbers.connected,
            instance: self.me.to_string(),
            aggregator,
            term: numbers.term,
            members: speaker.and_then(|speaker| speaker.members).map(u64::from),
            verdict_age: age.map(|age| age.as_secs_f64()),
            fresh,
            reports: numbers.reports,
            dropped: counts(numbers.dropped()),
            ignored: counts(numbers.ignored()),
            routes: routes.iter().map(|seen| route(seen, fresh)).collect(),
        }
    }

    async fn overview(&self) -> Option<FleetOverview> {
        if !self.stats.numbers().connected {
            return None;
        }
        let OverviewSeen {
            at,
            more_members,
            overview,
        } = self.seen.overview().await?;
        Some(FleetOverview {
            age: at.elapsed().as_secs_f64(),
            term: overview.term,
            more_members,
            members: overview.members.iter().map(member).collect(),
            routes: overview.routes.iter().map(route_of_all).collect(),
        })
    }
}

impl Following for Followed {
    fn following(&self) -> FollowingStatus {
        let numbers = self.stats.numbers();
        let age = numbers.age();
        let fresh = age.is_some_and(|age| age <= FRESH);
        let routes = self.seen.routes();
        let missing = numbers.missing.iter();
        FollowingStatus {
            brain: self.brain.clone(),
            connected: numbers.connected,
            age: age.map(|age| age.as_secs_f64()),
            fresh,
            unknown_routes: numbers.unknown as u64,
            missing_routes: missing.map(ToString::to_string).collect(),
            ignored: counts(numbers.ignored()),
            routes: routes.iter().map(|seen| route(seen, fresh)).collect(),
        }
    }
}

fn counts(all: impl Iterator<Item = (&'static str, u64)>) -> Vec<FleetCount> {
    let occurred = all.filter(|(_, count)| *count > 0);
    occurred
        .map(|(reason, count)| FleetCount {
            reason: reason.to_owned(),
            count,
        })
        .collect()
}

fn route(seen: &RouteSeen, fresh: bool) -> FleetRoute {
    let verdict = seen.verdict.as_deref();
    let of_stage = verdict.map(|verdict| &verdict.stage);
    let signals = policy::Signal::ALL.into_iter().zip(seen.own);
    FleetRoute {
        name: seen.name.to_string(),
        stage: match fresh {
            true => stage(verdict),
            false => FleetStage::Unknown,
        },
        open_remaining: match of_stage {
            Some(Stage::Open { remaining }) => Some(remaining.as_secs_f64()),
            _ => None,
        },
        share: match of_stage {
            Some(Stage::Ramp { share }) => Some(share.get()),
            _ => None,
        },
        prober: seen.is_prober,
        led: seen.is_led,
        ignored: seen.ignored.map(Into::into),
        evidence: verdict.map(evidence),
        own: signals
            .map(|(signal, counts)| own(signal, counts))
            .collect(),
        opened: seen.opened.as_ref().map(|opened| FleetOpening {
            ago: opened.at.elapsed().as_secs_f64(),
            evidence: evidence(&opened.verdict),
            own: own(opened.verdict.signal, opened.own),
        }),
    }
}

fn own(signal: policy::Signal, (requests, hits): (u64, u64)) -> OwnEvidence {
    OwnEvidence {
        signal: signal.into(),
        requests,
        hits,
    }
}

fn stage(verdict: Option<&RouteVerdict>) -> FleetStage {
    match verdict.map(|verdict| &verdict.stage) {
        None => FleetStage::Quiet,
        Some(Stage::Alarm) => FleetStage::Alarm,
        Some(Stage::Open { .. }) => FleetStage::Open,
        Some(Stage::Probing { .. }) => FleetStage::Probing,
        Some(Stage::Ramp { .. }) => FleetStage::Ramp,
    }
}

fn evidence(verdict: &RouteVerdict) -> FleetEvidence {
    let Numbers {
        observations,
        hits,
        low,
        high,
        normal,
        evidence,
        line,
    } = verdict.numbers;
    FleetEvidence {
        signal: verdict.signal.into(),
        lasted: verdict.since.as_secs_f64(),
        requests: observations,
        hits,
        low: low.get(),
        high: high.get(),
        normal: normal.get(),
        evidence,
        line,
        reporting: verdict.reporting.into(),
        heard: verdict.heard.into(),
    }
}

fn member(member: &MemberOverview) -> FleetMember {
    FleetMember {
        instance: member.instance.to_string(),
        host: member.host.as_deref().unwrap_or_default().to_owned(),
        silent: member.silent.as_secs_f64(),
        counts_in: member.newborn.as_secs_f64(),
        not_closed: member.not_closed.into(),
        outlier: member.outlier.into(),
    }
}

fn route_of_all(route: &RouteOverview) -> OverviewRoute {
    let verdict = route.verdict.as_deref();
    let signals = route
        .signals
        .iter()
        .map(|of: &SignalOverview| OverviewSignal {
            signal: of.signal.into(),
            requests: of.observations,
            hits: of.hits,
            normal: of.normal.get(),
            evidence: of.evidence,
            line: of.line,
        });
    OverviewRoute {
        name: route.name.route.to_string(),
        stage: stage(verdict),
        rate: route.rate,
        reporting: route.reporting.into(),
        heard: route.heard.into(),
        not_closed: route.not_closed.into(),
        led: route.led.into(),
        signals: signals.collect(),
        evidence: verdict.map(evidence),
    }
}
