//! The header of an HTTP/2 frame, which may come in pieces.

/// RFC 9113, 4.1.
pub(crate) const HEADER: usize = 9;
/// RFC 9113, 6.5.
pub(crate) const SETTINGS: u8 = 4;
/// RFC 9113, 6.8.
pub(crate) const GOAWAY: u8 = 7;
/// A flag of SETTINGS: it only confirms ours.
pub(crate) const ACK: u8 = 1;

/// Copies what is missing of `buffer`, of which `filled` bytes are there; returns the bytes behind
/// it.
pub(crate) fn fill<'a>(buffer: &mut [u8], filled: &mut usize, bytes: &'a [u8]) -> &'a [u8] {
    let (taken, rest) = bytes.split_at((buffer.len() - *filled).min(bytes.len()));
    buffer[*filled..*filled + taken.len()].copy_from_slice(taken);
    *filled += taken.len();
    rest
}

/// The length of the payload that a frame's header tells.
pub(crate) const fn payload(header: [u8; HEADER]) -> usize {
    let [high, middle, low, ..] = header;
    u32::from_be_bytes([0, high, middle, low]) as usize
}
