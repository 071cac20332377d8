//! Text of others, made fit to be shown.

use std::fmt::Write;

/// `text` on one line and of a bounded length. What would command a terminal, or show text in
/// another order than it has, is escaped.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == MAX_CHARS {
            plain.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            // Writing to a string does not fail.
            let _ = write!(plain, "\\u{{{:x}}}", u32::from(c));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Zero-width characters, marks of direction and separators of lines (Unicode's Trojan Source).
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{61c}'
    )
}

/// Longer than names of services and errors are.
const MAX_CHARS: usize = 80;
