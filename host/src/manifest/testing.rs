//! Receipts and books for the tests of the manifest.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use postroom_mail::{Action, Content, Digest, Effect, Key, Name, OnConflict, Provenance, Timestamp, Uid};
use postroom_spool::{Receipt, Receipted, Stored};

use super::{Book, Day, Line, Tail};
use crate::sinks::ManifestPlace;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The content that test receipts stand for.
pub(crate) fn octets(key: &str) -> Vec<u8> {
    format!("Subject: {key}\r\n\r\nbody of {key}\r\n").into_bytes()
}

pub(crate) fn receipted(number: u64, key: &str) -> Receipted {
    let octets = octets(key);
    let (digest, size) = (Digest::of(&octets), octets.len() as u64);
    let provenance = Provenance {
        account: name("home"),
        uid: Uid(format!("u{number}").into_bytes()),
        ordinal: 0,
        digest,
        size,
        retrieved: Timestamp(1_795_000_000_000),
    };
    let action = Action::Store {
        key: Key::new(key).unwrap(),
        on_conflict: OnConflict::Refuse,
        content_type: None,
        meta: Vec::new(),
    };
    let (message, step, sink) = (provenance.message(), name("archive"), name("vault"));
    let id = Effect::derive_id(&message, &name("main"), &step, &sink, &action, &digest);
    let effect = Effect { id, step, sink, action, content: Content::raw(size), digest, size, required: true };
    let stored = Some(Stored { key: key.to_owned(), size, digest: Some(digest) });
    Receipted {
        number,
        at: Timestamp(1_795_000_000_000),
        effect,
        receipt: Receipt {
            location: format!("/vault/{key}"),
            proof: "sha256".into(),
            already: false,
            stored,
        },
        message,
        provenance,
        labels: Vec::new(),
        plugin: None,
    }
}

pub(crate) fn place(root: &std::path::Path) -> ManifestPlace {
    ManifestPlace { base: root.to_owned(), parts: [".postroom".to_owned(), "manifest".to_owned()] }
}

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// Adds lines for these receipts to a day.
pub(crate) fn write(book: &Book, tail: &mut Tail, on: &str, receipts: std::ops::RangeInclusive<u64>) {
    for number in receipts {
        let line = Line::of(&receipted(number, &format!("{number}.eml")), None, tail);
        let mut octets = line.octets().unwrap();
        tail.followed(day(on), &line, &octets);
        octets.push(b'\n');
        book.append(day(on), &octets).unwrap();
    }
}
