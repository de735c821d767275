//! Owns the cutting of a server's octets into responses (RFC 3501 section 7), sans IO and whatever the blocks they come in.
//! A literal is never kept, only measured and hashed, and only taken where one was asked for. Must not know what a
//! response means.

use postroom_mail::Digest;
use postroom_mail::ids::Digester;

/// The longest line, with what lies between its literals.
const LONGEST_LINE: usize = 64 * 1024;

/// What a response is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line, or the part of one before or after a literal, without its line end.
    Text(Vec<u8>),
    /// So many octets with this digest.
    Literal(u64, Digest),
}

/// The server does not speak IMAP, or says more than was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a line is longer than {LONGEST_LINE} octets")]
    Line,
    #[error("it sends a literal of {0} octets that was not asked for")]
    Literal(u64),
}

/// What came and is not cut yet.
#[derive(Default)]
pub(super) struct Reader {
    unread: Vec<u8>,
    /// How far `unread` was searched for a line end.
    searched: usize,
    pieces: Vec<Piece>,
    /// Octets of text in `pieces`.
    text: usize,
    literal: Option<Literal>,
    /// The largest literal that is taken.
    allowed: Option<u64>,
}

struct Literal {
    size: u64,
    left: u64,
    digester: Digester,
}

impl Reader {
    /// From now on literals up to this size are taken, or none.
    pub(super) fn allow(&mut self, largest: Option<u64>) {
        self.allowed = largest;
    }

    /// Takes in what came.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        self.unread.extend_from_slice(octets);
    }

    /// Whether anything is left that no response has taken.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.pieces.is_empty() && self.literal.is_none()
    }

    /// The next response, when it is whole.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Piece>>, Malformed> {
        loop {
            if let Some(mut literal) = self.literal.take() {
                let take = usize::try_from(literal.left).unwrap_or(usize::MAX).min(self.unread.len());
                literal.digester.update(&self.unread[..take]);
                self.unread.drain(..take);
                literal.left -= take as u64;
                if literal.left > 0 {
                    self.literal = Some(literal);
                    return Ok(None);
                }
                self.pieces.push(Piece::Literal(literal.size, literal.digester.finish()));
            }
            let Some(line) = self.line()? else { return Ok(None) };
            let size = announced(&line);
            self.text += line.len();
            if self.text > LONGEST_LINE {
                return Err(Malformed::Line);
            }
            self.pieces.push(Piece::Text(line));
            let Some(size) = size else {
                self.text = 0;
                return Ok(Some(std::mem::take(&mut self.pieces)));
            };
            if self.allowed.is_none_or(|largest| size > largest) {
                return Err(Malformed::Literal(size));
            }
            self.literal = Some(Literal { size, left: size, digester: Digester::default() });
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let found = self.unread[self.searched..].iter().position(|octet| *octet == b'\n');
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.unread.len();
            return if self.unread.len() > LONGEST_LINE { Err(Malformed::Line) } else { Ok(None) };
        };
        let mut line: Vec<u8> = self.unread.drain(..=end).collect();
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// The size of the literal that a line announces at its end: `{12}`, or `~{12}` (RFC 3516).
fn announced(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|octet| *octet == b'{')?;
    let digits = std::str::from_utf8(&inner[open + 1..]).ok()?;
    let number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    // Only data has literals: a text may end with anything.
    let data = line.starts_with(b"* ") && !is_status(line);
    let continued = !line.starts_with(b"* ") && (line.starts_with(b" ") || line.starts_with(b")"));
    (number && (data || continued)).then(|| digits.parse().unwrap_or(u64::MAX))
}

fn is_status(line: &[u8]) -> bool {
    let word = line[2..].split(|octet| *octet == b' ').next().unwrap_or_default();
    [b"OK".as_slice(), b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|status| word.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: &[u8] =
        b"* OK [CAPABILITY IMAP4rev1] hello {3}\r\n* 1 FETCH (UID 5 BODY[] {6}\r\na\r\n\0\nb FLAGS ())\r\n\
          a1 OK done\r\n";

    fn read(blocks: &[&[u8]], allowed: Option<u64>) -> Result<Vec<Vec<Piece>>, Malformed> {
        let mut reader = Reader::default();
        reader.allow(allowed);
        let mut responses = Vec::new();
        for block in blocks {
            reader.feed(block);
            while let Some(response) = reader.next()? {
                responses.push(response);
            }
        }
        assert!(reader.is_empty());
        Ok(responses)
    }

    #[test]
    fn a_conversation_split_at_every_octet_is_the_same() {
        let whole = read(&[TALK], Some(6)).unwrap();
        assert_eq!(whole.len(), 3);
        let text = |text: &[u8]| Piece::Text(text.to_vec());
        assert_eq!(whole[1][1], Piece::Literal(6, Digest::of(b"a\r\n\0\nb")));
        assert_eq!(
            (&whole[1][0], &whole[1][2]),
            (&text(b"* 1 FETCH (UID 5 BODY[] {6}"), &text(b" FLAGS ())"))
        );
        for at in 1..TALK.len() {
            assert_eq!(read(&[&TALK[..at], &TALK[at..]], Some(6)).unwrap(), whole, "cut at {at}");
        }
        let octets: Vec<&[u8]> = TALK.chunks(1).collect();
        assert_eq!(read(&octets, Some(6)).unwrap(), whole);
    }

    #[test]
    fn what_was_not_asked_for_and_what_never_ends_is_refused() {
        assert_eq!(read(&[TALK], None), Err(Malformed::Literal(6)));
        assert_eq!(read(&[TALK], Some(5)), Err(Malformed::Literal(6)));
        let huge = b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n";
        assert_eq!(read(&[huge], Some(5)), Err(Malformed::Literal(u64::MAX)));
        assert_eq!(read(&[&vec![b'x'; LONGEST_LINE + 1]], None), Err(Malformed::Line));
        let many = [b"* 1 FETCH (A {0}\r\n".to_vec(), b" A {0}\r\n".repeat(20_000)].concat();
        assert_eq!(read(&[&many], Some(5)), Err(Malformed::Line));
    }
}
