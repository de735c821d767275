//! Owns delivery: each sink carries out one kind of effect, durably, and recognises what an earlier attempt already did.
//! Must not decide when to try again, read a clock, or overwrite or delete anything that is not its own temporary file.

mod contents;
mod directory;
mod error;
mod imap;
mod maildir;
mod publish;
mod s3;
mod smtp;
mod stream;
#[cfg(test)]
mod testing;
mod webhook;

pub use directory::{Directory, DirectoryConfig};
pub use error::{DeliveryError, SinkError, Source};
pub use imap::{Imap, ImapConfig, InternalDate};
pub use maildir::{Maildir, MaildirConfig};
pub use s3::{S3, S3Config};
pub use smtp::{InDoubt, Lmtp, LmtpConfig, Smtp, SmtpConfig, SmtpTls, SrsConfig, Wait};
pub use webhook::{Webhook, WebhookConfig, WebhookFormat};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use postroom_mail::{Action, Coding, Effect, Key, MessageId, Name, Octets, Provenance, Timestamp};
use postroom_spool::Receipt;
use serde::Deserialize;

use self::error::Fault;
use crate::config::{OAuth, SecretRef};

/// A sink as the operator writes it, chosen by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SinkConfig {
    /// `type = "directory"`
    Directory(DirectoryConfig),
    /// `type = "maildir"`
    Maildir(MaildirConfig),
    /// `type = "imap"`
    Imap(Box<ImapConfig>),
    /// `type = "s3"`
    S3(S3Config),
    /// `type = "smtp"`
    Smtp(SmtpConfig),
    /// `type = "lmtp"`
    Lmtp(LmtpConfig),
    /// `type = "webhook"`
    Webhook(WebhookConfig),
}

impl SinkConfig {
    /// The files that are read once, when the sink is made: secrets and authorities, as written.
    pub fn files(&self) -> Vec<&Path> {
        let (secrets, authorities) = match self {
            Self::Directory(_) | Self::Maildir(_) => return Vec::new(),
            Self::Imap(imap) => (vec![&imap.password], &imap.ca_file),
            Self::S3(s3) => (vec![&s3.access_key, &s3.secret_key], &s3.ca_file),
            Self::Smtp(smtp) => (vec![&smtp.password], &smtp.ca_file),
            Self::Lmtp(lmtp) => (vec![&lmtp.password], &lmtp.ca_file),
            Self::Webhook(hook) => (vec![&hook.secret, &hook.previous_secret, &hook.bearer], &hook.ca_file),
        };
        let srs = if let Self::Smtp(smtp) = self { smtp.srs.as_ref() } else { None };
        let secrets = secrets.into_iter().flatten().chain(srs.map(|srs| &srs.secret));
        let secrets = secrets.filter_map(|secret| match secret {
            SecretRef::File(path) => Some(path.as_path()),
            SecretRef::Env(_) | SecretRef::Command(_) | SecretRef::Credential(_) => None,
        });
        secrets.chain(authorities.as_deref()).collect()
    }

    /// Where the access tokens come from that it logs in with.
    pub fn tokens(&self) -> Option<&OAuth> {
        match self {
            Self::Imap(imap) => imap.tokens.as_ref(),
            Self::Directory(_)
            | Self::Maildir(_)
            | Self::S3(_)
            | Self::Smtp(_)
            | Self::Lmtp(_)
            | Self::Webhook(_) => None,
        }
    }

    /// Whether each recipient has an answer of its own, so that each has to be an effect of its own.
    pub fn answers_each_recipient(&self) -> bool {
        match self {
            Self::Lmtp(_) => true,
            Self::Directory(_)
            | Self::Maildir(_)
            | Self::Imap(_)
            | Self::S3(_)
            | Self::Smtp(_)
            | Self::Webhook(_) => false,
        }
    }

    /// Who may be sent to, where that is a question: anybody when it is empty.
    pub fn recipients(&self) -> Option<&[String]> {
        match self {
            Self::Smtp(smtp) => Some(&smtp.recipients),
            Self::Lmtp(lmtp) => Some(&lmtp.recipients),
            Self::Directory(_) | Self::Maildir(_) | Self::Imap(_) | Self::S3(_) | Self::Webhook(_) => None,
        }
    }

