//! The skeleton of a message: the message without the inside of its large base64 bodies. A MIME parser finds the same
//! tree in it, at offsets that map back to the raw message, so that a 30 MB attachment need not cross into a sandbox for
//! its structure to be found.
//!
//! # What is cut
//! A line is *plain* when it is not empty and has only octets of the base64 alphabet and `=`. In a run of plain lines of
//! at least 40 octets, the first stays, and the others go, with one shorter plain line after them (the end of a body).
//! A plain line of more than 998 octets (RFC 5322 section 2.1.1 allows no more) keeps its first 76. A cut starts where
//! the text of a line ends, before its line end, and ends likewise, so the last line end of a run stays.
//!
//! # Why the tree stays the same
//! A MIME parser goes by four kinds of line, and none of them is plain: a blank line is empty; a boundary starts with
//! `--`, also when it is met in the middle of a line, and `-` is not in the alphabet; a header field has a `:`, which is
//! not in it either; and a continuation, of a header field or of anything folded, starts with a blank, which is not in
//! it. So every octet that decides stays, and in its order. A plain line among header fields is no field, and the one
//! before it, which stays, has ended any folding already.
//!
//! A body starts behind a blank line, so at the start of a line, which is never inside a cut or at its start: the first
//! line of a run stays. A body ends at the end of the text of its last line; if that line was cut, that is the start of
//! the cut in the skeleton, and the end of it in the raw message: what [`Skeleton::to_raw`] answers there.
//!
//! # What it must not be used for
//! The content of a part, its length, or whether its encoding is damaged: those are asked of the raw message. A text
//! that looks like base64 (a key block, say) is cut too, and so is what is inside a base64-encoded `message/rfc822`.

use std::io;

use crate::octets::{Octets, read_range};

/// A plain line of this length can be in a run.
const RUN_LINE: u64 = 40;
/// A longer plain line is cut itself.
const LONGEST_LINE: u64 = 998;
/// What is left of it then.
const LINE_KEPT: u64 = 76;
/// Octets read at a time.
const CHUNK: usize = 64 * 1024;

/// A shortened message, and how its offsets map to the raw one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skeleton {
    octets: Vec<u8>,
    cuts: Vec<Cut>,
    raw_len: u64,
    truncated: bool,
}

/// Something that is not in the skeleton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Where it would be in the skeleton.
    at: u64,
    /// Where what follows it is in the raw message.
    raw_end: u64,
}

impl Skeleton {
    /// Builds the skeleton of `raw`, of at most `cap` octets. Reads the raw message once, in pieces, and what is kept
    /// once more; holds no more than the skeleton and, for every 40 octets of it, one cut of 16.
    ///
    /// # Errors
    /// As [`Octets::read_at`].
    pub fn build(raw: &dyn Octets, cap: usize) -> io::Result<Self> {
        let mut builder = Builder::new(raw, cap);
        let mut scanner = Scanner::default();
        let mut offset = 0;
        while offset < raw.len() && !builder.truncated {
            let chunk = read_range(raw, offset, CHUNK)?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            scanner.scan(&chunk, |line| builder.line(line))?;
            offset += chunk.len() as u64;
        }
        scanner.finish(|line| builder.line(line))?;
        builder.finish()
    }

    /// The shortened message.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Where an offset of the skeleton is in the raw message; exact, and monotone. The start of a cut maps to the end of
    /// the cut (see above), and the end of a truncated skeleton to the end of the raw message.
    pub fn to_raw(&self, offset: u64) -> u64 {
        let before = self.cuts.partition_point(|cut| cut.at <= offset);
        let cut = before.checked_sub(1).and_then(|last| self.cuts.get(last));
        let raw = cut.map_or(offset, |cut| cut.raw_end.saturating_add(offset - cut.at));
        raw.min(self.raw_len)
    }

    /// Whether the cap was reached: what follows is not in the skeleton at all.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

/// A line by its raw offsets.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u64,
    /// Where its text ends and its line end, if any, starts.
    text_end: u64,
    is_plain: bool,
}

/// Finds the lines in pieces of any size; holds no octets.
struct Scanner {
    start: u64,
    offset: u64,
    is_plain: bool,
    /// The last octet was a CR; that does not make the line other than plain if LF follows.
    is_after_cr: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { start: 0, offset: 0, is_plain: true, is_after_cr: false }
    }
}

