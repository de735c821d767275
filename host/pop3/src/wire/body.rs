//! A message as a stream: dot-unstuffed, byte-exact, with no longest line and no copy.
//!
//! Owns the end of a RETR or TOP reply. Octets are handed out as slices of the input; only a dot (or
//! a dot and CR) held back at the end of an input is handed out from here.
//!
//! The rules, for a session whose status lines end in CRLF:
//! - A line starts at the beginning and after CRLF, nowhere else. A bare LF is content, so a message
//!   that holds LF `.` LF cannot end its own reply.
//! - The line `.` CRLF ends the message; it may be the very first.
//! - A line that starts with `..` loses one dot. A line that starts with a single dot and is not the
//!   end keeps it and is counted: the server forgot to stuff, and nothing is lost.
//!
//! When the status lines themselves end in a bare LF, a line starts after any LF and `.` LF ends the
//! message as well as `.` CRLF does.

use memchr::memchr_iter;

use super::line::Eol;
use crate::error::Error;

/// What was counted while a message passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Octets of the message, after unstuffing and up to the terminating line.
    pub octets: u64,
    /// Lines that lost a stuffed dot.
    pub stuffed_dots: u64,
    /// Lines that began with a single dot the server should have stuffed; they are kept as they came.
    pub unstuffed_dots: u64,
    /// Dots that follow a bare LF. Whether the server stuffed those cannot be known, so they are kept
    /// as they came. Always 0 when `eol` is [`Eol::Lf`].
    pub dots_after_bare_lf: u64,
    /// What ended lines in this session. Under [`Eol::Lf`] the end of the message is a guess that a
    /// hostile message can forge: take the next reply as confirmation before relying on it.
    pub eol: Eol,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyEvent<'a> {
    /// Message octets, never empty.
    Octets(&'a [u8]),
    /// `input` ran out.
    More,
    /// The terminating line was taken; what is left of `input` is no part of the reply.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    /// A dot at the start of a line is held back.
    Dot,
    /// A dot and CR at the start of a line are held back.
    DotCr,
    /// In a line; the last octet was no CR and no LF.
    Within,
    /// The last octet was CR.
    Cr,
    /// The last octet was an LF that ended no line.
    BareLf,
}

#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    limit: u64,
    tally: Tally,
}

impl BodyReader {
    /// `limit` in octets of the message.
    pub(crate) fn new(eol: Eol, limit: u64) -> Self {
        let tally = Tally { octets: 0, stuffed_dots: 0, unstuffed_dots: 0, dots_after_bare_lf: 0, eol };
        Self { state: State::LineStart, limit, tally }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the next piece of the message off `input`.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<BodyEvent<'a>, Error> {
        loop {
            let Some((&first, rest)) = input.split_first() else {
                return Ok(BodyEvent::More);
            };
            match (self.state, first) {
                (State::LineStart, b'.') => {
                    *input = rest;
                    self.state = State::Dot;
                }
                (State::Dot, b'\r') => {
                    *input = rest;
                    self.state = State::DotCr;
                }
                (State::DotCr, b'\n') => {
                    *input = rest;
                    return Ok(BodyEvent::End);
                }
                (State::Dot, b'\n') if self.tally.eol == Eol::Lf => {
                    *input = rest;
                    return Ok(BodyEvent::End);
                }
                (State::Dot, b'.') => {
                    self.tally.stuffed_dots += 1;
                    self.state = State::Within;
                }
                (State::Dot, _) => {
                    self.tally.unstuffed_dots += 1;
                    self.state = State::Within;
                    return self.emit(b".");
                }
                (State::DotCr, _) => {
                    self.tally.unstuffed_dots += 1;
                    self.state = State::Cr;
                    return self.emit(b".\r");
                }
                (State::BareLf, b'.') => {
                    self.tally.dots_after_bare_lf += 1;
                    self.state = State::Within;
                }
                (State::LineStart | State::Within | State::Cr | State::BareLf, _) => {
                    let octets = self.run(input);
                    return self.emit(octets);
                }
            }
        }
    }

    /// Takes everything up to and with the next line end that a dot follows.
    fn run<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let whole = *input;
        let before = self.state;
        // A search for LF alone: one for LF and dot costs more to set up than a short line is long.
        for at in memchr_iter(b'\n', whole) {
            if whole.get(at + 1) != Some(&b'.') {
                continue;
            }
            if ends_line(whole, at, before, self.tally.eol) {
                let (octets, rest) = whole.split_at(at + 1);
                *input = rest;
                self.state = State::LineStart;
                return octets;
            }
            self.tally.dots_after_bare_lf += 1;
        }
        *input = &[];
        self.state = match whole.last() {
            Some(b'\n') if ends_line(whole, whole.len() - 1, before, self.tally.eol) => State::LineStart,
            Some(b'\n') => State::BareLf,
            Some(b'\r') => State::Cr,
            _ => State::Within,
        };
        whole
    }

    fn emit<'a>(&mut self, octets: &'a [u8]) -> Result<BodyEvent<'a>, Error> {
        self.tally.octets += octets.len() as u64;
        if self.tally.octets > self.limit {
            return Err(Error::TooLarge { what: "message in octets", limit: self.limit });
        }
        Ok(BodyEvent::Octets(octets))
    }
}

