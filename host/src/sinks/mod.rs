//! Owns delivery: each sink carries out one kind of effect, durably, and recognises what an earlier attempt already did.
//! Must not decide when to try again, read a clock, or overwrite or delete anything that is not its own temporary file.

mod contents;
mod directory;
mod error;
mod maildir;
mod publish;
mod s3;
mod smtp;
#[cfg(test)]
mod testing;

pub use directory::{Directory, DirectoryConfig};
pub use error::{DeliveryError, SinkError, Source};
pub use maildir::{Maildir, MaildirConfig};
pub use s3::{S3, S3Config};
pub use smtp::{InDoubt, Smtp, SmtpConfig, SmtpTls, SrsConfig, Wait};

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use postroom_mail::{Action, Coding, Effect, Key, MessageId, Name, Octets, Provenance, Timestamp};
use postroom_spool::Receipt;
use serde::Deserialize;

use self::error::Fault;
use crate::config::SecretRef;

/// A sink as the operator writes it, chosen by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SinkConfig {
    /// `type = "directory"`
    Directory(DirectoryConfig),
    /// `type = "maildir"`
    Maildir(MaildirConfig),
    /// `type = "s3"`
    S3(S3Config),
    /// `type = "smtp"`
    Smtp(SmtpConfig),
}

impl SinkConfig {
    /// The files that are read once, when the sink is made: secrets and authorities, as written.
    pub fn files(&self) -> Vec<&Path> {
        let (secrets, authorities) = match self {
            Self::Directory(_) | Self::Maildir(_) => return Vec::new(),
            Self::S3(s3) => (vec![&s3.access_key, &s3.secret_key], &s3.ca_file),
            Self::Smtp(smtp) => (vec![&smtp.password], &smtp.ca_file),
        };
        let srs = if let Self::Smtp(smtp) = self { smtp.srs.as_ref() } else { None };
        let secrets = secrets.into_iter().flatten().chain(srs.map(|srs| &srs.secret));
        let secrets = secrets.filter_map(|secret| match secret {
            SecretRef::File(path) => Some(path.as_path()),
            SecretRef::Env(_) | SecretRef::Command(_) | SecretRef::Credential(_) => None,
        });
        secrets.chain(authorities.as_deref()).collect()
    }

    /// What it can be asked to do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Directory(_) | Self::S3(_) => Kind::Object,
            Self::Maildir(_) => Kind::Mailbox,
            Self::Smtp(_) => Kind::Transport,
        }
    }
}

/// What a sink can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Action::Store`]: octets under a key.
    Object,
    /// [`Action::FileInto`]: messages in mailboxes.
    Mailbox,
    /// [`Action::Send`]: messages to recipients.
    Transport,
}

/// What a sink has in memory of a content while it delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A block at a time.
    Nothing,
    /// All of it.
    Content,
    /// All of it, several times.
    Copies,
}

/// Records durably that what makes the other side take the effect is about to leave; see
/// [`Spool::sending`](postroom_spool::Spool::sending).
pub type Sending<'a> = dyn Fn() -> BoxFuture<'a, Result<(), postroom_spool::Error>> + Send + Sync + 'a;

/// One attempt at one effect.
pub struct Job<'a> {
    /// What to do.
    pub effect: &'a Effect,
    /// For which message.
    pub message: MessageId,
    /// Where that came from.
    pub provenance: &'a Provenance,
    /// Its raw octets.
    pub raw: Arc<dyn Octets>,
    /// An earlier attempt may have succeeded unseen.
    pub again: bool,
    /// Called by a sink that cannot recognise its own earlier work, right before the octets after which it may have
    /// happened. When it fails they must not be sent.
    pub sending: &'a Sending<'a>,
}

/// Where effects are carried out.
#[derive(Debug)]
pub struct Sink {
    name: Name,
    transport: Transport,
}

/// The closed set of sinks.
#[derive(Debug)]
enum Transport {
    Directory(Directory),
    Maildir(Maildir),
    S3(S3),
    Smtp(Box<Smtp>),
}

