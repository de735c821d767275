//! The header block of a message on its own, without MIME: cheap, linear, and bounded whatever the octets are.
//!
//! Reads at most [`BLOCK_OCTETS`] and keeps at most [`MAX_FIELDS`] fields; the rest is only in the raw message, which
//! stays the truth. Values are parsed one field at a time, on demand; a message parser is never called here.

mod value;

use std::io;
use std::ops::Range;

pub use value::HeaderAddress;

use crate::octets::{Octets, read_range};
use crate::time::Timestamp;

/// Most octets of a header block that are looked at.
pub const BLOCK_OCTETS: usize = 256 * 1024;
/// Most fields that are kept.
pub const MAX_FIELDS: usize = 1000;
/// Most addresses that are listed for one name.
pub const MAX_ADDRESSES: usize = 1000;

/// The fields of a header block (RFC 5322 section 2.2), in order. Lines that are no field are passed over: an mbox `From `
/// line, lines without a colon, and names with other than printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    octets: Vec<u8>,
    fields: Vec<FieldAt>,
    body_offset: u64,
    truncated: bool,
}

/// Where a field lies in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldAt {
    name: Range<usize>,
    value: Range<usize>,
}

impl HeaderBlock {
    /// Reads the header block of a message.
    ///
    /// # Errors
    /// As [`Octets::read_at`].
    pub fn read(octets: &dyn Octets) -> io::Result<Self> {
        // Most header blocks are far smaller than the limit: read on only while no blank line is seen.
        let mut block = read_range(octets, 0, 16 * 1024)?;
        if find_end(&block).is_none() {
            block.extend(read_range(octets, block.len() as u64, BLOCK_OCTETS.saturating_sub(block.len()))?);
        }
        Ok(Self::scan(&block, block.len() as u64 == octets.len()))
    }

    /// Takes the header block from the start of `octets`, which are a whole message or a whole header block.
    pub fn parse(octets: &[u8]) -> Self {
        Self::scan(&octets[..octets.len().min(BLOCK_OCTETS)], octets.len() <= BLOCK_OCTETS)
    }

    /// `is_all`: nothing follows `octets` in the message.
    fn scan(octets: &[u8], is_all: bool) -> Self {
        let end = find_end(octets);
        let header = &octets[..end.as_ref().map_or(octets.len(), |blank| blank.start)];
        let mut block = Self {
            octets: header.to_vec(),
            fields: Vec::new(),
            body_offset: end.as_ref().map_or(octets.len(), |blank| blank.end) as u64,
            truncated: end.is_none() && !is_all,
        };
        block.index();
        if block.fields.is_empty() && !block.octets.is_empty() {
            // Not a header: text that happens to have a blank line in it is all body.
            return Self { truncated: block.truncated, ..Self::default() };
        }
        block
    }

    fn index(&mut self) {
        let mut at = 0;
        // A continuation belongs to the field before it, unless that was passed over.
        let mut is_in_field = false;
        for line in self.octets.split_inclusive(|byte| *byte == b'\n') {
            let start = at;
            at += line.len();
            let text = without_line_end(line);
            if matches!(text.first(), Some(b' ' | b'\t')) {
                if let Some(field) = self.fields.last_mut().filter(|_| is_in_field) {
                    field.value.end = start + text.len();
                }
                continue;
            }
            let found = field_of(text);
            is_in_field = found.is_some() && self.fields.len() < MAX_FIELDS;
            match found {
                Some((name, value)) if is_in_field => self
                    .fields
                    .push(FieldAt { name: start..start + name, value: start + value..start + text.len() }),
                Some(_) => self.truncated = true,
                None => {}
            }
        }
    }

    /// Whether there was more than is kept here.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Where the body starts in the message: after the first blank line. The end of what was looked at when there was
    /// none, and 0 when the message has no header.
    pub fn body_offset(&self) -> u64 {
        self.body_offset
    }

