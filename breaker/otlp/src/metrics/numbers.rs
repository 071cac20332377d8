//! Repeated numbers, read in place: packed into one field, as everybody sends them, or a field
//! each.

use crate::wire::{Fields, Malformed, Payload, take_fixed64, take_varint};

/// How many samples lie in each of a histogram's buckets.
#[derive(Clone, Copy, Debug)]
pub struct BucketCounts<'a>(Repeated<'a>);

impl<'a> BucketCounts<'a> {
    /// The count of each bucket, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        // Points are handed out only after their numbers have been read once without an error.
        self.0.iter().map_while(Result::ok)
    }

    pub(super) const fn fixed(message: &'a [u8], field: u32) -> Self {
        Self(Repeated::new(message, field, Encoding::Fixed64))
    }

    pub(super) const fn varint(message: &'a [u8], field: u32) -> Self {
        Self(Repeated::new(message, field, Encoding::Varint))
    }

    pub(super) fn try_iter(&self) -> impl Iterator<Item = Result<u64, Malformed>> + use<'a> {
        self.0.iter()
    }
}

/// The bounds between a histogram's explicit buckets, finite and ascending, in the metric's unit.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a>(Repeated<'a>);

impl<'a> Bounds<'a> {
    /// Each bound, ascending.
    pub fn iter(&self) -> impl Iterator<Item = f64> + use<'a> {
        self.try_iter().map_while(Result::ok)
    }

    pub(super) const fn new(message: &'a [u8], field: u32) -> Self {
        Self(Repeated::new(message, field, Encoding::Fixed64))
    }

    pub(super) fn try_iter(&self) -> impl Iterator<Item = Result<f64, Malformed>> + use<'a> {
        self.0.iter().map(|bits| bits.map(f64::from_bits))
    }
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    Fixed64,
    Varint,
}

#[derive(Clone, Copy, Debug)]
struct Repeated<'a> {
    message: &'a [u8],
    field: u32,
    encoding: Encoding,
}

impl<'a> Repeated<'a> {
    const fn new(message: &'a [u8], field: u32, encoding: Encoding) -> Self {
        Self {
            message,
            field,
            encoding,
        }
    }

    const fn iter(&self) -> Iter<'a> {
        Iter {
            fields: Fields::new(self.message),
            packed: &[],
            wanted: self.field,
            encoding: self.encoding,
        }
    }
}

struct Iter<'a> {
    fields: Fields<'a>,
    packed: &'a [u8],
    wanted: u32,
    encoding: Encoding,
}

impl Iter<'_> {
    fn take_packed(&mut self) -> Result<u64, Malformed> {
        let taken = match self.encoding {
            Encoding::Fixed64 => take_fixed64(&mut self.packed),
            Encoding::Varint => take_varint(&mut self.packed),
        };
        taken.map_err(|malformed| match malformed {
            Malformed::Truncated => Malformed::Packed,
            other => other,
        })
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<u64, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.packed.is_empty() {
                let taken = self.take_packed();
                if taken.is_err() {
                    (self.packed, self.fields) = (&[], Fields::new(&[]));
                }
                return Some(taken);
            }
            match self.fields.next()? {
                Ok((number, _)) if number != self.wanted => {}
                Ok((_, Payload::Bytes(packed))) => self.packed = packed,
                Ok((_, alone)) => {
                    return Some(match self.encoding {
                        Encoding::Fixed64 => alone.fixed64(),
                        Encoding::Varint => alone.varint(),
                    });
                }
                Err(malformed) => return Some(Err(malformed)),
            }
        }
    }
}
