//! Words for errors that say that the caller gave up: the one list of them. `docs/feeds.md` has it
//! for users.

/// Whether a type of error says that the caller went away.
pub(super) fn is_caller_gone(error: &str) -> bool {
    is_one_of(error, &CALLER_GONE)
}

/// Whether a type of error says that a deadline passed that the caller chose.
pub(super) fn is_callers_deadline(error: &str) -> bool {
    is_one_of(error, &CALLERS_DEADLINE)
}

/// Languages put the name of a package before a word, each with a sign of its own, and write it as
/// they like.
fn is_one_of(error: &str, words: &[&str]) -> bool {
    let word = error.rsplit(['.', ':', '$', '/']).next();
    word.is_some_and(|word| {
        let mut words = words.iter();
        words.any(|known| known.eq_ignore_ascii_case(word.trim()))
    })
}

/// Values of `error.type` for a caller that went away, without the name of their package.
///
/// `AbortError` (JavaScript) and `TaskCanceledException` (.NET) are also used for a time-out of the
/// caller's own. That is a deadline that the caller chose, so it is no evidence about the service
/// either.
pub const CALLER_GONE: [&str; 15] = [
    "canceled",
    "cancelled",
    "context canceled",
    "CancelledError",
    "CanceledError",
    "CancellationException",
    "JobCancellationException",
    "OperationCanceledException",
    "TaskCanceledException",
    "AbortError",
    "ABORT_ERR",
    "ERR_CANCELED",
    "ClientDisconnect",
    "ClientDisconnected",
    "ClientAbortException",
];

/// Values of `error.type` for a deadline of the caller that passed. `timeout` is not among them:
/// failed connections have it too.
pub const CALLERS_DEADLINE: [&str; 4] = [
    "deadline_exceeded",
    "DeadlineExceeded",
    "context deadline exceeded",
    "deadlineExceededError",
];
