//! One line at a time out of arbitrary pieces of input, for status lines and lists.
//!
//! Lines are capped: RFC 2449 section 4 allows 512 octets, servers send more, nobody honest sends
//! more than 8 KiB. Message bodies never pass through here, they have no longest line.

use memchr::memchr;

use crate::error::ServerMisbehaved;

/// The longest status or list line accepted, in octets and with its line end.
pub(crate) const LINE_LIMIT: usize = 8 * 1024;

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eol {
    /// CR LF, as RFC 1939 section 3 demands.
    Crlf,
    /// A bare LF.
    Lf,
}

/// What the session's own status lines have ended in so far.
///
/// One status line that ends in CRLF settles it for the session: from then on a bare LF inside a
/// message can never end that message, which is what mail crafted to smuggle replies relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Latch {
    seen: Option<Eol>,
}

impl Latch {
    pub(crate) fn observe(&mut self, eol: Eol) {
        if self.seen != Some(Eol::Crlf) {
            self.seen = Some(eol);
        }
    }

    pub(crate) fn eol(self) -> Eol {
        self.seen.unwrap_or(Eol::Crlf)
    }
}

/// A line without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'s> {
    pub(crate) octets: &'s [u8],
    pub(crate) eol: Eol,
}

impl<'s> Line<'s> {
    /// `raw` ends in LF.
    fn of(raw: &'s [u8]) -> Self {
        if let Some(octets) = raw.strip_suffix(b"\r\n") {
            Self { octets, eol: Eol::Crlf }
        } else {
            let octets = raw.strip_suffix(b"\n").unwrap_or(raw);
            Self { octets, eol: Eol::Lf }
        }
    }
}

/// Keeps the part of a line that has arrived; copies nothing when a line arrives whole.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    partial: Vec<u8>,
    /// `partial` was handed out as a whole line and is to be forgotten.
    spent: bool,
}

impl LineReader {
    /// Takes the next line off `input`; `None` when all of `input` was taken and the line goes on.
    pub(crate) fn next<'s, 'a: 's>(
        &'s mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Line<'s>>, ServerMisbehaved> {
        if self.spent {
            self.partial.clear();
            self.spent = false;
        }
        let Some(at) = memchr(b'\n', input) else {
            self.append(input)?;
            *input = &[];
            return Ok(None);
        };
        let (raw, rest) = input.split_at(at + 1);
        *input = rest;
        if self.partial.is_empty() {
            if raw.len() > LINE_LIMIT {
                return Err(too_long());
            }
            return Ok(Some(Line::of(raw)));
        }
        self.append(raw)?;
        self.spent = true;
        Ok(Some(Line::of(&self.partial)))
    }

    fn append(&mut self, octets: &[u8]) -> Result<(), ServerMisbehaved> {
        if self.partial.len() + octets.len() > LINE_LIMIT {
            return Err(too_long());
        }
        self.partial.extend_from_slice(octets);
        Ok(())
    }
}

fn too_long() -> ServerMisbehaved {
    ServerMisbehaved::LineTooLong { limit: LINE_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Result<Vec<(Vec<u8>, Eol)>, ServerMisbehaved> {
        let mut reader = LineReader::default();
        let mut out = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = reader.next(&mut input)? {
                out.push((line.octets.to_vec(), line.eol));
            }
            assert!(input.is_empty());
        }
        Ok(out)
    }

    #[test]
    fn a_line_is_the_same_however_it_is_split() {
        let raw = b"+OK a\r\n\r\nbare\nx\ry\r\n";
        let whole = lines(&[raw]).unwrap();
        assert_eq!(
            whole,
            [
                (b"+OK a".to_vec(), Eol::Crlf),
                (b"".to_vec(), Eol::Crlf),
                (b"bare".to_vec(), Eol::Lf),
                (b"x\ry".to_vec(), Eol::Crlf),
            ]
        );
        for at in 0..=raw.len() {
            let (a, b) = raw.split_at(at);
            assert_eq!(lines(&[a, b]).unwrap(), whole, "split at {at}");
        }
        let singles: Vec<&[u8]> = raw.chunks(1).collect();
        assert_eq!(lines(&singles).unwrap(), whole);
    }

    #[test]
    fn a_line_one_octet_over_the_limit_is_refused_whole_or_in_pieces() {
        let mut longest = vec![b'x'; LINE_LIMIT - 2];
        longest.extend_from_slice(b"\r\n");
        assert_eq!(lines(&[&longest]).unwrap().len(), 1);
        longest.insert(0, b'x');
        let refused = ServerMisbehaved::LineTooLong { limit: LINE_LIMIT };
        assert_eq!(lines(&[&longest]), Err(refused.clone()));
        let singles: Vec<&[u8]> = longest.chunks(1).collect();
        assert_eq!(lines(&singles), Err(refused.clone()));
        assert_eq!(lines(&[&vec![b'x'; LINE_LIMIT + 1]]), Err(refused));
    }

    #[test]
    fn one_crlf_status_line_settles_the_framing_for_good() {
        let mut latch = Latch::default();
        assert_eq!(latch.eol(), Eol::Crlf);
        latch.observe(Eol::Lf);
        assert_eq!(latch.eol(), Eol::Lf);
        latch.observe(Eol::Crlf);
        latch.observe(Eol::Lf);
        assert_eq!(latch.eol(), Eol::Crlf);
    }
}
