//! What the type of an error tells of who caused it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::iter;

use breaker_core::Rejected;

/// The error type of middleware that adds its own errors.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The service did not answer within
/// [`BreakerLayer::timeout`](crate::BreakerLayer::timeout).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TimedOut;

/// Who caused an error, where it was not simply the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// A breaker further upstream.
    Rejected,
    /// The service, by not answering in time.
    TimedOut,
    /// A limit of this program.
    #[cfg(feature = "tower")]
    Overloaded,
    /// Who sends the request: it can't be sent.
    #[cfg(feature = "reqwest")]
    Unbuilt,
}

type Dyn<'a> = &'a (dyn Error + 'static);

/// The rejection that is `error`, or its cause.
pub fn rejection<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rejected> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Who caused an error of whatever type, as far as its type tells.
pub(crate) fn of(error: &dyn Any) -> Option<Blame> {
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return causes(&**error).find_map(of_cause);
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return causes(status).find_map(of_cause);
    }
    let own = error
        .downcast_ref::<Rejected>()
        .map(|error| error as Dyn<'_>);
    let own = own.or_else(|| error.downcast_ref::<TimedOut>().map(|error| error as _));
    let elapsed = || error.downcast_ref::<tokio::time::error::Elapsed>();
    own.or_else(|| elapsed().map(|error| error as _))
        .and_then(of_cause)
}

fn of_cause(error: Dyn<'_>) -> Option<Blame> {
    if error.is::<Rejected>() {
        return Some(Blame::Rejected);
    }
    if error.is::<TimedOut>() || error.is::<tokio::time::error::Elapsed>() {
        return Some(Blame::TimedOut);
    }
    #[cfg(feature = "tower")]
    if error.is::<tower::timeout::error::Elapsed>() {
        return Some(Blame::TimedOut);
    }
    #[cfg(feature = "tower")]
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Some(Blame::Overloaded);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return match error {
            error if error.is_timeout() => Some(Blame::TimedOut),
            error if error.is_builder() => Some(Blame::Unbuilt),
            _ => None,
        };
    }
    None
}

fn causes<'a>(error: Dyn<'a>) -> impl Iterator<Item = Dyn<'a>> {
    iter::successors(Some(error), |&error: &Dyn<'a>| error.source())
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service did not answer in time")
    }
}

impl Error for TimedOut {}