impl Scanner {
    fn scan(&mut self, chunk: &[u8], mut found: impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.text(text);
            if text.len() < piece.len() {
                found(self.line())?;
                let start = self.offset + 1;
                *self = Self { start, offset: start, ..Self::default() };
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        let Some((last, before)) = text.split_last() else { return };
        // A CR from the piece before was not the last of the line.
        self.is_plain &= !self.is_after_cr && before.iter().all(is_plain);
        self.is_after_cr = *last == b'\r';
        self.is_plain &= self.is_after_cr || is_plain(last);
        self.offset += text.len() as u64;
    }

    fn line(&self) -> Line {
        let text_end = self.offset - u64::from(self.is_after_cr);
        Line { start: self.start, text_end, is_plain: self.is_plain && text_end > self.start }
    }

    /// The last line, when it has no line end. A CR at its end is text then.
    fn finish(self, mut found: impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        if self.offset == self.start {
            return Ok(());
        }
        found(Line { start: self.start, text_end: self.offset, is_plain: self.is_plain && !self.is_after_cr })
    }
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Decides what is cut, and copies what is between the cuts.
struct Builder<'a> {
    raw: &'a dyn Octets,
    cap: usize,
    octets: Vec<u8>,
    cuts: Vec<Cut>,
    /// Raw octets before this one are copied or cut.
    done: u64,
    /// Where the cut that is growing starts and ends so far; empty at the end of the first line of a run.
    run: Option<(u64, u64)>,
    truncated: bool,
}

impl<'a> Builder<'a> {
    fn new(raw: &'a dyn Octets, cap: usize) -> Self {
        Self { raw, cap, octets: Vec::new(), cuts: Vec::new(), done: 0, run: None, truncated: false }
    }

    fn line(&mut self, line: Line) -> io::Result<()> {
        let len = line.text_end - line.start;
        let is_long = line.is_plain && len >= RUN_LINE;
        self.run = match self.run {
            Some((start, _)) if is_long => Some((start, line.text_end)),
            Some((start, _)) if line.is_plain => {
                self.cut(start, line.text_end)?;
                None
            }
            Some((start, end)) => {
                self.cut(start, end)?;
                None
            }
            None if is_long && len > LONGEST_LINE => Some((line.start + LINE_KEPT, line.text_end)),
            None if is_long => Some((line.text_end, line.text_end)),
            None => None,
        };
        // Notice a full skeleton while scanning, not only at the next cut.
        let kept_to = self.run.map_or(line.text_end, |(start, _)| start);
        if kept_to.saturating_sub(self.done) > self.room() as u64 {
            self.copy_to(kept_to)?;
        }
        Ok(())
    }

    fn cut(&mut self, start: u64, end: u64) -> io::Result<()> {
        if start == end || self.truncated {
            return Ok(());
        }
        self.copy_to(start)?;
        if !self.truncated {
            self.done = end;
            self.cuts.push(Cut { at: self.octets.len() as u64, raw_end: end });
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.cap - self.octets.len()
    }

    fn copy_to(&mut self, end: u64) -> io::Result<()> {
        while self.done < end && !self.truncated {
            let left = usize::try_from(end - self.done).unwrap_or(usize::MAX);
            let octets = read_range(self.raw, self.done, left.min(CHUNK).min(self.room()))?;
            if octets.is_empty() {
                self.truncated = self.room() == 0;
                return if self.truncated { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            self.done += octets.len() as u64;
            self.octets.extend_from_slice(&octets);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Skeleton> {
        let raw_len = self.raw.len();
        if let Some((start, end)) = self.run.take() {
            self.cut(start, end)?;
        }
        self.copy_to(raw_len)?;
        if self.truncated {
            self.cuts.push(Cut { at: self.octets.len() as u64, raw_end: raw_len });
        }
        Ok(Skeleton { octets: self.octets, cuts: self.cuts, raw_len, truncated: self.truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(u64, u64, bool)> {
        let mut found = Vec::new();
        let mut note = |line: Line| {
            found.push((line.start, line.text_end, line.is_plain));
            Ok(())
        };
        let mut scanner = Scanner::default();
        for piece in pieces {
            scanner.scan(piece, &mut note).unwrap();
        }
        scanner.finish(&mut note).unwrap();
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_octets_are_split() {
        let text = b"QUJD\r\n\n\r\nab c\nA\rB\nA\r\r\n--b\nx:y\r\nA+/=\nlast\r";
        let whole = lines(&[text]);
        let expected = [
            (0, 4, true),
            (6, 6, false),
            (7, 7, false),
            (9, 13, false),
            (14, 17, false),
            (18, 20, false),
            (22, 25, false),
            (26, 29, false),
            (31, 35, true),
            (36, 41, false),
        ];
        assert_eq!(whole, expected);
        for one in 0..=text.len() {
            for two in one..=text.len() {
                assert_eq!(lines(&[&text[..one], &text[one..two], &text[two..]]), whole, "{one} {two}");
            }
        }
    }

    #[test]
    fn the_start_of_a_cut_maps_to_its_end() {
        let line = "QUJD".repeat(10);
        let raw = format!("A: b\n\n{line}\n{line}\nQUI=\n--b\n").into_bytes();
        let skeleton = Skeleton::build(&raw, 1000).unwrap();
        assert_eq!(skeleton.octets(), format!("A: b\n\n{line}\n--b\n").as_bytes());
        let maps: Vec<u64> = [0, 6, 45, 46, 47, 51].iter().map(|offset| skeleton.to_raw(*offset)).collect();
        assert_eq!(maps, [0, 6, 45, 92, 93, 97]);
    }
}
