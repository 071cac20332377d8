//! What happens to a fleet.

/// A scenario. Times are seconds.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) replicas: usize,
    /// Requests a second at each replica.
    pub(crate) rate: f64,
    /// When the fault begins.
    pub(crate) from: f64,
    /// How long it lasts.
    pub(crate) lasts: f64,
    /// The share of errors in it.
    pub(crate) errors: f64,
    /// The share of errors in health.
    pub(crate) usual: f64,
    /// How many replicas it hits, the first ones.
    pub(crate) hit: usize,
    pub(crate) trouble: Trouble,
}

/// What else goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The first replica reports failures that were none.
    Liar,
    /// The aggregator dies half a second into the fault; the next one starts after the lease.
    Killed,
    /// The engine is gone for the first minute of the fault.
    EngineGone,
    /// The second half of the fleet is cut off from the beginning of the fault on.
    HalfCut,
}

impl Fleet {
    pub(crate) fn until(&self) -> f64 {
        self.from + self.lasts + AFTER
    }

    pub(crate) const fn hits(&self, index: usize) -> bool {
        index < self.hit
    }

    pub(crate) fn is_faulty(&self, index: usize, at: f64) -> bool {
        self.hits(index) && (self.from..self.from + self.lasts).contains(&at)
    }

    pub(crate) fn errors(&self, index: usize, at: f64) -> f64 {
        if self.is_faulty(index, at) {
            self.errors
        } else {
            self.usual
        }
    }

    pub(crate) fn lies(&self, index: usize) -> bool {
        self.trouble == Trouble::Liar && index == 0
    }

    pub(crate) fn killed(&self, at: f64) -> bool {
        let since = at - self.from;
        self.trouble == Trouble::Killed && (0.5..0.5 + LEASE).contains(&since)
    }

    pub(crate) fn connected(&self, index: usize, at: f64) -> bool {
        match self.trouble {
            Trouble::EngineGone => !(self.from..self.from + 60.0).contains(&at),
            Trouble::HalfCut => at < self.from || index < self.replicas / 2,
            _ => true,
        }
    }
}

const fn outage(id: &'static str, title: &'static str, replicas: usize) -> Fleet {
    Fleet {
        id,
        title,
        replicas,
        rate: 0.2,
        from: 300.0,
        lasts: 120.0,
        errors: 1.0,
        usual: USUAL,
        hit: replicas,
        trouble: Trouble::None,
    }
}

const fn with(mut fleet: Fleet, trouble: Trouble, lasts: f64) -> Fleet {
    fleet.trouble = trouble;
    fleet.lasts = lasts;
    fleet
}

const fn weak(mut fleet: Fleet) -> Fleet {
    fleet.errors = 0.05;
    fleet
}

const fn one_bad(mut fleet: Fleet) -> Fleet {
    fleet.hit = 1;
    fleet
}

/// One request a second over eight replicas, and next to no errors.
const fn seldom(mut fleet: Fleet) -> Fleet {
    fleet.rate = 0.125;
    fleet.usual = 0.0002;
    fleet
}

const fn after_an_hour(mut fleet: Fleet) -> Fleet {
    fleet.from = 3600.0;
    fleet
}

/// The scenarios with these names, or all; with other numbers of replicas and requests a second of
/// each where these are given.
///
/// # Errors
/// The first name that there is not.
pub(crate) fn choose(
    names: &[String],
    replicas: Option<usize>,
    rate: Option<f64>,
) -> Result<Vec<Fleet>, &str> {
    let mut chosen = Vec::new();
    for name in names {
        let mut all = ALL.into_iter();
        let found = all.find(|fleet| fleet.id.eq_ignore_ascii_case(name));
        chosen.push(found.ok_or(name.as_str())?);
    }
    if chosen.is_empty() {
        chosen = ALL.to_vec();
    }
    for fleet in &mut chosen {
        if let Some(replicas) = replicas {
            fleet.hit = if fleet.hit == 1 { 1 } else { replicas };
            fleet.replicas = replicas;
        }
        fleet.rate = rate.unwrap_or(fleet.rate);
    }
    Ok(chosen)
}

/// All scenarios.
pub(crate) const ALL: [Fleet; 10] = [
    outage("F1", "200 replicas, total outage", 200),
    weak(outage("F2", "200 replicas, 5 % errors", 200)),
    outage("F3", "10 replicas, total outage", 10),
    one_bad(outage("F4", "one bad replica of ten", 10)),
    after_an_hour(with(
        outage("F5", "one of ten sends false data, outage", 10),
        Trouble::Liar,
        120.0,
    )),
    with(
        outage("F6", "200, aggregator killed in the outage", 200),
        Trouble::Killed,
        120.0,
    ),
    with(
        outage("F7", "200, engine gone for a minute", 200),
        Trouble::EngineGone,
        120.0,
    ),
    with(
        outage("F8", "200, half the fleet cut off", 200),
        Trouble::HalfCut,
        120.0,
    ),
    with(
        outage("F9", "200, recovery after a minute", 200),
        Trouble::None,
        60.0,
    ),
    after_an_hour(seldom(outage("F10", "8 replicas, 1 request/s in all", 8))),
];

/// Errors in health.
const USUAL: f64 = 0.005;
/// How long the service is watched after the fault.
const AFTER: f64 = 120.0;
const LEASE: f64 = 2.0;
