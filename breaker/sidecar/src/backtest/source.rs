//! The records of a file, in constant memory: its lines, or its JSON objects if the file is a list
//! or has objects of several lines. The first bytes of a file show whether it is compressed.

mod values;

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use memchr::memchr;

use self::values::Values;

/// The records of an input.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// `start..end` of the buffer is read, but not returned yet.
    start: usize,
    end: usize,
    is_over: bool,
    number: u64,
    framing: Framing,
}

/// What a record is.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// Not known before the first line.
    Unknown,
    Lines,
    Values(Values),
}

/// A record, without the end of its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text<'a> {
    Whole(&'a [u8]),
    /// The record has more than [`MOST_LINE`] bytes and is left out.
    TooLong,
}

/// Opens the file at `path`, or standard input if that is `-`.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return decompressed(io::stdin());
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(ErrorKind::IsADirectory));
    }
    decompressed(file)
}

/// The content of `input`, decompressed if its first bytes show a compression.
pub(super) fn decompressed(mut input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::with_capacity(MAGIC);
    (&mut input).take(MAGIC as u64).read_to_end(&mut magic)?;
    let starts = |with: &[u8]| magic.starts_with(with);
    if let Some((_, what)) = OTHERS.iter().find(|(start, _)| starts(start)) {
        return Err(io::Error::new(ErrorKind::InvalidData, *what));
    }
    let (is_gzip, is_zstd) = (starts(&[0x1f, 0x8b]), starts(&[0x28, 0xb5, 0x2f, 0xfd]));
    // vegeta's output begins with the name of a type.
    if !is_gzip && !is_zstd && memchr::memmem::find(&magic, b"\x06Result\x01").is_some() {
        let what = "it is vegeta's binary form: `vegeta encode` makes JSON of it";
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let whole = Cursor::new(magic).chain(input);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; FIRST_BUFFER],
            start: 0,
            end: 0,
            is_over: false,
            number: 0,
            framing: Framing::Unknown,
        }
    }

    /// The number of the line in which the last record began, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The next record.
    pub(super) fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        match self.framing {
            Framing::Lines => self.next_line(),
            Framing::Values(_) => self.next_value(),
            Framing::Unknown => {
                if let Some(start) = self.peek_line()? {
                    let line = &self.buffer[start..self.end];
                    self.framing = match values::is_first_line(line) {
                        true => Framing::Values(Values::default()),
                        false => Framing::Lines,
                    };
                    return self.next();
                }
                self.framing = Framing::Lines;
                self.next_line()
            }
        }
    }

    /// The start of the first line that is not empty, after the whole line has been read. Skips a
    /// byte order mark.
    fn peek_line(&mut self) -> io::Result<Option<usize>> {
        loop {
            let text = &self.buffer[self.start..self.end];
            if self.number == 0 && text.starts_with(BYTE_ORDER_MARK) {
                self.start += BYTE_ORDER_MARK.len();
            }
            let text = &self.buffer[self.start..self.end];
            let blank = text
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            let is_whole = memchr(b'\n', &text[blank..]).is_some();
            if is_whole || self.is_over || text.len() > MOST_LINE {
                return Ok((blank < text.len()).then_some(self.start + blank));
            }
            self.make_room();
            self.fill()?;
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Text<'_>>> {
        let mut scanned = self.start;
        loop {
            if let Some(length) = memchr(b'\n', &self.buffer[scanned..self.end]) {
                return Ok(Some(self.tell(scanned + length, scanned + length + 1)));
            }
            if self.is_over {
                let is_rest = self.end > self.start;
                return Ok(is_rest.then(|| self.tell(self.end, self.end)));
            }
            scanned = self.end;
            if scanned - self.start > MOST_LINE {
                self.skip()?;
                return Ok(Some(Text::TooLong));
            }
            scanned -= self.make_room();
            self.fill()?;
        }
    }

    fn next_value(&mut self) -> io::Result<Option<Text<'_>>> {
        let Framing::Values(mut values) = self.framing else {
            return self.next_line();
        };
        let mut scanned = self.start;
        let found = loop {
            if let Some(found) = values.scan(&self.buffer[scanned..self.end]) {
                break Some(
                    found.start.map_or(self.start, |start| scanned + start)..scanned + found.end,
                );
            }
            if values.is_between() {
                // No value has begun, so the scanned bytes are not needed any more.
                self.start = self.end;
            } else if let Some(start) = values.take_start() {
                self.start = scanned + start;
            }
            if self.is_over {
                break (self.end > self.start).then_some(self.start..self.end);
            }
            scanned = self.end;
            if scanned - self.start > MOST_LINE {
                self.number = values.begins();
                self.start = self.end;
                self.framing = Framing::Lines;
                return Ok(Some(Text::TooLong));
            }
            scanned -= self.make_room();
            self.fill()?;
        };
        self.number = values.begins();
        self.framing = Framing::Values(values.next());
        let Some(found) = found else { return Ok(None) };
        self.start = found.end;
        Ok(Some(Text::Whole(&self.buffer[found])))
    }

    fn tell(&mut self, end: usize, next: usize) -> Text<'_> {
        let line = self.start..end;
        self.start = next;
        self.number += 1;
        Text::Whole(&self.buffer[line])
    }

    /// Makes room in the buffer. Returns by how many bytes its content moved.
    fn make_room(&mut self) -> usize {
        let moved = self.start;
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - moved);
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        moved
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.is_over = read == 0;
                    self.end += read;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Skips the rest of a line that is too long.
    fn skip(&mut self) -> io::Result<()> {
        self.number += 1;
        while !self.is_over {
            (self.start, self.end) = (0, 0);
            self.fill()?;
            if let Some(length) = memchr(b'\n', &self.buffer[..self.end]) {
                self.start = length + 1;
                break;
            }
        }
        Ok(())
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The number of first bytes that identify a file.
const MAGIC: usize = 32;
/// Files that are recognised by their first bytes and can't be read, with the reason.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\xff\xfe", "it is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "it is a zip archive: unpack it"),
    (
        b"BZh",
        "it is compressed by bzip2: only gzip and zstd are read",
    ),
    (
        b"\xfd7zXZ",
        "it is compressed by xz: only gzip and zstd are read",
    ),
    (
        b"\x04\x22\x4d\x18",
        "it is compressed by lz4: only gzip and zstd are read",
    ),
    (b"PAR1", "it is Parquet: write it as lines of JSON"),
    (b"Obj\x01", "it is Avro: write it as lines of JSON"),
    (
        b"SQLite format 3",
        "it is a database: write it as lines of JSON",
    ),
];
const FIRST_BUFFER: usize = 256 << 10;
/// The maximum length of a line, in bytes: the same as of a batch of telemetry.
const MOST_LINE: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(input: impl Read + 'static) -> Vec<String> {
        let mut lines = Lines::new(decompressed(input).unwrap());
        let mut all = Vec::new();
        while let Some(Text::Whole(line)) = lines.next().unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn plain_gzip_and_zstd_give_the_same_lines() {
        let text: String = (0..100_000)
            .map(|line| format!("line {line}\n"))
            .collect::<String>()
            + "rest";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let expected: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines(Cursor::new(text.into_bytes())), expected);
        assert_eq!(lines(Cursor::new(gzip.finish().unwrap())), expected);
        assert_eq!(lines(Cursor::new(zstd)), expected);
    }

    #[test]
    fn an_empty_input_has_no_lines_and_a_short_one_is_no_magic() {
        assert_eq!(lines(io::empty()), [""; 0]);
        assert_eq!(lines(Cursor::new("a")), ["a"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_not() {
        let long = io::repeat(b'x').take(MOST_LINE as u64 * 3);
        let mut lines = Lines::new(
            Cursor::new("one\n")
                .chain(long)
                .chain(Cursor::new("\nthree\n")),
        );
        assert_eq!(lines.next().unwrap(), Some(Text::Whole(b"one")));
        assert_eq!(lines.next().unwrap(), Some(Text::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Text::Whole(b"three")));
        assert_eq!((lines.number(), lines.next().unwrap()), (3, None));
        assert!(lines.buffer.len() <= 2 * MOST_LINE);
    }
}
