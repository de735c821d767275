//! Lenient quoted-printable (RFC 2045 section 6.7), in pieces of any size.

/// Blanks held back because a line end may follow, at most: an encoded line has 76 octets.
const HELD: usize = 1000;

#[derive(Default)]
pub(super) struct Decoder {
    state: State,
    /// Blanks, and one CR at most, that go if a line end follows; after `=`, what goes if it was a soft line break.
    held: Vec<u8>,
    is_damaged: bool,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    /// After a CR in text.
    Cr,
    /// After `=`.
    Escape,
    /// After `=` and a hexadecimal digit.
    Hex(u8),
    /// After `=` and blanks: a soft line break, if a line end follows.
    SoftBlank,
    /// After `=`, blanks perhaps, and CR.
    SoftCr,
}

impl Decoder {
    pub(super) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for byte in octets {
            self.octet(*byte, out);
        }
    }

    fn octet(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, byte) {
            (State::Text, _) => self.text(byte, out),
            (State::Cr, b'\n') => self.line_end(b"\r\n", out),
            (State::Cr, _) => {
                self.release(out);
                out.push(b'\r');
                self.text(byte, out)
            }
            (State::Escape | State::SoftBlank | State::SoftCr, b'\n') => {
                self.held.clear();
                State::Text
            }
            (State::Escape, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => State::Hex(byte),
            (State::Escape | State::SoftBlank, b' ' | b'\t') if self.held.len() < HELD => {
                self.held.push(byte);
                State::SoftBlank
            }
            (State::Escape | State::SoftBlank, b'\r') => {
                self.held.push(byte);
                State::SoftCr
            }
            (State::Hex(first), _) => match (nibble(first), nibble(byte)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    State::Text
                }
                _ => self.wrong_escape(Some(first), byte, out),
            },
            (State::Escape | State::SoftBlank | State::SoftCr, _) => self.wrong_escape(None, byte, out),
        };
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            b' ' | b'\t' => {
                if self.held.len() >= HELD {
                    self.release(out);
                }
                self.held.push(byte);
                State::Text
            }
            b'\n' => self.line_end(b"\n", out),
            b'\r' => State::Cr,
            _ => {
                self.release(out);
                if byte == b'=' {
                    return State::Escape;
                }
                out.push(byte);
                State::Text
            }
        }
    }

    fn line_end(&mut self, end: &[u8], out: &mut Vec<u8>) -> State {
        self.held.clear();
        out.extend_from_slice(end);
        State::Text
    }

    /// What looked like an escape stays as it was written.
    fn wrong_escape(&mut self, first: Option<u8>, byte: u8, out: &mut Vec<u8>) -> State {
        self.is_damaged = true;
        out.push(b'=');
        out.extend(first);
        self.release(out);
        self.text(byte, out)
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// The end counts as a line end: the one before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Hex(first) => {
                self.is_damaged = true;
                out.extend_from_slice(&[b'=', first]);
            }
            State::Cr => {
                self.release(out);
                out.push(b'\r');
            }
            State::Text | State::Escape | State::SoftBlank | State::SoftCr => self.held.clear(),
        }
        self.state = State::Text;
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
