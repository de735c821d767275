//! The octets of a message: while they arrive, sealed, and at rest. Owns temporary files and damage checks of reads;
//! never decides where a body is kept, that is each spool's own business.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom_mail::ids::Digester;
use postroom_mail::{Digest, MessageId, Octets};

use crate::disk::{Disk, Temporary};
use crate::records::damaged;
use crate::{Error, Result};

/// So much of a message is kept in memory while it arrives; more goes to a file.
const IN_MEMORY: usize = 1 << 20;
/// How much is written or read at once.
const CHUNK: usize = 256 << 10;

/// The octets of one message while they arrive. Dropping it forgets them.
pub struct Incoming {
    limit: u64,
    directory: Option<(PathBuf, Disk)>,
    /// All of it, or, once there is a file, what was not written to it yet.
    pending: Vec<u8>,
    file: Option<Temporary>,
    size: u64,
    digester: Digester,
    crc: u32,
    broken: bool,
}

impl Incoming {
    /// At most `limit` octets; without a directory all of them stay in memory.
    pub(crate) fn new(limit: u64, directory: Option<(PathBuf, Disk)>) -> Self {
        Self {
            limit,
            directory,
            pending: Vec::new(),
            file: None,
            size: 0,
            digester: Digester::default(),
            crc: 0,
            broken: false,
        }
    }

    /// Takes in more octets.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond the limit, [`Error::Full`] or [`Error::Io`] when the temporary file fails. After an
    /// error it cannot be sealed any more.
    pub fn write(&mut self, octets: &[u8]) -> Result<()> {
        let size = self.size.saturating_add(octets.len() as u64);
        if size > self.limit {
            self.broken = true;
            return Err(Error::TooLarge { limit: self.limit });
        }
        self.size = size;
        self.digester.update(octets);
        self.crc = crc32c::crc32c_append(self.crc, octets);
        self.pending.extend_from_slice(octets);
        let in_memory = self.directory.as_ref().and_then(|(_, disk)| disk.in_memory());
        let keep = if self.file.is_some() { CHUNK } else { in_memory.unwrap_or(IN_MEMORY) };
        if self.pending.len() > keep { self.spill() } else { Ok(()) }
    }

    /// How many octets arrived so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the arrival: these are all the octets.
    ///
    /// # Errors
    /// When the last octets cannot be written, or an earlier write failed.
    pub fn seal(mut self) -> Result<Sealed> {
        if self.broken {
            return Err(Error::Conflict("a message of which a part is missing cannot be sealed".into()));
        }
        if self.file.is_some() {
            self.spill()?;
        }
        let held = match self.file {
            Some(file) => Held::File(file),
            None => Held::Memory(self.pending),
        };
        Ok(Sealed { held, digest: self.digester.finish(), size: self.size, crc: self.crc })
    }

    fn spill(&mut self) -> Result<()> {
        let Some((directory, disk)) = &self.directory else { return Ok(()) };
        let written = spill_to(&mut self.file, disk, directory, &self.pending);
        self.broken |= written.is_err();
        self.pending.clear();
        written.map_err(|source| Error::storage(directory, "write an arriving message", source))
    }
}

fn spill_to(file: &mut Option<Temporary>, disk: &Disk, directory: &Path, octets: &[u8]) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        none => none.insert(disk.temporary(directory)?),
    };
    file.write_all(octets)
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("size", &self.size)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// All octets of one message, not yet durable.
pub struct Sealed {
    held: Held,
    digest: Digest,
    size: u64,
    crc: u32,
}

enum Held {
    Memory(Vec<u8>),
    File(Temporary),
}

impl Sealed {
    /// SHA-256 of the octets.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// CRC32C of the octets as they arrived.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// Hands the octets to `take` in order; can be repeated.
    pub(crate) fn each(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match &self.held {
            Held::Memory(octets) => take(octets),
            Held::File(file) => each_chunk(file.as_file(), 0, self.size, take),
        }
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Hands `len` octets of `file` from `start` to `take`; an early end is an error.
pub(crate) fn each_chunk(
    file: &File,
    start: u64,
    len: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < len {
        let want = buffer.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
        file.read_exact_at(&mut buffer[..want], start + done)?;
        take(&buffer[..want])?;
        done += want as u64;
    }
    Ok(())
}

/// The raw octets of a message at rest. Cheap to clone; stays readable even when the body is swept meanwhile.
#[derive(Clone)]
pub struct Body(Arc<Stored>);

enum Stored {
    Memory(Vec<u8>),
    Segment { file: File, start: u64, len: u64 },
}

impl Body {
    /// A range of a segment file, already checked.
    pub(crate) fn in_segment(file: File, start: u64, len: u64) -> Self {
        Self(Arc::new(Stored::Segment { file, start, len }))
    }

    /// Reads all octets and compares their SHA-256.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it differs or they cannot be read whole.
    pub fn verify(&self, message: MessageId, expected: &Digest) -> Result<()> {
        let mut digester = Digester::default();
        let mut take = |octets: &[u8]| {
            digester.update(octets);
            Ok(())
        };
        let read = match &*self.0 {
            Stored::Memory(octets) => take(octets),
            Stored::Segment { file, start, len } => each_chunk(file, *start, *len, take),
        };
        match read {
            Ok(()) if digester.finish() == *expected => Ok(()),
            _ => Err(Error::Corrupt { what: damaged(message, expected) }),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(octets: Vec<u8>) -> Self {
        Self(Arc::new(Stored::Memory(octets)))
    }
}

impl Octets for Body {
    fn len(&self) -> u64 {
        match &*self.0 {
            Stored::Memory(octets) => Octets::len(octets),
            Stored::Segment { len, .. } => *len,
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, start, len) = match &*self.0 {
            Stored::Memory(octets) => return octets.read_at(offset, buffer),
            Stored::Segment { file, start, len } => (file, start, len),
        };
        let rest = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = buffer.len().min(rest);
        if want == 0 {
            return Ok(0);
        }
        // A short file must not look like the end of the message.
        match file.read_at(&mut buffer[..want], start + offset)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the segment ends inside the message")),
            count => Ok(count),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} octets)", self.len())
    }
}
