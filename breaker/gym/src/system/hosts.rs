//! A balancer that leaves out some endpoints.

use super::{Arrival, State};

/// The endpoint for `arrival` among those that are available, each with the same probability;
/// `None` if none is.
pub(super) fn choose(arrival: &Arrival, available: impl Fn(u8) -> bool) -> Option<u8> {
    let favourite = arrival.endpoint();
    if available(favourite) {
        return Some(favourite);
    }
    let count = (0..arrival.endpoints)
        .filter(|endpoint| available(*endpoint))
        .count() as u32;
    // The favourite was chosen by the remainder: what is left of the number chooses the second.
    let second = (arrival.pick / u32::from(arrival.endpoints)).checked_rem(count)?;
    (0..arrival.endpoints)
        .filter(|endpoint| available(*endpoint))
        .nth(second as usize)
}

/// The state of a system of which so many of its endpoints are ejected.
pub(super) const fn state(ejected: usize, endpoints: usize) -> State {
    match ejected {
        0 => State::Closed,
        _ if ejected == endpoints => State::Open,
        _ => State::Shedding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_an_ejected_endpoint_is_spread_over_the_others() {
        let mut counts = [0; 5];
        for pick in 0..1000 {
            let arrival = Arrival {
                now: 0,
                pick,
                endpoints: 5,
                retry: false,
            };
            let endpoint = choose(&arrival, |endpoint| endpoint != 2).unwrap();
            counts[usize::from(endpoint)] += 1;
        }
        assert_eq!(counts, [250, 250, 0, 250, 250]);
        let arrival = Arrival {
            now: 0,
            pick: 3,
            endpoints: 5,
            retry: false,
        };
        assert_eq!(choose(&arrival, |_| false), None);
    }
}
