//! The demo of a fleet: the same few orders go to replicas that pool their evidence and to replicas
//! that are alone; then the ledger behind them breaks.

mod group;

use std::time::Duration;

use anyhow::{Context, ensure};
use breaker_sidecar::client::Client;
use breaker_sidecar::load::{self, Answer};
use http::Uri;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, sleep_until};

pub(crate) use self::group::DemoReplica;
use self::group::{GroupTable, ReplicaGroup};

/// What to do to which replicas.
#[derive(Clone, Debug)]
pub(crate) struct FleetDemo {
    /// Those in a fleet.
    pub(crate) together: Vec<DemoReplica>,
    /// As many that are alone.
    pub(crate) alone: Vec<DemoReplica>,
    /// The fault port of the ledger.
    pub(crate) faults: Uri,
    /// Orders a second, of each group in all.
    pub(crate) rate: u32,
    /// The same in the first minute.
    pub(crate) busy_rate: u32,
    /// For how long the ledger is still well after that. What a replica has learned counts after a
    /// minute, and so does the replica itself in a fleet.
    pub(crate) well: Duration,
    /// For how long the outage is watched, at most.
    pub(crate) watched: Duration,
}

/// An order: its group, when it was due, and what became of it.
type Told = (usize, Instant, Answer);

impl FleetDemo {
    /// Runs it, and tells of it on standard output.
    ///
    /// # Errors
    /// When a replica or the ledger can't be reached.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            !self.together.is_empty() && !self.alone.is_empty(),
            "both groups need replicas"
        );
        let client = Client::new()?;
        let mut groups = [
            ReplicaGroup::new("together", self.together),
            ReplicaGroup::new("alone", self.alone),
        ];
        let (size, others) = (groups[0].replicas.len(), groups[1].replicas.len());
        for group in &groups {
            group.wait(&client, PATIENCE).await?;
        }
        set_fault(&client, &self.faults, "none").await?;
        let rate = self.rate;
        anstream::println!(
            "{size} replicas in a fleet and {others} that are alone: for a minute {} orders a second \
             to each group, then {rate}",
            self.busy_rate
        );
        let began = Instant::now();
        // Between two orders, as it is on average.
        let fails = began + BUSY + self.well + Duration::from_millis(500) / rate;
        let (tell, mut told) = mpsc::unbounded_channel::<Told>();
        let entries = groups.each_ref().map(|group| group.orders());
        let load = orders(
            client.clone(),
            entries,
            [
                (self.busy_rate, began, began + BUSY),
                (rate, began + BUSY, fails + self.watched),
            ],
            tell,
        );
        let load = tokio::spawn(load);

        let mut looks = interval(LOOK);
        let mut has_failed = false;
        loop {
            tokio::select! {
                () = sleep_until(fails), if !has_failed => {
                    has_failed = true;
                    set_fault(&client, &self.faults, "errors").await?;
                    say(began, "the ledger breaks: each order fails");
                }
                _ = looks.tick() => {
                    for group in &mut groups {
                        let news = match has_failed {
                            true => group.look(&client, fails).await,
                            false => group.look_at_fleet(&client).await,
                        };
                        if let Some(news) = news {
                            say(began, &format!("{}: {news}", group.title));
                        }
                    }
                    let all_open = groups.iter().all(|group| group.opened().1.is_some());
                    if has_failed && (all_open || fails.elapsed() >= self.watched) {
                        break;
                    }
                }
                Some((group, due, answer)) = told.recv() => {
                    groups[group].count(due >= fails, answer);
                }
            }
        }
        load.abort();
        // Those under way.
        sleep(LOOK).await;
        while let Ok((group, due, answer)) = told.try_recv() {
            groups[group].count(due >= fails, answer);
        }
        set_fault(&client, &self.faults, "none").await?;
        anstream::println!("\n{}", GroupTable(&groups, fails.elapsed()));
        Ok(())
    }
}

/// Sends orders to each group, in turn to its replicas: so many a second between two times, then
/// others.
async fn orders(
    client: Client,
    entries: [Vec<Uri>; 2],
    phases: [(u32, Instant, Instant); 2],
    tell: mpsc::UnboundedSender<Told>,
) {
    let mut turn = 0;
    let mut send = |due| {
        for (group, entries) in entries.iter().enumerate() {
            let entry = entries[turn % entries.len()].clone();
            let (client, tell) = (client.clone(), tell.clone());
            tokio::spawn(async move {
                let answer = Answer::of(&client.get(&entry, CUSTOMER).await);
                // Nobody listens any more at the end.
                let _ = tell.send((group, due, answer));
            });
        }
        turn += 1;
    };
    for (rate, begins, ends) in phases {
        load::run(rate, begins, ends, |_, due| send(due)).await;
    }
}

async fn set_fault(client: &Client, faults: &Uri, kind: &str) -> anyhow::Result<()> {
    let set = client
        .put(faults, &json!({ "kind": kind }), CUSTOMER)
        .await?;
    ensure!(
        set.status().is_success(),
        "the ledger takes no fault: {}",
        set.status()
    );
    Ok(())
}

fn say(began: Instant, what: &str) {
    anstream::println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
}

/// Where a replica takes orders, and where it tells of itself.
pub(crate) fn replica(text: &str) -> anyhow::Result<DemoReplica> {
    let (orders, admin) = match text.split_once('/') {
        Some((orders, admin)) => (orders.to_owned(), admin.to_owned()),
        None => (format!("{text}:8080"), format!("{text}:9900")),
    };
    let url = |address: &str, path: &str| {
        let url = format!("http://{address}{path}").parse();
        url.with_context(|| format!("{text}: must be HOST, or HOST:PORT/HOST:ADMIN-PORT"))
    };
    Ok(DemoReplica {
        orders: url(&orders, "/")?,
        breakers: url(&admin, "/api/v1/breakers")?,
        status: url(&admin, "/api/v1/status")?,
    })
}

/// How long the many orders last.
const BUSY: Duration = Duration::from_secs(60);
/// How often replicas are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Of a customer.
const CUSTOMER: Duration = Duration::from_secs(3);
/// Until all replicas are ready.
const PATIENCE: Duration = Duration::from_secs(60);
