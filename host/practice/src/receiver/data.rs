//! Owns the reading of a mail's octets: finds the final dot, undoes dot-stuffing, notes bare line ends (RFC 5321
//! section 4.5.2). Must not take anything but CRLF "." CRLF for the end (RFC 5321 section 4.1.1.4).

/// Reads a mail from pieces of any size.
#[derive(Debug)]
pub(super) struct MailData {
    octets: Vec<u8>,
    limit: usize,
    state: State,
    too_large: bool,
    bare_line_ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart,
    Inside,
    AfterCr,
    /// A dot stands at the start of a line: it ends the mail or was stuffed.
    Dot,
    /// CR after that dot.
    DotCr,
}

impl MailData {
    /// Keeps at most `limit` octets; the rest is read and forgotten.
    pub(super) fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), limit, state: State::LineStart, too_large: false, bare_line_ends: false }
    }

    /// Takes the next octets; returns how many of them belong to the mail once its end is reached.
    pub(super) fn feed(&mut self, octets: &[u8]) -> Option<usize> {
        for (at, &octet) in octets.iter().enumerate() {
            self.state = match (self.state, octet) {
                (State::DotCr, b'\n') => return Some(at + 1),
                (State::LineStart, b'.') => State::Dot,
                (State::Dot, b'\r') => State::DotCr,
                (State::DotCr, _) => {
                    self.keep(b'\r');
                    self.inside(State::AfterCr, octet)
                }
                (State::LineStart | State::Dot, _) => self.inside(State::Inside, octet),
                (state @ (State::Inside | State::AfterCr), _) => self.inside(state, octet),
            };
        }
        None
    }

    fn inside(&mut self, state: State, octet: u8) -> State {
        let after_cr = state == State::AfterCr;
        self.bare_line_ends |= (octet == b'\n') != after_cr;
        self.keep(octet);
        match octet {
            b'\r' => State::AfterCr,
            b'\n' if after_cr => State::LineStart,
            _ => State::Inside,
        }
    }

    fn keep(&mut self, octet: u8) {
        if self.octets.len() < self.limit {
            self.octets.push(octet);
        } else {
            self.too_large = true;
        }
    }

    pub(super) fn too_large(&self) -> bool {
        self.too_large
    }

    pub(super) fn bare_line_ends(&self) -> bool {
        self.bare_line_ends
    }

    pub(super) fn into_octets(self) -> Vec<u8> {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], step: usize) -> Option<(Vec<u8>, bool, usize)> {
        let mut data = MailData::new(1000);
        let mut taken = 0;
        for piece in wire.chunks(step) {
            if let Some(end) = data.feed(piece) {
                let bare = data.bare_line_ends();
                return Some((data.into_octets(), bare, taken + end));
            }
            taken += piece.len();
        }
        None
    }

    #[test]
    fn the_end_is_found_and_dots_are_undone_however_the_octets_are_split() {
        let cases: [(&[u8], &[u8], bool); 7] = [
            (b".\r\n", b"", false),
            (b"a\r\n.\r\n", b"a\r\n", false),
            (b"..\r\n...x\r\n.\r\n", b".\r\n..x\r\n", false),
            (b".x\r\n.\r\n", b"x\r\n", false),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", true),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", true),
            (b"..\rq\r\n.\r\n", b".\rq\r\n", true),
        ];
        for (wire, mail, bare) in cases {
            let wire_and_more = [wire, b"QUIT\r\n"].concat();
            for step in 1..=wire_and_more.len() {
                assert_eq!(
                    read(&wire_and_more, step),
                    Some((mail.to_vec(), bare, wire.len())),
                    "step {step}"
                );
            }
        }
        assert_eq!(read(b"a\r\n.\n\r\n", 1), None);
    }

    #[test]
    fn more_than_the_limit_is_read_but_not_kept() {
        let mut data = MailData::new(4);
        assert_eq!(data.feed(b"123456\r\n.\r\n"), Some(11));
        assert!(data.too_large());
        assert_eq!(data.into_octets(), b"1234");
    }
}
