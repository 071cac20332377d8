//! Which points belong to one series.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{Attributes, HistogramPoint, Raw, Temporality};

/// The resource that points belong to, or the scope in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScopeId(u128);

/// The key of the hashes. It is random, so that no sender can make two series look like one; and
/// with 128 bits, chance can't either.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    empty: SipHasher13,
}

impl Identity {
    pub(super) fn random() -> Self {
        // The standard library's source of random keys for hashing.
        let random = RandomState::new();
        Self {
            empty: SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)),
        }
    }

    pub(super) fn resource(&self, resource: Attributes<'_>) -> ScopeId {
        ScopeId(self.attributes(resource))
    }

    pub(super) fn scope(&self, resource: ScopeId, name: &str, version: &str) -> ScopeId {
        let mut hasher = self.empty;
        hasher.write_u128(resource.0);
        write(&mut hasher, name.as_bytes());
        write(&mut hasher, version.as_bytes());
        ScopeId(hasher.finish128().as_u128())
    }

    /// The start of a cumulative point belongs to its series: so a restart is a series of its own,
    /// and two processes that say they are one are told apart instead of looking like a restart
    /// with every point.
    pub(super) fn series(&self, origin: ScopeId, point: &HistogramPoint<'_>) -> u128 {
        let mut hasher = self.empty;
        hasher.write_u128(origin.0);
        hasher.write_u128(self.attributes(point.attributes));
        write(&mut hasher, point.name.as_bytes());
        write(&mut hasher, point.unit.as_bytes());
        match point.temporality {
            Temporality::Cumulative => {
                hasher.write_u8(1);
                hasher.write_u64(point.start);
            }
            Temporality::Delta | Temporality::Unspecified => hasher.write_u8(0),
        }
        hasher.finish128().as_u128()
    }

    pub(super) fn bounds(&self, bounds: impl Iterator<Item = f64>) -> u128 {
        let mut hasher = self.empty;
        bounds.for_each(|bound| hasher.write_u64(bound.to_bits()));
        hasher.finish128().as_u128()
    }

    /// A sum does not depend on the order, in which SDKs need not be consistent.
    fn attributes(&self, attributes: Attributes<'_>) -> u128 {
        attributes
            .raw()
            .map(|(name, value)| self.attribute(name, value))
            .fold(0, u128::wrapping_add)
    }

    fn attribute(&self, name: &[u8], value: Raw<'_>) -> u128 {
        let mut hasher = self.empty;
        write(&mut hasher, name);
        match value {
            Raw::Nothing => hasher.write_u8(0),
            Raw::Str(text) => {
                hasher.write_u8(1);
                hasher.write(text);
            }
            Raw::Bool(value) => hasher.write(&[2, u8::from(value)]),
            Raw::Int(value) => {
                hasher.write_u8(3);
                hasher.write_i64(value);
            }
            Raw::Double(value) => {
                hasher.write_u8(4);
                hasher.write_u64(value.to_bits());
            }
            Raw::Nested(field, bytes) => {
                hasher.write_u32(field);
                hasher.write(bytes);
            }
        }
        hasher.finish128().as_u128()
    }
}

/// Writes the length too, so that what follows can't be taken for more of this.
fn write(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}
