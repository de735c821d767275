//! The nouns of Postroom and the pure rules over them: ids, provenance, headers, content, effects, plans.
//!
//! Nothing here does IO, is async, knows a clock, or names a database, a network or wasm. Every rule that both
//! the live host and a dry run must obey lives here, so that the two cannot differ.

pub mod content;
pub mod disposition;
pub mod effect;
pub mod header;
pub mod ids;
pub mod octets;
pub mod plan;
pub mod provenance;
pub mod rules;
pub mod skeleton;
pub mod structure;
pub mod time;
pub mod transfer;

pub use content::{Coding, Content, Piece};
pub use disposition::Disposition;
pub use effect::{Action, Effect, Envelope, OnConflict};
pub use ids::{AccountId, Digest, EffectId, MessageId, Name, Uid};
pub use octets::Octets;
pub use plan::{KvSeen, KvWrite, LogLine, Plan, StepTrace, Verdict};
pub use provenance::Provenance;
pub use rules::{Address, HeaderField, Key, Label, Mailbox, RuleError};
pub use time::Timestamp;
