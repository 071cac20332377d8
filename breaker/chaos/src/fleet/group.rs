//! Replicas of one kind: what becomes of their orders, and when their breakers open.

use std::fmt;
use std::time::Duration;

use anyhow::bail;
use breaker_sidecar::client::Client;
use breaker_sidecar::control::Status;
use breaker_sidecar::load::Answer;
use breaker_sidecar::report::{Breakers, State};
use http::Uri;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// A sidecar.
#[derive(Clone, Debug)]
pub(crate) struct DemoReplica {
    pub(crate) orders: Uri,
    pub(crate) breakers: Uri,
    pub(crate) status: Uri,
}

/// Replicas of one kind.
#[derive(Debug)]
pub(super) struct ReplicaGroup {
    pub(super) title: &'static str,
    pub(super) replicas: Vec<DemoReplica>,
    /// By replica, since the outage.
    opened: Vec<Option<Duration>>,
    /// In health, and in the outage.
    counts: [OrderCounts; 2],
    /// What was told of the fleet last.
    told: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OrderCounts {
    served: usize,
    failed: usize,
    rejected: usize,
}

/// The groups beside each other, after the outage was watched for this long.
#[derive(Debug)]
pub(super) struct GroupTable<'a>(pub(super) &'a [ReplicaGroup], pub(super) Duration);

impl ReplicaGroup {
    pub(super) fn new(title: &'static str, replicas: Vec<DemoReplica>) -> Self {
        Self {
            title,
            opened: vec![None; replicas.len()],
            replicas,
            counts: Default::default(),
            told: None,
        }
    }

    pub(super) fn orders(&self) -> Vec<Uri> {
        let replicas = self.replicas.iter();
        replicas.map(|replica| replica.orders.clone()).collect()
    }

    /// Waits until all replicas tell of themselves.
    pub(super) async fn wait(&self, client: &Client, patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        for replica in &self.replicas {
            while ask::<Status>(client, &replica.status).await.is_none() {
                if began.elapsed() > patience {
                    bail!("{} does not answer", replica.status);
                }
                sleep(BETWEEN).await;
            }
        }
        Ok(())
    }

    pub(super) fn count(&mut self, in_outage: bool, answer: Answer) {
        let counts = &mut self.counts[usize::from(in_outage)];
        match answer {
            Answer::Served => counts.served += 1,
            Answer::Rejected => counts.rejected += 1,
            Answer::Failed => counts.failed += 1,
        }
    }

    /// Says what is new of the fleet that the replicas are in, if they are in one.
    pub(super) async fn look_at_fleet(&mut self, client: &Client) -> Option<String> {
        let (mut in_force, mut members) = (0, 0);
        for replica in &self.replicas {
            let fleet = ask::<Status>(client, &replica.status).await?.fleet?;
            in_force += usize::from(fleet.connected && fleet.fresh);
            members = members.max(fleet.members.unwrap_or_default());
        }
        let now = match (in_force, self.replicas.len()) {
            (0, _) => "no verdict is in force, each breaker is alone".to_owned(),
            (some, all) if some < all => return None,
            _ => format!("in a fleet of {members}"),
        };
        let is_news = self.told.as_ref() != Some(&now);
        is_news.then(|| self.told.insert(now).clone())
    }

    /// Notes which breakers are open by now, in an outage that began at `since`.
    pub(super) async fn look(&mut self, client: &Client, since: Instant) -> Option<String> {
        let mut is_news = false;
        for (replica, opened) in self.replicas.iter().zip(&mut self.opened) {
            if opened.is_some() {
                continue;
            }
            let known = ask::<Breakers>(client, &replica.breakers).await;
            let breakers = known.map(|known| known.breakers).unwrap_or_default();
            if breakers
                .iter()
                .any(|breaker| breaker.state != State::Closed)
            {
                *opened = Some(since.elapsed());
                is_news = true;
            }
        }
        let open = self.opened.iter().flatten().count();
        is_news.then(|| format!("{open} of {} breakers have opened", self.replicas.len()))
    }

    /// When the first breaker opened, and when all had.
    pub(super) fn opened(&self) -> (Option<Duration>, Option<Duration>) {
        let first = self.opened.iter().flatten().min();
        let all: Option<Vec<_>> = self.opened.iter().copied().collect();
        (first.copied(), all.and_then(|all| all.into_iter().max()))
    }
}

impl fmt::Display for GroupTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(groups, watched) = self;
        let mut row = |label: &str, cell: &dyn Fn(&ReplicaGroup) -> String| {
            write!(f, "{label:<32}")?;
            for group in *groups {
                write!(f, "{:>12}", cell(group))?;
            }
            writeln!(f)
        };
        let seconds = |time: Option<Duration>| match time {
            Some(time) => format!("{:.1} s", time.as_secs_f64()),
            None => format!("> {:.1} s", watched.as_secs_f64()),
        };
        row("", &|group| group.title.to_owned())?;
        row("served before the outage", &|group| {
            group.counts[0].served.to_string()
        })?;
        row("failed before the outage", &|group| {
            (group.counts[0].failed + group.counts[0].rejected).to_string()
        })?;
        row("first breaker open after", &|group| {
            seconds(group.opened().0)
        })?;
        row("all breakers open after", &|group| {
            seconds(group.opened().1)
        })?;
        row("failed in the outage", &|group| {
            group.counts[1].failed.to_string()
        })?;
        row("rejected in the outage", &|group| {
            group.counts[1].rejected.to_string()
        })
    }
}

/// A document of a replica, if it answers with it.
async fn ask<T: DeserializeOwned>(client: &Client, address: &Uri) -> Option<T> {
    let answer = client.get(address, BRIEF).await.ok()?;
    serde_json::from_slice(answer.body()).ok()
}

const BRIEF: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_was_counted_and_what_never_happened() {
        let replica = crate::fleet::replica("ledger-1").unwrap();
        assert_eq!(replica.status, "http://ledger-1:9900/api/v1/status");
        let mut together = ReplicaGroup::new("together", vec![replica.clone(); 2]);
        together.opened = vec![
            Some(Duration::from_millis(6400)),
            Some(Duration::from_millis(6600)),
        ];
        together.count(false, Answer::Served);
        together.count(true, Answer::Failed);
        together.count(true, Answer::Rejected);
        let mut alone = ReplicaGroup::new("alone", vec![replica; 2]);
        alone.opened[1] = Some(Duration::from_secs(36));
        let groups = [together, alone];
        assert_eq!(
            GroupTable(&groups, Duration::from_secs(60)).to_string(),
            "                                    together       alone
served before the outage                   1           0
failed before the outage                   0           0
first breaker open after               6.4 s      36.0 s
all breakers open after                6.6 s    > 60.0 s
failed in the outage                       1           0
rejected in the outage                     1           0
"
        );
    }

    #[test]
    fn a_replica_may_have_ports_of_its_own() {
        let replica = crate::fleet::replica("127.0.0.1:1/127.0.0.1:2").unwrap();
        assert_eq!(replica.orders, "http://127.0.0.1:1/");
        assert_eq!(replica.breakers, "http://127.0.0.1:2/api/v1/breakers");
        assert!(crate::fleet::replica("no host").is_err());
    }
}
