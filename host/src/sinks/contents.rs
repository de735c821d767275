//! Owns the reading of an effect's content: made again from the raw message, checked against the effect's digest,
//! coded. Must not trust the length or the octets it is given.

use std::io::{self, Read, Write};

use postroom_mail::ids::Digester;
use postroom_mail::{Coding, Digest, Effect, Octets};

use super::error::Fault;

/// zstd's own default; higher costs time and gains little on mail.
const LEVEL: i32 = 3;

/// Why content was not written.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The content is not what the effect says, or cannot be read.
    Content(Fault),
    /// The place it was to be written to failed.
    Write(io::Error),
}

/// Passes octets on and keeps their number and digest.
pub(super) struct Counted<T> {
    inner: T,
    size: u64,
    digest: Digester,
}

impl<T> Counted<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, size: 0, digest: Digester::default() }
    }

    /// What they passed to, their number and their digest.
    pub(super) fn finish(self) -> (T, u64, Digest) {
        (self.inner, self.size, self.digest.finish())
    }

    fn count(&mut self, octets: &[u8]) {
        self.size += octets.len() as u64;
        self.digest.update(octets);
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(octets)?;
        self.count(&octets[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count(&buffer[..read]);
        Ok(read)
    }
}

/// Writes the effect's content, coded, into `writer`, and returns the writer.
pub(super) fn copy<W: Write>(effect: &Effect, raw: &dyn Octets, writer: W) -> Result<W, CopyError> {
    match effect.content.coding {
        Coding::Identity => checked(effect, raw, writer),
        Coding::Zstd => {
            let encoder = encoder(writer, effect.size).map_err(CopyError::Write)?;
            checked(effect, raw, encoder)?.finish().map_err(CopyError::Write)
        }
    }
}

/// The effect's content in memory, coded.
pub(super) fn collect(effect: &Effect, raw: &dyn Octets) -> Result<Vec<u8>, Fault> {
    // The size is only a hint: a wrong one is found out by the check, not by the allocator.
    let hint = usize::try_from(effect.size.min(64 << 20)).unwrap_or(0);
    copy(effect, raw, Vec::with_capacity(hint)).map_err(|error| match error {
        CopyError::Content(fault) => fault,
        CopyError::Write(error) => {
            Fault::temporary(format!("cannot code the content: {error}")).because(error)
        }
    })
}

/// Whether octets that are already stored are the content of this effect, once the coding is undone.
pub(super) fn same(effect: &Effect, stored: impl Read) -> io::Result<bool> {
    match effect.content.coding {
        Coding::Identity => digest_is(stored, effect.size, &effect.digest),
        Coding::Zstd => {
            let decoded = zstd::stream::read::Decoder::new(stored)?;
            // What does not decode is not this content.
            Ok(digest_is(decoded, effect.size, &effect.digest).unwrap_or(false))
        }
    }
}

/// The same, with number and digest of the stored octets when they are.
pub(super) fn same_counted(effect: &Effect, stored: impl Read) -> io::Result<Option<(u64, Digest)>> {
    let mut stored = Counted::new(stored);
    if !same(effect, &mut stored)? {
        return Ok(None);
    }
    // A decoder need not read behind the end of its frame.
    io::copy(&mut stored, &mut io::sink())?;
    let (_, size, digest) = stored.finish();
    Ok(Some((size, digest)))
}

/// Copies uncoded octets, and refuses at the first octet too many, and at the end if length or digest disagree.
fn checked<W: Write>(effect: &Effect, raw: &dyn Octets, mut writer: W) -> Result<W, CopyError> {
    let mut content = effect.content.open(raw);
    let mut digest = Digester::default();
    let mut count: u64 = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let octets = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Content(unreadable(error))),
        };
        count += octets.len() as u64;
        if count > effect.size {
            return Err(CopyError::Content(differs()));
        }
        digest.update(octets);
        writer.write_all(octets).map_err(CopyError::Write)?;
    }
    if count != effect.size || digest.finish() != effect.digest {
        return Err(CopyError::Content(differs()));
    }
    Ok(writer)
}

fn encoder<W: Write>(writer: W, size: u64) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(writer, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(size))?;
    Ok(encoder)
}

/// Reads no more than one octet past `size`, whatever it is given.
fn digest_is(stored: impl Read, size: u64, expected: &Digest) -> io::Result<bool> {
    let mut stored = stored.take(size.saturating_add(1));
    let mut digest = Digester::default();
    let mut count: u64 = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stored.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                count += read as u64;
                digest.update(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count == size && digest.finish() == *expected)
}

fn differs() -> Fault {
    Fault::permanent(
        "the content no longer matches the digest the effect was planned with, so nothing was written; \
         the stored message may be damaged: verify the spool, then plan the message again",
    )
}

fn unreadable(error: io::Error) -> Fault {
    let what = format!("the stored message cannot be read: {error}");
    match error.kind() {
        io::ErrorKind::InvalidData => Fault::permanent(format!("{what}; it is damaged: verify the spool")),
        _ => Fault::temporary(format!("{what}; look at the disk of the spool")),
    }
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::super::testing::effect;
    use super::*;

    #[test]
    fn a_zstd_frame_tells_its_size_and_decodes_to_the_content() {
        let raw = b"Subject: a\r\n\r\nbody ".repeat(500);
        let mut effect = effect("a.eml", &raw);
        effect.content.coding = Coding::Zstd;
        let coded = collect(&effect, &raw).unwrap();
        assert!(coded.len() < raw.len() / 4);
        assert_eq!(zstd::stream::decode_all(coded.as_slice()).unwrap(), raw);
        // RFC 8878 section 3.1.1.1: bit 2 of the frame header descriptor is the checksum flag, bits 7-6 the size's.
        assert_ne!(coded[4] & 0b100, 0, "no checksum");
        assert_ne!(coded[4] & 0b1110_0000, 0, "no content size");
        assert!(same(&effect, coded.as_slice()).unwrap());
        let half = &coded[..coded.len() / 2];
        assert!(!same(&effect, half).unwrap());
    }

    #[test]
    fn content_that_changed_since_planning_is_refused() {
        let raw = b"Subject: a\r\n\r\nbody".to_vec();
        let effect = effect("a.eml", &raw);
        for other in [b"Subject: b\r\n\r\nbody".to_vec(), raw[..5].to_vec(), [raw.clone(), raw].concat()] {
            let mut effect = effect.clone();
            effect.content = postroom_mail::Content::raw(other.len() as u64);
            match copy(&effect, &other, Vec::new()) {
                Err(CopyError::Content(fault)) => {
                    assert_eq!(fault.at(&effect.sink).disposition(), postroom_mail::Disposition::Park);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
