//! The fleet as messages, and the Breaker that is followed.

use breaker_proto::v1;

use crate::report::{
    FleetAggregator, FleetCount, FleetEvidence, FleetMember, FleetOpening, FleetOverview,
    FleetPage, FleetRoute, FleetStatus, FollowingStatus, OverviewRoute, OverviewSignal,
    OwnEvidence, TripEvidence,
};

impl From<FleetPage> for v1::FleetPage {
    fn from(page: FleetPage) -> Self {
        Self {
            fleet: Some(page.fleet.into()),
            overview: page.overview.map(Into::into),
        }
    }
}

impl From<FleetStatus> for v1::Fleet {
    fn from(fleet: FleetStatus) -> Self {
        Self {
            name: fleet.name,
            engine: fleet.engine,
            connected: fleet.connected,
            instance: fleet.instance,
            aggregator: fleet.aggregator.map(Into::into),
            term: fleet.term,
            members: fleet.members,
            verdict_age: fleet.verdict_age,
            fresh: fleet.fresh,
            reports: fleet.reports,
            dropped: fleet.dropped.into_iter().map(Into::into).collect(),
            ignored: fleet.ignored.into_iter().map(Into::into).collect(),
            routes: fleet.routes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<FollowingStatus> for v1::Following {
    fn from(following: FollowingStatus) -> Self {
        Self {
            brain: following.brain,
            connected: following.connected,
            age: following.age,
            fresh: following.fresh,
            unknown_routes: following.unknown_routes,
            missing_routes: following.missing_routes,
            ignored: following.ignored.into_iter().map(Into::into).collect(),
            routes: following.routes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&TripEvidence> for v1::TripEvidence {
    fn from(of: &TripEvidence) -> Self {
        Self {
            signal: of.signal.to_string(),
            lasted: of.lasted,
            requests: of.requests,
            hits: of.hits,
            low: of.low,
            high: of.high,
            normal: of.normal,
            evidence: of.evidence,
            line: of.line,
        }
    }
}

impl From<FleetAggregator> for v1::FleetAggregator {
    fn from(aggregator: FleetAggregator) -> Self {
        Self {
            instance: aggregator.instance,
            host: aggregator.host,
            here: aggregator.here,
        }
    }
}

impl From<FleetCount> for v1::FleetCount {
    fn from(FleetCount { reason, count }: FleetCount) -> Self {
        Self { reason, count }
    }
}

impl From<FleetRoute> for v1::FleetRoute {
    fn from(route: FleetRoute) -> Self {
        Self {
            name: route.name,
            stage: route.stage.to_string(),
            open_remaining: route.open_remaining,
            share: route.share,
            prober: route.prober,
            led: route.led,
            ignored: route.ignored.map(|ignored| ignored.to_string()),
            evidence: route.evidence.map(Into::into),
            own: route.own.into_iter().map(Into::into).collect(),
            opened: route.opened.map(Into::into),
        }
    }
}

impl From<FleetEvidence> for v1::FleetEvidence {
    fn from(evidence: FleetEvidence) -> Self {
        Self {
            signal: evidence.signal.to_string(),
            lasted: evidence.lasted,
            requests: evidence.requests,
            hits: evidence.hits,
            low: evidence.low,
            high: evidence.high,
            normal: evidence.normal,
            evidence: evidence.evidence,
            line: evidence.line,
            reporting: evidence.reporting,
            heard: evidence.heard,
        }
    }
}

impl From<OwnEvidence> for v1::OwnEvidence {
    fn from(own: OwnEvidence) -> Self {
        Self {
            signal: own.signal.to_string(),
            requests: own.requests,
            hits: own.hits,
        }
    }
}

impl From<FleetOpening> for v1::FleetOpening {
    fn from(opening: FleetOpening) -> Self {
        Self {
            ago: opening.ago,
            evidence: Some(opening.evidence.into()),
            own: Some(opening.own.into()),
        }
    }
}

impl From<FleetOverview> for v1::FleetOverview {
    fn from(overview: FleetOverview) -> Self {
        Self {
            age: overview.age,
            term: overview.term,
            more_members: overview.more_members,
            members: overview.members.into_iter().map(Into::into).collect(),
            routes: overview.routes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<FleetMember> for v1::FleetMember {
    fn from(member: FleetMember) -> Self {
        Self {
            instance: member.instance,
            host: member.host,
            silent: member.silent,
            counts_in: member.counts_in,
            not_closed: member.not_closed,
            outlier: member.outlier,
        }
    }
}

impl From<OverviewRoute> for v1::OverviewRoute {
    fn from(route: OverviewRoute) -> Self {
        Self {
            name: route.name,
            stage: route.stage.to_string(),
            rate: route.rate,
            reporting: route.reporting,
            heard: route.heard,
            not_closed: route.not_closed,
            led: route.led,
            signals: route.signals.into_iter().map(Into::into).collect(),
            evidence: route.evidence.map(Into::into),
        }
    }
}

impl From<OverviewSignal> for v1::OverviewSignal {
    fn from(signal: OverviewSignal) -> Self {
        Self {
            signal: signal.signal.to_string(),
            requests: signal.requests,
            hits: signal.hits,
            normal: signal.normal,
            evidence: signal.evidence,
            line: signal.line,
        }
    }
}