/// Whether the LF at `at` ends a line; `before` is the state in front of `whole`.
fn ends_line(whole: &[u8], at: usize, before: State, eol: Eol) -> bool {
    match (eol, at.checked_sub(1)) {
        (Eol::Lf, _) => true,
        (Eol::Crlf, Some(previous)) => whole.get(previous) == Some(&b'\r'),
        (Eol::Crlf, None) => before == State::Cr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces`; gives the message, the counts and what was left over, `None` without an end.
    fn read(eol: Eol, pieces: &[&[u8]]) -> Option<(Vec<u8>, Tally, Vec<u8>)> {
        let mut reader = BodyReader::new(eol, u64::MAX);
        let mut message = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let mut input = *piece;
            loop {
                match reader.next(&mut input).unwrap() {
                    BodyEvent::Octets(octets) => {
                        assert!(!octets.is_empty());
                        message.extend_from_slice(octets);
                    }
                    BodyEvent::More => break,
                    BodyEvent::End => {
                        let mut left = input.to_vec();
                        left.extend(pieces[index + 1..].concat());
                        return Some((message, reader.tally(), left));
                    }
                }
            }
        }
        None
    }

    /// Reads whole, at every split into two and octet by octet, and demands the same of each.
    fn check(eol: Eol, raw: &[u8], message: &[u8], counts: (u64, u64, u64), left: &[u8]) {
        let singles: Vec<&[u8]> = raw.chunks(1).collect();
        let mut ways = vec![vec![raw], singles];
        ways.extend((1..raw.len()).map(|at| vec![&raw[..at], &raw[at..]]));
        for pieces in ways {
            let (got, tally, rest) = read(eol, &pieces).unwrap();
            assert_eq!(got, message, "{pieces:?}");
            assert_eq!(tally.octets, message.len() as u64);
            let got = (tally.stuffed_dots, tally.unstuffed_dots, tally.dots_after_bare_lf);
            assert_eq!(got, counts, "{pieces:?}");
            assert_eq!(rest, left, "{pieces:?}");
        }
    }

    #[test]
    fn an_empty_message_ends_at_the_first_line() {
        check(Eol::Crlf, b".\r\n", b"", (0, 0, 0), b"");
        check(Eol::Lf, b".\n", b"", (0, 0, 0), b"");
    }

    #[test]
    fn the_last_line_end_belongs_to_the_message_and_the_rest_does_not() {
        check(Eol::Crlf, b"a\r\n\r\nb\r\n.\r\n+OK\r\n", b"a\r\n\r\nb\r\n", (0, 0, 0), b"+OK\r\n");
    }

    #[test]
    fn stuffed_lines_lose_one_dot_and_forgotten_ones_lose_none() {
        check(Eol::Crlf, b"..\r\n...x\r\n.y\r\nz.\r\n.\r\n", b".\r\n..x\r\n.y\r\nz.\r\n", (2, 1, 0), b"");
    }

    #[test]
    fn a_bare_lf_neither_starts_a_line_nor_ends_the_message() {
        check(
            Eol::Crlf,
            b"a\n.\n+OK forged\r\n.\n.\r\nb\n..c\r\n.\r\n",
            b"a\n.\n+OK forged\r\n.\n.\r\nb\n..c\r\n",
            (0, 1, 3),
            b"",
        );
    }

    #[test]
    fn a_dot_and_cr_without_lf_are_content() {
        check(Eol::Crlf, b".\rx\r\n.\r\r\n.\r\n", b".\rx\r\n.\r\r\n", (0, 2, 0), b"");
        check(Eol::Crlf, b"x\r.\r\n.\r\n", b"x\r.\r\n", (0, 0, 0), b"");
    }

    #[test]
    fn a_dot_glued_to_the_last_line_does_not_end_the_message() {
        assert_eq!(read(Eol::Crlf, &[b"no newline.\r\n"]), None);
        assert_eq!(read(Eol::Crlf, &[b"x\r\n.\r"]), None);
    }

    #[test]
    fn nul_eight_bit_and_lone_cr_pass_unchanged() {
        let odd = b"\0\xff\xfe\r\r\0\n\r\n";
        let raw = [&odd[..], b".\r\n"].concat();
        check(Eol::Crlf, &raw, odd, (0, 0, 0), b"");
    }

    #[test]
    fn a_server_that_speaks_bare_lf_ends_with_a_bare_lf_or_a_whole_line_end() {
        check(Eol::Lf, b"a\n..b\n.\n+OK\n", b"a\n.b\n", (1, 0, 0), b"+OK\n");
        check(Eol::Lf, b"a\r\n.\r\n", b"a\r\n", (0, 0, 0), b"");
    }

    #[test]
    fn a_message_of_exactly_the_limit_passes_and_one_octet_more_does_not() {
        let read = |limit| {
            let mut reader = BodyReader::new(Eol::Crlf, limit);
            let mut input: &[u8] = b"12345\r\n.\r\n";
            loop {
                match reader.next(&mut input)? {
                    BodyEvent::Octets(_) => {}
                    BodyEvent::More => panic!("no end"),
                    BodyEvent::End => return Ok(reader.tally().octets),
                }
            }
        };
        assert_eq!(read(7), Ok(7));
        assert_eq!(read(6), Err(Error::TooLarge { what: "message in octets", limit: 6 }));
    }

    #[test]
    fn a_line_of_megabytes_is_one_slice_of_the_input() {
        let line = vec![b'x'; 4 << 20];
        let mut input = &line[..];
        let mut reader = BodyReader::new(Eol::Crlf, u64::MAX);
        let BodyEvent::Octets(octets) = reader.next(&mut input).unwrap() else {
            panic!("no octets");
        };
        assert_eq!(octets.len(), line.len());
        assert!(std::ptr::eq(octets.as_ptr(), line.as_ptr()));
    }
}
