//! Octets that live in the host. A plugin holds handles; the octets cross only when it reads them.

use crate::fault::Fault;
use crate::seam;

/// Most octets one `read` of the host returns.
const READ_OCTETS: u32 = 1 << 20;

/// Immutable octets in the host: the raw message, a part, a slice, or something a [`Writer`] made.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new().raw(b"Subject: x\r\n\r\nHello"), |message| {
///     let raw = message.raw();
///     assert_eq!((raw.size(), raw.sha256().len()), (19, 64));
///     assert_eq!(raw.read(14, 100)?, b"Hello");
///     assert_eq!(raw.slice(14, 5)?.read_all(1024)?, b"Hello");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Debug)]
pub struct Blob(pub(crate) seam::Blob);

impl Blob {
    /// Size in octets.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// SHA-256 of the octets, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        self.0.sha256()
    }

    /// At most `len` octets from `offset`. At most 1 MiB a call, and fewer at the end.
    ///
    /// # Errors
    /// When the host's limit on octets read is reached, or the content cannot be had now.
    pub fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        self.0.read(offset, len)
    }

    /// All octets, at most `limit` of them.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Fault::Quota`] when there are more than `limit`.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, Fault> {
        let size = self.size();
        if size > limit {
            return Err(Fault::Quota(format!("content of {size} octets, at most {limit} asked for")));
        }
        let mut octets = Vec::new();
        while (octets.len() as u64) < size {
            let more = self.read(octets.len() as u64, READ_OCTETS)?;
            if more.is_empty() {
                return Err(Fault::Other(format!("content ended at octet {} of {size}", octets.len())));
            }
            octets.extend_from_slice(&more);
        }
        Ok(octets)
    }

    /// A view of `len` octets from `offset`, without a copy.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when the range is not inside.
    pub fn slice(&self, offset: u64, len: u64) -> Result<Self, Fault> {
        self.0.slice(offset, len).map(Self)
    }
}

/// Builds new content in the host from octets and blobs.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().sink("notes").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     let mut writer = Writer::new();
///     writer.write(b"> ")?;
///     writer.append(&message.raw())?;
///     effects::store("notes", "quoted.txt", &writer.finish()?).queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["store notes:quoted.txt 7 octets"]);
/// ```
#[derive(Debug)]
pub struct Writer(seam::Writer);

impl Writer {
    /// An empty one.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a handle in the host is no default value")]
    pub fn new() -> Self {
        Self(seam::Writer::new())
    }

    /// Appends octets.
    ///
    /// # Errors
    /// When the host's limit on octets made is reached.
    pub fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.0.write(octets)
    }

    /// Appends a blob without its octets crossing into the plugin.
    ///
    /// # Errors
    /// When the host's limit on octets referenced is reached.
    pub fn append(&mut self, source: &Blob) -> Result<(), Fault> {
        self.0.append(&source.0)
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// When the host cannot keep the content.
    pub fn finish(self) -> Result<Blob, Fault> {
        self.0.finish().map(Blob)
    }
}
