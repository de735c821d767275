//! One line of a manifest: its fields in their order, and what a receipt becomes.

use postroom_mail::{Action, Coding, Digest, EffectId, Label, MessageId, Name};
use postroom_spool::Receipted;
use serde::{Deserialize, Serialize};

use super::Tail;
use super::day::written;

/// What the first line of all holds instead of the digest of the one before.
pub const ORIGIN: Digest = Digest([0; 32]);
/// The format of lines.
const VERSION: u32 = 1;

/// A line, without its line end. The order of the fields is the order in the file; digests are hexadecimal SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// 1.
    pub v: u32,
    /// 1, 2, 3 … over all days.
    pub seq: u64,
    /// What happened.
    pub kind: Kind,
    /// When it did (RFC 3339, UTC).
    pub time: String,
    /// The last of the spool's receipts that the lines up to here cover.
    pub receipt: u64,
    /// Where.
    pub sink: Name,
    /// The object.
    pub key: String,
    /// The effect that asked for it.
    pub effect: EffectId,
    /// The message it was made of.
    pub message: MessageId,
    /// Where that was retrieved.
    pub account: Name,
    /// Its unique-id there; octets that are not printable ASCII are escaped.
    pub uidl: String,
    /// The pipeline of the account, when it is configured.
    pub pipeline: Option<Name>,
    /// The step that asked for it.
    pub step: Name,
    /// Version of the step's plugin.
    pub plugin: Option<String>,
    /// Its octets.
    pub plugin_digest: Option<Digest>,
    /// Labels of the message.
    pub labels: Vec<Label>,
    /// It holds the whole message as it was retrieved.
    pub whole: bool,
    /// The content, before any coding.
    pub sha256: Digest,
    /// Its octets.
    pub size: u64,
    /// How it is coded.
    pub coding: Coding,
    /// The object as it is stored, when that is known.
    pub stored_sha256: Option<Digest>,
    /// Its octets.
    pub stored_size: Option<u64>,
    /// It was there already.
    pub already: bool,
    /// The octets of the line before this one, without its line end.
    pub prev: Digest,
}

/// What a line records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An object was stored.
    Stored,
}

impl Line {
    /// The line that follows `tail` for a receipt.
    pub fn of(receipted: &Receipted, pipeline: Option<Name>, tail: &Tail) -> Self {
        let Receipted { effect, receipt, provenance, .. } = receipted;
        let stored = receipt.stored.as_ref();
        let (plugin, plugin_digest) = receipted.plugin.clone().unzip();
        Self {
            v: VERSION,
            seq: tail.seq + 1,
            kind: Kind::Stored,
            time: written(receipted.at),
            receipt: receipted.number,
            sink: effect.sink.clone(),
            key: stored.map_or_else(|| old_key(receipted), |stored| stored.key.clone()),
            effect: effect.id,
            message: receipted.message,
            account: provenance.account.clone(),
            uidl: provenance.uid.to_string(),
            pipeline,
            step: effect.step.clone(),
            plugin,
            plugin_digest,
            labels: receipted.labels.clone(),
            whole: effect.carries_whole(provenance.size),
            sha256: effect.digest,
            size: effect.size,
            coding: effect.content.coding,
            stored_sha256: stored.and_then(|stored| stored.digest),
            stored_size: stored.map(|stored| stored.size),
            already: receipt.already,
            prev: tail.hash,
        }
    }

    /// Its octets, without a line end.
    ///
    /// # Errors
    /// Never, as far as known: every field has a JSON form.
    pub fn octets(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or has another form than the one it is written in.
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let line: Self = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        match line.octets() {
            Ok(again) if again == octets => Ok(line),
            _ => Err("it is not written as lines are".to_owned()),
        }
    }
}

/// The key of a receipt of a version that did not keep it: the effect's own, or one of its numbers.
fn old_key(receipted: &Receipted) -> String {
    let Action::Store { key, .. } = &receipted.effect.action else {
        return receipted.effect.action.target();
    };
    let fits = |key: &str| receipted.receipt.location.ends_with(&format!("/{key}"));
    let numbered = || (2..1000).map(|n| key.numbered(n)).find(|key| fits(key.as_str()));
    match fits(key.as_str()) {
        true => key.as_str().to_owned(),
        false => numbered().as_ref().unwrap_or(key).as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::testing::receipted;
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_is_written_and_in_no_other_form() {
        let line = Line::of(&receipted(7, "a/b.eml"), None, &Tail::default());
        let octets = line.octets().unwrap();
        assert_eq!(Line::read(&octets).unwrap(), line);
        assert_eq!((line.seq, line.receipt, line.prev), (1, 7, ORIGIN));
        let spaced = String::from_utf8(octets).unwrap().replace("\":", "\": ");
        assert!(
            Line::read(spaced.as_bytes()).is_err(),
            "one form only, so that its digest says what it says"
        );
    }

    #[test]
    fn receipts_of_before_manifests_get_the_key_that_their_place_ends_with() {
        let mut old = receipted(1, "a/b.eml");
        old.receipt.stored = None;
        for (location, key) in
            [("/vault/a/b.eml", "a/b.eml"), ("/vault/a/b (3).eml", "a/b (3).eml"), ("elsewhere", "a/b.eml")]
        {
            old.receipt.location = location.to_owned();
            assert_eq!(Line::of(&old, None, &Tail::default()).key, key);
        }
    }
}