    /// What it can be asked to do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Directory(_) | Self::S3(_) | Self::Webhook(_) => Kind::Object,
            Self::Maildir(_) | Self::Imap(_) => Kind::Mailbox,
            Self::Smtp(_) | Self::Lmtp(_) => Kind::Transport,
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
    /// When this attempt began. A signature is made for it, a token is fresh for it.
    pub now: Timestamp,
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
    Imap(Box<Imap>),
    S3(S3),
    Smtp(Box<Smtp>),
    Lmtp(Box<Lmtp>),
    Webhook(Box<Webhook>),
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
            SinkConfig::Imap(config) => Transport::Imap(Box::new(Imap::new(name, config, base)?)),
            SinkConfig::S3(config) => Transport::S3(S3::new(name, config, base)?),
            SinkConfig::Smtp(config) => Transport::Smtp(Box::new(Smtp::new(name, config, base)?)),
            SinkConfig::Lmtp(config) => Transport::Lmtp(Box::new(Lmtp::new(name, config, base)?)),
            SinkConfig::Webhook(config) => Transport::Webhook(Box::new(Webhook::new(name, config, base)?)),
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
            Transport::Directory(_) | Transport::S3(_) | Transport::Webhook(_) => Kind::Object,
            Transport::Maildir(_) | Transport::Imap(_) => Kind::Mailbox,
            Transport::Smtp(_) | Transport::Lmtp(_) => Kind::Transport,
        }
    }

    /// What it has in memory meanwhile.
    pub fn holds(&self) -> Holds {
        match self.transport {
            Transport::Directory(_) | Transport::Maildir(_) => Holds::Nothing,
            Transport::S3(_) => Holds::Content,
            Transport::Imap(_) | Transport::Smtp(_) | Transport::Lmtp(_) | Transport::Webhook(_) => {
                Holds::Copies
            }
        }
    }

    /// How many sessions the other side should see at once, where each effect is one and servers count them.
    pub fn sessions(&self) -> Option<usize> {
        match &self.transport {
            Transport::Directory(_) | Transport::Maildir(_) | Transport::S3(_) | Transport::Webhook(_) => {
                None
            }
            // Gmail takes 15 of one user, Dovecot 10, and people's mail programs want some.
            Transport::Imap(_) => Some(4),
            Transport::Smtp(_) | Transport::Lmtp(_) => Some(2),
        }
    }

    /// How many attempts may be in doubt before the effect is set aside. Only a transport knows doubt; any other sink finds
    /// its earlier work.
    pub fn most_doubts(&self) -> u32 {
        match &self.transport {
            Transport::Smtp(smtp) => smtp.most_doubts(),
            Transport::Lmtp(lmtp) => lmtp.most_doubts(),
            Transport::Directory(_)
            | Transport::Maildir(_)
            | Transport::Imap(_)
            | Transport::S3(_)
            | Transport::Webhook(_) => u32::MAX,
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
    /// is removed again, an object store keeps one small probe object, a mail server is greeted and logged in to, a web
    /// address is asked for its head.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn probe(&self, now: Timestamp) -> Result<Vec<String>, DeliveryError> {
        let facts = match &self.transport {
            Transport::Directory(directory) => directory.probe().await,
            Transport::Maildir(maildir) => maildir.probe().await,
            Transport::Imap(imap) => imap.probe(now).await,
            Transport::S3(s3) => s3.probe().await,
            Transport::Smtp(smtp) => smtp.probe().await,
            Transport::Lmtp(lmtp) => lmtp.probe().await,
            Transport::Webhook(hook) => hook.probe().await,
        };
        facts.map_err(|fault| fault.at(&self.name))
    }

    /// Where the sink keeps its manifest, when it is to have one. `state` is the state directory.
    pub fn manifest(&self, state: &Path) -> Option<ManifestPlace> {
        match &self.transport {
            Transport::Directory(directory) => directory.manifest(),
            Transport::S3(s3) => s3.manifest().then(|| ManifestPlace {
                base: state.to_owned(),
                parts: ["manifest".to_owned(), self.name.as_str().to_owned()],
            }),
            Transport::Maildir(_)
            | Transport::Imap(_)
            | Transport::Smtp(_)
            | Transport::Lmtp(_)
            | Transport::Webhook(_) => None,
        }
    }

    /// The octets under a key of an object sink, as they are stored, a block at a time; `None` when there are none.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn open(&self, key: &str) -> Result<Option<Blocks<'_>>, DeliveryError> {
        let opened = match &self.transport {
            Transport::Directory(directory) => directory.open(key).await,
            Transport::S3(s3) => s3.open(key).await,
            Transport::Maildir(_)
            | Transport::Imap(_)
            | Transport::Smtp(_)
            | Transport::Lmtp(_)
            | Transport::Webhook(_) => Err(no_objects()),
        };
        let blocks = opened.map_err(|fault| fault.at(&self.name))?;
        Ok(blocks.map(|blocks| blocks.map_err(|fault| fault.at(&self.name)).boxed()))
    }

    /// Every key of an object sink, in no order, but for the host's own.
    pub fn keys(&self) -> BoxStream<'_, Result<String, DeliveryError>> {
        let keys = match &self.transport {
            Transport::Directory(directory) => directory.keys(),
            Transport::S3(s3) => s3.keys(),
            Transport::Maildir(_)
            | Transport::Imap(_)
            | Transport::Smtp(_)
            | Transport::Lmtp(_)
            | Transport::Webhook(_) => futures::stream::iter([Err(no_objects())]).boxed(),
        };
        keys.map_err(|fault| fault.at(&self.name)).boxed()
    }

    /// Has a copy of a file of the manifest beside the objects, where the manifest is kept elsewhere. Whether what lies there
    /// is that file; it is never overwritten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn copy_manifest(&self, name: &str, octets: Vec<u8>) -> Result<bool, DeliveryError> {
        match &self.transport {
            Transport::S3(s3) => {
                let put = s3.put_once(&format!("{OURS}/manifest/{name}"), octets).await;
                put.map_err(|fault| fault.at(&self.name))
            }
            Transport::Directory(_)
            | Transport::Maildir(_)
            | Transport::Imap(_)
            | Transport::Smtp(_)
            | Transport::Lmtp(_)
            | Transport::Webhook(_) => Ok(true),
        }
    }

    /// Whether it wants such copies.
    pub fn copies_manifest(&self) -> bool {
        matches!(&self.transport, Transport::S3(_))
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
            (Transport::Imap(imap), Action::FileInto { mailbox, flags }) => {
                plain(job.effect)?;
                imap.file(job, mailbox, flags).await
            }
            (Transport::Smtp(smtp), Action::Send { envelope, add_headers }) => {
                plain(job.effect)?;
                smtp.send(job, envelope, add_headers).await
            }
            (Transport::Lmtp(lmtp), Action::Send { envelope, add_headers }) => {
                plain(job.effect)?;
                lmtp.send(job, envelope, add_headers).await
            }
            (Transport::Webhook(hook), Action::Store { key, content_type, meta, .. }) => {
                hook.store(job, key, content_type.as_deref(), meta).await
            }
            (_, action) => Err(Fault::permanent(format!(
                "this sink cannot carry out a {} effect; name a sink of the right type in step {}",
                action.kind(),
                job.effect.step
            ))),
        }
    }
}

/// Octets as they come.
pub type Blocks<'a> = BoxStream<'a, Result<Bytes, DeliveryError>>;

/// The directory of a manifest: two directories below one that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPlace {
    /// The root of the sink, or the state directory.
    pub base: PathBuf,
    /// Made when missing, one below the other.
    pub parts: [String; 2],
}

impl ManifestPlace {
    /// Its path.
    pub fn path(&self) -> PathBuf {
        let [first, second] = &self.parts;
        self.base.join(first).join(second)
    }
}

fn no_objects() -> Fault {
    Fault::permanent("this sink keeps no objects under keys, so that nothing can be read back")
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

/// The first part of the keys of what the host itself keeps beside objects.
pub const OURS: &str = ".postroom";

fn not_ours(key: &str) -> Result<(), Fault> {
    match key.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(OURS)) {
        true => Err(Fault::permanent(format!(
            "keys below {OURS} are the manifest's; choose another key template"
        ))),
        false => Ok(()),
    }
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
