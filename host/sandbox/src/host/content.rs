//! `content`: octets by handle.

use std::sync::Arc;

use postroom_mail::Digest;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::{content, types};
use crate::blob::{Blob, BlobEntry, SEGMENTS, Writer};
use crate::invocation::Invocation;
use crate::refusal::{Breach, Refusal, storage};

/// Octets one `read` returns at most.
const READ_CAP: u64 = 1 << 20;

impl types::Host for Invocation {
    fn convert_fault(&mut self, refusal: Refusal) -> Result<types::Fault> {
        match refusal {
            Refusal::Fault(fault) => Ok(fault),
            Refusal::Trap(error) => Err(error),
        }
    }
}

impl content::Host for Invocation {}

impl content::HostBlob for Invocation {
    fn size(&mut self, handle: Resource<BlobEntry>) -> Result<u64> {
        Ok(self.get(&handle)?.0.size())
    }

    fn sha256(&mut self, handle: Resource<BlobEntry>) -> Result<String> {
        let blob = Arc::clone(&self.get(&handle)?.0);
        Ok(self.digest(&blob)?.to_string())
    }

    fn read(&mut self, handle: Resource<BlobEntry>, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        let blob = Arc::clone(&self.get(&handle)?.0);
        let (cursors, meter) = (&mut self.cursors, &self.meter);
        Ok(blob.read(offset, u64::from(len).min(READ_CAP), cursors, &|| meter.check_io())?)
    }

    fn slice(
        &mut self,
        handle: Resource<BlobEntry>,
        offset: u64,
        len: u64,
    ) -> Result<Resource<BlobEntry>, Refusal> {
        let blob = &self.get(&handle)?.0;
        let slice = blob.slice(offset, len).ok_or_else(|| {
            Refusal::invalid(format!("{len} octets from {offset} reach past the end of {}", blob.size()))
        })?;
        Ok(self.push(BlobEntry(Arc::new(slice)))?)
    }

    fn drop(&mut self, handle: Resource<BlobEntry>) -> Result<()> {
        self.delete(handle)
    }
}

impl Invocation {
    /// The digest of a blob. Of a part of the message it is kept for all steps, so the first to ask does not pay.
    pub(crate) fn digest(&mut self, blob: &Blob) -> Result<Digest, Breach> {
        if let Some(digest) = blob.known_digest() {
            return Ok(digest);
        }
        let is_free = blob.is_shared() && self.is_free(blob.size());
        let (cursors, meter) = (&mut self.cursors, &mut self.meter);
        let digest = match is_free {
            true => meter.uncharged(|| blob.digest(cursors, &|| Ok(()))),
            false => blob.digest(cursors, &|| meter.check_io()),
        };
        digest.map_err(|error| storage(&error))
    }

    /// Refuses content that no effect could carry.
    fn room(&mut self, handle: &Resource<Writer>, more: u64) -> Result<(), Refusal> {
        let size = self.get(handle)?.size().saturating_add(more);
        let allowed = self.effect_octets();
        match size > allowed {
            true => Err(Refusal::quota("octets of one content", size, allowed)),
            false => Ok(()),
        }
    }
}

impl content::HostWriter for Invocation {
    fn new(&mut self) -> Result<Resource<Writer>> {
        self.push(Writer::default())
    }

    fn write(&mut self, handle: Resource<Writer>, octets: Vec<u8>) -> Result<(), Refusal> {
        let (made, allowed) = (self.made + octets.len() as u64, self.limits.made_octets);
        if made > allowed {
            return Err(Refusal::quota("octets made by the plugin", made, allowed));
        }
        self.room(&handle, octets.len() as u64)?;
        self.made = made;
        self.get_mut(&handle)?.write(&octets);
        Ok(())
    }

    fn append(&mut self, handle: Resource<Writer>, source: Resource<BlobEntry>) -> Result<(), Refusal> {
        let blob = Arc::clone(&self.get(&source)?.0);
        self.room(&handle, blob.size())?;
        match self.get_mut(&handle)?.append(&blob) {
            true => Ok(()),
            false => Err(Refusal::quota("pieces of one content", SEGMENTS as u64 + 1, SEGMENTS as u64)),
        }
    }

    /// Takes what was written; the writer starts over, empty.
    fn finish(&mut self, handle: Resource<Writer>) -> Result<Resource<BlobEntry>, Refusal> {
        self.room(&handle, 0)?;
        let writer = std::mem::take(self.get_mut(&handle)?);
        Ok(self.push(BlobEntry(Arc::new(writer.finish())))?)
    }

    fn drop(&mut self, handle: Resource<Writer>) -> Result<()> {
        self.delete(handle)
    }
}
