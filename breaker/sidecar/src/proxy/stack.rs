//! What a request of a route passes through, from the outside in: limit, forward.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::body::ResponseBody;
use super::forward::Forward;
use super::route::Route;
use super::timers::Timers;
use crate::upstream::pool::Pool;

/// The services of one route on one worker.
pub(crate) type RouteService = Forward;
/// The body of their responses.
pub(crate) type RouteBody = ResponseBody;

/// One route on one worker.
pub(crate) struct Stack {
    pub(crate) service: RefCell<RouteService>,
    limit: Option<usize>,
    in_flight: Rc<Cell<usize>>,
}

/// A request's place within its route's limit.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Stack {
    pub(crate) fn new(route: &Route, pool: Rc<Pool>, timers: Rc<Timers>) -> Self {
        let forward = Forward::new(pool, route.timeout, route.body.idle, timers);
        Self {
            service: RefCell::new(forward),
            limit: route.max_in_flight,
            in_flight: Rc::default(),
        }
    }

    /// A place for one more request, unless the route is full.
    pub(crate) fn admit(&self) -> Result<Option<Place>, Full> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let in_flight = self.in_flight.get();
        if in_flight >= limit {
            return Err(Full);
        }
        self.in_flight.set(in_flight + 1);
        Ok(Some(Place(self.in_flight.clone())))
    }
}

/// A route has as many requests in flight as it may.
#[derive(Debug)]
pub(crate) struct Full;

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
