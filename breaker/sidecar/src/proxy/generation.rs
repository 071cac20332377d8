//! What one worker makes of a table of routes. A reload replaces it as a whole; requests under way
//! end as they began.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::Observers;
use super::limits::Limits;
use super::route::RouteTable;
use super::stack::Stack;
use super::tape::Tape;
use super::trace::Tracer;
use crate::access::Journal;
use crate::message::record::Recorder;
use crate::message::timers::Timers;
use crate::upstream::pool::Pool;
use crate::upstream::resolve::Resolver;

/// A table of routes, and what one worker has for it.
pub(crate) struct Generation {
    pub(crate) table: Arc<RouteTable>,
    /// One for each route.
    pub(crate) stacks: Vec<Stack>,
    pub(crate) observing: Rc<Observing>,
    /// One for each upstream.
    pools: Vec<Rc<Pool>>,
}

/// Who is told of the requests of a generation: they alone know what its indices mean.
pub(crate) struct Observing {
    pub(crate) recorder: Rc<dyn Recorder>,
    /// While tracing is on.
    pub(crate) tracer: Option<Box<dyn Tracer>>,
    /// While requests are recorded.
    pub(crate) tape: Option<Box<dyn Tape>>,
    /// While there is an access log.
    pub(crate) access: Option<Journal>,
}

impl Generation {
    /// Makes what `table` needs. Of the generation `before` it takes over the connections to
    /// upstreams that stay, and the counts of requests in flight of routes that stay.
    pub(crate) fn new(
        table: Arc<RouteTable>,
        observers: Observers,
        resolver: &Rc<Resolver>,
        timers: &Rc<Timers>,
        limits: &Limits,
        before: Option<&Self>,
    ) -> Self {
        let observing = Observing {
            recorder: Rc::from(observers.recorder),
            tracer: observers.tracer,
            tape: observers.tape,
            access: observers.access,
        };
        let kept_pools = || before.into_iter().flat_map(|before| &before.pools);
        let kept_stacks = || before.into_iter().flat_map(|before| &before.stacks);

        let pools = table.upstreams().iter().map(|upstream| {
            let kept = kept_pools().find(|pool| pool.is_of(upstream)).cloned();
            kept.unwrap_or_else(|| {
                let (head, keepalive) = (limits.response, limits.tcp_keepalive);
                Rc::new(Pool::new(upstream.clone(), head, keepalive, resolver))
            })
        });
        let pools: Vec<_> = pools.collect();
        let mut endpoints = 0;
        let firsts = pools.iter().map(|pool| {
            let first = endpoints;
            endpoints += pool.upstream().endpoints.len();
            (pool, first)
        });
        let firsts: Vec<_> = firsts.collect();
        let stacks = table.routes().iter().map(|route| {
            let found = firsts.iter().find(|(pool, _)| pool.is_of(&route.upstream));
            let (pool, first) = found.expect("the table has the upstreams of its routes");
            let recorder = observing.recorder.clone();
            let stack = Stack::new(route, (*pool).clone(), *first, timers.clone(), recorder);
            match kept_stacks().find(|kept| *kept.name == **route.name()) {
                Some(kept) => stack.counting_with(kept),
                None => stack,
            }
        });
        Self {
            stacks: stacks.collect(),
            table,
            observing: Rc::new(observing),
            pools,
        }
    }

    /// Lets go of the connections that `next` did not take over.
    pub(crate) fn retire(&self, next: &Self) {
        let is_kept = |pool: &&Rc<Pool>| next.pools.iter().any(|kept| Rc::ptr_eq(kept, pool));
        for pool in self.pools.iter().filter(|pool| !is_kept(pool)) {
            pool.retire();
        }
    }

    /// Closes what has been idle in the pools for too long.
    pub(crate) fn prune(&self, now: Instant) {
        for pool in &self.pools {
            pool.prune(now);
        }
    }
}
