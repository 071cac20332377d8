//! Attributes as they are sent, for tests.

/// A value to send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent<'a> {
    Str(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    List,
}

/// The field that [`attributes`] are in.
pub(crate) const FIELD: u32 = 9;

/// A message with `attributes` in its field [`FIELD`], and another before them.
pub(crate) fn attributes(attributes: &[(&str, Sent<'_>)]) -> Vec<u8> {
    let mut message = field(1, b"other");
    for (name, value) in attributes {
        let key_value = [field(1, name.as_bytes()), field(2, &any_value(*value))].concat();
        message.extend(field(FIELD, &key_value));
    }
    message
}

fn any_value(value: Sent<'_>) -> Vec<u8> {
    match value {
        Sent::Str(text) => field(1, text.as_bytes()),
        Sent::Bool(value) => vec![2 << 3, value.into()],
        Sent::Int(number) => [vec![3 << 3], varint(number.cast_unsigned())].concat(),
        Sent::Double(number) => [&[4 << 3 | 1][..], &number.to_le_bytes()].concat(),
        Sent::List => field(5, b""),
    }
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let length = varint(content.len() as u64);
    [varint(u64::from(number << 3 | 2)), length, content.to_vec()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
