//! The messages scenarios are about. Small, each different, with CRLF line ends.

use postroom_tests::scripted::{Message, message};

pub(crate) fn mail(subject: &str) -> Vec<u8> {
    format!(
        "From: a@field.example\r\nTo: user@home.example\r\nSubject: {subject}\r\n\r\nHello {subject}.\r\n"
    )
    .into_bytes()
}

/// A message whose unique-id and subject are `name`.
pub(crate) fn one(name: &str) -> Message {
    message(name, mail(name))
}

/// Messages `a`, `b` and `c`.
pub(crate) fn three() -> Vec<Message> {
    ["a", "b", "c"].map(one).to_vec()
}

pub(crate) fn many(count: usize) -> Vec<Message> {
    (0..count).map(|n| one(&format!("m{n:03}"))).collect()
}
