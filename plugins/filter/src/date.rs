//! When a message was written or retrieved. The sender decides the Date field; the moment of retrieval is the host's.

use postroom_sdk::{Date, JsonSchema, schemars, span::Span};
use serde::Deserialize;

/// For the Date field. A message without one is neither old nor new.
#[derive(Clone, Debug, Default, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DateTest {
    /// Earlier than this.
    pub(crate) before: Option<Date>,
    /// This, or later.
    pub(crate) after: Option<Date>,
    /// More than this before retrieval.
    pub(crate) older: Option<Span>,
    /// Less than this before retrieval, or after it.
    pub(crate) newer: Option<Span>,
}

/// For the moment of retrieval.
#[derive(Clone, Debug, Default, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrievedTest {
    /// Earlier than this.
    pub(crate) before: Option<Date>,
    /// This, or later.
    pub(crate) after: Option<Date>,
}

impl DateTest {
    pub(crate) fn matches(&self, date: Option<Date>, retrieved: Date) -> bool {
        let Some(date) = date else { return false };
        let age = retrieved.millis().saturating_sub(date.millis());
        is_between(date, self.after, self.before)
            && self.older.is_none_or(|span| age > span.millis())
            && self.newer.is_none_or(|span| age < span.millis())
    }
}

impl RetrievedTest {
    pub(crate) fn matches(&self, retrieved: Date) -> bool {
        is_between(retrieved, self.after, self.before)
    }
}

fn is_between(date: Date, after: Option<Date>, before: Option<Date>) -> bool {
    after.is_none_or(|after| date >= after) && before.is_none_or(|before| date < before)
}
