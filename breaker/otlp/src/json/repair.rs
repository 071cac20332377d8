//! What senders take for JSON: made JSON, where its meaning is plain.
//!
//! * half of a surrogate pair, as `\ud83d` of a text that was cut, becomes U+FFFD, in names too;
//! * so do bytes that are no UTF-8;
//! * `NaN`, `Infinity` and `-Infinity`, which some encoders write bare, become the texts that
//!   protobuf's JSON has for them; so do numbers that are too large for any number, such as
//!   `1e999`.
//!
//! Anything else that is no JSON stays so.

/// The text as JSON; `None` where there is nothing to repair.
pub(super) fn repair(json: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(json);
    let mut repaired = text.len() != json.len() || text.as_bytes() != json;
    let text = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() + 16);
    let (mut rest, mut in_text) = (text, false);
    while let Some(&byte) = rest.first() {
        let taken = match byte {
            b'"' => {
                in_text = !in_text;
                1
            }
            b'\\' if in_text => match Escape::of(rest) {
                Escape::Lone => {
                    out.extend_from_slice(br"\ufffd");
                    rest = &rest[ESCAPE..];
                    repaired = true;
                    continue;
                }
                Escape::Other(length) => length.min(rest.len()),
            },
            b'-' | b'0'..=b'9' | b'N' | b'I' if !in_text => {
                let length = rest.iter().take_while(|byte| is_of_number(**byte)).count();
                let word = &rest[..length];
                if is_no_number(word) {
                    out.push(b'"');
                    out.extend_from_slice(word);
                    out.push(b'"');
                    rest = &rest[length..];
                    repaired = true;
                    continue;
                }
                length
            }
            _ => 1,
        };
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    repaired.then_some(out)
}

/// What begins with a backslash.
enum Escape {
    /// Half of a surrogate pair: `\uXXXX`.
    Lone,
    /// Anything else, of so many bytes.
    Other(usize),
}

impl Escape {
    fn of(text: &[u8]) -> Self {
        match code_unit(text) {
            Some(0xd800..=0xdbff) => match code_unit(&text[ESCAPE..]) {
                Some(0xdc00..=0xdfff) => Self::Other(2 * ESCAPE),
                _ => Self::Lone,
            },
            Some(0xdc00..=0xdfff) => Self::Lone,
            Some(_) => Self::Other(ESCAPE),
            // The byte after the backslash belongs to it: it may be a quotation mark.
            None => Self::Other(2),
        }
    }
}

/// The code unit of an escape that `text` begins with.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let all = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| all)?;
    u16::from_str_radix(digits, 16).ok()
}

const fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// A word for what is no number, or a number beyond all.
fn is_no_number(word: &[u8]) -> bool {
    match word {
        b"NaN" | b"Infinity" | b"-Infinity" => true,
        [b'N' | b'I', ..] | [b'-', b'I' | b'i', ..] => false,
        _ => str::from_utf8(word)
            .ok()
            .and_then(|word| word.parse::<f64>().ok())
            .is_some_and(f64::is_infinite),
    }
}

/// The bytes of `\uXXXX`.
const ESCAPE: usize = 6;
