//! `content`: octets by handle.

use postroom_mail::Digest;

use crate::blob::{Blob, SEGMENTS, Writer};
use crate::call::Call;
use crate::refusal::{Breach, Refusal};

/// Octets one `read` returns at most.
const READ_CAP: u64 = 1 << 20;

impl Call {
    /// At most `len` octets of a blob from `offset`; at most 1 MiB a call, and fewer at the end.
    ///
    /// # Errors
    /// A breach, when the storage fails or there is no time left.
    pub fn read(&mut self, blob: &Blob, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        let (cursors, meter) = (&mut self.cursors, &self.meter);
        let octets = blob.read(offset, u64::from(len).min(READ_CAP), cursors, &|| meter.check_io());
        Ok(octets.map_err(Breach::from)?)
    }

    /// A view without a copy.
    ///
    /// # Errors
    /// `invalid`, when the range is not inside.
    pub fn slice(&mut self, blob: &Blob, offset: u64, len: u64) -> Result<Blob, Refusal> {
        blob.slice(offset, len).ok_or_else(|| {
            Refusal::invalid(format!("{len} octets from {offset} reach past the end of {}", blob.size()))
        })
    }

    /// The digest of a blob. Of a part of the message it is kept for all steps, so the first to ask does not pay.
    ///
    /// # Errors
    /// When the storage fails or there is no time left.
    pub fn digest(&mut self, blob: &Blob) -> Result<Digest, Breach> {
        if let Some(digest) = blob.known_digest() {
            return Ok(digest);
        }
        let is_free = blob.is_shared() && self.is_free(blob.size());
        let (cursors, meter) = (&mut self.cursors, &mut self.meter);
        let digest = match is_free {
            true => meter.uncharged(|| blob.digest(cursors, &|| Ok(()))),
            false => blob.digest(cursors, &|| meter.check_io()),
        };
        digest.map_err(Breach::from)
    }

    /// Appends octets that the plugin made.
    ///
    /// # Errors
    /// `quota`, when they are too many.
    pub fn write(&mut self, writer: &mut Writer, octets: &[u8]) -> Result<(), Refusal> {
        let (made, allowed) = (self.made + octets.len() as u64, self.limits.made_octets);
        if made > allowed {
            return Err(Refusal::quota("octets made by the plugin", made, allowed));
        }
        self.room(writer, octets.len() as u64)?;
        self.made = made;
        writer.write(octets);
        Ok(())
    }

    /// Appends a blob without a copy.
    ///
    /// # Errors
    /// `quota`, when the content gets too large, or has too many pieces.
    pub fn append(&mut self, writer: &mut Writer, blob: &Blob) -> Result<(), Refusal> {
        self.room(writer, blob.size())?;
        match writer.append(blob) {
            true => Ok(()),
            false => Err(Refusal::quota("pieces of one content", SEGMENTS as u64 + 1, SEGMENTS as u64)),
        }
    }

    /// Takes what was written; the writer starts over, empty.
    ///
    /// # Errors
    /// `quota`, when it is too large.
    pub fn finish(&mut self, writer: &mut Writer) -> Result<Blob, Refusal> {
        self.room(writer, 0)?;
        Ok(std::mem::take(writer).finish())
    }

    /// Refuses content that no effect could carry.
    fn room(&self, writer: &Writer, more: u64) -> Result<(), Refusal> {
        let (size, allowed) = (writer.size().saturating_add(more), self.effect_octets());
        match size > allowed {
            true => Err(Refusal::quota("octets of one content", size, allowed)),
            false => Ok(()),
        }
    }
}
