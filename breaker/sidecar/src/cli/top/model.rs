//! What `top` knows and shows: events and keys go in, effects come out. Time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use breaker_sidecar::control::Status;
use breaker_sidecar::live::{Event, History, Kind, Point, Reading};
use breaker_sidecar::registry::Panic;
use breaker_sidecar::report::{Breaker, Breakers, Mode, Upstream};

use super::order::Sort;
use super::route::{Route, Second};

/// What `top` knows and shows.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) link: Link,
    /// When the last reading came.
    pub(super) read: Option<Duration>,
    /// The sidecar's calendar time at that, in seconds since 1970, where it told it.
    pub(super) unix: Option<f64>,
    pub(super) status: Option<Status>,
    /// While all routes are forced closed.
    pub(super) panic: Option<Panic>,
    pub(super) routes: HashMap<String, Route>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) page: Page,
    /// Where help goes back to.
    pub(super) before_help: Page,
    pub(super) prompt: Prompt,
    /// What a change led to; the next key takes it away.
    pub(super) message: Option<Message>,
    /// The name of the route that the keys are about.
    pub(super) selected: Option<String>,
    /// What happened to the selected route.
    pub(super) events: Vec<Event>,
    /// The source whose numbers are shown on the page of the selected route, if it is not the one
    /// that explains its breaker.
    pub(super) switched: Option<Switched>,
    /// The endpoints of the selected route, if there is something to tell of them.
    pub(super) upstream: Option<Upstream>,
    /// How many rows the table shows.
    pub(super) page_rows: usize,
}

/// A source that was chosen by hand.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) source: String,
    /// Its last minutes.
    pub(super) recent: VecDeque<Second>,
}

/// Whether the sidecar tells anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    /// It tells by itself.
    Live,
    /// It is asked each second.
    Polling,
    Lost(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Table,
    Detail,
    Help,
}

/// What the keys mean beside moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    None,
    Filter,
    Confirm(Change),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) failed: bool,
}

/// What an operator does to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Mode(Mode),
    Reset,
}

/// What `top` is told.
#[derive(Debug)]
pub(super) enum Update {
    Status(Box<Status>),
    Reading(Reading),
    Polled(Breakers),
    Event(Event),
    History(String, History),
    /// The last minutes of a route by one of its sources.
    OfSource(String, String, History),
    Upstream(Upstream),
    /// The sidecar is out of reach, which is tried again.
    Lost(String),
    Changed(Box<Breaker>),
    Refused(String),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Leave,
    /// Ask what the sidecar is.
    Status,
    /// Ask for the last minutes of these routes.
    Remember(Vec<String>),
    /// Ask for all about a route.
    Inspect(String),
    /// Ask for the last minutes of a route by one of its sources.
    Source(String, String),
    /// Ask for what a reading lacks of the route that is shown: its upstream, and what
    /// [`Self::Source`] asks for.
    Refresh {
        upstream: Option<String>,
        source: Option<(String, String)>,
    },
    Change(String, Change),
}

impl Model {
    pub(super) fn new(sort: Sort) -> Self {
        Self {
            link: Link::Connecting,
            read: None,
            unix: None,
            status: None,
            panic: None,
            routes: HashMap::new(),
            sort,
            filter: String::new(),
            page: Page::Table,
            before_help: Page::Table,
            prompt: Prompt::None,
            message: None,
            selected: None,
            events: Vec::new(),
            switched: None,
            upstream: None,
            page_rows: 1,
        }
    }

    /// Takes what it is told at `now`.
    pub(super) fn hear(&mut self, told: Update, now: Duration) -> Option<Effect> {
        match told {
            Update::Status(status) => {
                self.panic.clone_from(&status.panic);
                self.status = Some(*status);
            }
            Update::Reading(Reading {
                t,
                breakers,
                points,
                panic,
                ..
            }) => {
                self.unix = Some(t);
                self.panic = panic;
                self.link = Link::Live;
                let points = points.into_iter().map(Some);
                return self.read(breakers.into_iter().zip(points), now);
            }
            Update::Polled(Breakers { breakers }) => {
                self.link = Link::Polling;
                return self.read(breakers.into_iter().map(|breaker| (breaker, None)), now);
            }
            Update::Event(event) => {
                let is_reload = event.kind == Kind::Configuration;
                self.happened(event);
                return is_reload.then_some(Effect::Status);
            }
            Update::History(name, history) => {
                if let Some(route) = self.routes.get_mut(&name) {
                    route.remember(&history);
                }
                if self.is_selected(&name) {
                    self.events = history.events;
                }
            }
            Update::OfSource(name, source, history) => {
                let is_shown = self.is_selected(&name);
                let switched = self.switched.as_mut().filter(|_| is_shown);
                if let Some(switched) = switched.filter(|switched| switched.source == source) {
                    switched.recent = history.points.iter().map(Second::from).collect();
                }
            }
            Update::Upstream(upstream) => {
                let own = self.selected().and_then(|it| it.breaker.upstream.as_ref());
                let is_shown = own == Some(&upstream.name) && upstream.is_worth_telling();
                self.upstream = is_shown.then_some(upstream);
            }
            Update::Lost(why) => self.link = Link::Lost(why),
            Update::Changed(breaker) => {
                let text = format!("{} is now in mode {}", breaker.name, breaker.mode);
                self.message = Some(Message {
                    text: text.replace('_', " "),
                    failed: false,
                });
                if let Some(route) = self.routes.get_mut(&breaker.name) {
                    route.breaker = *breaker;
                }
            }
            Update::Refused(text) => self.message = Some(Message { text, failed: true }),
        }
        None
    }

