//! What one worker makes of a table of routes. A reload replaces it as a whole; requests under way
//! end as they began.
//!
//! A worker serves requests while it takes over a table, so it makes nothing of a route, or an
//! upstream, before the first request that needs it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use breaker_tower::Decision;
use breaker_tower::breaker_core::TraceId;
use tokio::time::Instant;

use super::Observers;
use super::deadline::Deadlined;
use super::fallback::{Fallback, Substitute};
use super::forward::Forward;
use super::limits::Limits;
use super::route::{Route, RouteTable};
use super::stack::Stack;
use super::tape::RequestRecorder;
use super::trace::Tracer;
use crate::access::Journal;
use crate::findings::{Failed, PROXY};
use crate::message::decision::Decided;
use crate::message::failure::Failure;
use crate::message::record::{Finished, Recorder};
use crate::message::timers::Timers;
use crate::upstream::Upstream;
use crate::upstream::directory::Directory;
use crate::upstream::pool::Pool;

/// A table of routes, and what one worker has for it.
pub(crate) struct RouteSnapshot {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) observing: Rc<Observing>,
    /// One for each route that had a request.
    stacks: Vec<OnceCell<Stack>>,
    /// One for each upstream that a request went to, by its position in the table.
    pools: RefCell<HashMap<usize, Rc<Pool>>>,
    /// Requests in flight of routes that bound them, by the routes' names.
    in_flight: RefCell<HashMap<Arc<str>, Rc<Cell<usize>>>>,
    directory: Directory,
    timers: Rc<Timers>,
    limits: Limits,
}

/// Who is told of the requests of a generation: they alone know what its indices mean.
pub(crate) struct Observing {
    pub(crate) recorder: Rc<dyn Recorder>,
    /// While tracing is on.
    pub(crate) tracer: Option<Box<dyn Tracer>>,
    /// While requests are recorded.
    pub(crate) tape: Option<Box<dyn RequestRecorder>>,
    /// While there is an access log.
    pub(crate) access: Option<Journal>,
    /// What indices of routes and endpoints stand for.
    table: Arc<RouteTable>,
}

impl Observing {
    /// Notes the kind of a failure, which its breaker counts against the upstream. Called for
    /// failures alone.
    pub(crate) fn blame(&self, finished: &Finished<'_>, decided: &Decided, decision: &Decision) {
        let route = finished
            .route
            .and_then(|route| self.table.routes().get(route));
        let kind = Failure::of(finished, Some(decision));
        let (Some(route), Some(kind)) = (route, kind) else {
            return;
        };
        let endpoint = decided.endpoint();
        let endpoint = endpoint.and_then(|index| self.table.endpoints().nth(index));
        let endpoint = endpoint.map(ToString::to_string);
        let failed = Failed {
            kind: &kind.to_string(),
            endpoint: endpoint.as_deref(),
            trace: finished
                .trace
                .and_then(|trace| TraceId::new(trace.trace_id)),
            count: 1,
        };
        route.findings.failed(PROXY, failed, Instant::now());
    }
}

impl RouteSnapshot {
    /// Takes `table`. Of the generation `before` it takes over the connections to upstreams that
    /// stay, and the counts of requests in flight of routes that stay.
    pub(crate) fn new(
        table: Arc<RouteTable>,
        observers: Observers,
        directory: &Directory,
        timers: &Rc<Timers>,
        limits: &Limits,
        before: Option<&Self>,
    ) -> Self {
        let observing = Observing {
            recorder: Rc::from(observers.recorder),
            tracer: observers.tracer,
            tape: observers.tape,
            access: observers.access,
            table: table.clone(),
        };
        let mut pools = HashMap::new();
        let mut in_flight = HashMap::new();
        if let Some(before) = before {
            for pool in before.pools.borrow().values() {
                if let Some(position) = table.position_of(pool.upstream()) {
                    pools.insert(position, pool.clone());
                }
            }
            let counts = before.in_flight.borrow();
            let counts = counts.iter().filter(|(_, count)| count.get() > 0);
            in_flight.extend(counts.map(|(name, count)| (name.clone(), count.clone())));
        }
        let routes = table.routes().len();
        Self {
            table,
            observing: Rc::new(observing),
            stacks: std::iter::repeat_with(OnceCell::new).take(routes).collect(),
            pools: RefCell::new(pools),
            in_flight: RefCell::new(in_flight),
            directory: directory.clone(),
            timers: timers.clone(),
            limits: limits.clone(),
        }
    }

    /// What serves the route at `index`.
    pub(crate) fn stack(&self, index: usize) -> &Stack {
        self.stacks[index].get_or_init(|| {
            let route = &self.table.routes()[index];
            let (pool, first) = self.target(&route.upstream);
            let recorder = self.observing.recorder.clone();
            let fallback = route.fallback.as_ref();
            let fallback = fallback.map(|fallback| self.substitute(route, fallback));
            let stack = Stack::new(route, pool, first, self.timers.clone(), recorder);
            let stack = stack.falling_back(fallback);
            if route.max_in_flight.is_none() {
                return stack;
            }
            let mut counts = self.in_flight.borrow_mut();
            let count = counts.entry(route.name().clone()).or_default();
            stack.counting_by(count)
        })
    }

    /// What answers in the place of the upstream of `route`.
    fn substitute(&self, route: &Route, fallback: &Fallback) -> Substitute {
        let findings = route.findings.clone();
        let (upstream, breaker) = match fallback {
            Fallback::Answer(answer) => return Substitute::answer(answer.clone(), findings),
            Fallback::Upstream { upstream, breaker } => (upstream, breaker),
        };
        let (pool, first) = self.target(upstream);
        let (timers, recorder) = (self.timers.clone(), self.observing.recorder.clone());
        let forward = Forward::in_place(pool, first, route, breaker, timers.clone(), recorder);
        let forward = Deadlined::new(forward, timers);
        Substitute::upstream(&upstream.name, forward, breaker.clone(), findings)
    }

    /// The connections to one of the table's upstreams, and the index of its first endpoint.
    fn target(&self, upstream: &Arc<Upstream>) -> (Rc<Pool>, usize) {
        let position = self.table.position_of(upstream);
        let position = position.expect("the table has the upstreams of its routes");
        (self.pool(position), self.table.first_endpoint(position))
    }

    fn pool(&self, position: usize) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(position).or_insert_with(|| {
            let upstream = self.table.upstreams()[position].clone();
            let (head, keepalive) = (self.limits.response, self.limits.tcp_keepalive);
            Rc::new(Pool::new(upstream, head, keepalive, &self.directory))
        });
        pool.clone()
    }

    /// Lets go of the connections that `next` did not take over.
    pub(crate) fn retire(&self, next: &Self) {
        for pool in self.pools.borrow().values() {
            if next.table.position_of(pool.upstream()).is_none() {
                pool.retire();
            }
        }
    }

    /// Closes what has been idle in the pools for too long.
    pub(crate) fn prune(&self, now: Instant) {
        for pool in self.pools.borrow().values() {
            pool.prune(now);
        }
    }
}
