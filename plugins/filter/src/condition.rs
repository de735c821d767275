//! What a message must look like.

use std::collections::BTreeMap;

use postroom_sdk::size::Size;
use postroom_sdk::{JsonSchema, schemars};
use serde::Deserialize;

use crate::address::AddressPatterns;
use crate::attachment::{CountTest, FileTest};
use crate::auth::AuthTest;
use crate::date::{DateTest, RetrievedTest};
use crate::facts::Facts;
use crate::pattern::{Listed, Pattern, Patterns};

/// Fields that name who a message was delivered to, from the declared to the actual.
const RECIPIENT_FIELDS: [&str; 6] = ["to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to"];

/// All keys must hold; a condition without keys always holds.
#[derive(Clone, Debug, Default, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Fields by name: one of the fields of that name must match. Unfolded and decoded.
    pub header: Option<BTreeMap<String, Patterns>>,
    /// As `header`, but as they are on the wire.
    pub header_raw: Option<BTreeMap<String, Patterns>>,
    /// Fields of all these names are there.
    pub exists: Option<Listed<String>>,
    /// An address of From.
    pub from: Option<AddressPatterns>,
    /// An address of To.
    pub to: Option<AddressPatterns>,
    /// An address of Cc.
    pub cc: Option<AddressPatterns>,
    /// An address of any field that names recipients.
    pub recipient: Option<AddressPatterns>,
    /// Fields by name: an address of one must match.
    pub address: Option<BTreeMap<String, AddressPatterns>>,
    /// The subject.
    pub subject: Option<Patterns>,
    /// The identifier of the mailing list, RFC 2919.
    pub list_id: Option<Patterns>,
    /// What servers of the operator's say of the sender.
    pub auth: Option<AuthTest>,
    /// When it was written.
    pub date: Option<DateTest>,
    /// When it was retrieved.
    pub retrieved: Option<RetrievedTest>,
    /// The account it was retrieved for.
    pub account: Option<Patterns>,
    /// A label is set.
    pub label: Option<Patterns>,
    /// No label matches.
    pub not_label: Option<Patterns>,
    /// More raw octets than this.
    pub larger: Option<Size>,
    /// Fewer raw octets than this.
    pub smaller: Option<Size>,
    /// An attachment.
    pub attachment: Option<Listed<FileTest>>,
    /// How many attachments.
    pub attachments: Option<CountTest>,
    /// Whether there are attachments, decoration inside the text not counted.
    pub has_attachment: Option<bool>,
    /// The text.
    pub body: Option<Patterns>,
    /// All of these hold.
    pub all: Option<Vec<Condition>>,
    /// One of these holds.
    pub any: Option<Vec<Condition>>,
    /// This does not hold.
    pub not: Option<Box<Condition>>,
}

