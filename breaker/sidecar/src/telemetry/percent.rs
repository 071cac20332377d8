//! Percent-encoding, as the values of `OTEL_*` lists have it.

/// The text that `encoded` stands for; `None` when it is no UTF-8. A `%` without two hexadecimal
/// digits stands for itself.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    let mut rest = encoded.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match tail {
            [high, low, after @ ..] if first == b'%' => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                None => decoded.push(first),
            },
            _ => decoded.push(first),
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_the_rest_is_left() {
        for (encoded, decoded) in [
            ("plain", "plain"),
            ("Basic%20YTpi%3D", "Basic YTpi="),
            ("100%", "100%"),
            ("%zz%2", "%zz%2"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(decode(encoded).as_deref(), Some(decoded));
        }
        assert_eq!(decode("%ff"), None);
    }
}
