//! What the operator allows a step, and the exact line that would allow more.

use std::collections::BTreeMap;

use postroom_mail::Name;

use crate::limits::Limits;

/// What a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Objects under keys: a directory, S3. Takes `store`.
    Object,
    /// Messages in mailboxes: Maildir. Takes `file-into`.
    Mailbox,
    /// Messages to recipients: SMTP. Takes `forward` and `send`.
    Transport,
}

impl SinkKind {
    /// For texts: "an object sink (takes `store`)".
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Object => "an object sink (takes `store`)",
            Self::Mailbox => "a mailbox sink (takes `file-into`)",
            Self::Transport => "a transport sink (takes `forward` and `send`)",
        }
    }
}

/// What a step may do. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The sinks it may name, as the operator named them.
    pub sinks: BTreeMap<Name, SinkKind>,
    /// Letting mail go without a copy.
    pub discard: bool,
    /// Durable state of its own.
    pub kv: bool,
}

impl Grants {
    /// The line that would grant all this.
    pub fn line(&self) -> String {
        let sinks: Vec<String> = self.sinks.keys().map(|name| format!("\"{name}\"")).collect();
        let mut parts = Vec::new();
        if !sinks.is_empty() {
            parts.push(format!("sinks = [{}]", sinks.join(", ")));
        }
        if self.discard {
            parts.push("discard = true".to_owned());
        }
        if self.kv {
            parts.push("kv = true".to_owned());
        }
        format!("grants = {{ {} }}", parts.join(", "))
    }

    /// The line that would grant a sink too.
    pub fn line_with_sink(&self, sink: &Name) -> String {
        let mut more = self.clone();
        more.sinks.entry(sink.clone()).or_insert(SinkKind::Object);
        more.line()
    }

    /// The line that would grant `discard` too.
    pub fn line_with_discard(&self) -> String {
        Self { discard: true, ..self.clone() }.line()
    }

    /// The line that would grant `kv` too.
    pub fn line_with_kv(&self) -> String {
        Self { kv: true, ..self.clone() }.line()
    }
}

/// A step as the operator configured it.
#[derive(Clone, Debug)]
pub struct StepConfig {
    /// The pipeline it stands in.
    pub pipeline: Name,
    /// Its own name in it.
    pub step: Name,
    /// What it may do.
    pub grants: Grants,
    /// How much it may use.
    pub limits: Limits,
    /// Deletion at the source waits for its effects.
    pub required: bool,
    /// A JSON document.
    pub settings: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_would_allow_more_keeps_what_is_allowed() {
        let vault = Name::new("vault").unwrap();
        let grants = Grants { sinks: BTreeMap::from([(vault, SinkKind::Object)]), discard: false, kv: true };
        let line = grants.line_with_sink(&Name::new("home").unwrap());
        assert_eq!(line, r#"grants = { sinks = ["home", "vault"], kv = true }"#);
        assert_eq!(Grants::default().line_with_discard(), "grants = { discard = true }");
    }
}
