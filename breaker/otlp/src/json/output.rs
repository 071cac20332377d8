//! What is written of a request: fields in protobuf, and items that are taken back.

use serde::de::Error;

use super::MAX_MESSAGE;
use super::schema::Field;

/// What is written, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// In how many items the parser is.
    pub(super) items: usize,
    /// The innermost item has a value that can't be.
    pub(super) broken: bool,
    pub(super) invalid: u64,
    pub(super) complaint: String,
}

impl Output {
    /// A value can't be: its item will be left out. Fails where the value is in no item, so that
    /// nothing would be left.
    pub(super) fn complain<E: Error>(&mut self, complaint: String) -> Result<(), E> {
        if self.items == 0 {
            return Err(E::custom(complaint));
        }
        self.broken = true;
        if self.complaint.is_empty() {
            self.complaint = complaint;
        }
        Ok(())
    }

    /// Writes an item, and takes it back if it turns out to be invalid.
    pub(super) fn item<T, E>(
        &mut self,
        of: &Field,
        write: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let (start, outer) = (self.bytes.len(), std::mem::take(&mut self.broken));
        self.items += 1;
        let written = write(self)?;
        self.items -= 1;
        if std::mem::replace(&mut self.broken, outer) {
            self.bytes.truncate(start);
            // What lost an attribute, or an element of one, is not lost.
            self.invalid += u64::from(!matches!(of.name, "attributes" | "values"));
        }
        Ok(written)
    }
}

/// Writes an embedded message or packed numbers after their tag and length. The length takes four
/// bytes whatever it is, which protobuf allows, so that nothing that was written has to move.
pub(super) fn put_embedded<E: Error>(
    field: &Field,
    out: &mut Output,
    write: impl FnOnce(&mut Output) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(&mut out.bytes, field, BYTES);
    let start = out.bytes.len() + LENGTH;
    out.bytes.resize(start, 0);
    write(out)?;
    check_size(out)?;
    let length = out.bytes.len() - start;
    let place = &mut out.bytes[start - LENGTH..start];
    for (at, byte) in place.iter_mut().enumerate() {
        let more = if at + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (length >> (7 * at) & 0x7f) as u8 | more;
    }
    Ok(())
}

pub(super) fn put_tag(out: &mut Vec<u8>, field: &Field, wire_type: u32) {
    put_varint(out, u64::from(field.number << 3 | wire_type));
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn check_size<E: Error>(out: &Output) -> Result<(), E> {
    if out.bytes.len() > MAX_MESSAGE {
        return Err(E::custom("the request has more than 64 MiB as protobuf"));
    }
    Ok(())
}

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const BYTES: u32 = 2;
/// The bytes of a length: 28 bits, more than [`MAX_MESSAGE`] needs.
const LENGTH: usize = 4;
