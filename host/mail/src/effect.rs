//! Effects as data: what is to happen to a message at a sink. Made by plugins, checked, journalled, carried out once.

use serde::{Deserialize, Serialize};

use crate::content::{Content, Piece};
use crate::ids::{Digest, EffectId, MessageId, Name};
use crate::rules::{Address, HeaderField, Key, Mailbox};

/// What to do when a key is taken by other octets. Nothing is ever overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// The effect fails and is parked.
    Refuse,
    /// `name (2).ext`, `name (3).ext`, and so on.
    Number,
}

/// RFC 5321 envelope. POP3 delivers none, so recipients are only ever named by the operator's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Reverse-path; `None` is the null path, and the sink's configured sender when it has one.
    pub from: Option<Address>,
    /// Forward-paths, at least one.
    pub to: Vec<Address>,
}

/// The closed set of things a sink can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Action {
    /// Write content under a key (object sinks).
    Store {
        /// Checked: relative, no traversal.
        key: Key,
        /// What to do when the key is taken.
        on_conflict: OnConflict,
        /// For sinks that keep one.
        content_type: Option<String>,
        /// Kept beside the object where the sink can.
        meta: Vec<(String, String)>,
    },
    /// File content as a message (mailbox sinks).
    FileInto {
        /// Empty is the inbox.
        mailbox: Mailbox,
        /// Maildir letters of `DFPRST`.
        flags: String,
    },
    /// Send content as a message (transport sinks).
    Send {
        /// To whom.
        envelope: Envelope,
        /// Put on top of the content.
        add_headers: Vec<HeaderField>,
    },
}

impl Action {
    /// One word, stable: part of the effect id and of what is shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store { .. } => "store",
            Self::FileInto { .. } => "file-into",
            Self::Send { .. } => "send",
        }
    }

    /// Where to, in one text: the key, the mailbox, or the recipients.
    pub fn target(&self) -> String {
        match self {
            Self::Store { key, .. } => key.as_str().to_owned(),
            Self::FileInto { mailbox, .. } => mailbox.as_str().to_owned(),
            Self::Send { envelope, .. } => {
                envelope.to.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// One thing to be done, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// See [`Effect::derive_id`].
    pub id: EffectId,
    /// The step that asked for it.
    pub step: Name,
    /// The sink that is to do it.
    pub sink: Name,
    /// What to do.
    pub action: Action,
    /// With what.
    pub content: Content,
    /// SHA-256 of the content before any coding.
    pub digest: Digest,
    /// Length of the content before any coding.
    pub size: u64,
    /// Deletion at the source waits for it.
    pub required: bool,
}

impl Effect {
    /// H(message, pipeline, step, kind, sink, target, content): no clock, no host, no plugin version, no ordinal.
    /// A reload or a retry anywhere collides with itself instead of making a duplicate.
    pub fn derive_id(
        message: &MessageId,
        pipeline: &Name,
        step: &Name,
        sink: &Name,
        action: &Action,
        content: &Digest,
    ) -> EffectId {
        let target = action.target();
        let parts: [&[u8]; 7] = [
            &message.0.0,
            pipeline.as_str().as_bytes(),
            step.as_str().as_bytes(),
            action.kind().as_bytes(),
            sink.as_str().as_bytes(),
            target.as_bytes(),
            &content.0,
        ];
        EffectId(Digest::of_parts("effect/1", &parts))
    }

    /// Whether it carries the whole raw message of `size` octets, so that its receipt proves a copy.
    pub fn carries_whole(&self, size: u64) -> bool {
        let whole = |piece: &Piece| matches!(piece, Piece::Raw { offset: 0, len } if *len >= size);
        self.content.pieces.iter().any(whole)
    }

    /// One line for people: `store vault:home/2026/11/24/ab12.eml (4096 octets)`.
    pub fn summary(&self) -> String {
        format!("{} {}:{} ({} octets)", self.action.kind(), self.sink, self.action.target(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, Uid};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn message(ordinal: u32) -> MessageId {
        let account: AccountId = name("shop");
        MessageId::derive(&account, &Uid(b"u1".to_vec()), ordinal, &Digest::of(b"raw"))
    }

    fn store(key: &str) -> Action {
        let key = Key::new(key).unwrap();
        Action::Store { key, on_conflict: OnConflict::Refuse, content_type: None, meta: Vec::new() }
    }

    fn file_into(mailbox: &str) -> Action {
        Action::FileInto { mailbox: Mailbox::new(mailbox).unwrap(), flags: String::new() }
    }

    fn send(to: &[&str]) -> Action {
        let to = to.iter().map(|text| Address::new(*text).unwrap()).collect();
        Action::Send { envelope: Envelope { from: None, to }, add_headers: Vec::new() }
    }

    #[test]
    fn the_same_effect_has_the_same_id_and_any_other_another() {
        let id = |ordinal, pipeline, step, sink, action: &Action, content: &[u8]| {
            Effect::derive_id(
                &message(ordinal),
                &name(pipeline),
                &name(step),
                &name(sink),
                action,
                &Digest::of(content),
            )
        };
        let first = id(0, "p", "s", "k", &store("a"), b"c");
        assert_eq!(first, id(0, "p", "s", "k", &store("a"), b"c"));
        let all = [
            first,
            id(1, "p", "s", "k", &store("a"), b"c"),
            id(0, "p2", "s", "k", &store("a"), b"c"),
            id(0, "p", "s2", "k", &store("a"), b"c"),
            id(0, "p", "s", "k2", &store("a"), b"c"),
            id(0, "p", "s", "k", &store("b"), b"c"),
            id(0, "p", "s", "k", &file_into("a"), b"c"),
            id(0, "p", "s", "k", &file_into(""), b"c"),
            id(0, "p", "s", "k", &send(&["a@b.example"]), b"c"),
            id(0, "p", "s", "k", &send(&["a@b.example", "c@d.example"]), b"c"),
            id(0, "p", "s", "k", &send(&["c@d.example", "a@b.example"]), b"c"),
            id(0, "p", "s", "k", &store("a"), b"d"),
            // The parts are told apart by their lengths, not only by their concatenation.
            id(0, "ps", "s", "k", &store("a"), b"c"),
            id(0, "p", "ss", "k", &store("a"), b"c"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn an_effect_reads_back_from_the_journal_and_a_forged_one_does_not() {
        for action in [store("a/b.eml"), file_into("x"), send(&["a@b.example"])] {
            let digest = Digest::of(b"c");
            let id = Effect::derive_id(&message(0), &name("p"), &name("s"), &name("k"), &action, &digest);
            let content = Content::raw(1);
            let effect = Effect {
                id,
                step: name("s"),
                sink: name("k"),
                action,
                content,
                digest,
                size: 1,
                required: true,
            };
            let json = serde_json::to_string(&effect).unwrap();
            assert_eq!(serde_json::from_str::<Effect>(&json).unwrap(), effect);
            assert!(effect.summary().contains(effect.action.kind()), "{}", effect.summary());
            let forged = json
                .replace("a/b.eml", "../b.eml")
                .replace("\"x\"", "\"../x\"")
                .replace("a@b.example", "a@b\\n");
            assert!(serde_json::from_str::<Effect>(&forged).is_err(), "{forged}");
        }
    }
}
