//! JSON objects in a file that does not have one object per line: a list, or objects of several
//! lines.

/// Finds where objects begin and end, in consecutive pieces of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    depth: u32,
    in_text: bool,
    is_hidden: bool,
    /// Where the object begins in the last scanned piece.
    start: Option<usize>,
    /// The current line, and the line in which the object begins.
    line: u64,
    begins: u64,
}

/// The start and the end of an object. `start` is `None` if it is in an earlier piece.
pub(super) struct Found {
    pub(super) start: Option<usize>,
    pub(super) end: usize,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            depth: 0,
            in_text: false,
            is_hidden: false,
            start: None,
            line: 1,
            begins: 1,
        }
    }
}

impl Values {
    /// Scans a piece up to the end of the current or the next object. Skips white space, commas and
    /// brackets between objects.
    pub(super) fn scan(&mut self, piece: &[u8]) -> Option<Found> {
        for (index, byte) in piece.iter().enumerate() {
            self.line += u64::from(*byte == b'\n');
            if self.is_hidden {
                self.is_hidden = false;
                continue;
            }
            match byte {
                b'\\' if self.in_text => self.is_hidden = true,
                b'"' if self.depth > 0 => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' if self.depth > 0 => self.depth += 1,
                b'{' => {
                    self.depth = 1;
                    (self.start, self.begins) = (Some(index), self.line);
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let start = self.start.take();
                        return Some(Found {
                            start,
                            end: index + 1,
                        });
                    }
                }
                _ => {}
            }
        }
        None
    }

    pub(super) const fn is_between(&self) -> bool {
        self.depth == 0
    }

    /// Where the object begins in the last scanned piece, if it begins there.
    pub(super) const fn take_start(&mut self) -> Option<usize> {
        self.start.take()
    }

    /// The line in which the last object begins.
    pub(super) const fn begins(&self) -> u64 {
        self.begins
    }

    /// The scanner for the next object.
    pub(super) fn next(&self) -> Self {
        Self {
            line: self.line,
            begins: self.line,
            ..Self::default()
        }
    }
}

/// Whether the first line of `text` shows such a file: it begins a list, or an object that
/// continues on the next line.
pub(super) fn is_first_line(text: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let (line, more) = (text[..end].trim_ascii(), &text[end..]);
    match line {
        [b'['] => true,
        // A bracket with a date begins a line of a log.
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b']')),
        [b'{', ..] => {
            let goes_on = matches!(line.last(), Some(b'{' | b'[' | b','));
            goes_on && !more.is_empty() && Values::default().scan(line).is_none()
        }
        _ => false,
    }
}
