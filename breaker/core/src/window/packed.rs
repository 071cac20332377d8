//! A histogram at rest: what was recorded, two bytes a bucket instead of four for every bucket
//! there could be.
//!
//! Own code, because the serialisation of `hdrhistogram` brings nom, flate2 and base64 into a crate
//! of three dependencies, and a route with ten slices of live histograms would take 130 KiB instead
//! of under 64.

use super::values::Values;

/// The buckets of a histogram that are not empty, each as two LEB128 numbers: the distance from the
/// one before, and the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn of(values: &Values) -> Self {
        let mut bytes = Vec::new();
        let mut previous = 0;
        values.for_each_bucket(|value, count| {
            write_leb128(&mut bytes, value - previous);
            write_leb128(&mut bytes, count);
            previous = value;
        });
        Self(bytes.into_boxed_slice())
    }

    /// Tells the value of each bucket and how many it has, ascending.
    pub(super) fn for_each_bucket(&self, mut tell: impl FnMut(u64, u32)) {
        let mut bytes = &*self.0;
        let mut value = 0;
        while let (Some(distance), Some(count)) = (read_leb128(&mut bytes), read_leb128(&mut bytes))
        {
            value += distance;
            tell(value, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn write_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packing_loses_nothing(values in proptest::collection::vec(1_u64..3_600_000_000, 0..500)) {
            let (mut recorded, mut unpacked) = (Values::default(), Values::default());
            for value in values {
                recorded.record(value, 1);
            }
            Packed::of(&recorded).for_each_bucket(|value, count| unpacked.record(value, count));
            let buckets = |values: &Values| {
                let mut buckets = Vec::new();
                values.for_each_bucket(|value, count| buckets.push((value, count)));
                buckets
            };
            prop_assert_eq!(buckets(&recorded), buckets(&unpacked));
        }
    }
}
