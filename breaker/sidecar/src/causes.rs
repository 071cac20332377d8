//! An error and its causes.

use std::error::Error;
use std::iter;

/// An error, what caused it, and so on.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        error.source()
    })
}

/// An error with its causes in a line: the outermost alone often says only that something failed.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let all: Vec<_> = chain(error).map(ToString::to_string).collect();
    all.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn all_causes_are_told_and_found() {
        let error = Outer(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(in_full(&error), "no answer: connection refused");
        let found = chain(&error).find_map(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(found.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }
}