impl Sink {
    /// Makes the sink and reads its secrets; touches neither the network nor the place it delivers to. `base` is the
    /// directory of the configuration file, against which relative paths resolve.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or a secret or a file of certificates cannot be read.
    pub fn build(name: &Name, config: &SinkConfig, base: &Path) -> Result<Self, SinkError> {
        let transport = match config {
            SinkConfig::Directory(config) => Transport::Directory(Directory::new(name, config, base)?),
            SinkConfig::Maildir(config) => Transport::Maildir(Maildir::new(config, base)),
            SinkConfig::S3(config) => Transport::S3(S3::new(name, config, base)?),
            SinkConfig::Smtp(config) => Transport::Smtp(Box::new(Smtp::new(name, config, base)?)),
        };
        Ok(Self { name: name.clone(), transport })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it can be asked to do.
    pub fn kind(&self) -> Kind {
        match self.transport {
            Transport::Directory(_) | Transport::S3(_) => Kind::Object,
            Transport::Maildir(_) => Kind::Mailbox,
            Transport::Smtp(_) => Kind::Transport,
        }
    }

    /// What it has in memory meanwhile.
    pub fn holds(&self) -> Holds {
        match self.transport {
            Transport::Directory(_) | Transport::Maildir(_) => Holds::Nothing,
            Transport::S3(_) => Holds::Content,
            Transport::Smtp(_) => Holds::Copies,
        }
    }

    /// How many attempts may be in doubt before the effect is set aside. Only a transport knows doubt; any other sink finds
    /// its earlier work.
    pub fn most_doubts(&self) -> u32 {
        match &self.transport {
            Transport::Smtp(smtp) => smtp.most_doubts(),
            Transport::Directory(_) | Transport::Maildir(_) | Transport::S3(_) => u32::MAX,
        }
    }

    /// Whether the effect may be tried now, by what the operator said of how much goes to a domain. If so, it is counted.
    ///
    /// # Errors
    /// [`Wait`], when it may be asked for again.
    pub fn take(&self, effect: &Effect, now: Timestamp) -> Result<(), Wait> {
        match (&self.transport, &effect.action) {
            (Transport::Smtp(smtp), Action::Send { envelope, .. }) => smtp.take(envelope, now),
            _ => Ok(()),
        }
    }

    /// An effect that was counted has not left: it is not counted.
    pub fn give_back(&self, effect: &Effect, now: Timestamp) {
        if let (Transport::Smtp(smtp), Action::Send { envelope, .. }) = (&self.transport, &effect.action) {
            smtp.give_back(envelope, now);
        }
    }

    /// Carries out one effect. On `Ok` it is durable at the other side, by this attempt or an earlier one.
    ///
    /// # Errors
    /// [`DeliveryError`]; nothing half-done is visible then, except as [`DeliveryError::InDoubt`] says.
    pub async fn deliver(&self, job: &Job<'_>) -> Result<Receipt, DeliveryError> {
        self.carry_out(job).await.map_err(|fault| fault.at(&self.name))
    }

    /// Looks whether it would deliver, and says what it found, in words. Delivers nothing: a directory gets a file that
    /// is removed again, an object store keeps one small probe object, an SMTP server is greeted and logged in to.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn probe(&self) -> Result<Vec<String>, DeliveryError> {
        let facts = match &self.transport {
            Transport::Directory(directory) => directory.probe().await,
            Transport::Maildir(maildir) => maildir.probe().await,
            Transport::S3(s3) => s3.probe().await,
            Transport::Smtp(smtp) => smtp.probe().await,
        };
        facts.map_err(|fault| fault.at(&self.name))
    }

    async fn carry_out(&self, job: &Job<'_>) -> Result<Receipt, Fault> {
        let raw = Arc::clone(&job.raw);
        match (&self.transport, &job.effect.action) {
            (Transport::Directory(directory), Action::Store { key, on_conflict, .. }) => {
                directory.store(job.effect, key, *on_conflict, raw).await
            }
            (Transport::S3(s3), Action::Store { key, on_conflict, content_type, meta }) => {
                s3.store(job.effect, key, *on_conflict, content_type.as_deref(), meta, raw).await
            }
            (Transport::Maildir(maildir), Action::FileInto { mailbox, flags }) => {
                plain(job.effect)?;
                maildir.file(job, mailbox, flags).await
            }
            (Transport::Smtp(smtp), Action::Send { envelope, add_headers }) => {
                plain(job.effect)?;
                smtp.send(job, envelope, add_headers).await
            }
            (_, action) => Err(Fault::permanent(format!(
                "this sink cannot carry out a {} effect; name a sink of the right type in step {}",
                action.kind(),
                job.effect.step
            ))),
        }
    }
}

/// How many names a conflict tries: the key itself and 2 to this.
const MOST_NUMBERS: u32 = 999;

/// A mailbox or a recipient takes messages, not compressed files.
fn plain(effect: &Effect) -> Result<(), Fault> {
    match effect.content.coding {
        Coding::Identity => Ok(()),
        Coding::Zstd => Err(Fault::permanent(format!(
            "a message cannot be filed or sent zstd-coded; correct the settings of step {}",
            effect.step
        ))),
    }
}

/// The parts of a key or a path. The key was checked when it was made; this is the last look before the file system.
fn parts(path: &str) -> Result<Vec<&str>, Fault> {
    let parts: Vec<&str> = path.split('/').collect();
    let wrong = |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains('\0');
    if parts.iter().any(wrong) {
        return Err(Fault::permanent(format!(
            "{} is not a relative path without \"..\"",
            error::quoted(path)
        )));
    }
    Ok(parts)
}

fn taken(key: &Key) -> Fault {
    Fault::permanent(format!(
        "{} is taken by other content, which was left as it is; choose another key template, or let conflicts number",
        error::quoted(key.as_str())
    ))
}

fn numbers_used_up(key: &Key) -> Fault {
    Fault::permanent(format!(
        "{} and its {MOST_NUMBERS} numbers are all taken by other content; choose a key template with more variety",
        error::quoted(key.as_str())
    ))
}

/// Runs work on files off the async threads. It goes on to its end even when the caller is cancelled.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Fault::temporary("the delivery was cut short inside this program").because(error)),
    }
}
