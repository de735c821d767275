//! Owns delivery into a tree of files: one file per key, created once, never overwritten, found again by its content.
//! Must not leave the root, whatever the key says and whatever is swapped in beneath it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom_mail::{Coding, Digest, Effect, Key, Name, Octets, OnConflict};
use postroom_spool::{Receipt, Stored};
use serde::{Deserialize, Deserializer};

use super::ManifestPlace;
use super::contents::{self, CopyError, Counted};
use super::error::{Fault, SinkError};
use super::publish::{self, Dir, Owner, Published, Settled};

mod kept;

/// A directory sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The root, relative to the configuration file. Its last part is made when it is missing.
    pub path: PathBuf,
    /// Permissions of the files, `"0640"` or `0o640`.
    #[serde(default = "default_mode", deserialize_with = "file_mode")]
    pub mode: u32,
    /// Keeps a manifest of what is stored, below the root.
    #[serde(default)]
    pub manifest: bool,
}

/// A tree of files.
#[derive(Debug)]
pub struct Directory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    mode: u32,
    manifest: bool,
    settled: Settled,
}

impl Directory {
    pub(super) fn new(name: &Name, config: &DirectoryConfig, base: &Path) -> Result<Self, SinkError> {
        if config.mode & !0o777 != 0 || config.mode & 0o600 != 0o600 {
            return Err(SinkError::new(
                name,
                "`mode` must be octal and let the owner read and write, e.g. \"0640\"",
            ));
        }
        let settled = Settled::of(Owner::Directory);
        let shared =
            Shared { root: base.join(&config.path), mode: config.mode, manifest: config.manifest, settled };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// `key` of the effect, with the effect's content.
    pub(super) async fn store(
        &self,
        effect: &Effect,
        key: &Key,
        on_conflict: OnConflict,
        raw: Arc<dyn Octets>,
    ) -> Result<Receipt, Fault> {
        let (shared, effect, key) = (Arc::clone(&self.shared), effect.clone(), key.clone());
        super::blocking(move || shared.store(&effect, &key, on_conflict, &*raw)).await
    }

    /// Where it keeps a manifest, when it is to have one.
    pub(super) fn manifest(&self) -> Option<ManifestPlace> {
        let parts = [super::OURS.to_owned(), "manifest".to_owned()];
        self.shared.manifest.then(|| ManifestPlace { base: self.shared.root.clone(), parts })
    }

    pub(super) async fn probe(&self) -> Result<Vec<String>, Fault> {
        let shared = Arc::clone(&self.shared);
        super::blocking(move || shared.probe()).await
    }
}

impl Shared {
    fn store(
        &self,
        effect: &Effect,
        key: &Key,
        on_conflict: OnConflict,
        raw: &dyn Octets,
    ) -> Result<Receipt, Fault> {
        let mut draft = None;
        for n in 1..=super::MOST_NUMBERS {
            let key = if n == 1 { key.clone() } else { key.numbered(n) };
            let place = Place::open(self, &key)?;
            let outcome = place.create(self, effect, raw, &mut draft);
            match outcome {
                Ok(Some(receipt)) => {
                    Draft::discard(draft);
                    return Ok(receipt);
                }
                Ok(None) if on_conflict == OnConflict::Number => {}
                Ok(None) => {
                    Draft::discard(draft);
                    return Err(super::taken(&key));
                }
                Err(fault) => {
                    Draft::discard(draft);
                    return Err(fault);
                }
            }
        }
        Draft::discard(draft);
        Err(super::numbers_used_up(key))
    }

    fn probe(&self) -> Result<Vec<String>, Fault> {
        let place = self.root.display().to_string();
        let root = Dir::root(&self.root, DIRECTORY_MODE, &self.settled)
            .map_err(|error| publish::fault(&place, error))?;
        root.prove_writable().map_err(|error| publish::fault(&place, error))?;
        Ok(vec![format!("{place} can be written and synced")])
    }
}

/// Directories are made so that the group can read what is in them.
const DIRECTORY_MODE: u32 = 0o750;

/// Where one key lies: its directory, open, and its last part.
struct Place {
    dir: Dir,
    name: String,
    key: String,
    shown: String,
}

impl Place {
    fn open(shared: &Shared, key: &Key) -> Result<Self, Fault> {
        let shown = shared.root.join(key.as_str()).display().to_string();
        let mut parts = super::parts(key.as_str())?;
        super::not_ours(key.as_str())?;
        let name = parts.pop().unwrap_or_default().to_owned();
        let root = Dir::root(&shared.root, DIRECTORY_MODE, &shared.settled)
            .map_err(|error| publish::fault(&shown, error))?;
        let dir = root
            .descend(&parts, DIRECTORY_MODE, &shared.settled)
            .map_err(|error| publish::fault(&shown, error))?;
        Ok(Self { dir, name, key: key.as_str().to_owned(), shown })
    }

