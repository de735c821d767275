//! The manifest of an object sink: what was stored, in a chain of lines that shows when one was changed, moved or taken
//! away.
//!
//! Every receipt of the sink becomes one line of JSON in the file of its day (UTC), `YYYY-MM-DD.jsonl`. A line holds the
//! SHA-256 of the octets of the line before it. When a day is over, or the host stops, `YYYY-MM-DD.head` says how the day
//! ends: one line of JSON and a minisign signature (Ed25519) of that line. Everything can be checked with `sha256sum` and
//! `minisign`, without this program.
//!
//! Lines come from the spool's receipts, after those are durable, and can be written again from them at any time: what a
//! crash or a full disk kept from being written is written later, and nothing waits for it. Must not decide what is
//! stored, delay a delivery, or change a line.

mod aside;
mod book;
mod copies;
mod day;
mod head;
mod key;
mod line;
#[cfg(test)]
pub(crate) mod testing;
mod verify;
mod writer;

pub use aside::Aside;
pub use book::{Book, Tail};
pub use day::Day;
pub use head::{Head, Signed};
pub use key::{PublicKeys, SigningKey};
pub use line::{Kind, Line, ORIGIN};
pub use verify::{
    Damage, DamageKind, Examined, Examiner, Progress, Range, Report, Unverified, Verification, keys_of,
    read_back,
};
pub use writer::{Standing, Tails, end, keep, sign_now, standing};
