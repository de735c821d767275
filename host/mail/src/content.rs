//! Content of an effect: a recipe over the raw octets, so that a 30 MB attachment is journalled in a few bytes and
//! can be made again from the raw message at any time.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::octets::{Octets, RangeReader};
use crate::structure::Encoding;
use crate::transfer;

/// One run of octets. Offsets count octets of the raw message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// As they are in the raw message.
    Raw {
        /// Where it starts.
        offset: u64,
        /// How many octets.
        len: u64,
    },
    /// `take` octets after the first `skip` of what an encoded range decodes to.
    Decoded {
        /// Where the encoded range starts.
        offset: u64,
        /// How long it is, encoded.
        len: u64,
        /// How it is encoded.
        encoding: Encoding,
        /// Decoded octets to leave out first.
        skip: u64,
        /// Decoded octets to take at most.
        take: u64,
    },
    /// Made by a plugin.
    Made(#[serde(with = "made")] Vec<u8>),
}

/// How the content is coded when it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// As it is.
    #[default]
    Identity,
    /// One zstd frame (RFC 8878) with checksum and content size.
    Zstd,
}

/// The pieces one after the other, then the coding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// In order.
    pub pieces: Vec<Piece>,
    /// Applied by the sink.
    pub coding: Coding,
}

impl Content {
    /// The whole raw message of `len` octets.
    pub fn raw(len: u64) -> Self {
        Self { pieces: vec![Piece::Raw { offset: 0, len }], coding: Coding::Identity }
    }

    /// Reads the content, before any coding, over the raw message.
    pub fn open<'a>(&'a self, raw: &'a dyn Octets) -> Box<dyn Read + 'a> {
        Box::new(Pieces { raw, rest: self.pieces.iter(), current: None })
    }
}

impl Piece {
    /// Reads the piece over the raw message.
    pub fn open<'a>(&'a self, raw: &'a dyn Octets) -> Box<dyn Read + 'a> {
        match self {
            Self::Raw { offset, len } => Box::new(RangeReader::new(raw, *offset, *len)),
            Self::Decoded { offset, len, encoding, skip, take } => {
                let decoded = transfer::decode(RangeReader::new(raw, *offset, *len), *encoding);
                Box::new(Skip { inner: decoded, left: *skip }.take(*take))
            }
            Self::Made(octets) => Box::new(octets.as_slice()),
        }
    }
}

/// One piece after the other. A loop, not a chain of chains: a plugin may make any number of pieces.
struct Pieces<'a> {
    raw: &'a dyn Octets,
    rest: std::slice::Iter<'a, Piece>,
    current: Option<Box<dyn Read + 'a>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(current) = &mut self.current {
                let count = current.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
            }
            match self.rest.next() {
                Some(piece) => self.current = Some(piece.open(self.raw)),
                None => return Ok(0),
            }
        }
    }
}

/// Leaves out the first octets of a reader.
struct Skip<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Skip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left > 0 {
            io::copy(&mut (&mut self.inner).take(self.left), &mut io::sink())?;
            self.left = 0;
        }
        self.inner.read(buffer)
    }
}

/// Made octets travel as hexadecimal text, so that a journalled effect is readable JSON.
mod made {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write;
        let mut text = String::with_capacity(octets.len() * 2);
        for byte in octets {
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() % 2 != 0 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(D::Error::custom("not hexadecimal octets"));
        }
        let pair = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        text.as_bytes()
            .chunks(2)
            .map(|p| pair(p).ok_or_else(|| D::Error::custom("not hexadecimal")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most three octets at a time.
    struct Slow(Vec<u8>);

    impl Octets for Slow {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(3);
            self.0.read_at(offset, &mut buffer[..most])
        }
    }

    fn read(pieces: Vec<Piece>, raw: &dyn Octets) -> Vec<u8> {
        let content = Content { pieces, coding: Coding::Identity };
        let mut octets = Vec::new();
        content.open(raw).read_to_end(&mut octets).unwrap();
        octets
    }

    fn decoded(skip: u64, take: u64) -> Piece {
        Piece::Decoded { offset: 6, len: 12, encoding: Encoding::Base64, skip, take }
    }

    const RAW: &[u8] = b"head\r\naGVs\r\nbG8h\r\ntail";

    #[test]
    fn pieces_are_read_one_after_the_other() {
        for raw in [&RAW.to_vec() as &dyn Octets, &Slow(RAW.to_vec())] {
            assert_eq!(read(vec![], raw), b"");
            let pieces = vec![
                Piece::Made(b"<".to_vec()),
                Piece::Raw { offset: 0, len: 4 },
                Piece::Made(vec![]),
                decoded(0, u64::MAX),
                Piece::Raw { offset: 18, len: 100 },
                Piece::Made(b">".to_vec()),
            ];
            assert_eq!(read(pieces, raw), b"<headhello!tail>");
            assert_eq!(read(Content::raw(raw.len()).pieces, raw), RAW);
        }
    }

    #[test]
    fn a_decoded_piece_skips_and_takes_decoded_octets() {
        let raw = RAW.to_vec();
        for skip in 0..9 {
            for take in 0..9 {
                let expected: Vec<u8> = b"hello!".iter().copied().skip(skip).take(take).collect();
                assert_eq!(read(vec![decoded(skip as u64, take as u64)], &raw), expected, "{skip} {take}");
            }
        }
    }

    #[test]
    fn pieces_outside_the_message_are_empty() {
        let raw = RAW.to_vec();
        let pieces = vec![
            Piece::Raw { offset: 1000, len: 10 },
            Piece::Raw { offset: u64::MAX, len: u64::MAX },
            Piece::Raw { offset: 20, len: u64::MAX },
        ];
        assert_eq!(read(pieces, &raw), b"il");
    }

    #[test]
    fn any_number_of_pieces_is_read_without_recursion() {
        let pieces = vec![Piece::Made(b"x".to_vec()); 200_000];
        assert_eq!(read(pieces, &Vec::new()).len(), 200_000);
    }

    #[test]
    fn a_journalled_content_reads_back_and_damaged_octets_do_not() {
        let content =
            Content { pieces: vec![Piece::Made(vec![0, 255, 16]), decoded(1, 2)], coding: Coding::Zstd };
        let json = serde_json::to_string(&content).unwrap();
        assert!(json.contains("00ff10"), "{json}");
        assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content);
        for damaged in ["00ff1", "00ff1g", "00ff+1", "00ffä"] {
            assert!(serde_json::from_str::<Content>(&json.replace("00ff10", damaged)).is_err(), "{damaged}");
        }
    }
}
