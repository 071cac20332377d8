//! The chaos: a script of faults, open-loop load, a narration of both, and a table at the end.
//!
//! Two shops can go through it side by side, one with breakers and one without: the same faults and
//! the same load at the same time.

mod load;
mod narrator;
mod script;
mod table;
mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use breaker_sidecar::client::Client;
use http::Uri;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, interval_at, sleep, sleep_until};

use self::load::Call;
use self::script::Phase;
use self::table::Table;
use self::tally::Tally;
use crate::collector::{Event, Received};

/// What to do to which shops.
#[derive(Clone, Debug)]
pub(crate) struct Chaos {
    /// The shop with breakers.
    pub(crate) shop: Shop,
    /// The same shop without; left out if it does not answer.
    pub(crate) bare: Option<Shop>,
    /// Where the collector tells what it saw.
    pub(crate) collector: Uri,
    /// Orders a second, for each shop.
    pub(crate) rate: u32,
    /// How much faster than in two minutes.
    pub(crate) pace: f64,
}

/// A shop, as chaos sees it.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    /// Where orders go to.
    pub(crate) orders: Uri,
    /// The fault ports of its services, by their names.
    pub(crate) faults: BTreeMap<String, Uri>,
}

/// One shop in the run.
struct Run {
    title: &'static str,
    shop: Shop,
    tally: Tally,
}

impl Chaos {
    /// Runs the script, and tells of it on standard output.
    ///
    /// # Errors
    /// When the shop or the collector can't be reached, or a service of the script has no fault
    /// port.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = Client::new()?;
        let phases = script::phases(self.pace);
        let mut runs = vec![Run::new("with breakers", self.shop, &phases)?];
        runs[0].wait(&client, PATIENCE).await?;
        if let Some(bare) = self.bare {
            let bare = Run::new("bare", bare, &phases)?;
            if bare.wait(&client, BARE_PATIENCE).await.is_ok() {
                runs.push(bare);
            }
        }
        narrator::introduce(self.rate, runs.len() > 1);
        let began = Instant::now();
        let lasts = phases.last().map(Phase::ends).unwrap_or_default();
        let (calls, told) = mpsc::unbounded_channel();
        let entries = runs.iter().map(|run| run.shop.orders.clone()).collect();
        let load = load::run(client.clone(), entries, self.rate, (began, lasts), calls);
        let load = tokio::spawn(load);
        let mut events = Events {
            client: client.clone(),
            collector: self.collector,
            last: 0,
        };
        // What the collector heard before belongs to no phase.
        events.new_ones().await?;
        direct(&client, &phases, &mut runs, &mut events, began, told).await?;
        load.await?;
        // What is exported last takes its time.
        sleep(FLUSH).await;
        for event in events.new_ones().await? {
            narrator::event(began.elapsed(), &event);
        }
        let columns = runs
            .iter()
            .map(|run| (run.title, run.tally.results(&phases)));
        anstream::println!("\n{}", Table(columns.collect()));
        narrator::collected(&events.services().await?);
        Ok(())
    }
}

/// Begins the phases, and tells what happens, until all calls are told.
async fn direct(
    client: &Client,
    phases: &[Phase],
    runs: &mut [Run],
    events: &mut Events,
    began: Instant,
    mut calls: mpsc::UnboundedReceiver<(usize, Call)>,
) -> anyhow::Result<()> {
    let mut phases = phases.iter().peekable();
    let mut lines = interval_at(began + LINE, LINE);
    let mut polls = interval(POLL);
    loop {
        let next = phases.peek().map(|phase| began + phase.begins);
        tokio::select! {
            // The clock first: a line ends before the phase that begins with it.
            biased;
            _ = lines.tick() => {
                let lines: Vec<_> = runs.iter_mut().map(|run| run.tally.line()).collect();
                narrator::line(began.elapsed(), &lines);
            }
            () = sleep_until(next.unwrap_or(began)), if next.is_some() => {
                if let Some(phase) = phases.next() {
                    begin(client, phase, runs).await?;
                }
            }
            _ = polls.tick() => {
                for event in events.new_ones().await? {
                    narrator::event(began.elapsed(), &event);
                }
            }
            call = calls.recv() => match call {
                Some((shop, call)) => runs[shop].tally.add(call),
                None => return Ok(()),
            },
        }
    }
}

/// Ends the last fault, and begins this phase's in each shop.
async fn begin(client: &Client, phase: &Phase, runs: &[Run]) -> anyhow::Result<()> {
    narrator::phase(phase);
    for run in runs {
        for (service, port) in &run.shop.faults {
            let fault = phase.fault_of(service);
            let answer = client.put(port, &fault, REQUEST).await;
            let answer = answer.with_context(|| format!("the fault port of {service}"))?;
            if !answer.status().is_success() {
                bail!("the fault port of {service} answers {}", answer.status());
            }
        }
    }
    Ok(())
}

// === impl Run ===

impl Run {
    fn new(title: &'static str, shop: Shop, phases: &[Phase]) -> anyhow::Result<Self> {
        let wanted = phases.iter().filter_map(|phase| phase.service);
        for service in wanted {
            if !shop.faults.contains_key(service) {
                bail!("the script needs the fault port of {service}");
            }
        }
        Ok(Self {
            title,
            shop,
            tally: Tally::default(),
        })
    }

    /// Waits until an order is served.
    async fn wait(&self, client: &Client, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let problem = match client.get(&self.shop.orders, REQUEST).await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{} answers {}", self.shop.orders, answer.status()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                bail!("the shop is not open: {problem}");
            }
            sleep(POLL).await;
        }
    }
}

/// What the collector hears.
struct Events {
    client: Client,
    collector: Uri,
    last: u64,
}

impl Events {
    /// The events since the last call.
    async fn new_ones(&mut self) -> anyhow::Result<Vec<Event>> {
        let path = format!("events/{}", self.last);
        let events: Vec<Event> = self.get(&path).await?;
        if let Some(event) = events.last() {
            self.last = event.number;
        }
        Ok(events)
    }

    async fn services(&self) -> anyhow::Result<BTreeMap<String, Received>> {
        self.get("services").await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let address = format!("{}{path}", self.collector).parse()?;
        let answer = self.client.get(&address, REQUEST).await;
        let answer = answer.context("the collector does not answer")?;
        serde_json::from_slice(answer.body()).context("the collector's answer can't be read")
    }
}

/// Minutes and seconds since the start.
struct Clock(Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.as_millis() / 100;
        let (minutes, tenths) = (tenths / 600, tenths % 600);
        write!(f, "{minutes}:{:02}.{}", tenths / 10, tenths % 10)
    }
}

/// For the shop to open.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the bare shop, which nothing waits for and which begins with the other.
const BARE_PATIENCE: Duration = Duration::from_secs(5);
/// For the answer of a fault port, of the collector, of a first order.
const REQUEST: Duration = Duration::from_secs(2);
/// Between questions to the collector.
const POLL: Duration = Duration::from_millis(250);
/// Between lines of the narration.
const LINE: Duration = Duration::from_secs(2);
/// The interval of the sidecars' exports, and a little.
const FLUSH: Duration = Duration::from_millis(2500);
