//! What a brain has said of its breakers, and what that means for those of the same name here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use breaker_proto::v1;
use breaker_tower::breaker_core::fleet::{
    Judge, Numbers, ProbeReport, RouteName, RouteVerdict, Stage, Verdict,
};
use breaker_tower::breaker_core::policy::Signal;
use breaker_tower::breaker_core::{Ratio, Timestamp};

/// The breakers of a brain, as far as it has told on one connection.
#[derive(Debug, Default)]
pub(super) struct Brain {
    told: HashMap<String, Told>,
    /// When the last reading was begun, by the brain's clock.
    read: Option<f64>,
    /// Whether it has told of all that it has.
    is_whole: bool,
}

/// What a message is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The breakers of a reading, and that the others are as they were.
    All,
    /// The breaker of an event, if it is about one.
    One(Option<String>),
}

/// A breaker of the brain, when it was last told.
#[derive(Clone, Debug)]
struct Told {
    at: Timestamp,
    /// The time of the message, by the brain's clock.
    time: f64,
    /// `None` while it says nothing against its route.
    opinion: Option<Opinion>,
}

#[derive(Clone, Debug)]
struct Opinion {
    stage: Stage,
    signal: Signal,
    since: Duration,
    numbers: Numbers,
}

/// A message says something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Impossible;

impl About {
    pub(super) fn of(message: &v1::WatchBreakersResponse) -> Self {
        match &message.event {
            None => Self::All,
            Some(_) => Self::One(message.breakers.first().map(|of| of.name.clone())),
        }
    }
}

impl Brain {
    /// Takes in a message that arrived at `now`. Returns how many of its breakers it can't be
    /// believed of; nothing is held against those.
    pub(super) fn hear(&mut self, message: v1::WatchBreakersResponse, now: Timestamp) -> usize {
        let is_reading = message.event.is_none();
        // A reading takes a while, and an event may be told meanwhile: then that is newer. Readings
        // themselves are in order, unless the brain's clock was set back.
        let in_order = self.read.is_none_or(|read| message.time >= read);
        let is_older = |told: &Told| is_reading && in_order && message.time < told.time;
        if is_reading {
            self.read = Some(message.time);
        }
        if message.all {
            self.is_whole = true;
            self.told.retain(|_, told| is_older(told));
        }
        let mut impossible = 0;
        for breaker in message.breakers {
            let known = self.told.get(&breaker.name);
            if known.is_some_and(is_older) {
                continue;
            }
            if known.is_none() && self.told.len() >= MOST {
                impossible += 1;
                continue;
            }
            let opinion = opinion(&breaker).unwrap_or_else(|Impossible| {
                impossible += 1;
                None
            });
            let told = Told {
                at: now,
                time: message.time,
                opinion,
            };
            self.told.insert(breaker.name, told);
        }
        impossible
    }

    /// What it says at `now` of the routes that are called so.
    pub(super) fn verdict(
        &self,
        names: &[RouteName],
        (term, seq): (u64, u64),
        now: Timestamp,
    ) -> Verdict {
        let routes = names.iter().filter_map(|name| {
            let told = self.told.get(&*name.route)?;
            let Opinion {
                stage,
                signal,
                since,
                numbers,
            } = told.opinion.clone()?;
            let passed = now.saturating_since(told.at);
            Some(Arc::new(RouteVerdict {
                name: name.clone(),
                stage: match stage {
                    Stage::Open { remaining } => Stage::Open {
                        remaining: remaining.saturating_sub(passed),
                    },
                    stage => stage,
                },
                signal,
                // People read it, and the clocks of two machines agree no better.
                since: in_millis(since + passed),
                numbers,
                trial: ProbeReport::default(),
                reporting: 1,
                heard: 1,
            }))
        });
        Verdict {
            judge: Judge::Brain,
            term,
            seq,
            // An event may come first: then what is not told is unknown.
            settled: self.is_whole,
            routes: routes.collect(),
        }
    }

    /// How many breakers it has that are called otherwise.
    pub(super) fn unknown(&self, names: &[RouteName]) -> usize {
        let known = names
            .iter()
            .filter(|name| self.told.contains_key(&*name.route));
        self.told.len() - known.count()
    }

    /// The names that none of its breakers has, as far as that is known.
    pub(super) fn missing<'a>(&self, names: &'a [RouteName]) -> impl Iterator<Item = &'a Arc<str>> {
        let names = names.iter().map(|name| &name.route);
        names.filter(|name| self.is_whole && !self.told.contains_key(&***name))
    }
}

fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What a breaker of the brain says against its route.
fn opinion(breaker: &v1::Breaker) -> Result<Option<Opinion>, Impossible> {
    // What an operator there decides is no evidence, and in shadow mode nothing is meant to act.
    if breaker.mode() != v1::Mode::Auto {
        return Ok(None);
    }
    let stage = match breaker.state() {
        v1::State::Open => Stage::Open {
            remaining: duration(breaker.open_remaining.unwrap_or_default())?,
        },
        v1::State::HalfOpen => Stage::Probing {
            probers: Vec::new(),
        },
        _ => return Ok(None),
    };
    let Some(tripped) = &breaker.tripped else {
        // Without numbers nothing opens, and nothing is held open.
        return Ok(match stage {
            Stage::Open { .. } => Some(Opinion {
                stage: Stage::Alarm,
                signal: Signal::Errors,
                since: Duration::ZERO,
                numbers: Numbers::default(),
            }),
            _ => None,
        });
    };
    let signals = Signal::ALL.into_iter();
    let signal = signals
        .into_iter()
        .find(|signal| signal.name() == tripped.signal);
    Ok(Some(Opinion {
        stage,
        signal: signal.ok_or(Impossible)?,
        since: duration(tripped.lasted)?,
        numbers: numbers(tripped)?,
    }))
}

fn numbers(tripped: &v1::TripEvidence) -> Result<Numbers, Impossible> {
    let numbers = Numbers {
        observations: tripped.requests,
        hits: tripped.hits,
        low: share(tripped.low)?,
        high: share(tripped.high)?,
        normal: share(tripped.normal)?,
        evidence: number(tripped.evidence)?,
        line: number(tripped.line)?,
    };
    if tripped.hits > tripped.requests || tripped.requests == 0 {
        return Err(Impossible);
    }
    let hit = tripped.hits as f64 / tripped.requests as f64;
    // The lower bound is of all since the change, and the counts fade: they may be apart, but not
    // by more than chance allows (four standard deviations of a share of a half).
    let apart = 2.0 / (tripped.requests as f64).sqrt();
    let is_without_hits = tripped.hits == 0 && tripped.low > 0.0;
    let rounded = 0.51 / tripped.requests as f64;
    match is_without_hits || tripped.low > hit + apart || tripped.high < hit - rounded {
        true => Err(Impossible),
        false => Ok(numbers),
    }
}

fn share(share: f64) -> Result<Ratio, Impossible> {
    Ratio::new(share).ok_or(Impossible)
}

fn number(number: f64) -> Result<f64, Impossible> {
    let is_good = number.is_finite() && number >= 0.0;
    is_good.then_some(number).ok_or(Impossible)
}

fn duration(seconds: f64) -> Result<Duration, Impossible> {
    let seconds = number(seconds)?;
    Ok(Duration::from_secs_f64(seconds.min(LONGEST)))
}

