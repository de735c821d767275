//! What can go wrong in the spool, by what is to be done about it.

use std::io;
use std::path::Path;

use postroom_mail::{Disposition, MessageId};

/// A failed spool call. Nothing was changed, except where `maybe_applied` says so and perhaps by
/// [`Error::CommitFailed`] and [`Error::WriterStopped`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk (or its quota, or its inodes) is full.
    #[error("no room for the spool at {path}: free some space, mail stays on the server meanwhile")]
    Full {
        /// The state directory.
        path: String,
    },
    /// Its file system takes no writes.
    #[error(
        "the state directory {path} is on a file system that is read-only now: mount it writable, mail stays on the server \
         meanwhile"
    )]
    ReadOnly {
        /// The state directory.
        path: String,
    },
    /// The storage failed.
    #[error("the spool cannot {doing}: {source}")]
    Io {
        /// What it was doing.
        doing: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process holds the state directory.
    #[error(
        "another postroom process is using the state directory {path}: stop it first, or name another with `state`"
    )]
    InUse {
        /// The state directory.
        path: String,
    },
    /// What is stored is damaged.
    #[error("damaged state: {what}")]
    Corrupt {
        /// What, and where.
        what: String,
    },
    /// The state was written by a newer version.
    #[error("the state has schema {found}, this postroom knows {known}: use the newer postroom")]
    NewerSchema {
        /// In the state.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// It is no longer (or was never) there.
    #[error("message {0} has no body here any more")]
    Gone(MessageId),
    /// The call contradicts what is recorded, for example a second plan.
    #[error("contradicts what is recorded: {0}")]
    Conflict(String),
    /// A message passed the size limit while it arrived.
    #[error("the message is larger than the limit of {limit} octets")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The database failed.
    #[error("the spool's database failed: {what}")]
    Database {
        /// In the database's words.
        what: String,
        /// The change may have been made all the same.
        maybe_applied: bool,
    },
    /// The disk failed while a transaction was committed. What of it is on the disk nobody can say, and a second sync
    /// would only pretend: nothing is written any more until the next start reads it again.
    #[error(
        "the disk failed while the spool recorded something, which may be there or not ({what}): look at the disk, then \
         start postroom again, mail stays on the server meanwhile"
    )]
    CommitFailed {
        /// In the database's words.
        what: String,
    },
    /// The thread that writes has ended. The change may have been made all the same.
    #[error(
        "the spool writes no more, its writer has stopped: restart postroom, mail stays on the server meanwhile"
    )]
    WriterStopped,
}

impl Error {
    /// Tells a full or a read-only disk from other failures of the storage.
    pub(crate) fn storage(path: &Path, doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.display().to_string() }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path: path.display().to_string() },
            _ => Self::Io { doing, source },
        }
    }

    /// What is to be done about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Full { .. } | Self::ReadOnly { .. } | Self::Io { .. } | Self::Database { .. } => {
                Disposition::RETRY
            }
            Self::Gone(_) | Self::Conflict(_) | Self::TooLarge { .. } => Disposition::Park,
            Self::Corrupt { .. }
            | Self::InUse { .. }
            | Self::NewerSchema { .. }
            | Self::CommitFailed { .. }
            | Self::WriterStopped => Disposition::Stop,
        }
    }
}