    /// All fields in order: the name as written, and the raw value, without name and colon and without the last line
    /// end, but with the blanks and line ends inside.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().filter_map(|field| {
            let name = std::str::from_utf8(self.octets.get(field.name.clone())?).ok()?;
            Some((name, self.octets.get(field.value.clone())?))
        })
    }

    /// The first field of that name, unfolded, decoded (RFC 2047) and trimmed. Names are compared without case.
    pub fn first(&self, name: &str) -> Option<String> {
        self.values(name).next().map(value::text)
    }

    /// As [`first`](Self::first), all of them.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.values(name).map(value::text).collect()
    }

    /// The raw values of all fields of that name.
    pub fn raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.values(name).map(<[u8]>::to_vec).collect()
    }

    /// The addresses in all fields of that name, groups flattened; at most [`MAX_ADDRESSES`].
    pub fn addresses(&self, name: &str) -> Vec<HeaderAddress> {
        let mut addresses = Vec::new();
        for value in self.values(name) {
            value::addresses(value, MAX_ADDRESSES, &mut addresses);
        }
        addresses
    }

    /// The `Date` field, between 1970 and 9999. The sender's claim, nothing more.
    pub fn date(&self) -> Option<Timestamp> {
        self.values("date").next().and_then(value::date)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The first blank line, with its line end.
fn find_end(octets: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    for line in octets.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            return Some(at..at + line.len());
        }
        at += line.len();
    }
    None
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the name ends and the value starts, when the line starts a field. Blanks before the colon are obsolete syntax
/// (RFC 5322 section 4.5.3) and still met.
fn field_of(line: &[u8]) -> Option<(usize, usize)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some((name.len(), colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> HeaderBlock {
        HeaderBlock::parse(text.as_bytes())
    }

    #[test]
    fn fields_are_found_whatever_the_line_ends() {
        for end in ["\r\n", "\n"] {
            let text =
                "From: a@b.example\nSubject: one\n two\n\tthree\nX-Empty:\n\nBody: no\n".replace('\n', end);
            let block = block(&text);
            assert_eq!(block.first("subject").unwrap(), "one two three");
            assert_eq!(block.first("FROM").unwrap(), "a@b.example");
            assert_eq!(block.first("x-empty").unwrap(), "");
            assert_eq!(block.first("body"), None);
            assert_eq!(block.body_offset(), text.find("Body").unwrap() as u64);
            assert_eq!(block.raw("Subject"), [format!(" one{end} two{end}\tthree").into_bytes()]);
            assert!(!block.truncated());
            let names: Vec<&str> = block.fields().map(|(name, _)| name).collect();
            assert_eq!(names, ["From", "Subject", "X-Empty"]);
        }
    }

    #[test]
    fn lines_that_are_no_field_are_passed_over_with_their_continuations() {
        let block = block(
            "From a@b.example Mon Jan  1 10:00:00 2026\n>From x y: z\nA: 1\njunk\n more: junk\nB : 2\n: 3\nü: 4\nC:5\n\n",
        );
        let fields: Vec<(&str, &[u8])> = block.fields().collect();
        assert_eq!(fields, [("A", &b" 1"[..]), ("B", b" 2"), ("C", b"5")]);
    }

    #[test]
    fn messages_without_a_header_or_a_body_are_tolerated() {
        for (text, body_offset, fields) in [
            ("", 0, 0),
            ("\n", 1, 0),
            ("\r\nbody", 2, 0),
            ("hello world\n\nmore", 0, 0),
            ("A: 1", 4, 1),
            ("A: 1\r\n", 6, 1),
            ("A: 1\r\n\r\n", 8, 1),
            ("A: 1\n \n\nx", 8, 1),
            (" A: 1\n\nx", 0, 0),
            ("\0\u{1}\u{2}", 0, 0),
            ("A: 1\rB: 2\r\rbody", 15, 1),
        ] {
            let block = block(text);
            assert_eq!((block.body_offset(), block.fields().count()), (body_offset, fields), "{text:?}");
            assert!(!block.truncated());
        }
    }

    #[test]
    fn reading_gives_what_parsing_gives_at_every_size() {
        for size in [
            0,
            1,
            100,
            16 * 1024 - 3,
            16 * 1024,
            17 * 1024,
            100_000,
            BLOCK_OCTETS - 10,
            BLOCK_OCTETS,
            3 * BLOCK_OCTETS,
        ] {
            let mut message = b"Subject: s\r\n".to_vec();
            while message.len() < size {
                message.extend_from_slice(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
            }
            message.extend_from_slice(b"\r\nbody");
            let parsed = HeaderBlock::parse(&message);
            let read = HeaderBlock::read(&message).unwrap();
            assert_eq!(read, parsed, "{size}");
            assert_eq!(read.first("subject").unwrap(), "s");
            assert_eq!(read.truncated(), message.len() - 4 > BLOCK_OCTETS, "{size}");
        }
    }

    #[test]
    fn at_most_a_thousand_fields_are_kept_and_the_body_is_still_found() {
        let text = format!("{}\nbody", "A: 1\n".repeat(1500));
        let block = block(&text);
        assert_eq!(block.fields().count(), 1000);
        assert!(block.truncated());
        assert_eq!(block.body_offset(), 1500 * 5 + 1);
        assert_eq!(block.all("a").len(), 1000);
    }

    #[test]
    fn a_header_longer_than_the_limit_is_cut_there() {
        let message = format!("Subject: s\nX: {}\n\nbody", "x".repeat(10 << 20)).into_bytes();
        let block = HeaderBlock::read(&message).unwrap();
        assert!(block.truncated());
        assert_eq!(block.first("subject").unwrap(), "s");
        assert_eq!(block.body_offset(), BLOCK_OCTETS as u64);
    }

    #[test]
    fn a_header_cut_at_any_octet_is_still_read() {
        let text = b"From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\r\nTo: g: a@b.example, \"x\\\"y\" <c@d.example>;\r\n\tz@z.example\r\nDate: Tue, 24 Nov 2026 03:47:00 +0100 (c(d)\\))\r\n\r\nbody";
        for end in 0..=text.len() {
            let block = HeaderBlock::parse(&text[..end]);
            let _ = (
                block.first("from"),
                block.addresses("from"),
                block.addresses("to"),
                block.all("to"),
                block.date(),
            );
            assert!(block.body_offset() <= end as u64);
        }
    }
}
