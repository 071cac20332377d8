//! The messages `breaker.fleet.v1`, and what the core makes of them.

mod overview;

use std::sync::Arc;
use std::time::Duration;

use breaker_proto::fleet as wire;
use breaker_tower::breaker_core::fleet::{
    InstanceId, Judge, Numbers, ProbeReport, Report, RouteName, RouteReport, RouteVerdict,
    SignalReport, Stage, Verdict,
};
use breaker_tower::breaker_core::policy::Signal;
use breaker_tower::breaker_core::{Ratio, State};
use prost::Message;
use wire::route_verdict::Stage as WireStage;

pub(super) use self::overview::{decode_overview, encode_overview};
use super::stats::Speaker;

/// A message that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) fn encode_report(report: &Report) -> Vec<u8> {
    let names = report.names.iter().flat_map(|names| names.iter());
    wire::Report {
        instance: report.instance.0.to_vec(),
        boot: report.boot,
        seq: report.seq,
        age_millis: millis(report.age),
        config: report.config,
        names: names.map(name_out).collect(),
        routes: report.routes.iter().map(route_out).collect(),
        host: report.host.as_deref().unwrap_or_default().to_owned(),
    }
    .encode_to_vec()
}

pub(super) fn decode_report(bytes: &[u8]) -> Result<Report, Malformed> {
    let report = wire::Report::decode(bytes).map_err(|_| Malformed)?;
    let names = report.names.into_iter().map(name_in);
    let names: Vec<_> = names.collect();
    let routes = report.routes.iter().map(route_in);
    Ok(Report {
        instance: instance(&report.instance)?,
        boot: report.boot,
        seq: report.seq,
        age: Duration::from_millis(report.age_millis),
        config: report.config,
        names: (!names.is_empty()).then(|| names.into()),
        host: host_in(&report.host),
        routes: routes.collect::<Result<_, _>>()?,
    })
}

/// The verdict of `speaker`, with as many routes as fit into `most` bytes. Without all of them it
/// is not settled: for those that are left out, what was said before goes on.
pub(super) fn encode_verdict(verdict: &Verdict, speaker: &Speaker, most: usize) -> Vec<u8> {
    let mut message = wire::Verdict {
        term: verdict.term,
        seq: verdict.seq,
        settled: verdict.settled,
        routes: verdict.routes.iter().map(|of| verdict_out(of)).collect(),
        aggregator: speaker.instance.map_or(Vec::new(), |id| id.0.to_vec()),
        host: speaker.host.as_deref().unwrap_or_default().to_owned(),
        members: speaker.members.unwrap_or_default(),
    };
    while message.encoded_len() > most && message.routes.pop().is_some() {
        message.settled = false;
    }
    message.encode_to_vec()
}

/// The verdict, and what its sender says of itself.
pub(super) fn decode_verdict(bytes: &[u8]) -> Result<(Verdict, Speaker), Malformed> {
    let verdict = wire::Verdict::decode(bytes).map_err(|_| Malformed)?;
    if verdict.term == 0 || verdict.term > MAX_TERM {
        return Err(Malformed);
    }
    let mut settled = verdict.settled;
    let mut routes = Vec::with_capacity(verdict.routes.len());
    for route in verdict.routes {
        match verdict_in(route)? {
            Some(route) => routes.push(Arc::new(route)),
            // A stage of a later version: the route is not quiet.
            None => settled = false,
        }
    }
    let speaker = Speaker {
        // That is for people: without it, the verdict is as good.
        instance: instance(&verdict.aggregator).ok(),
        host: host_in(&verdict.host),
        members: (verdict.members > 0).then_some(verdict.members),
    };
    let verdict = Verdict {
        judge: Judge::Fleet,
        term: verdict.term,
        seq: verdict.seq,
        settled,
        routes,
    };
    Ok((verdict, speaker))
}

fn name_out(name: &RouteName) -> wire::RouteName {
    wire::RouteName {
        route: name.route.to_string(),
        source: name.source.to_string(),
    }
}

fn name_in(name: wire::RouteName) -> RouteName {
    RouteName {
        route: name.route.into(),
        source: name.source.into(),
    }
}