/// Breakers that are remembered of a brain: twice as many as are tested.
const MOST: usize = 20_000;
/// Ten years, in seconds.
const LONGEST: f64 = 315_360_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<RouteName> {
        let names = names.iter().map(|name| RouteName {
            route: (*name).into(),
            source: "proxy".into(),
        });
        names.collect()
    }

    fn open(name: &str) -> v1::Breaker {
        v1::Breaker {
            name: name.to_owned(),
            state: v1::State::Open.into(),
            mode: v1::Mode::Auto.into(),
            open_remaining: Some(5.0),
            tripped: Some(v1::TripEvidence {
                signal: "errors".to_owned(),
                lasted: 2.0,
                requests: 50,
                hits: 48,
                low: 0.85,
                high: 0.99,
                normal: 0.02,
                evidence: 25.0,
                line: 24.0,
            }),
            ..v1::Breaker::default()
        }
    }

    fn heard(all: bool, breakers: Vec<v1::Breaker>) -> (Brain, usize) {
        let mut brain = Brain::default();
        let impossible = brain.hear(message(all, breakers), Timestamp::from_millis(1000));
        (brain, impossible)
    }

    fn message(all: bool, breakers: Vec<v1::Breaker>) -> v1::WatchBreakersResponse {
        v1::WatchBreakersResponse {
            time: 0.0,
            breakers,
            event: None,
            all,
        }
    }

    /// An event of this time, by the brain's clock.
    fn event(time: f64, breaker: v1::Breaker) -> v1::WatchBreakersResponse {
        v1::WatchBreakersResponse {
            event: Some(v1::Event::default()),
            ..reading(time, false, vec![breaker])
        }
    }

    fn reading(time: f64, all: bool, breakers: Vec<v1::Breaker>) -> v1::WatchBreakersResponse {
        v1::WatchBreakersResponse {
            time,
            ..message(all, breakers)
        }
    }

    fn closed(name: &str) -> v1::Breaker {
        v1::Breaker {
            state: v1::State::Closed.into(),
            tripped: None,
            ..open(name)
        }
    }

    fn verdict(brain: &Brain, millis: u64) -> Vec<Arc<RouteVerdict>> {
        let now = Timestamp::from_millis(millis);
        brain
            .verdict(&names(&["pay", "search"]), (1, 1), now)
            .routes
    }

    #[test]
    fn what_is_open_there_is_told_with_its_numbers_and_as_time_goes_by() {
        let (mut brain, impossible) = heard(true, vec![open("pay"), open("other")]);
        assert_eq!(impossible, 0);
        let told = verdict(&brain, 1500);
        let [pay] = &told[..] else { panic!("{told:?}") };
        assert_eq!(&*pay.name.route, "pay");
        let remaining = Duration::from_millis(4500);
        assert_eq!(pay.stage, Stage::Open { remaining });
        assert_eq!(pay.since, Duration::from_millis(2500));
        assert_eq!((pay.numbers.observations, pay.numbers.hits), (50, 48));
        let names = names(&["pay", "search"]);
        assert_eq!(brain.unknown(&names), 1);
        let missing: Vec<_> = brain.missing(&names).map(|name| &**name).collect();
        assert_eq!(missing, ["search"]);

        // Changes replace what they name; all replaces all.
        let mut half_open = open("pay");
        half_open.set_state(v1::State::HalfOpen);
        let _ = brain.hear(
            message(false, vec![half_open]),
            Timestamp::from_millis(2000),
        );
        let probers = Vec::new();
        assert_eq!(verdict(&brain, 2000)[0].stage, Stage::Probing { probers });
        let _ = brain.hear(
            message(true, vec![open("search")]),
            Timestamp::from_millis(2000),
        );
        assert_eq!(&*verdict(&brain, 2000)[0].name.route, "search");
    }

    #[test]
    fn an_event_is_newer_than_the_reading_during_which_it_happened() {
        let now = Timestamp::from_millis(1000);
        for all in [false, true] {
            let mut brain = Brain::default();
            let is_open = |brain: &Brain| !verdict(brain, 1000).is_empty();
            let _ = brain.hear(reading(9.0, true, vec![closed("pay")]), now);
            let _ = brain.hear(event(10.5, open("pay")), now);
            assert!(is_open(&brain));
            let _ = brain.hear(reading(10.4, all, vec![closed("pay")]), now);
            assert!(is_open(&brain), "all: {all}");
            let _ = brain.hear(reading(10.4, all, Vec::new()), now);
            assert!(is_open(&brain), "all: {all}");
            let _ = brain.hear(event(10.6, closed("pay")), now);
            assert!(!is_open(&brain), "all: {all}");
            let _ = brain.hear(reading(11.4, all, vec![open("pay")]), now);
            assert!(is_open(&brain), "all: {all}");

            // The clock of the brain is set back by ten seconds.
            let _ = brain.hear(event(11.5, open("pay")), now);
            let _ = brain.hear(reading(2.4, all, vec![closed("pay")]), now);
            assert!(!is_open(&brain), "all: {all}");
            let _ = brain.hear(event(2.5, open("pay")), now);
            assert!(is_open(&brain), "all: {all}");
        }
    }

    #[test]
    fn who_has_not_told_of_all_routes_says_nothing_of_the_others() {
        let now = Timestamp::from_millis(1000);
        let mut brain = Brain::default();
        let names = names(&["pay", "search"]);
        let _ = brain.hear(event(10.0, open("pay")), now);
        assert!(!brain.verdict(&names, (1, 1), now).settled);
        assert_eq!(brain.missing(&names).count(), 0);
        let _ = brain.hear(reading(10.5, true, vec![open("pay")]), now);
        assert!(brain.verdict(&names, (1, 2), now).settled);
        assert_eq!(brain.missing(&names).count(), 1);
        let _ = brain.hear(event(10.6, closed("pay")), now);
        assert!(brain.verdict(&names, (1, 3), now).settled);
    }

    #[test]
    fn a_brain_that_names_ever_more_breakers_is_not_believed_of_them() {
        let now = Timestamp::from_millis(1000);
        let mut brain = Brain::default();
        let mut name = 0;
        let mut more = |count: usize| {
            let names = (name..name + count).map(|name| closed(&name.to_string()));
            name += count;
            brain.hear(message(false, names.collect()), now)
        };
        assert_eq!(more(19_999) + more(1), 0);
        assert_eq!(more(30), 30);
        assert_eq!(brain.told.len(), 20_000);
        // Those that it has told of may still change.
        assert_eq!(brain.hear(event(1.0, open("7")), now), 0);
        assert_eq!(brain.hear(event(1.0, open("pay")), now), 1);
        assert!(verdict(&brain, 1000).is_empty());
    }

    #[test]
    fn how_long_a_change_has_lasted_is_told_in_milliseconds() {
        let mut breaker = open("pay");
        breaker.tripped.as_mut().unwrap().lasted = 10.000335177;
        let (brain, _) = heard(true, vec![breaker]);
        let told = verdict(&brain, 1003);
        assert_eq!(told[0].since, Duration::from_millis(10_003));
    }

    #[test]
    fn an_operator_and_shadow_mode_there_say_nothing_here() {
        for mode in [
            v1::Mode::ForcedOpen,
            v1::Mode::ForcedClosed,
            v1::Mode::Shadow,
        ] {
            let mut breaker = open("pay");
            breaker.set_mode(mode);
            let (brain, _) = heard(true, vec![breaker]);
            assert!(verdict(&brain, 1000).is_empty(), "{mode:?}");
        }
    }

    #[test]
    fn what_is_open_without_numbers_holds_nothing_open() {
        let mut breaker = open("pay");
        breaker.tripped = None;
        let (brain, impossible) = heard(true, vec![breaker]);
        assert_eq!(impossible, 0);
        assert_eq!(verdict(&brain, 1000)[0].stage, Stage::Alarm);
        assert_eq!(verdict(&brain, 1000)[0].numbers.low, Ratio::ZERO);
    }

    #[test]
    fn a_bound_of_all_since_the_change_may_be_beside_the_counts_that_fade() {
        for (requests, hits, low, high) in
            [(50, 19, 0.4, 0.52), (5, 5, 0.57, 1.0), (8, 3, 0.4, 0.7)]
        {
            let mut breaker = open("pay");
            let tripped = breaker.tripped.as_mut().unwrap();
            (tripped.requests, tripped.hits) = (requests, hits);
            (tripped.low, tripped.high) = (low, high);
            assert_eq!(heard(true, vec![breaker]).1, 0, "{hits} of {requests}");
        }
    }

    #[test]
    fn what_is_impossible_is_counted_and_held_against_nobody() {
        type Spoil = fn(&mut v1::TripEvidence);
        let spoils: [Spoil; 13] = [
            |it| it.low = f64::NAN,
            |it| it.high = 1.5,
            |it| it.normal = -0.1,
            |it| it.hits = 51,
            |it| it.lasted = f64::INFINITY,
            |it| it.evidence = f64::NAN,
            |it| it.line = -1.0,
            |it| it.signal = "mood".to_owned(),
            |it| (it.requests, it.hits, it.low, it.high) = (0, 0, 0.0, 1.0),
            |it| (it.requests, it.hits, it.low, it.high) = (0, 0, 1.0, 1.0),
            |it| (it.requests, it.hits, it.low) = (3, 0, 0.5),
            |it| (it.requests, it.hits, it.low) = (1000, 200, 0.4),
            |it| (it.low, it.high) = (0.1, 0.2),
        ];
        for (index, spoil) in spoils.into_iter().enumerate() {
            let mut breaker = open("pay");
            spoil(breaker.tripped.as_mut().unwrap());
            let (brain, impossible) = heard(true, vec![breaker, open("search")]);
            assert_eq!(impossible, 1, "{index}");
            let told = verdict(&brain, 1000);
            assert_eq!((told.len(), &*told[0].name.route), (1, "search"), "{index}");
        }
        let mut breaker = open("pay");
        breaker.open_remaining = Some(-1.0);
        assert_eq!(heard(true, vec![breaker]).1, 1);
    }
}
