//! The messages scenarios are about. Small, each different, with CRLF line ends.

use postroom_tests::scripted::{Message, message};

pub(crate) fn mail(subject: &str) -> Vec<u8> {
    format!(
        "From: a@field.example\r\nTo: user@home.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@field.example>\r\n\r\n\
         Hello {subject}.\r\n"
    )
    .into_bytes()
}

/// As a scanner sends it: every header is the same, only the body tells messages apart.
pub(crate) fn scan(page: &str) -> Vec<u8> {
    format!("From: scanner@home.example\r\nSubject: scan\r\n\r\n{page}\r\n").into_bytes()
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
