//! Calls of anything that is a future: a query, a client of its own protocol.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;

use breaker_core::{Classification, Rejected};

use crate::classify::{Classify, Ending, HttpClassifier};
use crate::handle::{BreakerHandle, OnDrop};
use crate::observer::Watched;

/// Why [`BreakerHandle::call`] returns no value.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a call is not made, or it fails")]
pub enum CallError<E> {
    /// The breaker rejected the call: it was not made.
    Rejected(Rejected),
    /// The call failed.
    Failed(E),
}

impl BreakerHandle {
    /// Makes a call, unless the breaker rejects it. `Err` is a failure, except the rejection by
    /// another breaker (a [`Rejected`] or a [`BoxError`](crate::BoxError) caused by one). So is a
    /// panic. If the returned future is dropped, the caller went away. It asks the breaker when it
    /// is polled first.
    ///
    /// A timeout belongs into the call: outside of it, it is a caller that went away.
    ///
    /// ```
    /// use std::time::Duration;
    /// use breaker_tower::{BreakerHandle, CallError, Policy};
    /// use tokio::time::{error::Elapsed, timeout};
    ///
    /// # async fn query() -> u64 { 7 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let breaker = BreakerHandle::new("orders", Policy::sensitive());
    /// let rows = breaker.call(timeout(Duration::from_secs(2), query())).await;
    /// match rows {
    ///     Ok(rows) => assert_eq!(rows, 7),
    ///     Err(CallError::Rejected(rejected)) => println!("again in {:?}", rejected.retry_after),
    ///     Err(CallError::Failed(Elapsed { .. })) => println!("too slow"),
    /// }
    /// # }
    /// ```
    pub fn call<F, T, E>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T, CallError<E>>> + use<F, T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        let called = self.call_with(call, |result| match result {
            Ok(_) => Classification::Success.into(),
            Err(error) => HttpClassifier.error(error),
        });
        async move {
            match called.await {
                Ok(result) => result.map_err(CallError::Failed),
                Err(rejected) => Err(CallError::Rejected(rejected)),
            }
        }
    }

    /// [`Self::call`] of which `judge` says how it ended: by a
    /// [`Classification`](breaker_core::Classification) or an [`Ending`].
    ///
    /// ```
    /// use breaker_tower::breaker_core::Classification;
    /// use breaker_tower::{BreakerHandle, Policy};
    ///
    /// # enum QueryError { NotFound, Disconnected }
    /// # async fn query() -> Result<u64, QueryError> { Err(QueryError::NotFound) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let breaker = BreakerHandle::new("orders", Policy::sensitive());
    /// let rows = breaker
    ///     .call_with(query(), |rows| match rows {
    ///         Ok(_) | Err(QueryError::NotFound) => Classification::Success,
    ///         Err(QueryError::Disconnected) => Classification::Failure,
    ///     })
    ///     .await;
    /// assert!(matches!(rows, Ok(Err(QueryError::NotFound))));
    /// assert_eq!(breaker.snapshot().totals.success, 1);
    /// # }
    /// ```
    pub fn call_with<F, J, V>(
        &self,
        call: F,
        judge: J,
    ) -> impl Future<Output = Result<F::Output, Rejected>> + use<F, J, V>
    where
        F: Future,
        J: FnOnce(&F::Output) -> V,
        V: Into<Ending>,
    {
        let breaker = self.clone();
        async move {
            let mut request = Watched::new(breaker.into_in_flight(OnDrop::Ignored)?, ());
            let mut call = pin!(call);
            let output = poll_fn(|cx| request.failing_on_panic(|| call.as_mut().poll(cx))).await;
            request.end(judge(&output).into());
            Ok(output)
        }
    }
}

// === impl CallError ===

impl<E> CallError<E> {
    /// The rejection, if it is one.
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Failed(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(_) => f.write_str("the call was not made"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            Self::Failed(error) => error.source(),
        }
    }
}
