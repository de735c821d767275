//! What other retrievers have seen: state files of getmail, fetchmail, mpop and Thunderbird, and our own export.
//!
//! Owns their formats: octets in, entries out, and which mail of a listing an entry means. Must not open a connection,
//! know the spool, or change a file of another program.

mod detect;
mod export;
mod fetchmail;
mod file;
pub mod getmail;
mod lines;
mod matching;
mod mpop;
mod thunderbird;

pub use export::write;
pub use file::{MAX_FILE, read_file};

/// Longer names of hosts and users are not believed.
pub(crate) const LONGEST_NAME: usize = 1024;
pub use lines::{BadLine, Reading};
pub use matching::{Matched, match_listing};

/// Whose state file it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// getmail6: `oldmail-SERVER-PORT-USER`, one file a mailbox.
    Getmail,
    /// fetchmail: `.fetchids`, one file for all its mailboxes.
    Fetchmail,
    /// mpop: `~/.mpop_uidls/USER_at_SERVER`, one or more mailboxes a file.
    Mpop,
    /// Thunderbird and its ancestors: `popstate.dat`.
    Thunderbird,
    /// Our own export, see [`write`].
    Postroom,
}

impl std::fmt::Display for Format {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Getmail => "getmail",
            Self::Fetchmail => "fetchmail",
            Self::Mpop => "mpop",
            Self::Thunderbird => "Thunderbird",
            Self::Postroom => "Postroom",
        })
    }
}

/// A mailbox as the other program names it. The host may be an alias (fetchmail's `poll` name, Thunderbird's first name
/// of an account), so it need not be the name our configuration has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mailbox {
    /// The name it logs in with; not neutralised for display.
    pub user: String,
    /// The server's name or address; not neutralised for display.
    pub host: String,
    /// The port, where the format tells it.
    pub port: Option<u16>,
}

impl Mailbox {
    /// Whether it is the mailbox of this user on this host: the host without regard to case and a final dot, the user
    /// exactly (fetchmail alone ignores its case, which could mix up two mailboxes). A port only one side knows is no
    /// difference.
    #[must_use]
    pub fn is(&self, wanted: &Self) -> bool {
        let host = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let ports = self.port.zip(wanted.port).is_none_or(|(one, other)| one == other);
        self.user == wanted.user && host(&self.host) == host(&wanted.host) && ports
    }
}

/// What the other program did with the mail.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum How {
    /// It has the whole mail.
    Retrieved,
    /// It has the whole mail and was about to delete it on the server (Thunderbird `d`).
    Removing,
    /// It has the header and a few lines only (Thunderbird `b`, and `f`: about to be completed). Not to be counted as
    /// seen: nobody has the mail yet.
    HeaderOnly,
    /// An operator said it is not wanted (our own export only).
    Marked,
}

impl How {
    /// Whether the mail need not be retrieved again.
    #[must_use]
    pub fn is_seen(self) -> bool {
        match self {
            Self::Retrieved | Self::Removing | Self::Marked => true,
            Self::HeaderOnly => false,
        }
    }
}

/// One mail in a state file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreign {
    /// Whose mail; `None` in getmail's files, whose name tells it ([`getmail::mailbox`]).
    pub mailbox: Option<Mailbox>,
    /// The unique-id as the program wrote it, which may differ from what the server said ([`Format::written`]).
    pub uid: Vec<u8>,
    /// Which of several mails with the same unique-id, from 1; only our own export tells.
    pub ordinal: Option<u32>,
    /// Octets; only our own export tells.
    pub size: Option<u64>,
    /// When it was retrieved, in seconds since 1970.
    pub seen: Option<i64>,
    /// What was done with it.
    pub how: How,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one line of it could be read.
    #[error("no line of the file is {format}'s; line {line}: {why}; name the right program with its file")]
    Foreign {
        /// What it was read as.
        format: Format,
        /// The first bad line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An export of a later version of this program.
    #[error(
        "the export has version {version:?}, this program knows version 1; import it with the newer Postroom"
    )]
    Version {
        /// As the file states it, made harmless for display.
        version: String,
    },
    /// More than a state file ever holds.
    #[error("the file has more than {limit} octets, so it is no state file; name the right one")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The operating system would not let us read it.
    #[error("cannot read the file: {0}; check its name and its permissions")]
    Io(#[from] std::io::Error),
}

/// Reads a state file. Damaged lines are left out and reported; an empty file holds nothing.
///
/// # Errors
/// [`Error::Foreign`] when there are lines but not a good one, [`Error::Version`] for a later export.
pub fn read(format: Format, octets: &[u8]) -> Result<Reading, Error> {
    let reading = match format {
        Format::Getmail => getmail::read(octets),
        Format::Fetchmail => fetchmail::read(octets),
        Format::Mpop => mpop::read(octets),
        Format::Thunderbird => thunderbird::read(octets),
        Format::Postroom => export::read(octets)?,
    };
    match (reading.entries.is_empty(), reading.bad.first()) {
        (true, Some(bad)) => Err(Error::Foreign { format, line: bad.line, why: bad.why }),
        _ => Ok(reading),
    }
}

impl Format {
    /// How the program would have written a unique-id that a server sent: it may have several forms, since programs
    /// changed. Two unique-ids can have the same form; [`match_listing`] deals with that.
    #[must_use]
    pub fn written(self, uid: &[u8]) -> Vec<Vec<u8>> {
        match self {
            Self::Getmail => vec![getmail::written(uid)],
            Self::Fetchmail => vec![fetchmail::written(uid)],
            Self::Mpop | Self::Postroom => vec![uid.to_vec()],
            Self::Thunderbird => thunderbird::written(uid),
        }
    }
}
