//! Multi-line replies that are lists: CAPA, LIST, UIDL (RFC 1939 section 3).
//!
//! A list holds no mail, so a line may end in CRLF or in LF and the end is "the line is a dot": an
//! empty list that ends right after its status line ends here too. Counts and octets are capped.

use super::line::LineReader;
use crate::error::Error;

/// The most a list may hold before the server counts as endless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cap {
    /// Lines, blank ones counted.
    pub(crate) lines: usize,
    /// Octets of the lines without their line ends.
    pub(crate) octets: usize,
    /// What the list is called in the error.
    pub(crate) name: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'s> {
    /// A line that is not blank, dot-unstuffed.
    Line(&'s [u8]),
    /// The terminating dot.
    End,
}

#[derive(Debug)]
pub(crate) struct Lines {
    reader: LineReader,
    cap: Cap,
    lines: usize,
    octets: usize,
}

impl Lines {
    pub(crate) fn new(cap: Cap) -> Self {
        Self { reader: LineReader::default(), cap, lines: 0, octets: 0 }
    }

    /// Takes lines off `input` up to the next that says something; `None` when `input` ran out.
    pub(crate) fn next<'s, 'a: 's>(&'s mut self, input: &mut &'a [u8]) -> Result<Option<Item<'s>>, Error> {
        // One line a call, so that the borrow of the reader can be handed out.
        let Some(line) = self.reader.next(input)? else {
            return Ok(None);
        };
        let octets = line.octets;
        if octets == b"." {
            return Ok(Some(Item::End));
        }
        self.lines += 1;
        self.octets += octets.len();
        if self.lines > self.cap.lines {
            return Err(Error::TooLarge { what: self.cap.name, limit: self.cap.lines as u64 });
        }
        if self.octets > self.cap.octets {
            return Err(Error::TooLarge { what: self.cap.name, limit: self.cap.octets as u64 });
        }
        Ok(Some(Item::Line(if octets.starts_with(b"..") { &octets[1..] } else { octets })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Cap = Cap { lines: 3, octets: 20, name: "list" };

    fn read(raw: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut lines = Lines::new(CAP);
        let mut out = Vec::new();
        for mut piece in raw.chunks(1) {
            match lines.next(&mut piece)? {
                None => {}
                Some(Item::Line(line)) => out.push(line.to_vec()),
                Some(Item::End) => return Ok(out),
            }
        }
        panic!("no end in {raw:?}");
    }

    #[test]
    fn a_list_that_ends_right_after_the_status_line_is_empty() {
        assert_eq!(read(b".\r\n").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(read(b".\n").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn stuffed_dots_lose_one_dot_and_a_lone_dot_ends() {
        assert_eq!(read(b"..\r\n.x\r\n.\r\n").unwrap(), [b".".to_vec(), b".x".to_vec()]);
    }

    #[test]
    fn an_endless_list_is_cut_off_by_lines_and_by_octets() {
        assert_eq!(read(b"1\r\n2\r\n3\r\n.\r\n").unwrap().len(), 3);
        assert_eq!(read(b"1\r\n\r\n3\r\n4\r\n"), Err(Error::TooLarge { what: "list", limit: 3 }));
        assert_eq!(read(b"aaaaaaaaaaaaaaaaaaaaa\r\n"), Err(Error::TooLarge { what: "list", limit: 20 }));
    }
}
