//! What the spool says of its own health, as plain data: what a scrub read, what is to be done about a damaged body,
//! what an examination, a repair, a rebuilding and a backup found.

use std::path::PathBuf;

use postroom_mail::{AccountId, MessageId};
use serde::Serialize;

/// The note (see [`crate::Spool::learnt`]) that an older copy of the state was restored; absent when none was.
pub const RESTORED: &str = "spool/restored";

/// What one scrub read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bodies.
    pub checked: u64,
    /// Their octets.
    pub octets: u64,
    /// Which of them are damaged, and how.
    pub damaged: Vec<(MessageId, String)>,
}

/// What becomes of a body that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It can be read now; it was moved or replaced meanwhile.
    Sound,
    /// It is damaged, and the server still has the message: the next poll retrieves it again.
    Retrieve,
    /// It is damaged, and nobody else is known to have it.
    Lost,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Works, but not as it should be.
    Warning,
    /// Something that was stored is not there as it was written.
    Damage,
}

/// One thing that an examination found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and where.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The state directory.
    pub state: PathBuf,
    /// A process holds it; its number where the system tells.
    pub running: bool,
    /// Number of that process.
    pub process: Option<u32>,
    /// Schema of the database; `None` when it cannot be read.
    pub schema: Option<u32>,
    /// Messages the database knows.
    pub messages: u64,
    /// Bodies that were read whole and are sound.
    pub sound: u64,
    /// Octets of segments that were read.
    pub octets: u64,
    /// Messages whose body is damaged.
    pub damaged: Vec<MessageId>,
    /// Everything found, worst first.
    pub findings: Vec<Finding>,
}

impl Findings {
    pub(crate) fn find(&mut self, severity: Severity, what: impl Into<String>, remedy: &str) {
        let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
        self.findings.push(Finding { severity, what: what.into(), remedy });
    }

    /// The worst of it; `None` when nothing was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Bodies marked as damaged.
    pub marked: u64,
    /// Messages brought in from records that an older database did not know.
    pub adopted: u64,
    /// Files that were moved there, if any.
    pub aside: Option<PathBuf>,
    /// What was moved.
    pub moved: Vec<PathBuf>,
    /// Files brought in of which something could not be read, as they were, if any.
    pub unread: Vec<PathBuf>,
}

/// What a rebuilding made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Messages in the new database.
    pub messages: u64,
    /// How many of them belong to the account [`recovered`], because their records do not say whose they are.
    pub without_origin: u64,
    /// Unique-ids that are known again.
    pub known: u64,
    /// Places in segments that no record could be read from.
    pub damaged: u64,
    /// Where the files of the old database are, if there were any.
    pub aside: Option<PathBuf>,
    /// The segments those places are in, linked aside, because a sweep may free them; empty when there are none.
    pub unread: Vec<PathBuf>,
}

/// What a backup copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// Where it is.
    pub directory: PathBuf,
    /// Segments.
    pub segments: u64,
    /// Octets of them.
    pub octets: u64,
    /// What is wrong with the copy.
    pub findings: Findings,
}

/// The account of rebuilt messages whose records do not say whose they are.
pub fn recovered() -> Option<AccountId> {
    AccountId::new("recovered").ok()
}

/// Is told how many octets of how many are done.
pub type Told<'a> = &'a mut dyn FnMut(u64, u64);