impl Condition {
    /// Whether it holds. What needs MIME comes last, and of that the text.
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        self.matches_origin(facts)
            && self.matches_addresses(facts)
            && self.matches_fields(facts)
            && self.matches_nested(facts)
            && self.matches_files(facts)
            && holds(&self.body, |patterns| patterns.matches(facts.body(), facts.lists))
    }

    fn matches_origin(&self, facts: &Facts<'_>) -> bool {
        let Facts { message, lists, .. } = facts;
        holds(&self.account, |patterns| patterns.matches(&message.account(), lists))
            && holds(&self.label, |patterns| patterns.match_any(&message.labels(), lists))
            && holds(&self.not_label, |patterns| !patterns.match_any(&message.labels(), lists))
            && holds(&self.larger, |size| message.size() > size.0)
            && holds(&self.smaller, |size| message.size() < size.0)
            && holds(&self.retrieved, |test| test.matches(message.received()))
            && holds(&self.date, |test| test.matches(message.date(), message.received()))
    }

    fn matches_addresses(&self, facts: &Facts<'_>) -> bool {
        let has = |patterns: &AddressPatterns, field: &str| {
            patterns.match_any(&facts.addresses(field), facts.lists)
        };
        holds(&self.from, |patterns| has(patterns, "from"))
            && holds(&self.to, |patterns| has(patterns, "to"))
            && holds(&self.cc, |patterns| has(patterns, "cc"))
            && holds(&self.recipient, |patterns| RECIPIENT_FIELDS.iter().any(|field| has(patterns, field)))
            && holds(&self.address, |fields| fields.iter().all(|(name, patterns)| has(patterns, name)))
    }

    fn matches_fields(&self, facts: &Facts<'_>) -> bool {
        let Facts { message, lists, .. } = facts;
        let raw = |name: &str| -> Vec<String> {
            let values = message.header_raw(name).into_iter();
            values.map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned()).collect()
        };
        holds(&self.exists, |names| names.0.iter().all(|name| !message.header_raw(name).is_empty()))
            && holds(&self.subject, |patterns| patterns.matches(facts.subject(), lists))
            && holds(&self.list_id, |patterns| facts.list_id().is_some_and(|id| patterns.matches(&id, lists)))
            && holds(&self.header, |fields| {
                fields.iter().all(|(name, patterns)| patterns.match_any(&message.header_all(name), lists))
            })
            && holds(&self.header_raw, |fields| {
                fields.iter().all(|(name, patterns)| patterns.match_any(&raw(name), lists))
            })
            && holds(&self.auth, |test| test.matches(&message.header_raw("authentication-results"), lists))
    }

    fn matches_nested(&self, facts: &Facts<'_>) -> bool {
        holds(&self.all, |all| all.iter().all(|condition| condition.matches(facts)))
            && holds(&self.any, |any| any.iter().any(|condition| condition.matches(facts)))
            && holds(&self.not, |not| !not.matches(facts))
    }

    fn matches_files(&self, facts: &Facts<'_>) -> bool {
        holds(&self.has_attachment, |wanted| *wanted != facts.files().is_empty())
            && holds(&self.attachments, |test| test.matches(facts.files().len()))
            && holds(&self.attachment, |tests| {
                facts.files().iter().any(|file| tests.0.iter().any(|test| test.matches(file, facts.lists)))
            })
    }

    /// Conditions directly inside.
    pub(crate) fn inner(&self) -> impl Iterator<Item = &Self> {
        let groups = [&self.all, &self.any];
        groups.into_iter().flatten().flatten().chain(self.not.as_deref())
    }

    /// Lists that it needs, those of conditions inside too.
    pub(crate) fn lists<'c>(&'c self, into: &mut Vec<&'c str>) {
        let texts = [&self.subject, &self.list_id, &self.account, &self.label, &self.not_label, &self.body];
        let addresses = [&self.from, &self.to, &self.cc, &self.recipient];
        let fields = [&self.header, &self.header_raw];
        let texts =
            texts.into_iter().flatten().chain(fields.into_iter().flatten().flat_map(BTreeMap::values));
        let addresses = addresses.into_iter().flatten().chain(self.address.iter().flat_map(BTreeMap::values));
        let files = self.attachment.iter().flat_map(|tests| &tests.0);
        let patterns = texts
            .flat_map(|patterns| &patterns.0)
            .chain(addresses.flat_map(AddressPatterns::patterns))
            .chain(files.flat_map(FileTest::patterns))
            .chain(self.auth.iter().flat_map(AuthTest::patterns));
        into.extend(patterns.filter_map(Pattern::list));
        self.inner().for_each(|inner| inner.lists(into));
    }

    /// Whether labels decide it, so that an action of another rule may change it.
    pub(crate) fn reads_labels(&self) -> bool {
        self.label.is_some() || self.not_label.is_some() || self.inner().any(Self::reads_labels)
    }
}

/// A key that is not there holds.
fn holds<T>(key: &Option<T>, test: impl FnOnce(&T) -> bool) -> bool {
    key.as_ref().is_none_or(test)
}
