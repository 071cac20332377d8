//! What is known of an admitted request until it ends. Its memory is used again for another one.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use breaker_core::{Permit, Policy, State, Timestamp, TraceId};
use http::StatusCode;

use crate::classify::Classified;
use crate::deadline::CallerDeadline;

thread_local! {
    /// Of requests that ended on this thread. Not of one breaker: of many that have few requests,
    /// each would keep its own.
    #[expect(clippy::vec_box, reason = "the boxes come and go as they are")]
    static SPARE: RefCell<Vec<Box<Flight>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(crate) struct Flight {
    /// Under which the request was admitted.
    pub(crate) policy: Arc<Policy>,
    pub(crate) permit: Held,
    /// The latency to the head of the response, once that has come.
    pub(crate) head_latency: Option<Duration>,
    /// When a good head came, while nothing after it was waited for: nobody knows that the rest
    /// came later.
    pub(crate) whole_at: Option<Timestamp>,
    pub(crate) reader: Reader,
    pub(crate) trace: Option<TraceId>,
    /// The breaker's when it was admitted.
    pub(crate) state: State,
    pub(crate) answer: KnownAnswer,
}

/// What is known of the answer to a request.
#[derive(Debug, Default)]
pub(crate) struct KnownAnswer {
    /// Until when the caller waits for it.
    pub(crate) deadline: CallerDeadline,
    /// It is all head: nobody will read its body to the end.
    pub(crate) is_bodiless: bool,
    pub(crate) status: Option<StatusCode>,
    /// What the head has told, once it has come.
    pub(crate) head: Option<Classified>,
    /// The breaker knows that it has well begun.
    pub(crate) has_begun: bool,
}

/// Whether the caller reads its answer.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Whether that matters to the policy.
    pub(crate) is_observed: bool,
    /// Whether the caller is waited for, to take what has come.
    pub(crate) is_paused: bool,
    /// For how long the upstream was waited for, before the caller last paused reading.
    pub(crate) spent: Duration,
    /// When the upstream's time began first, if the caller ever paused.
    pub(crate) began: Option<Timestamp>,
}

/// Where the permit is: with the request, or with the upload of its body too.
#[derive(Debug)]
pub(crate) enum Held {
    Alone(Option<Permit>),
    WithUpload(Arc<Mutex<Option<Permit>>>),
}

// === impl Flight ===

impl Flight {
    /// A request that was admitted just now.
    pub(super) fn begin(permit: Permit, policy: &Arc<Policy>, state: State) -> Box<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let Some(mut flight) = spare.ok().flatten() else {
            return Box::new(Self::new(permit, policy.clone(), state));
        };
        // Mostly it is the same, and other threads count its references too.
        if !Arc::ptr_eq(&flight.policy, policy) {
            flight.policy = policy.clone();
        }
        flight.permit = Held::Alone(Some(permit));
        flight.head_latency = None;
        flight.whole_at = None;
        flight.reader = Reader::new(policy);
        flight.trace = None;
        flight.state = state;
        flight.answer = KnownAnswer::default();
        flight
    }

    /// It has ended: its memory is for the next one.
    pub(super) fn give_back(mut self: Box<Self>) {
        self.permit = Held::Alone(None);
        // An error says that the thread ends.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(self);
            }
        });
    }

    fn new(permit: Permit, policy: Arc<Policy>, state: State) -> Self {
        Self {
            reader: Reader::new(&policy),
            policy,
            permit: Held::Alone(Some(permit)),
            head_latency: None,
            whole_at: None,
            trace: None,
            state,
            answer: KnownAnswer::default(),
        }
    }
}

// === impl Reader ===

impl Reader {
    fn new(policy: &Policy) -> Self {
        Self {
            is_observed: policy.observes_readers(),
            is_paused: false,
            spent: Duration::ZERO,
            began: None,
        }
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn with<T>(&mut self, act: impl FnOnce(&mut Permit) -> T) -> Option<T> {
        match self {
            Self::Alone(permit) => permit.as_mut().map(act),
            Self::WithUpload(permit) => permit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
                .map(act),
        }
    }

    pub(super) fn take(&mut self) -> Option<Permit> {
        match self {
            Self::Alone(permit) => permit.take(),
            Self::WithUpload(permit) => {
                permit.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
        }
    }
}

/// With more in flight than this on a thread, requests allocate. It is some 16 KiB.
const MAX_SPARE: usize = 64;
