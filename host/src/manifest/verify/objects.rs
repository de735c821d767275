//! Reading one object back, a block at a time: the digest of what is stored, and of what it decodes to.

use std::io::{self, Write};

use futures::stream::StreamExt as _;
use postroom_mail::ids::Digester;
use postroom_mail::{Coding, Digest};
use zstd::stream::write::Decoder;

use crate::manifest::Line;
use crate::sinks::Sink;

/// Keys that lines name, as digests of 8 octets each: two keys that share one could hide an object that no line names.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<u64>);

impl Known {
    pub(super) fn add(&mut self, key: &str) {
        self.0.push(short(key));
    }

    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.binary_search(&short(key)).is_ok()
    }
}

fn short(key: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(key.as_bytes()).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Why there is nothing to examine.
#[derive(Debug)]
pub(super) enum Missing {
    Gone,
    Unreadable(String),
}

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Digest of its octets.
    pub stored: Digest,
    /// Their number.
    pub stored_size: u64,
    /// Digest and number of the octets it decodes to, or why it does not.
    pub content: Result<(Digest, u64), String>,
}

/// Takes the octets of an object as they come, and writes what they decode to.
pub struct Examiner<W: Write> {
    stored: Digester,
    stored_size: u64,
    content: Content<W>,
    broken: Option<String>,
}

enum Content<W: Write> {
    Plain(Tally<W>),
    Zstd(Box<Decoder<'static, Tally<W>>>),
}

impl<W: Write> Examiner<W> {
    /// For an object of this coding.
    ///
    /// # Errors
    /// When there is no memory for a decoder.
    pub fn new(coding: Coding, into: W) -> io::Result<Self> {
        let tally = Tally { into, digest: Digester::default(), size: 0, failed: None };
        let content = match coding {
            Coding::Identity => Content::Plain(tally),
            Coding::Zstd => Content::Zstd(Box::new(Decoder::new(tally)?)),
        };
        Ok(Self { stored: Digester::default(), stored_size: 0, content, broken: None })
    }

    /// Some more of them.
    pub fn push(&mut self, octets: &[u8]) {
        self.stored.update(octets);
        self.stored_size += octets.len() as u64;
        if self.broken.is_none() {
            let written = match &mut self.content {
                Content::Plain(tally) => tally.write_all(octets),
                Content::Zstd(decoder) => decoder.write_all(octets),
            };
            self.broken = written.err().map(|error| error.to_string());
        }
    }

    /// That was all.
    ///
    /// # Errors
    /// When what it decodes to could not be written.
    pub fn finish(self) -> io::Result<(Examined, W)> {
        let mut broken = self.broken;
        let tally = match self.content {
            Content::Plain(tally) => tally,
            Content::Zstd(mut decoder) => {
                if let Err(error) = decoder.flush() {
                    broken = broken.or(Some(error.to_string()));
                }
                decoder.into_inner()
            }
        };
        if let Some(failed) = tally.failed {
            return Err(failed);
        }
        let content = broken.map_or(Ok((tally.digest.finish(), tally.size)), Err);
        Ok((Examined { stored: self.stored.finish(), stored_size: self.stored_size, content }, tally.into))
    }
}

struct Tally<W> {
    into: W,
    digest: Digester,
    size: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.into.write_all(octets) {
            let same = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            return Err(same);
        }
        self.digest.update(octets);
        self.size += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Reads the object of a line back.
pub(super) async fn examine<W: Write>(sink: &Sink, line: &Line, into: W) -> Result<Examined, Missing> {
    let unreadable = |error: &dyn std::fmt::Display| Missing::Unreadable(error.to_string());
    let mut blocks = match sink.open(&line.key).await {
        Ok(Some(blocks)) => blocks,
        Ok(None) => return Err(Missing::Gone),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut examiner = Examiner::new(line.coding, into).map_err(|error| unreadable(&error))?;
    while let Some(block) = blocks.next().await {
        examiner.push(&block.map_err(|error| unreadable(&error))?);
    }
    examiner.finish().map(|(examined, _)| examined).map_err(|error| unreadable(&error))
}

/// Writes what the object of a line decodes to into `into`, if it is what the line says.
///
/// # Errors
/// In words, when it is gone, cannot be read or written, or is another; part of it may be written then.
pub async fn read_back<W: Write>(sink: &Sink, line: &Line, into: W) -> Result<(), String> {
    match examine(sink, line, into).await {
        Ok(Examined { content: Ok((digest, size)), .. }) if digest == line.sha256 && size == line.size => {
            Ok(())
        }
        Ok(Examined { content: Ok((digest, _)), .. }) => {
            Err(format!("its octets are others: SHA-256 {digest}, not {}", line.sha256))
        }
        Ok(Examined { content: Err(why), .. }) => Err(format!("it cannot be decoded: {why}")),
        Err(Missing::Gone) => Err("it is gone".to_owned()),
        Err(Missing::Unreadable(why)) => Err(format!("it cannot be read: {why}")),
    }
}
