//! The aggregator's view of the whole fleet, as a message.

use std::sync::Arc;
use std::time::Duration;

use breaker_proto::fleet as wire;
use breaker_tower::breaker_core::fleet::{MemberOverview, Overview, RouteOverview, SignalOverview};
use prost::Message;

use super::{
    MAX_TERM, Malformed, host_in, instance, millis, name_in, name_out, share_in, share_out,
    signal_in, signal_out, verdict_in, verdict_out,
};

/// The overview, with as many members and routes as fit into `most` bytes.
pub(in crate::fleet) fn encode_overview(overview: &Overview, most: usize) -> Vec<u8> {
    let members = overview.members.iter().map(|member| wire::MemberView {
        instance: member.instance.0.to_vec(),
        host: member.host.as_deref().unwrap_or_default().to_owned(),
        silent_millis: millis(member.silent),
        newborn_millis: millis(member.newborn),
        not_closed: member.not_closed,
        outlier: member.outlier,
    });
    let mut message = wire::Overview {
        term: overview.term,
        members: members.collect(),
        routes: overview.routes.iter().map(route_out).collect(),
        more_members: 0,
    };
    let mut length = message.encoded_len() + ROOM;
    while length > most
        && let Some(member) = message.members.pop()
    {
        message.more_members += 1;
        length -= member.encoded_len() + FRAME;
    }
    while length > most
        && let Some(route) = message.routes.pop()
    {
        length -= route.encoded_len() + FRAME;
    }
    message.encode_to_vec()
}

/// The overview, and how many members were left out.
pub(in crate::fleet) fn decode_overview(bytes: &[u8]) -> Result<(Overview, u64), Malformed> {
    let message = wire::Overview::decode(bytes).map_err(|_| Malformed)?;
    if message.term == 0 || message.term > MAX_TERM {
        return Err(Malformed);
    }
    let members = message.members.iter().map(|member| {
        Ok(MemberOverview {
            instance: instance(&member.instance)?,
            host: host_in(&member.host),
            silent: Duration::from_millis(member.silent_millis),
            newborn: Duration::from_millis(member.newborn_millis),
            not_closed: member.not_closed,
            outlier: member.outlier,
        })
    });
    let overview = Overview {
        term: message.term,
        members: members.collect::<Result<_, _>>()?,
        routes: message
            .routes
            .into_iter()
            .map(route_in)
            .collect::<Result<_, _>>()?,
    };
    Ok((overview, message.more_members))
}

fn route_out(route: &RouteOverview) -> wire::RouteView {
    let signals = route.signals.iter().map(|of| wire::SignalView {
        signal: signal_out(of.signal).into(),
        observations: of.observations,
        hits: of.hits,
        normal: share_out(of.normal),
        evidence: of.evidence,
        line: of.line,
    });
    wire::RouteView {
        name: Some(name_out(&route.name)),
        rate: route.rate,
        reporting: route.reporting,
        heard: route.heard,
        not_closed: route.not_closed,
        led: route.led,
        signals: signals.collect(),
        verdict: route.verdict.as_ref().map(|of| verdict_out(of)),
    }
}

fn route_in(route: wire::RouteView) -> Result<RouteOverview, Malformed> {
    let mut signals = Vec::with_capacity(route.signals.len());
    for of in &route.signals {
        // One of a later version is left out.
        let Some(signal) = signal_in(of.signal()) else {
            continue;
        };
        signals.push(SignalOverview {
            signal,
            observations: of.observations,
            hits: of.hits,
            normal: share_in(of.normal)?.0,
            evidence: finite(of.evidence)?,
            line: finite(of.line)?,
        });
    }
    Ok(RouteOverview {
        name: name_in(route.name.ok_or(Malformed)?),
        rate: finite(route.rate)?,
        reporting: route.reporting,
        heard: route.heard,
        not_closed: route.not_closed,
        led: route.led,
        signals,
        verdict: route
            .verdict
            .map(verdict_in)
            .transpose()?
            .flatten()
            .map(Arc::new),
    })
}

fn finite(number: f64) -> Result<f64, Malformed> {
    number.is_finite().then_some(number).ok_or(Malformed)
}

/// A message within another has a tag and a length, of one byte each at least.
const FRAME: usize = 2;
/// For the number of members that are left out.
const ROOM: usize = 16;

#[cfg(test)]
mod tests {
    use breaker_tower::breaker_core::Ratio;
    use breaker_tower::breaker_core::fleet::{InstanceId, Stage};
    use breaker_tower::breaker_core::policy::Signal;

    use super::super::tests::{report, verdict};
    use super::*;

    fn overview() -> Overview {
        Overview {
            term: 7,
            members: vec![MemberOverview {
                instance: InstanceId([3; 8]),
                host: Some("web-1".into()),
                silent: Duration::from_millis(400),
                newborn: Duration::from_secs(12),
                not_closed: 2,
                outlier: 1,
            }],
            routes: vec![RouteOverview {
                name: report().names.unwrap()[0].clone(),
                rate: 1.5,
                reporting: 7,
                heard: 8,
                not_closed: 6,
                led: 5,
                signals: vec![SignalOverview {
                    signal: Signal::Latency,
                    observations: 40,
                    hits: 12,
                    normal: Ratio::new(0.015).unwrap(),
                    evidence: 3.5,
                    line: 21.5,
                }],
                verdict: Some(verdict(Stage::Alarm).routes[0].clone()),
            }],
        }
    }

    #[test]
    fn an_overview_comes_back_as_it_was() {
        let bytes = encode_overview(&overview(), 1 << 16);
        assert_eq!(decode_overview(&bytes), Ok((overview(), 0)));
    }

    #[test]
    fn one_that_is_too_long_loses_members_then_routes() {
        let mut long = overview();
        long.members = vec![long.members[0].clone(); 5000];
        long.routes = vec![long.routes[0].clone(); 200];
        let bytes = encode_overview(&long, 1 << 16);
        assert!(
            ((63 << 10)..=(1 << 16)).contains(&bytes.len()),
            "{}",
            bytes.len()
        );
        let (less, more) = decode_overview(&bytes).unwrap();
        assert_eq!(less.members.len() as u64 + more, 5000);
        assert_eq!(less.routes.len(), 200);
        long.routes = vec![long.routes[0].clone(); 2000];
        let bytes = encode_overview(&long, 1 << 16);
        let (less, more) = decode_overview(&bytes).unwrap();
        assert_eq!((less.members.len(), more), (0, 5000));
        assert!(bytes.len() <= 1 << 16 && less.routes.len() > 200);
    }

    #[test]
    fn what_nobody_here_would_send_is_malformed() {
        assert_eq!(decode_overview(b"garbage"), Err(Malformed));
        assert_eq!(decode_overview(b""), Err(Malformed));
        let mut message = wire::Overview::decode(&*encode_overview(&overview(), 4096)).unwrap();
        message.routes[0].rate = f64::INFINITY;
        assert_eq!(decode_overview(&message.encode_to_vec()), Err(Malformed));
    }

    #[test]
    fn what_a_machine_is_called_can_be_shown_as_it_is() {
        let mut strange = overview();
        let long = "x".repeat(300);
        strange.members[0].host = Some(format!("a\u{1b}[31m\n{long}").into());
        let bytes = encode_overview(&strange, 4096);
        let (read, _) = decode_overview(&bytes).unwrap();
        let host = read.members[0].host.clone().unwrap();
        assert_eq!(&*host, format!("a[31m{}", &long[..59]));
    }
}