    /// Creates the file, or finds it there already; `None` when the name is taken by other octets.
    fn create(
        &self,
        shared: &Shared,
        effect: &Effect,
        raw: &dyn Octets,
        draft: &mut Option<Draft>,
    ) -> Result<Option<Receipt>, Fault> {
        match self.existing(effect)? {
            Existing::Same(octets) => {
                self.clear(effect);
                return Ok(Some(self.receipt(effect, octets, true)));
            }
            Existing::Other => return Ok(None),
            Existing::Free => {}
        }
        if draft.is_none() {
            *draft = Some(Draft::write(self, effect, raw)?);
        }
        let Some(written) = draft else { return Ok(None) };
        let published = written
            .dir
            .publish(&written.file, &written.name, &self.dir, &self.name, shared.mode)
            .map_err(|error| self.fault(error))?;
        match published {
            Published::New => Ok(Some(self.receipt(effect, written.octets, false))),
            // Somebody was faster.
            Published::Taken => match self.existing(effect)? {
                Existing::Same(octets) => Ok(Some(self.receipt(effect, octets, true))),
                Existing::Other => Ok(None),
                Existing::Free => {
                    Err(Fault::temporary(format!("{} comes and goes; trying again", self.shown)))
                }
            },
        }
    }

    /// Removes what an attempt that was cut short may have left: another effect gave the file its name meanwhile, or a hard
    /// link did.
    fn clear(&self, effect: &Effect) {
        let name = publish::temporary_name(effect);
        if let Err(error) = self.dir.remove(&name) {
            tracing::warn!(%error, %name, "a temporary file could not be removed");
        }
    }

    fn existing(&self, effect: &Effect) -> Result<Existing, Fault> {
        let Some(file) = self.dir.file(&self.name).map_err(|error| self.fault(error))? else {
            return Ok(Existing::Free);
        };
        let length = file.metadata().map_err(|error| self.fault(error))?.len();
        if effect.content.coding == Coding::Identity && length != effect.size {
            return Ok(Existing::Other);
        }
        let same = contents::same_counted(effect, &file).map_err(|error| self.fault(error))?;
        let Some(octets) = same else { return Ok(Existing::Other) };
        // An earlier attempt may have died between the rename and its sync.
        file.sync_all().and_then(|()| self.dir.sync()).map_err(|error| self.fault(error))?;
        Ok(Existing::Same(octets))
    }

    fn receipt(&self, effect: &Effect, (size, digest): (u64, Digest), already: bool) -> Receipt {
        let stored = Some(Stored { key: self.key.clone(), size, digest: Some(digest) });
        Receipt { location: self.shown.clone(), proof: format!("sha256 {}", effect.digest), already, stored }
    }

    fn fault(&self, error: io::Error) -> Fault {
        publish::fault(&self.shown, error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Free,
    /// With number and digest of its octets, as they are stored.
    Same((u64, Digest)),
    Other,
}

/// The written temporary file, while it looks for a free name. Numbers only change the last part of a key, so its
/// directory stays the same.
struct Draft {
    dir: Dir,
    file: File,
    name: String,
    /// Number and digest of its octets.
    octets: (u64, Digest),
}

impl Draft {
    fn write(place: &Place, effect: &Effect, raw: &dyn Octets) -> Result<Self, Fault> {
        let name = publish::temporary_name(effect);
        let dir = place.dir.again().map_err(|error| place.fault(error))?;
        let file = dir.temporary(&name).map_err(|error| place.fault(error))?;
        let mut draft = Self { dir, file, name, octets: (0, Digest([0; 32])) };
        match draft.fill(effect, raw) {
            Ok(octets) => {
                draft.octets = octets;
                Ok(draft)
            }
            Err(error) => {
                Self::discard(Some(draft));
                Err(match error {
                    CopyError::Content(fault) => fault,
                    CopyError::Write(error) => place.fault(error),
                })
            }
        }
    }

    fn fill(&self, effect: &Effect, raw: &dyn Octets) -> Result<(u64, Digest), CopyError> {
        Owner::Directory.before("write").map_err(CopyError::Write)?;
        let writer = Counted::new(BufWriter::with_capacity(256 * 1024, &self.file));
        let (writer, size, digest) = contents::copy(effect, raw, writer)?.finish();
        writer.into_inner().map_err(|error| CopyError::Write(error.into_error()))?;
        Owner::Directory.after("write");
        Ok((size, digest))
    }

    /// Removes the temporary file if it still has its name. A failure leaves it to the next attempt.
    fn discard(draft: Option<Self>) {
        if let Some(draft) = draft
            && let Err(error) = draft.dir.remove(&draft.name)
        {
            tracing::warn!(%error, name = %draft.name, "a temporary file could not be removed");
        }
    }
}

fn default_mode() -> u32 {
    0o640
}

/// Octal text, or a number that TOML was given as octal.
fn file_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(mode) => Ok(mode),
        Written::Text(text) => u32::from_str_radix(&text, 8)
            .map_err(|_| serde::de::Error::custom("mode must be octal, e.g. \"0640\"")),
    }
}

#[cfg(test)]
mod tests;
