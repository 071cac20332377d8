//! Lines of a file, decompressed as its first bytes say, in constant memory.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use memchr::memchr;

/// The lines of something that is read once.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet told.
    start: usize,
    end: usize,
    is_over: bool,
    number: u64,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text<'a> {
    Whole(&'a [u8]),
    /// It has more than [`MOST_LINE`] bytes, and was left out.
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

/// What is in `input`: its first bytes say whether it is compressed.
pub(super) fn decompressed(mut input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::with_capacity(4);
    (&mut input).take(4).read_to_end(&mut magic)?;
    let (is_gzip, is_zstd) = (
        magic.starts_with(&[0x1f, 0x8b]),
        magic == [0x28, 0xb5, 0x2f, 0xfd],
    );
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
        }
    }

    /// The number of the line that was told last, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Text<'_>>> {
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

    fn tell(&mut self, end: usize, next: usize) -> Text<'_> {
        let line = self.start..end;
        self.start = next;
        self.number += 1;
        Text::Whole(&self.buffer[line])
    }

    /// Room for more in the buffer. Says by how much everything in it was moved.
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

    /// Goes to the end of a line that is too long.
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

const FIRST_BUFFER: usize = 256 << 10;
/// Bytes of a line: as many as a batch of telemetry may have.
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
