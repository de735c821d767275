//! What a message must look like, and what is known of one.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use postroom_sdk::size::Size;
use postroom_sdk::{JsonSchema, Message, schemars};
use serde::Deserialize;

use crate::pattern::Patterns;

/// Fields that name who a message was delivered to, from the declared to the actual.
const RECIPIENT_FIELDS: [&str; 6] = ["to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to"];

/// All keys must hold; a condition without keys always holds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Fields by name: one of the fields of that name must match.
    pub header: Option<BTreeMap<String, Patterns>>,
    /// An address of From.
    pub from: Option<Patterns>,
    /// An address of To.
    pub to: Option<Patterns>,
    /// An address of Cc.
    pub cc: Option<Patterns>,
    /// An address of any field that names recipients.
    pub recipient: Option<Patterns>,
    /// The subject.
    pub subject: Option<Patterns>,
    /// The account it was retrieved for.
    pub account: Option<Patterns>,
    /// A label is set.
    pub label: Option<Patterns>,
    /// No label matches.
    pub not_label: Option<Patterns>,
    /// The name of an attachment.
    pub attachment: Option<Patterns>,
    /// Whether there are attachments, decoration inside the text not counted.
    pub has_attachment: Option<bool>,
    /// More raw octets than this.
    pub larger: Option<Size>,
    /// Fewer raw octets than this.
    pub smaller: Option<Size>,
    /// All of these hold.
    pub all: Option<Vec<Condition>>,
    /// One of these holds.
    pub any: Option<Vec<Condition>>,
    /// This does not hold.
    pub not: Option<Box<Condition>>,
}

impl Condition {
    /// Whether it holds. What needs MIME comes last.
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        self.matches_origin(facts)
            && self.matches_fields(facts)
            && self.matches_nested(facts)
            && self.matches_parts(facts)
    }

    fn matches_origin(&self, facts: &Facts<'_>) -> bool {
        let Facts { message, .. } = facts;
        holds(&self.account, |patterns| patterns.matches(&message.account()))
            && holds(&self.label, |patterns| patterns.match_any(&message.labels()))
            && holds(&self.not_label, |patterns| !patterns.match_any(&message.labels()))
            && holds(&self.larger, |size| message.size() > size.0)
            && holds(&self.smaller, |size| message.size() < size.0)
    }

    fn matches_fields(&self, facts: &Facts<'_>) -> bool {
        let Facts { message, .. } = facts;
        holds(&self.header, |fields| {
            fields.iter().all(|(name, patterns)| patterns.match_any(&message.header_all(name)))
        }) && holds(&self.subject, |patterns| patterns.matches(&message.subject()))
            && holds(&self.from, |patterns| patterns.match_any(&facts.addresses("from")))
            && holds(&self.to, |patterns| patterns.match_any(&facts.addresses("to")))
            && holds(&self.cc, |patterns| patterns.match_any(&facts.addresses("cc")))
            && holds(&self.recipient, |patterns| {
                RECIPIENT_FIELDS.iter().any(|field| patterns.match_any(&facts.addresses(field)))
            })
    }

    fn matches_nested(&self, facts: &Facts<'_>) -> bool {
        holds(&self.all, |all| all.iter().all(|condition| condition.matches(facts)))
            && holds(&self.any, |any| any.iter().any(|condition| condition.matches(facts)))
            && holds(&self.not, |not| !not.matches(facts))
    }

    fn matches_parts(&self, facts: &Facts<'_>) -> bool {
        holds(&self.has_attachment, |wanted| *wanted != facts.attachments().is_empty())
            && holds(&self.attachment, |patterns| patterns.match_any(facts.attachments()))
    }
}

/// A key that is not there holds.
fn holds<T>(key: &Option<T>, test: impl FnOnce(&T) -> bool) -> bool {
    key.as_ref().is_none_or(test)
}

/// A message, and what was found out about its parts.
#[derive(Debug)]
pub(crate) struct Facts<'m> {
    message: &'m Message<'m>,
    attachments: OnceCell<Vec<String>>,
}

impl<'m> Facts<'m> {
    pub(crate) fn of(message: &'m Message<'m>) -> Self {
        Self { message, attachments: OnceCell::new() }
    }

    fn addresses(&self, field: &str) -> Vec<String> {
        self.message.addresses(field).into_iter().map(|address| address.email).collect()
    }

    /// Names of the attachments. The first call makes the host parse MIME.
    fn attachments(&self) -> &[String] {
        self.attachments.get_or_init(|| {
            let parts = self.message.attachments().into_iter().filter(|part| !part.is_decoration());
            parts.map(|part| part.filename().unwrap_or_else(|| part.safe_filename())).collect()
        })
    }
}
