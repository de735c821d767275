//! Owns delivery into a Maildir tree: `tmp`, then `new` or `cur`, once per effect, recognised by the effect id in the
//! file name. Must not touch a message that is already filed.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom_mail::{Effect, Mailbox, Octets};
use postroom_spool::Receipt;
use serde::Deserialize;

use super::Job;
use super::contents::{self, CopyError};
use super::error::{Fault, quoted};
use super::publish::{self, Dir, Owner, Published, Settled};

/// A Maildir sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaildirConfig {
    /// The Maildir, relative to the configuration file. Its last part is made when it is missing.
    pub path: PathBuf,
}

/// A Maildir with Maildir++ folders beneath it.
#[derive(Debug)]
pub struct Maildir {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    settled: Settled,
}

/// Mail is its owner's alone.
const DIRECTORY_MODE: u32 = 0o700;
/// As above.
const FILE_MODE: u32 = 0o600;

impl Maildir {
    pub(super) fn new(config: &MaildirConfig, base: &Path) -> Self {
        let shared = Shared { root: base.join(&config.path), settled: Settled::of(Owner::Maildir) };
        Self { shared: Arc::new(shared) }
    }

    /// Files the effect's content. Where there may be an earlier attempt it first looks for what that filed, wherever
    /// the reader moved it and whatever flags it got.
    pub(super) async fn file(&self, job: &Job<'_>, mailbox: &Mailbox, flags: &str) -> Result<Receipt, Fault> {
        let filing = Filing {
            effect: job.effect.clone(),
            folder: folder(mailbox)?,
            base: base_name(job),
            flags: letters(flags)?,
            again: job.again,
        };
        let (shared, raw) = (Arc::clone(&self.shared), Arc::clone(&job.raw));
        super::blocking(move || shared.file(&filing, &*raw)).await
    }

    pub(super) async fn probe(&self) -> Result<Vec<String>, Fault> {
        let shared = Arc::clone(&self.shared);
        super::blocking(move || {
            let place = shared.root.display().to_string();
            let fault = |error| publish::fault(&place, error);
            let tmp = shared.open(None, "tmp").map_err(fault)?;
            tmp.prove_writable().map_err(fault)?;
            Ok(vec![format!("{place} is a Maildir that can be written and synced")])
        })
        .await
    }
}

/// One message to file.
struct Filing {
    effect: Effect,
    /// The Maildir++ directory; `None` is the inbox.
    folder: Option<String>,
    base: String,
    flags: String,
    again: bool,
}

impl Shared {
    fn file(&self, filing: &Filing, raw: &dyn Octets) -> Result<Receipt, Fault> {
        let folder_path =
            filing.folder.as_ref().map_or_else(|| self.root.clone(), |name| self.root.join(name));
        let place = folder_path.display().to_string();
        let fault = |error: io::Error| publish::fault(&place, error);
        let receipt = |part: &str, name: &str, already: bool| Receipt {
            stored: None,
            location: folder_path.join(part).join(name).display().to_string(),
            proof: format!("sha256 {}", filing.effect.digest),
            already,
        };

        let open = |part| self.open(filing.folder.as_deref(), part).map_err(fault);
        let (tmp, new, cur) = (open("tmp")?, open("new")?, open("cur")?);
        if filing.again {
            for (part, dir) in [("new", &new), ("cur", &cur)] {
                if let Some(name) = dir.find(|name| is_message(name, &filing.base)).map_err(fault)? {
                    dir.sync().map_err(fault)?;
                    // Where files are published by a hard link, the first name may be there still.
                    tmp.remove(&filing.base).map_err(fault)?;
                    return Ok(receipt(part, &name, true));
                }
            }
        }

        let (part, dir, name) = match filing.flags.as_str() {
            "" => ("new", &new, filing.base.clone()),
            flags => ("cur", &cur, format!("{}:2,{flags}", filing.base)),
        };
        let file = tmp.temporary(&filing.base).map_err(fault)?;
        let outcome = fill(&file, &filing.effect, raw, &place)
            .and_then(|()| tmp.publish(&file, &filing.base, dir, &name, FILE_MODE).map_err(fault));
        let removed = match outcome {
            Ok(Published::New) => Ok(()),
            _ => tmp.remove(&filing.base),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, name = %filing.base, "a temporary file could not be removed");
        }
        match outcome? {
            Published::New => Ok(receipt(part, &name, false)),
            // The name holds the effect id, so the file under it is this effect's.
            Published::Taken => {
                dir.sync().map_err(fault)?;
                Ok(receipt(part, &name, true))
            }
        }
    }

    /// Opens `tmp`, `new` or `cur` of the inbox, or of a folder, which is made and marked as Maildir++ wants.
    fn open(&self, folder: Option<&str>, part: &str) -> io::Result<Dir> {
        let root = Dir::root(&self.root, DIRECTORY_MODE, &self.settled)?;
        let Some(folder) = folder else { return root.descend(&[part], DIRECTORY_MODE, &self.settled) };
        root.again()?.descend(&[folder], DIRECTORY_MODE, &self.settled)?.mark("maildirfolder", FILE_MODE)?;
        root.descend(&[folder, part], DIRECTORY_MODE, &self.settled)
    }
}

fn fill(file: &std::fs::File, effect: &Effect, raw: &dyn Octets, place: &str) -> Result<(), Fault> {
    let fault = |error| match error {
        CopyError::Content(fault) => fault,
        CopyError::Write(error) => publish::fault(place, error),
    };
    Owner::Maildir.before("write").map_err(|error| publish::fault(place, error))?;
    let writer = contents::copy(effect, raw, BufWriter::with_capacity(256 * 1024, file)).map_err(fault)?;
    writer.into_inner().map_err(|error| publish::fault(place, error.into_error()))?;
    Owner::Maildir.after("write");
    Ok(())
}

/// `<seconds>.E<effect id>.postroom`: the same on every host and at every attempt.
fn base_name(job: &Job<'_>) -> String {
    format!("{}.E{}.postroom", job.provenance.retrieved.0.div_euclid(1000), job.effect.id.0.short(32))
}

/// The base name itself, or with an info part, which readers change.
fn is_message(name: &[u8], base: &str) -> bool {
    name.strip_prefix(base.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
}

/// `Work/Bills` is `.Work.Bills` beside `new` (Maildir++); `None` is the inbox.
fn folder(mailbox: &Mailbox) -> Result<Option<String>, Fault> {
    if mailbox.as_str().is_empty() {
        return Ok(None);
    }
    let name = mailbox.as_str().replace('/', ".");
    if name.split('.').any(str::is_empty) || name.contains('\0') {
        return Err(Fault::permanent(format!(
            "mailbox {} has an empty part, which Maildir++ cannot name",
            quoted(mailbox.as_str())
        )));
    }
    Ok(Some(format!(".{name}")))
}

/// Flags as Maildir wants them: its own letters, in ASCII order, each once.
fn letters(flags: &str) -> Result<String, Fault> {
    if let Some(wrong) = flags.chars().find(|letter| !"DFPRST".contains(*letter)) {
        return Err(Fault::permanent(format!("{wrong:?} is not a Maildir flag; they are D F P R S T")));
    }
    let mut letters: Vec<char> = flags.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    Ok(letters.into_iter().collect())
}

#[cfg(test)]
mod tests;
