//! This sidecar as a member of a fleet: what it reports, what it follows and, while it has the
//! lease, what it adds up.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;
use breaker_tower::breaker_core::fleet::{
    Aggregator, AggregatorSettings, FleetEvent, InstanceId, Replica, Report, RouteName, RouteReport,
};
use bytes::Bytes;
use siphasher::sip::SipHasher13;

use super::codec::{
    decode_overview, decode_report, decode_verdict, encode_overview, encode_report, encode_verdict,
};
use super::reported::{MemberRoute, ReportedRoutes};
use super::seal::Seal;
use super::seen::Seen;
use super::session::Shown;
use super::stats::{Dropping, Speaker, Stats};

/// The state of a member. Its clock began when the process did.
#[derive(Debug)]
pub(super) struct Member {
    me: InstanceId,
    host: Arc<str>,
    seal: Seal,
    topics: Topics,
    stats: Stats,
    seen: Seen,
    seq: u64,
    routes: ReportedRoutes,
    config: u64,
    named: Option<Timestamp>,
    reported: Option<Timestamp>,
    /// When it last reported of requests.
    told: Timestamp,
    /// When it last published an overview.
    shown: Option<Timestamp>,
    /// The aggregator that knows all that was reported before.
    informed: Option<u64>,
    replica: Replica,
    aggregator: Option<(u64, Aggregator)>,
    /// Grows when an aggregator ends: the next one must not get its term again.
    ended: u32,
}

/// The topics of a fleet.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub(super) reports: String,
    pub(super) verdicts: String,
    pub(super) overviews: String,
    pub(super) lease: String,
}

impl Topics {
    pub(super) fn of(fleet: &str) -> Self {
        Self {
            reports: format!("breaker/fleet/v1/{{{fleet}}}/reports"),
            verdicts: format!("breaker/fleet/v1/{{{fleet}}}/verdicts"),
            overviews: format!("breaker/fleet/v1/{{{fleet}}}/overviews"),
            lease: format!("breaker/fleet/v1/{{{fleet}}}/lease"),
        }
    }
}

impl Member {
    pub(super) fn new(of: &Shown, seal: Seal, topics: Topics) -> Self {
        Self {
            me: of.me,
            host: of.host.clone(),
            seal,
            topics,
            stats: of.stats.clone(),
            seen: of.seen.clone(),
            seq: 0,
            routes: ReportedRoutes::default(),
            config: 0,
            named: None,
            reported: None,
            told: Timestamp::ZERO,
            shown: None,
            informed: None,
            replica: Replica::new(of.me),
            aggregator: None,
            ended: 0,
        }
    }

    /// Takes over the routes of a configuration. Returns whether they are other than before: then
    /// an aggregator must begin again, with another term.
    pub(super) fn set_routes(&mut self, routes: Vec<MemberRoute>) -> bool {
        if !self.routes.replace(routes) {
            return false;
        }
        let mut hasher = SipHasher13::new();
        self.routes.names().hash(&mut hasher);
        self.config = hasher.finish();
        (self.named, self.informed) = (None, None);
        self.end_aggregator();
        true
    }

    /// What to publish before the next regular reports: requests that ended are evidence, whether
    /// they failed or not (see [`Reporter::only_requests`]). That is one message in a half second
    /// at most, as without it: only who has told of no request for half a second hurries.
    ///
    /// [`Reporter::only_requests`]: breaker_tower::breaker_core::fleet::Reporter::only_requests
    pub(super) fn early_reports(&mut self, now: Timestamp) -> Vec<Bytes> {
        let is_known = self.named.is_some() && self.informed == Some(self.term());
        if now.saturating_since(self.told) < SLICE || !is_known {
            // A new aggregator drops what it is told before it knows the names: that would be lost.
            return Vec::new();
        }
        let routes = self.routes.requests();
        self.tell(now, &routes)
    }

    /// What to publish as reports now. Call it each half second, also while nobody can be reached:
    /// what happened then is not reported later.
    pub(super) fn reports(&mut self, now: Timestamp) -> Vec<Bytes> {
        let term = Some(self.term());
        let all = self.informed != term || is_due(self.reported, HEARTBEAT, now);
        let routes = self.routes.reports(all);
        self.show();
        let mut messages = Vec::new();
        if is_due(self.named, NAMED, now) || self.informed != term {
            self.named = Some(now);
            let names = Some(self.routes.names().clone());
            messages.push(self.report(now, names, Vec::new()));
        }
        messages.extend(self.tell(now, &routes));
        if all {
            self.informed = term;
            self.reported = Some(now);
        }
        messages
    }

    fn tell(&mut self, now: Timestamp, routes: &[RouteReport]) -> Vec<Bytes> {
        if routes.iter().any(RouteReport::has_requests) {
            self.told = now;
        }
        let messages = routes.chunks(ROUTES_OF_A_REPORT);
        messages
            .map(|routes| self.report(now, None, routes.to_vec()))
            .collect()
    }

