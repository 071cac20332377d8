//! The protobuf wire format: one field after the other, borrowed from the message.
//!
//! prost has this too, but only over `impl Buf` and only to fill a tree; reading in place needs the
//! borrowed bytes.

/// Why bytes are not an OTLP message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Groups are nested more than 100 deep.
    #[error("groups lie in each other more than {MAX_DEPTH} deep")]
    Depth,
    /// The length of a packed field of fixed-size numbers is not a multiple of their size.
    #[error("a packed field ends in the middle of a number")]
    Packed,
    /// A tag has no field number, or its wire type does not exist or is not allowed there.
    #[error("invalid field tag")]
    Tag,
    /// The bytes end in the middle of a field.
    #[error("the message ends in the middle of a field")]
    Truncated,
    /// A varint does not fit into 64 bits.
    #[error("a varint does not fit into 64 bits")]
    Varint,
    /// A known field has the wrong wire type.
    #[error("a field does not have the wire type of its kind")]
    WireType,
}

/// The payload of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    /// A text, bytes, an embedded message or packed numbers.
    Bytes(&'a [u8]),
    /// No field that is read here has either of them.
    Fixed32OrGroup,
}

impl<'a> Payload<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WireType),
        }
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed::WireType),
        }
    }

    pub(crate) fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(Malformed::WireType),
        }
    }

    pub(crate) fn double(self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }

    /// An enum or `int32`: what does not fit is cut off, as protobuf says.
    pub(crate) fn int32(self) -> Result<i32, Malformed> {
        self.varint().map(|value| value as i32)
    }

    /// A `sint32`, zigzag encoded.
    pub(crate) fn sint32(self) -> Result<i32, Malformed> {
        let value = self.varint()? as u32;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }
}

/// The fields of one message, in the order in which they were sent. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// How many bytes are left.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    // Out of line, moving what this returns through memory is a third of the time that a span
    // takes.
    #[inline(always)]
    fn read(&mut self) -> Result<(u32, Payload<'a>), Malformed> {
        let (number, wire_type) = take_tag(&mut self.rest)?;
        let payload = match wire_type {
            VARINT => Payload::Varint(take_varint(&mut self.rest)?),
            FIXED64 => Payload::Fixed64(take_fixed64(&mut self.rest)?),
            BYTES => Payload::Bytes(take_bytes(&mut self.rest)?),
            _ => {
                skip(&mut self.rest, number, wire_type, 0)?;
                Payload::Fixed32OrGroup
            }
        };
        Ok((number, payload))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[inline(always)]
pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    // Nearly all tags, lengths and enums are one byte.
    if let Some((&first, after)) = rest.split_first()
        && first < 0x80
    {
        *rest = after;
        return Ok(u64::from(first));
    }
    take_long_varint(rest)
}

#[inline(never)]
fn take_long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for (at, &byte) in rest.iter().enumerate().take(MAX_VARINT) {
        // The tenth byte has room for the topmost bit only.
        if at == MAX_VARINT - 1 && byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err(Malformed::Truncated)
}

#[inline(always)]
pub(crate) fn take_fixed64(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let (bytes, after) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

#[inline(always)]
fn take_tag(rest: &mut &[u8]) -> Result<(u32, u32), Malformed> {
    let tag = u32::try_from(take_varint(rest)?).map_err(|_| Malformed::Tag)?;
    match tag >> 3 {
        0 => Err(Malformed::Tag),
        number => Ok((number, tag & 7)),
    }
}

#[inline(always)]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(take_varint(rest)?).map_err(|_| Malformed::Truncated)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *rest = after;
    Ok(bytes)
}

