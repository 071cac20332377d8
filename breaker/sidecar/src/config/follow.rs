//! `follow`: another Breaker, and which routes do as its breakers do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use breaker_tower::breaker_core::fleet::Judge;
use breaker_tower::breaker_core::{InvalidField, InvalidValue};
use http::Uri;

use super::fleet::FleetRoutes;
use super::problem::Problems;
use super::raw::RawFollow;
use super::route::Route;
use super::tls::{self, Known};
use super::token::Token;
use crate::hosts;
use crate::ingest::loops_back;
use crate::tls::Client;

/// Another Breaker that this one follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Follow {
    brain: Uri,
    tls: Option<Client>,
    token_file: Option<PathBuf>,
    routes: FleetRoutes,
}

/// What the rest of the file has to do with it.
pub(super) struct Context<'a> {
    pub(super) secrets: Known<'a>,
    /// The routes that break no rule of their own.
    pub(super) routes: &'a [(usize, Route)],
    pub(super) admin: Option<SocketAddr>,
    pub(super) is_in_fleet: bool,
}

pub(super) fn build(raw: &RawFollow, context: &Context<'_>) -> Result<Follow, Problems> {
    let mut problems = Problems::default();
    if !cfg!(feature = "fleet") {
        let rule = "needs a build with the feature fleet, which this one has not";
        return Err(InvalidField::new("", rule).into());
    }
    if context.is_in_fleet {
        let rule = "must not be there together with fleet: a breaker follows one of them";
        problems.add(InvalidField::new("", rule));
    }
    let brain = brain(&raw.brain).map_err(|rule| InvalidField::new("brain", rule));
    let brain = problems.check(brain);
    let is_secure = brain.as_ref().and_then(Uri::scheme_str) == Some("https");
    if let Some(brain) = &brain {
        let own = context.admin.filter(|admin| admin.port() != 0);
        if own.is_some_and(|own| loops_back(&[own], brain)) {
            let rule = "must not be the admin port of this sidecar itself";
            problems.add(InvalidField::new("brain", rule));
        } else if !(is_secure || is_local(brain) || raw.allow_remote) {
            let rule = "must be on a loopback address, or have TLS (https://): whoever can answer \
                        in its place can open breakers; allow_remote: true beside it allows that";
            problems.add(InvalidField::new("brain", rule));
        }
        if raw.tls.is_some() && !is_secure {
            problems.add(InvalidField::new("tls", "needs a brain with https://"));
        }
    }
    let tls = is_secure.then(|| {
        let tls = tls::client(raw.tls.as_ref(), context.secrets);
        tls.map_err(|broken| broken.within("tls"))
    });
    let tls = problems.keep(tls.transpose());
    let token_file = raw.token_file.as_ref();
    let token_file = token_file.map(|file| context.secrets.folder.join(file));
    if let Some(file) = &token_file {
        let token = Token::read(file).map_err(|rule| InvalidField::new("token_file", rule));
        problems.check(token.map_err(Problems::from));
        if brain
            .as_ref()
            .is_some_and(|brain| !(is_secure || is_local(brain)))
        {
            let rule = "needs a brain with https://, or on a loopback address: anyone on the way \
                        could read the token";
            problems.add(InvalidField::new("token_file", rule));
        }
    }
    let routes = FleetRoutes::build(raw.routes.as_ref(), context.routes);
    let routes = problems.check(routes);
    for (_, route) in context.routes {
        let mut feeds = route.feeds().iter();
        if let Some(feed) = feeds.find(|feed| &**feed.name() == Judge::Brain.name()) {
            let rule = format!(
                "must not be there together with a feed that is called {} (of route {}): the \
                 brain is a source of this name",
                feed.name(),
                route.name()
            );
            problems.add(InvalidField::new("", rule));
        }
    }
    problems.finish()?;
    let (Some(brain), Some(routes)) = (brain, routes) else {
        return Err(Problems::default());
    };
    Ok(Follow {
        brain,
        tls,
        token_file,
        routes,
    })
}

fn brain(text: &str) -> Result<Uri, InvalidValue> {
    let rule = || InvalidValue::from(URL_RULE);
    let url: Uri = text.parse().map_err(|_error| rule())?;
    let authority = url.authority().ok_or_else(rule)?;
    let is_good = matches!(url.scheme_str(), Some("http" | "https"))
        && url.path() == "/"
        && url.query().is_none()
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && (authority.port().is_none() || authority.port_u16().is_some_and(|port| port != 0));
    if is_good { Ok(url) } else { Err(rule()) }
}

fn is_local(url: &Uri) -> bool {
    hosts::is_local(host(url))
}

/// The host of a URL, without the brackets of IPv6.
fn host(url: &Uri) -> &str {
    hosts::plain(url.host().unwrap_or_default())
}

#[cfg_attr(
    not(feature = "fleet"),
    expect(dead_code, reason = "who follows nobody")
)]
impl Follow {
    /// Where the brain is.
    pub(crate) const fn brain(&self) -> &Uri {
        &self.brain
    }

    pub(crate) fn host(&self) -> &str {
        host(&self.brain)
    }

    /// How it is spoken to, if that is by TLS.
    pub(crate) const fn tls(&self) -> Option<&Client> {
        self.tls.as_ref()
    }

    /// The file of the token that is sent along.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// Whether the route with this name follows.
    pub(crate) fn has(&self, route: &str) -> bool {
        self.routes.has(route)
    }
}

const URL_RULE: &str =
    "must be a URL such as https://brain:9900 or http://127.0.0.1:9900, without a path";