    fn report(
        &mut self,
        now: Timestamp,
        names: Option<Arc<[RouteName]>>,
        routes: Vec<RouteReport>,
    ) -> Bytes {
        self.seq += 1;
        let report = Report {
            instance: self.me,
            boot: 0,
            seq: self.seq,
            age: now.saturating_since(Timestamp::ZERO),
            config: self.config,
            host: names.is_some().then(|| self.host.clone()),
            names,
            routes,
        };
        let message = encode_report(&report);
        debug_assert!(message.len() <= REPORT_BYTES, "{}", message.len());
        self.seal.seal(&self.topics.reports, message)
    }

    /// Follows a verdict that has just arrived.
    pub(super) fn hear_verdict(&mut self, now: Timestamp, sealed: &Bytes) {
        let message = self.seal.open(&self.topics.verdicts, sealed, VERDICT_BYTES);
        let verdict = message
            .and_then(|message| decode_verdict(&message).map_err(|_malformed| Dropping::Malformed));
        let (verdict, speaker) = match verdict {
            Ok(verdict) => verdict,
            Err(why) => return self.stats.drop_one(why),
        };
        let in_force = match self.replica.verdict(now, now, &verdict) {
            Ok(in_force) => in_force,
            Err(why) => return self.stats.ignore(why),
        };
        self.stats.verdict(verdict.term, speaker);
        for why in self.routes.follow(in_force, &verdict) {
            self.stats.ignore(why);
        }
        // What a breaker has just done must not be told without why.
        self.show();
    }

    fn show(&self) {
        self.seen.set_routes(self.routes.seen(self.me));
    }

    /// Adds a report to the evidence, if this is the aggregator.
    pub(super) fn hear_report(&mut self, now: Timestamp, sealed: &Bytes) {
        let Some((_, aggregator)) = &mut self.aggregator else {
            return;
        };
        let message = self.seal.open(&self.topics.reports, sealed, REPORT_BYTES);
        let heard = message.and_then(|message| {
            let report = decode_report(&message).map_err(|_malformed| Dropping::Malformed)?;
            aggregator.report(now, &report).map_err(Dropping::from)
        });
        if let Err(why) = heard {
            self.stats.drop_one(why);
        }
    }

    /// Is the aggregator of `term` from now on, or none.
    pub(super) fn aggregate(&mut self, term: Option<u64>, seed: u64, now: Timestamp) {
        let current = self.aggregator.as_ref().map(|(term, _)| *term);
        if current == term {
            return;
        }
        self.end_aggregator();
        self.aggregator = term.and_then(|term| {
            let routes = self.routes.of_fleet();
            let settings = AggregatorSettings::default();
            match Aggregator::new(term, &settings, routes, seed, now) {
                Ok(aggregator) => Some((term, aggregator)),
                Err(error) => {
                    tracing::error!(%error, "this sidecar can't be the aggregator of its fleet");
                    None
                }
            }
        });
        if let Some((term, _)) = &self.aggregator {
            tracing::info!(term, "this sidecar is the aggregator of its fleet");
        }
    }

    fn end_aggregator(&mut self) {
        if self.aggregator.take().is_some() {
            self.ended += 1;
            self.stats.members(None);
            tracing::info!("this sidecar is not the aggregator of its fleet any more");
        }
    }

    /// The verdict that is to be published now, if this is the aggregator.
    pub(super) fn verdict(&mut self, now: Timestamp) -> Option<Bytes> {
        let (_, aggregator) = self.aggregator.as_mut()?;
        let verdict = aggregator.slice(now);
        self.stats.members(Some(aggregator.members()));
        while let Some(event) = aggregator.poll_event() {
            log(&event);
        }
        let speaker = Speaker {
            instance: Some(self.me),
            host: Some(self.host.clone()),
            members: u32::try_from(aggregator.members()).ok(),
        };
        let message = encode_verdict(&verdict?, &speaker, VERDICT_BYTES);
        Some(self.seal.seal(&self.topics.verdicts, message))
    }

    /// The overview that is to be published now, if this is the aggregator.
    pub(super) fn overview(&mut self, now: Timestamp) -> Option<Bytes> {
        let (_, aggregator) = self.aggregator.as_ref()?;
        if !is_due(self.shown, SHOWN, now) {
            return None;
        }
        self.shown = Some(now);
        let overview = aggregator.overview(now);
        let message = encode_overview(&overview, OVERVIEW_BYTES);
        self.seen.set_overview(overview, 0);
        Some(self.seal.seal(&self.topics.overviews, message))
    }

    /// Takes in an overview, for those who want to see it.
    pub(super) fn hear_overview(&self, sealed: &Bytes) {
        let message = self
            .seal
            .open(&self.topics.overviews, sealed, OVERVIEW_BYTES);
        let overview = message.and_then(|message| {
            let heard = decode_overview(&message).map_err(|_malformed| Dropping::Malformed)?;
            let is_old = heard.0.term < self.term();
            if is_old {
                Err(Dropping::Replayed)
            } else {
                Ok(heard)
            }
        });
        match overview {
            Ok((overview, more_members)) => self.seen.set_overview(overview, more_members),
            Err(why) => self.stats.drop_one(why),
        }
    }

