//! What can be wrong, each by name, and the words for it.

use std::path::Path;

use serde::Serialize;

use super::objects::{Examined, Missing};
use crate::manifest::{Day, Line};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its name.
    pub kind: DamageKind,
    /// The day of the manifest.
    pub day: Option<Day>,
    /// The line of that day's file, from 1.
    pub line: Option<u64>,
    /// The number of that line in the chain.
    pub seq: Option<u64>,
    /// The object.
    pub key: Option<String>,
    /// What it should be.
    pub expected: Option<String>,
    /// What it is.
    pub actual: Option<String>,
    /// In words.
    pub text: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// The octets of an object are others.
    ObjectChanged,
    /// An object is gone.
    ObjectMissing,
    /// An object cannot be read.
    ObjectUnreadable,
    /// An object that no line names.
    ObjectUnlisted,
    /// A line was changed.
    LineEdited,
    /// A line is gone.
    LineRemoved,
    /// A line stands at another place.
    LineReordered,
    /// A line is there twice.
    LineDoubled,
    /// The last line was not written to its end; the host puts that right.
    LineTorn,
    /// The lines of a day are gone.
    DayMissing,
    /// A day that is over has no head, or none that can be read.
    HeadMissing,
    /// A head says something else than the lines.
    HeadDiffers,
    /// The signature of a head is not by the key of this state.
    BadSignature,
    /// No key is known to check signatures with.
    KeyUnknown,
    /// What a crash left of lines was cut off, and kept.
    CutKept,
    /// The whole manifest is gone.
    ManifestMissing,
}

impl Damage {
    pub(super) fn new(kind: DamageKind, text: String) -> Self {
        Self { kind, day: None, line: None, seq: None, key: None, expected: None, actual: None, text }
    }

    pub(super) fn at(mut self, day: Day, line: Option<u64>, seq: Option<u64>) -> Self {
        (self.day, self.line, self.seq) = (Some(day), line, seq);
        self
    }

    pub(super) fn instead(mut self, expected: impl ToString, actual: impl ToString) -> Self {
        (self.expected, self.actual) = (Some(expected.to_string()), Some(actual.to_string()));
        self
    }

    fn of_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(super) fn unlisted(key: String) -> Self {
        let text =
            format!("no line names the object {key:?}: it was not stored by this host, or its line is gone");
        Self::new(DamageKind::ObjectUnlisted, text).of_key(&key)
    }

    pub(super) fn manifest_gone(place: &Path) -> Self {
        Self::new(DamageKind::ManifestMissing, format!("the manifest in {} is gone", place.display()))
    }
}

impl Missing {
    pub(super) fn of(self, day: Day, number: u64, line: &Line) -> Damage {
        let damage = match self {
            Self::Gone => {
                Damage::new(DamageKind::ObjectMissing, format!("the object {:?} is gone", line.key))
            }
            Self::Unreadable(why) => Damage::new(
                DamageKind::ObjectUnreadable,
                format!("the object {:?} cannot be read: {why}", line.key),
            ),
        };
        damage.at(day, Some(number), Some(line.seq)).of_key(&line.key)
    }
}

/// What the octets of an object differ in from what its line says.
pub(super) fn of_object(day: Day, number: u64, line: &Line, found: &Examined) -> Option<Damage> {
    let key = &line.key;
    let changed = |what: &str| {
        let text = format!("{what} of the object {key:?} are not those that were stored");
        Damage::new(DamageKind::ObjectChanged, text).at(day, Some(number), Some(line.seq)).of_key(key)
    };
    if let Some(expected) = line.stored_sha256.filter(|expected| *expected != found.stored) {
        return Some(changed("the stored octets").instead(expected, found.stored));
    }
    match &found.content {
        Ok((digest, size)) if *digest == line.sha256 && *size == line.size => None,
        Ok((digest, _)) => Some(changed("the octets").instead(line.sha256, digest)),
        Err(why) => Some(changed("the octets").instead(line.sha256, format!("not zstd: {why}"))),
    }
}
