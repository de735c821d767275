//! Our own form of a state file: what an export writes and an import reads.
//!
//! Owns its version and its escapes. Must not lose an octet of a unique-id, and must show when the file was cut.
//!
//! ```text
//! postroom-seen 1
//! mailbox alice pop.example.net 995
//! seen UID ORDINAL SIZE SECONDS HOW
//! end 1
//! ```
//! Words are parted by one blank; `%XX` stands for an octet that is not printable ASCII, for a blank and for `%`; a word
//! that is `-` is not known (a unique-id that is `-` is written `%2D`). `end` counts the `seen` lines.

use crate::lines::{CUT, Reading, lines, number};
use crate::{Error, Foreign, How, Mailbox};

const MAGIC: &[u8] = b"postroom-seen ";

/// Writes an export. Entries of one mailbox should follow each other: each change costs a line.
#[must_use]
pub fn write(entries: &[Foreign]) -> Vec<u8> {
    let mut text = String::from("postroom-seen 1\n");
    let mut current = None;
    for (index, entry) in entries.iter().enumerate() {
        if index == 0 || entry.mailbox.as_ref() != current {
            current = entry.mailbox.as_ref();
            text.push_str(&head(current));
        }
        let ordinal = known(entry.ordinal);
        let (size, seen) = (known(entry.size), known(entry.seen));
        text.push_str(&format!("seen {} {ordinal} {size} {seen} {}\n", escape(&entry.uid), word(entry.how)));
    }
    text.push_str(&format!("end {}\n", entries.len()));
    text.into_bytes()
}

fn head(mailbox: Option<&Mailbox>) -> String {
    match mailbox {
        None => "mailbox - - -\n".to_owned(),
        Some(Mailbox { user, host, port }) => {
            format!("mailbox {} {} {}\n", escape(user.as_bytes()), escape(host.as_bytes()), known(*port))
        }
    }
}

pub(crate) fn is_export(octets: &[u8]) -> bool {
    octets.starts_with(MAGIC)
}

pub(crate) fn read(octets: &[u8]) -> Result<Reading, Error> {
    let mut reading = Reading::default();
    let mut mailbox = None;
    let (mut announced, mut last, mut seen) = (None, 0, 0);
    for line in lines(octets) {
        last = line.number;
        if !line.ended {
            reading.bad(line.number, CUT);
            continue;
        }
        if line.number == 1 {
            match line.octets.strip_prefix(MAGIC) {
                Some(b"1") => {}
                Some(other) => return Err(Error::Version { version: shown(other) }),
                None => reading.bad(1, "the first line is not `postroom-seen 1`"),
            }
            continue;
        }
        let words: Vec<_> = line.octets.split(|octet| *octet == b' ').collect();
        match words.as_slice() {
            [b""] => {}
            [b"mailbox", user, host, port] => match parse_head(user, host, port) {
                Some(named) => mailbox = Some(named),
                None => {
                    mailbox = None;
                    reading.bad(line.number, "the mailbox is not `mailbox USER HOST PORT`");
                }
            },
            [b"seen", words @ ..] => {
                seen += 1;
                match (parse(words), &mailbox) {
                    (None, _) => reading.bad(line.number, "not `seen UID ORDINAL SIZE SECONDS HOW`"),
                    (Some(_), None) => reading.bad(line.number, "no readable mailbox line before it"),
                    (Some(entry), Some(named)) => {
                        reading.entries.push(Foreign { mailbox: named.clone(), ..entry });
                    }
                }
            }
            [b"end", count] => announced = number::<usize>(count),
            _ => reading.bad(line.number, "it begins with none of mailbox, seen and end"),
        }
    }
    if last > 0 && announced != Some(seen) {
        reading.bad(last + 1, "the count at the end is missing or differs: the file is not whole");
    }
    Ok(reading)
}

/// The outer option: readable at all.
#[allow(clippy::option_option, reason = "a mailbox may be readable and said to be unknown")]
fn parse_head(user: &[u8], host: &[u8], port: &[u8]) -> Option<Option<Mailbox>> {
    if (user, host) == (b"-", b"-") {
        return Some(None);
    }
    let name = |word: &[u8]| String::from_utf8(unescape(word)?).ok().filter(|name| !name.is_empty());
    Some(Some(Mailbox { user: name(user)?, host: name(host)?, port: maybe(port)? }))
}

fn parse(words: &[&[u8]]) -> Option<Foreign> {
    let [uid, ordinal, size, seen, how] = words else { return None };
    let uid = unescape(uid).filter(|uid| !uid.is_empty())?;
    let how = match *how {
        b"retrieved" => How::Retrieved,
        b"removing" => How::Removing,
        b"header" => How::HeaderOnly,
        b"marked" => How::Marked,
        _ => return None,
    };
    let (ordinal, size, seen) = (maybe(ordinal)?, maybe(size)?, maybe(seen)?);
    Some(Foreign { mailbox: None, uid, ordinal, size, seen, how })
}

fn word(how: How) -> &'static str {
    match how {
        How::Retrieved => "retrieved",
        How::Removing => "removing",
        How::HeaderOnly => "header",
        How::Marked => "marked",
    }
}

fn known(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The outer option: readable at all.
#[allow(clippy::option_option, reason = "a value may be readable and said to be unknown")]
fn maybe<N: std::str::FromStr>(word: &[u8]) -> Option<Option<N>> {
    if word == b"-" { Some(None) } else { number(word).map(Some) }
}

fn escape(octets: &[u8]) -> String {
    if octets == b"-" {
        return "%2D".to_owned();
    }
    let plain = |octet: u8| octet.is_ascii_graphic() && octet != b'%';
    let one =
        |octet: &u8| if plain(*octet) { char::from(*octet).to_string() } else { format!("%{octet:02X}") };
    octets.iter().map(one).collect()
}

fn unescape(word: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        let digit = |octet: u8| char::from(octet).to_digit(16);
        octets.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = after;
    }
    Some(octets)
}

fn shown(octets: &[u8]) -> String {
    let mut text = escape(octets);
    text.truncate(20);
    text
}