    pub(super) const fn is_aggregator(&self) -> bool {
        self.aggregator.is_some()
    }

    /// What it is called as the holder of the lease.
    pub(super) fn candidate(&self) -> String {
        format!("{}/{}", self.me, self.ended)
    }

    /// The newest term of a verdict; 0 before the first.
    pub(super) fn term(&self) -> u64 {
        self.replica.term().unwrap_or(0)
    }

    pub(super) fn verdict_age(&self, now: Timestamp) -> Option<Duration> {
        self.replica.age(now)
    }
}

fn is_due(last: Option<Timestamp>, each: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| now.saturating_since(last) >= each)
}

/// What the aggregator sees; the breakers report by themselves what they make of it.
fn log(event: &FleetEvent) {
    match event {
        FleetEvent::AlarmBegan { name, .. } => {
            tracing::info!(route = %name.route, "the fleet has an alarm, which does not open");
        }
        FleetEvent::Opened { name, open_for, .. } => {
            tracing::info!(route = %name.route, ?open_for, "the fleet opens");
        }
        FleetEvent::Closed { name, .. } => {
            tracing::info!(route = %name.route, "the fleet has recovered");
        }
        FleetEvent::ReplicaOutlier {
            name,
            signal,
            instance,
            ..
        } => {
            tracing::warn!(
                route = %name.route, signal = signal.name(), %instance,
                "one sidecar of the fleet sees what the others don't"
            );
        }
        _ => {}
    }
}

/// Of a message.
pub(super) const REPORT_BYTES: usize = 16 << 10;
/// Of a message.
pub(super) const VERDICT_BYTES: usize = 4 << 10;
/// Of a message.
pub(super) const OVERVIEW_BYTES: usize = 64 << 10;
/// Of the longest reports of a route, as many as fit.
const ROUTES_OF_A_REPORT: usize = 128;
const SLICE: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_secs(2);
const NAMED: Duration = Duration::from_secs(30);
const SHOWN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::fleet::{Judge, Verdict};
    use breaker_tower::breaker_core::{Classification, Policy};
    use breaker_tower::{BreakerHandle, OnDrop};

    use super::*;

    struct Bench {
        member: Member,
        breaker: BreakerHandle,
    }

    impl Bench {
        /// A member with a route, which has told its names at 0.5 s.
        fn new() -> Self {
            let shown = Shown {
                name: "shop".into(),
                engine: "redis://127.0.0.1:6379".to_owned(),
                me: InstanceId([1; 8]),
                host: "web-1".into(),
                stats: Stats::default(),
                seen: Seen::default(),
            };
            let policy = Arc::new(Policy::adaptive());
            let breaker = BreakerHandle::with_seed("pay", policy.clone(), 7);
            let mut member = Member::new(&shown, Seal::new("shop", None), Topics::of("shop"));
            assert!(member.set_routes(vec![MemberRoute {
                breaker: breaker.clone(),
                policy,
            }]));
            assert_eq!(member.reports(at(500)).len(), 2);
            Self { member, breaker }
        }

        fn request(&self) {
            let flight = self.breaker.try_acquire(OnDrop::Ignored).unwrap();
            flight.finish(Classification::Success);
        }
    }

    #[test]
    fn a_heartbeat_does_not_hold_up_the_next_request() {
        let mut bench = Bench::new();
        bench.request();
        assert_eq!(bench.member.early_reports(at(600)).len(), 1);
        bench.request();
        assert_eq!(bench.member.early_reports(at(700)).len(), 0, "too soon");
        assert_eq!(bench.member.reports(at(1000)).len(), 1);
        assert_eq!(bench.member.reports(at(1500)).len(), 0);
        assert_eq!(bench.member.reports(at(2500)).len(), 1, "a heartbeat");
        bench.request();
        assert_eq!(bench.member.early_reports(at(2600)).len(), 1);
    }

    #[test]
    fn a_new_aggregator_hears_the_names_before_requests() {
        let mut bench = Bench::new();
        let verdict = Verdict {
            judge: Judge::Fleet,
            term: 7,
            seq: 1,
            settled: false,
            routes: Vec::new(),
        };
        let message = encode_verdict(&verdict, &Speaker::default(), VERDICT_BYTES);
        let topic = bench.member.topics.verdicts.clone();
        let sealed = bench.member.seal.seal(&topic, message);
        bench.member.hear_verdict(at(600), &sealed);
        assert_eq!(bench.member.term(), 7);
        bench.request();
        assert_eq!(bench.member.early_reports(at(1200)).len(), 0);
        assert_eq!(bench.member.reports(at(1500)).len(), 2);
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }
}