fn route_out(report: &RouteReport) -> wire::RouteReport {
    let signals = Signal::ALL
        .into_iter()
        .map(|signal| (signal, report.signal(signal)));
    let signals = signals.filter(|(_, of)| **of != SignalReport::default());
    wire::RouteReport {
        route: report.route.into(),
        arrivals: report.arrivals,
        signals: signals
            .map(|(signal, of)| wire::SignalReport {
                signal: signal_out(signal).into(),
                observations: of.observations,
                hits: of.hits,
                normal: of.normal.into(),
                learned: of.learned,
                learned_hits: of.learned_hits,
            })
            .collect(),
        probes_succeeded: report.probes.succeeded,
        probes_failed: report.probes.failed,
        state: match report.state {
            State::Closed => wire::State::Closed,
            State::Open => wire::State::Open,
            State::HalfOpen => wire::State::HalfOpen,
        }
        .into(),
        led: report.led,
    }
}

fn route_in(report: &wire::RouteReport) -> Result<RouteReport, Malformed> {
    let mut route = RouteReport {
        route: u16::try_from(report.route).map_err(|_| Malformed)?,
        arrivals: report.arrivals,
        probes: ProbeReport {
            succeeded: report.probes_succeeded,
            failed: report.probes_failed,
        },
        state: match report.state() {
            wire::State::Closed => State::Closed,
            wire::State::Open => State::Open,
            wire::State::HalfOpen => State::HalfOpen,
            wire::State::Unspecified => return Err(Malformed),
        },
        led: report.led,
        ..RouteReport::default()
    };
    for of in &report.signals {
        // One of a later version is left out.
        if let Some(signal) = signal_in(of.signal()) {
            route.signals[signal as usize] = SignalReport {
                observations: of.observations,
                hits: of.hits,
                normal: share_in(of.normal)?.1,
                learned: of.learned,
                learned_hits: of.learned_hits,
            };
        }
    }
    Ok(route)
}

fn verdict_out(of: &RouteVerdict) -> wire::RouteVerdict {
    let stage = match &of.stage {
        Stage::Alarm => WireStage::Alarm(wire::Alarm {}),
        Stage::Open { remaining } => WireStage::Open(wire::Open {
            remaining_millis: millis(*remaining),
        }),
        Stage::Probing { probers } => WireStage::Probing(wire::Probing {
            probers: probers.iter().map(|id| id.0.to_vec()).collect(),
        }),
        Stage::Ramp { share } => WireStage::Ramp(wire::Ramp {
            share: share_out(*share),
        }),
    };
    wire::RouteVerdict {
        name: Some(name_out(&of.name)),
        stage: Some(stage),
        signal: signal_out(of.signal).into(),
        since_millis: millis(of.since),
        observations: of.numbers.observations,
        hits: of.numbers.hits,
        low: share_out(of.numbers.low),
        high: share_out(of.numbers.high),
        normal: share_out(of.numbers.normal),
        evidence: of.numbers.evidence,
        line: of.numbers.line,
        probes_succeeded: of.trial.succeeded,
        probes_failed: of.trial.failed,
        reporting: of.reporting,
        heard: of.heard,
    }
}

fn verdict_in(of: wire::RouteVerdict) -> Result<Option<RouteVerdict>, Malformed> {
    let signal = signal_in(of.signal());
    let (Some(stage), Some(signal)) = (of.stage, signal) else {
        return Ok(None);
    };
    let stage = match stage {
        WireStage::Alarm(_) => Stage::Alarm,
        WireStage::Open(open) => Stage::Open {
            remaining: Duration::from_millis(open.remaining_millis).min(LONGEST_OPEN),
        },
        WireStage::Probing(probing) => Stage::Probing {
            probers: probing
                .probers
                .iter()
                .map(|id| instance(id))
                .collect::<Result<_, _>>()?,
        },
        WireStage::Ramp(ramp) => Stage::Ramp {
            share: share_in(ramp.share)?.0,
        },
    };
    if of.hits > of.observations || !of.evidence.is_finite() || !of.line.is_finite() {
        return Err(Malformed);
    }
    Ok(Some(RouteVerdict {
        name: name_in(of.name.ok_or(Malformed)?),
        stage,
        signal,
        since: Duration::from_millis(of.since_millis),
        numbers: Numbers {
            observations: of.observations,
            hits: of.hits,
            low: share_in(of.low)?.0,
            high: share_in(of.high)?.0,
            normal: share_in(of.normal)?.0,
            evidence: of.evidence,
            line: of.line,
        },
        trial: ProbeReport {
            succeeded: of.probes_succeeded,
            failed: of.probes_failed,
        },
        reporting: of.reporting,
        heard: of.heard,
    }))
}

