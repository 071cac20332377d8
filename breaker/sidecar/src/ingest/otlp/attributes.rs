//! Attributes, read in place.

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// An array, a list of attributes, bytes, or nothing: no condition looks into them.
    Other,
}

/// The attributes of a resource, scope, span or point: the fields `field` of an encoded message, each a `KeyValue`.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    message: &'a [u8],
    field: u32,
}

impl<'a> Attributes<'a> {
    /// The attributes in the fields `field` of `message`.
    pub const fn new(message: &'a [u8], field: u32) -> Self {
        Self { message, field }
    }

    /// Name and value of each, in the order in which they were sent. An attribute that can't be read is left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        self.raw()
            .filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value.value())))
    }

    /// The value of the first attribute called `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Name and value of each before any text is looked at.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&'a [u8], Raw<'a>)> + use<'a> {
        let wanted = self.field;
        fields(self.message).filter_map(move |(field, content)| match content {
            Content::Bytes(bytes) if field == wanted => Some(key_value(bytes)),
            _ => None,
        })
    }
}

/// The value of an attribute as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(&'a [u8]);

enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, up to the first that can't be read.
fn fields<'a>(mut rest: &'a [u8]) -> impl Iterator<Item = (u32, Content<'a>)> + use<'a> {
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let field = u32::try_from(tag >> 3).ok()?;
        let content = match tag & 7 {
            0 => Content::Varint(varint(&mut rest)?),
            1 => Content::Fixed64(u64::from_le_bytes(*rest.split_off(..8)?.as_array()?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Content::Bytes(rest.split_off(..length)?)
            }
            5 => rest.split_off(..4).map(|_| Content::Fixed32)?,
            _ => return None,
        };
        Some((field, content))
    })
}

fn key_value(message: &[u8]) -> (&[u8], Raw<'_>) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for (field, content) in fields(message) {
        match (field, content) {
            (1, Content::Bytes(bytes)) => key = bytes,
            (2, Content::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, Raw(value))
}

impl<'a> Raw<'a> {
    pub(crate) fn value(self) -> Value<'a> {
        match fields(self.0).last() {
            Some((1, Content::Bytes(text))) => {
                str::from_utf8(text).map_or(Value::Other, Value::Str)
            }
            Some((2, Content::Varint(bit))) => Value::Bool(bit != 0),
            Some((3, Content::Varint(number))) => Value::Int(number.cast_signed()),
            Some((4, Content::Fixed64(bits))) => Value::Double(f64::from_bits(bits)),
            _ => Value::Other,
        }
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest.split_off_first()?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