/// Skips a payload of any wire type, groups with all that is in them.
#[cold]
fn skip(rest: &mut &[u8], number: u32, wire_type: u32, depth: u32) -> Result<(), Malformed> {
    match wire_type {
        VARINT => take_varint(rest).map(drop),
        FIXED64 => take_fixed64(rest).map(drop),
        BYTES => take_bytes(rest).map(drop),
        GROUP if depth == MAX_DEPTH => Err(Malformed::Depth),
        GROUP => loop {
            let (inner, wire_type) = take_tag(rest)?;
            if wire_type == GROUP_END {
                return if inner == number {
                    Ok(())
                } else {
                    Err(Malformed::Tag)
                };
            }
            skip(rest, inner, wire_type, depth + 1)?;
        },
        FIXED32 => {
            *rest = rest.get(4..).ok_or(Malformed::Truncated)?;
            Ok(())
        }
        _ => Err(Malformed::Tag),
    }
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// The bytes of the longest varint.
const MAX_VARINT: usize = 10;
/// How deep groups may lie in each other: prost's limit. Nothing else is read recursively.
const MAX_DEPTH: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Result<Vec<(u32, Payload<'_>)>, Malformed> {
        Fields::new(message).collect()
    }

    #[test]
    fn every_wire_type_is_told_apart() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed64
            0x1a, 2, b'h', b'i', // 3: bytes
            0x25, 1, 2, 3, 4, // 4: fixed32
            0x2b, 0x33, 0x34, 0x08, 1, 0x2c, // 5: a group with a group and a number
        ];
        let expected = vec![
            (1, Payload::Varint(150)),
            (2, Payload::Fixed64(1)),
            (3, Payload::Bytes(b"hi")),
            (4, Payload::Fixed32OrGroup),
            (5, Payload::Fixed32OrGroup),
        ];
        assert_eq!(fields(&message), Ok(expected));
    }

    #[test]
    fn every_prefix_of_a_message_ends_or_is_truncated() {
        let message = [0x08, 0x96, 0x01, 0x1a, 2, b'h', b'i', 0x2b, 0x08, 1, 0x2c];
        for length in 0..message.len() {
            let read = fields(&message[..length]);
            let whole = [0, 3, 7].contains(&length);
            assert_eq!(read.is_ok(), whole, "{length}");
            assert!(whole || read == Err(Malformed::Truncated), "{length}");
        }
    }

    #[test]
    fn varints_have_at_most_ten_bytes_and_64_bits() {
        let longest = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(fields(&longest), Ok(vec![(1, Payload::Varint(u64::MAX))]));
        let too_big = [&[0x08][..], &[0xff; 9], &[0x02]].concat();
        assert_eq!(fields(&too_big), Err(Malformed::Varint));
        let eleven = [&[0x08][..], &[0x80; 10], &[0x00]].concat();
        assert_eq!(fields(&eleven), Err(Malformed::Varint));
    }

    #[test]
    fn lengths_beyond_the_message_and_beyond_memory_are_truncated() {
        assert_eq!(fields(&[0x0a, 2, 0]), Err(Malformed::Truncated));
        let huge = [&[0x0a][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(fields(&huge), Err(Malformed::Truncated));
    }

    #[test]
    fn tags_without_number_type_or_group_are_refused() {
        for tag in [0x00, 0x02, 0x0e, 0x0f, 0x0c] {
            assert_eq!(fields(&[tag, 0]), Err(Malformed::Tag), "{tag}");
        }
        let beyond_32_bits = [0x80, 0x80, 0x80, 0x80, 0x10, 0];
        assert_eq!(fields(&beyond_32_bits), Err(Malformed::Tag));
        let other_end = [0x0b, 0x14];
        assert_eq!(fields(&other_end), Err(Malformed::Tag));
    }

    #[test]
    fn groups_in_groups_are_bounded() {
        let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        assert!(fields(&nested(100)).is_ok());
        assert_eq!(fields(&nested(101)), Err(Malformed::Depth));
        assert_eq!(fields(&nested(1_000_000)), Err(Malformed::Depth));
    }

    #[test]
    fn zigzag_numbers_are_read() {
        for (encoded, number) in [(0, 0), (1, -1), (2, 1), (4_294_967_295, i32::MIN)] {
            assert_eq!(Payload::Varint(encoded).sint32(), Ok(number));
        }
    }
}