    fn read(
        &mut self,
        breakers: impl Iterator<Item = (Breaker, Option<Point>)>,
        now: Duration,
    ) -> Option<Effect> {
        let is_first = self.read.replace(now).is_none();
        let mut before = std::mem::take(&mut self.routes);
        for (breaker, point) in breakers {
            let name = breaker.name.clone();
            let route = match (before.remove(&name), point) {
                (Some(mut route), Some(point)) => {
                    route.update(breaker, &point, now);
                    route
                }
                (Some(mut route), None) => {
                    route.poll(breaker, now);
                    route
                }
                (None, Some(point)) => {
                    let mut route = Route::new(breaker.clone(), now);
                    route.update(breaker, &point, now);
                    route
                }
                (None, None) => Route::new(breaker, now),
            };
            self.routes.insert(name, route);
        }
        let first = self.rows().first().map(|route| route.breaker.name.clone());
        let is_there = |name: &String| self.routes.contains_key(name);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = first;
            self.before_help = Page::Table;
            if self.page == Page::Detail {
                self.page = Page::Table;
            }
        }
        if !is_first {
            return self.refresh();
        }
        let rows = self.rows().into_iter().take(MAX_REMEMBERED);
        let names = rows.map(|route| route.breaker.name.clone());
        Some(Effect::Remember(names.collect()))
    }

    /// What there is to ask each second about the route that is shown.
    fn refresh(&self) -> Option<Effect> {
        let shown = self.selected().filter(|_| self.is_inspected())?;
        let upstream = shown.breaker.upstream.clone();
        let source = self.chosen();
        let is_any = upstream.is_some() || source.is_some();
        is_any.then_some(Effect::Refresh { upstream, source })
    }

    /// The route that is shown, and the source of it that was chosen.
    fn chosen(&self) -> Option<(String, String)> {
        let switched = self.switched.as_ref().filter(|_| self.is_inspected())?;
        let name = self.selected()?.breaker.name.clone();
        Some((name, switched.source.clone()))
    }

    /// Whether the selected route has several sources.
    pub(super) fn can_switch(&self) -> bool {
        let sources = |route: &Route| route.breaker.sources.len();
        self.selected().map_or(0, sources) > 1
    }

    /// Shows the numbers of the next source; after the last, of the one that explains the breaker.
    pub(super) fn switch_source(&mut self) -> Option<Effect> {
        if !self.can_switch() {
            return None;
        }
        let sources = &self.selected()?.breaker.sources;
        let shown = self.switched.as_ref().map(|switched| &switched.source);
        let at = shown.and_then(|shown| sources.iter().position(|one| one.source == *shown));
        let next = match (shown, at) {
            (None, _) => sources.first(),
            (Some(_), at) => at.and_then(|at| sources.get(at + 1)),
        };
        self.switched = next.map(|next| Switched {
            source: next.source.clone(),
            recent: VecDeque::new(),
        });
        let (name, source) = self.chosen()?;
        Some(Effect::Source(name, source))
    }

    /// Why the last reload was refused, if it was.
    pub(super) fn refused(&self) -> Option<&str> {
        let refused = self.status.as_ref()?.configuration.error.as_ref()?;
        Some(&refused.detail)
    }

    fn happened(&mut self, event: Event) {
        let is_of_it = self.selected().is_some_and(|route| {
            let Breaker { name, upstream, .. } = &route.breaker;
            event.concerns(name, upstream.as_deref())
        });
        if self.is_inspected() && is_of_it {
            self.events.push(event);
        }
    }

    /// The routes that are shown, in their order.
    pub(super) fn rows(&self) -> Vec<&Route> {
        let filter = self.filter.to_lowercase();
        let routes = self.routes.values();
        let shown = routes.filter(|route| route.breaker.name.to_lowercase().contains(&filter));
        let mut rows: Vec<_> = shown.map(|route| (route.key(), route)).collect();
        rows.sort_by(|(a, _), (b, _)| self.sort.compare(a, b));
        rows.into_iter().map(|(_, route)| route).collect()
    }

    /// The route that the keys are about.
    pub(super) fn selected(&self) -> Option<&Route> {
        self.routes.get(self.selected.as_ref()?)
    }

    fn is_selected(&self, name: &str) -> bool {
        self.selected.as_deref() == Some(name)
    }

    /// Whether all about the selected route is shown, or will be after help.
    fn is_inspected(&self) -> bool {
        match self.page {
            Page::Help => self.before_help == Page::Detail,
            page => page == Page::Detail,
        }
    }

    /// Moves the selection by so many rows.
    pub(super) fn step(&mut self, rows: isize) {
        let shown = self.rows();
        let at = shown
            .iter()
            .position(|route| self.is_selected(&route.breaker.name))
            .unwrap_or(0);
        let last = shown.len().saturating_sub(1);
        let at = at.saturating_add_signed(rows).min(last);
        self.selected = shown.get(at).map(|route| route.breaker.name.clone());
    }

    /// Shows all about the selected route.
    pub(super) fn inspect(&mut self) -> Option<Effect> {
        let name = self.selected()?.breaker.name.clone();
        self.page = Page::Detail;
        self.events.clear();
        self.switched = None;
        self.upstream = None;
        Some(Effect::Inspect(name))
    }
}

/// Of how many routes the minutes before the start are asked for: more than a screen shows at once.
const MAX_REMEMBERED: usize = 60;
