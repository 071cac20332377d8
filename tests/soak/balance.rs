//! What the sidecar holds when nobody asks anything of it.

use std::fmt;

use breaker_tests::{Held, Metrics, get};

use crate::scene::Scene;

/// Resident memory may grow by this share.
const SHARE: f64 = 0.05;
/// And by so many KiB more: the allocator's own, which does not grow with time.
const SLACK_KIB: f64 = 2048.0;

/// The most HTTP/2 connections to services: one of each of two workers to the one that speaks it.
const SHARED: f64 = 2.0;

const TASKS: [&str; 5] = ["worker", "client", "stream", "upload", "upstream"];

#[derive(Debug, Clone)]
pub(crate) struct Balance {
    held: Held,
    /// Requests in flight by the sidecar's own count, of all routes: each holds a permit.
    in_flight: f64,
    tasks: [f64; 5],
    /// Requests that the services are still working on.
    at_services: usize,
}

impl Balance {
    pub(crate) async fn of(scene: &Scene) -> Self {
        let url = scene.admin_url("/metrics").parse().expect("a good URL");
        let metrics = Metrics::new(get(url).await.text());
        let services = scene.services.iter();
        Self {
            in_flight: metrics.sum("breaker_concurrency", &[]).unwrap_or(f64::NAN),
            tasks: TASKS.map(|kind| {
                let tasks = metrics.sum("breaker_proxy_tasks", &[("breaker_task_kind", kind)]);
                tasks.unwrap_or(f64::NAN)
            }),
            at_services: services
                .filter_map(|service| {
                    let upstream = crate::tally::lock(&service.upstream);
                    Some(upstream.as_ref()?.in_flight())
                })
                .sum(),
            held: Held::by(scene.pid),
        }
    }

    /// HTTP/2 connections to services. A worker keeps one for each service, and whether it has is
    /// left to chance; each is a descriptor and two tasks.
    fn shared(&self) -> f64 {
        self.tasks[4] / 2.0
    }

    /// What is more than it was `before`.
    pub(crate) fn more_than(&self, before: &Self) -> Vec<String> {
        let mut more = Vec::new();
        let mut compare = |what: &str, before: f64, after: f64, bound: f64| {
            // What could not be read is not fine either.
            if after.is_nan() || after > bound {
                more.push(format!(
                    "{what}: {before} before, {after} after, at most {bound}"
                ));
            }
        };
        let number = |count: usize| count as f64;
        let (old, new) = (&before.held, &self.held);
        let (shared, then) = (self.shared(), before.shared());
        compare(
            "descriptors but for shared connections",
            number(old.descriptors) - then,
            number(new.descriptors) - shared,
            number(old.descriptors) - then,
        );
        compare(
            "threads",
            number(old.threads),
            number(new.threads),
            number(old.threads),
        );
        let memory = number(old.memory);
        let bound = (memory * (1.0 + SHARE) + SLACK_KIB).round();
        compare("resident KiB", memory, number(new.memory), bound);
        compare("in flight", before.in_flight, self.in_flight, 0.0);
        compare(
            "requests at services",
            number(before.at_services),
            number(self.at_services),
            0.0,
        );
        for (index, kind) in TASKS.into_iter().enumerate() {
            let tasks = before.tasks[index];
            let bound = if kind == "upstream" {
                2.0 * SHARED
            } else {
                tasks
            };
            compare(&format!("tasks {kind}"), tasks, self.tasks[index], bound);
        }
        more
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            held,
            in_flight,
            tasks,
            at_services,
        } = self;
        let Held {
            descriptors,
            threads,
            memory,
            ..
        } = held;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {memory} KiB resident, \
             {in_flight} in flight, {at_services} at services, tasks"
        )?;
        for (kind, count) in TASKS.into_iter().zip(tasks) {
            write!(f, " {kind} {count}")?;
        }
        Ok(())
    }
}
