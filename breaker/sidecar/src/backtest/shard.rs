//! A part of a backtest: the routes whose names hash to it. Routes are independent, so parts can
//! run on different machines.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Part `part` of `of`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    part: u32,
    of: u32,
}

/// A text that does not name a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a part such as 3/8: 1 to {MOST} parts")]
pub struct BadShard;

impl Shard {
    /// Which part it is, from 1.
    pub const fn part(self) -> u32 {
        self.part
    }

    /// How many parts there are.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Whether the route called `name` is in it.
    pub(super) fn has(self, name: &str) -> bool {
        let mut hasher = SipHasher13::new();
        name.hash(&mut hasher);
        hasher.finish() % u64::from(self.of) == u64::from(self.part - 1)
    }

    /// Whether this part reports the lines without a route.
    pub(super) const fn is_first(self) -> bool {
        self.part == 1
    }
}

impl FromStr for Shard {
    type Err = BadShard;

    fn from_str(text: &str) -> Result<Self, BadShard> {
        let (part, of) = text.split_once('/').ok_or(BadShard)?;
        let part: u32 = part.parse().map_err(|_| BadShard)?;
        let of: u32 = of.parse().map_err(|_| BadShard)?;
        let is_good = (1..=of).contains(&part) && of <= MOST;
        is_good.then_some(Self { part, of }).ok_or(BadShard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_one_part() {
        let shards: Vec<Shard> = (1..=3)
            .map(|part| format!("{part}/3").parse().unwrap())
            .collect();
        let mut sizes = [0; 3];
        for route in 0..300 {
            let name = format!("route-{route}");
            let of: Vec<_> = shards.iter().filter(|shard| shard.has(&name)).collect();
            assert_eq!(of.len(), 1, "{name}");
            sizes[of[0].part() as usize - 1] += 1;
        }
        assert!(
            sizes.iter().all(|size| (70..=130).contains(size)),
            "{sizes:?}"
        );
        // The hash must be the same on every machine and in every version.
        assert!(shards[0].has("pay"));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for bad in [
            "", "3", "0/8", "9/8", "1/0", "-1/8", "a/b", "1/10001", "1/2/3",
        ] {
            assert_eq!(bad.parse::<Shard>(), Err(BadShard), "{bad}");
        }
        let shard: Shard = "10000/10000".parse().unwrap();
        assert_eq!(shard.to_string(), "10000/10000");
    }
}