const fn signal_out(signal: Signal) -> wire::Signal {
    match signal {
        Signal::Errors => wire::Signal::Errors,
        Signal::Latency => wire::Signal::Latency,
        Signal::Deadline => wire::Signal::Deadline,
        // One that the core has and this format has not yet: receivers leave it out.
        _ => wire::Signal::Unspecified,
    }
}

const fn signal_in(signal: wire::Signal) -> Option<Signal> {
    match signal {
        wire::Signal::Unspecified => None,
        wire::Signal::Errors => Some(Signal::Errors),
        wire::Signal::Latency => Some(Signal::Latency),
        wire::Signal::Deadline => Some(Signal::Deadline),
    }
}

fn instance(bytes: &[u8]) -> Result<InstanceId, Malformed> {
    bytes.try_into().map(InstanceId).map_err(|_| Malformed)
}

/// What a machine is called, as far as it can be shown.
fn host_in(host: &str) -> Option<Arc<str>> {
    let shown = host.chars().filter(|character| !character.is_control());
    let shown: String = shown.take(HOST_CHARACTERS).collect();
    (!shown.is_empty()).then(|| shown.into())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn share_out(share: Ratio) -> u32 {
    (share.get() * PARTS).round() as u32
}

/// The share, and its parts.
fn share_in(parts: u32) -> Result<(Ratio, u16), Malformed> {
    let share = Ratio::new(f64::from(parts) / PARTS).ok_or(Malformed)?;
    Ok((share, u16::try_from(parts).map_err(|_| Malformed)?))
}

/// A machine's name in Linux is not longer.
const HOST_CHARACTERS: usize = 64;
/// Of a share.
const PARTS: f64 = 10_000.0;
/// What the engine can count to exactly.
const MAX_TERM: u64 = (1 << 53) - 2;
/// The longest open time that a policy can have is shorter.
const LONGEST_OPEN: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report() -> Report {
        let name = RouteName {
            route: "pay".into(),
            source: "proxy".into(),
        };
        let mut route = RouteReport {
            route: 3,
            arrivals: 7,
            probes: ProbeReport {
                succeeded: 1,
                failed: 2,
            },
            state: State::HalfOpen,
            led: true,
            ..RouteReport::default()
        };
        route.signals[Signal::Latency as usize] = SignalReport {
            observations: 5,
            hits: 4,
            normal: 150,
            learned: Some(900),
            learned_hits: 8,
        };
        Report {
            instance: InstanceId([1, 2, 3, 4, 5, 6, 7, 8]),
            boot: 0,
            seq: 9,
            age: Duration::from_secs(61),
            config: u64::MAX,
            names: Some(Arc::from([name])),
            host: Some("web-1".into()),
            routes: vec![route],
        }
    }

    pub(super) fn verdict(stage: Stage) -> Verdict {
        let share = |parts: u32| Ratio::new(f64::from(parts) / PARTS).unwrap();
        Verdict {
            judge: Judge::Fleet,
            term: 4,
            seq: 5,
            settled: true,
            routes: vec![Arc::new(RouteVerdict {
                name: report().names.unwrap()[0].clone(),
                stage,
                signal: Signal::Deadline,
                since: Duration::from_millis(1500),
                numbers: Numbers {
                    observations: 20,
                    hits: 19,
                    low: share(7600),
                    high: share(9900),
                    normal: share(150),
                    evidence: 30.5,
                    line: 21.25,
                },
                trial: ProbeReport {
                    succeeded: 3,
                    failed: 1,
                },
                reporting: 8,
                heard: 10,
            })],
        }
    }

    fn speaker() -> Speaker {
        Speaker {
            instance: Some(InstanceId([7; 8])),
            host: Some("web-7".into()),
            members: Some(12),
        }
    }

    #[test]
    fn messages_come_back_as_they_were() {
        assert_eq!(decode_report(&encode_report(&report())), Ok(report()));
        for stage in [
            Stage::Alarm,
            Stage::Open {
                remaining: Duration::from_millis(4250),
            },
            Stage::Probing {
                probers: vec![InstanceId([9; 8]), InstanceId([0; 8])],
            },
            Stage::Ramp {
                share: Ratio::new(0.25).unwrap(),
            },
        ] {
            let verdict = verdict(stage);
            for speaker in [speaker(), Speaker::default()] {
                let bytes = encode_verdict(&verdict, &speaker, 4096);
                assert_eq!(decode_verdict(&bytes), Ok((verdict.clone(), speaker)));
            }
        }
    }

    #[test]
    fn a_healthy_route_takes_few_bytes() {
        let mut report = report();
        (report.names, report.host) = (None, None);
        let head = encode_report(&Report {
            routes: Vec::new(),
            ..report.clone()
        });
        let route = &mut report.routes[0];
        (route.state, route.led, route.probes) = (State::Closed, false, ProbeReport::default());
        route.signals = Default::default();
        route.signals[0].observations = 100;
        let whole = encode_report(&report);
        assert!(head.len() <= 30, "{}", head.len());
        assert!(
            whole.len() - head.len() <= 14,
            "{}",
            whole.len() - head.len()
        );
    }

    #[test]
    fn a_verdict_that_is_too_long_loses_routes_and_is_not_settled() {
        let mut verdict = verdict(Stage::Alarm);
        verdict.routes = vec![verdict.routes[0].clone(); 200];
        let bytes = encode_verdict(&verdict, &speaker(), 4096);
        assert!((3900..=4096).contains(&bytes.len()), "{}", bytes.len());
        let (less, from) = decode_verdict(&bytes).unwrap();
        assert_eq!(from, speaker());
        assert!(!less.settled && less.routes.len() < 200);
    }

    #[test]
    fn what_nobody_here_would_send_is_malformed() {
        assert_eq!(decode_report(b"garbage"), Err(Malformed));
        assert_eq!(decode_verdict(b"garbage"), Err(Malformed));
        // An empty message has no instance and no term.
        assert_eq!(decode_report(b""), Err(Malformed));
        assert_eq!(decode_verdict(b""), Err(Malformed));
        let mut message = wire::Report::decode(&*encode_report(&report())).unwrap();
        message.routes[0].signals[0].normal = 10_001;
        assert_eq!(decode_report(&message.encode_to_vec()), Err(Malformed));
        message.routes[0].signals.clear();
        message.routes[0].route = 70_000;
        assert_eq!(decode_report(&message.encode_to_vec()), Err(Malformed));
        let verdict = verdict(Stage::Alarm);
        let mut message =
            wire::Verdict::decode(&*encode_verdict(&verdict, &speaker(), 4096)).unwrap();
        message.routes[0].evidence = f64::NAN;
        assert_eq!(decode_verdict(&message.encode_to_vec()), Err(Malformed));
        message.routes[0].evidence = 1.0;
        message.term = u64::MAX;
        assert_eq!(decode_verdict(&message.encode_to_vec()), Err(Malformed));
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        // Field 100, of two bytes.
        let mut bytes = encode_report(&report());
        bytes.extend([0xa2, 0x06, 0x02, 0x68, 0x69]);
        assert_eq!(decode_report(&bytes), Ok(report()));
        // A stage that is not known yet: the route is neither quiet nor open.
        let mut message =
            wire::Verdict::decode(&*encode_verdict(&verdict(Stage::Alarm), &speaker(), 4096))
                .unwrap();
        message.routes[0].stage = None;
        let (read, _) = decode_verdict(&message.encode_to_vec()).unwrap();
        assert_eq!((read.settled, read.routes.len()), (false, 0));
    }
}
