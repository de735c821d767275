//! What one poll did, for people and programs.

use std::time::Duration;

use postroom_spool::{Kept, Why};

use super::Trouble;

/// What one poll did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Messages the server listed.
    pub listed: u64,
    /// Of these new here.
    pub new: u64,
    /// Messages retrieved and durable here.
    pub retrieved: u64,
    /// Their octets.
    pub octets: u64,
    /// Messages marked as seen at the first contact, without being retrieved.
    pub seeded: u64,
    /// Known messages that the server shows under new unique-ids; they were not retrieved again.
    pub remapped: u64,
    /// Messages that stay on the server because it would not give them out or they are too large, with the reason.
    pub refused: Vec<String>,
    /// How many more than those told above.
    pub refused_more: u64,
    /// Deletions the server confirmed.
    pub removed: u64,
    /// In a rehearsal: what would become of each message listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rehearsed: Vec<Rehearsed>,
    /// Why nothing was done about the listing: it is not believed. Or why no more was retrieved: there is no room here.
    pub held: Option<String>,
    /// What is odd, or will be trouble one day.
    pub notes: Vec<String>,
    /// Why the poll failed.
    pub error: Option<String>,
    /// What kind of failure that is.
    pub trouble: Option<Trouble>,
    /// What to do about that.
    pub hint: Option<String>,
    /// A person has to act before it can succeed.
    pub needs_a_person: bool,
    /// The session ended before everything new was retrieved.
    pub more: bool,
    /// Least pause until the next login, by the server's rules.
    #[serde(skip)]
    pub(super) floor: Duration,
    /// How long the server wants to be left alone after this failure.
    #[serde(skip)]
    pub(super) wait: Option<Duration>,
}

/// What would become of one message.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Rehearsed {
    /// Its unique-id, neutralised.
    pub uid: String,
    /// What would be done.
    pub fate: Fate,
    /// Why.
    pub why: String,
}

/// What would be done about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It would be retrieved.
    Retrieve,
    /// It would be deleted at the server.
    Delete,
    /// Nothing.
    Leave,
}

impl Rehearsed {
    /// What stays, and why.
    pub(super) fn left(uid: String, kept: Kept) -> Self {
        let fate = if kept.why == Why::NotRetrieved { Fate::Retrieve } else { Fate::Leave };
        Self { uid, fate, why: kept.why.to_string() }
    }
}
