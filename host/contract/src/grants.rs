//! What the operator allows a step, and the exact line that would allow more.

use std::collections::{BTreeMap, BTreeSet};

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

/// What needs the operator's word before a plugin that imports it is admitted. What an effect may name is checked at
/// each call instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Durable state of its own.
    Kv,
    /// Look-ups at targets that the operator named.
    Fetch,
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
    /// The targets it may fetch from, as the operator named them.
    pub fetch: BTreeSet<Name>,
    /// Randomness of the system instead of that which follows from the message.
    pub entropy: bool,
}

impl Grants {
    /// The line that would grant all this.
    pub fn line(&self) -> String {
        let sinks: Vec<String> = self.sinks.keys().map(|name| format!("\"{name}\"")).collect();
        let mut parts = Vec::new();
        if !sinks.is_empty() {
            parts.push(format!("sinks = [{}]", sinks.join(", ")));
        }
        if !self.fetch.is_empty() {
            let targets: Vec<String> = self.fetch.iter().map(|name| format!("\"{name}\"")).collect();
            parts.push(format!("fetch = [{}]", targets.join(", ")));
        }
        if self.discard {
            parts.push("discard = true".to_owned());
        }
        if self.kv {
            parts.push("kv = true".to_owned());
        }
        if self.entropy {
            parts.push("entropy = true".to_owned());
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

    pub(crate) fn line_with_target(&self, target: &Name) -> String {
        let mut more = self.clone();
        more.fetch.insert(target.clone());
        more.line()
    }

    /// Whether what an import needs is granted; what it may name is checked at each call.
    pub fn allow(&self, capability: Capability) -> bool {
        match capability {
            Capability::Kv => self.kv,
            Capability::Fetch => !self.fetch.is_empty(),
        }
    }

    /// The line that would grant these too. Which target is meant only the operator knows.
    pub fn line_with_all(&self, capabilities: &[Capability]) -> String {
        let mut more = self.clone();
        for capability in capabilities {
            match capability {
                Capability::Kv => more.kv = true,
                Capability::Fetch => more.fetch.extend(Name::new("TARGET").ok()),
            }
        }
        more.line()
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
        let grants =
            Grants { sinks: BTreeMap::from([(vault, SinkKind::Object)]), kv: true, ..Grants::default() };
        let line = grants.line_with_sink(&Name::new("home").unwrap());
        assert_eq!(line, r#"grants = { sinks = ["home", "vault"], kv = true }"#);
        assert_eq!(Grants::default().line_with_discard(), "grants = { discard = true }");
        let crm = Grants { entropy: true, ..Grants::default() }.line_with_target(&Name::new("crm").unwrap());
        assert_eq!(crm, r#"grants = { fetch = ["crm"], entropy = true }"#);
        let all = Grants::default().line_with_all(&[Capability::Kv, Capability::Fetch]);
        assert_eq!(all, r#"grants = { fetch = ["TARGET"], kv = true }"#);
    }
}
