//! Waiting for something to become true, and no longer.

/// Waits until a condition holds, asking every 10 ms; fails the test after
/// [`PATIENCE`](crate::PATIENCE).
///
/// The condition may `.await`. Arguments after it are the message of the failure, evaluated then.
#[macro_export]
macro_rules! eventually {
    ($condition:expr $(,)?) => {
        $crate::eventually!($condition, "{}", stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {{
        let deadline = ::tokio::time::Instant::now() + $crate::PATIENCE;
        while !$condition {
            assert!(
                ::tokio::time::Instant::now() < deadline,
                "not within {:?}: {}",
                $crate::PATIENCE,
                format!($($message)+)
            );
            ::tokio::time::sleep(::std::time::Duration::from_millis(10)).await;
        }
    }};
}
