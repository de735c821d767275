//! Thunderbird's `popstate.dat`: `*HOST USER`, then `FLAG UID SECONDS` lines; before 2005 without the time.
//!
//! Owns that format, and what its flags mean. Must not count a mail as seen of which only the header was fetched.

use crate::lines::{CUT, Reading, lines, number, split_once, text};
use crate::{How, Mailbox};

pub(crate) fn read(octets: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut mailbox = None;
    for line in lines(octets) {
        match line.octets {
            [] => {}
            [b'#', ..] if mailbox.is_none() => {}
            [b'*', name @ ..] => {
                mailbox = head(name);
                if mailbox.is_none() {
                    reading.bad(line.number, "the head is not `*HOST USER`");
                }
            }
            content => match (&mailbox, entry(content)) {
                (_, Err(why)) => reading.bad(line.number, why),
                (None, _) => reading.bad(line.number, "a unique-id before any `*HOST USER`"),
                // Newer versions end the file without a line feed, but always write the time.
                (_, Ok((_, None, _))) if !line.ended => reading.bad(line.number, CUT),
                (Some(mailbox), Ok((uid, time, how))) => reading.good(Some(mailbox.clone()), uid, time, how),
            },
        }
    }
    reading
}

fn head(name: &[u8]) -> Option<Mailbox> {
    // Every entry carries it.
    if name.len() > crate::LONGEST_NAME {
        return None;
    }
    let (host, user) = split_once(name, b' ')?;
    Some(Mailbox { user: text(user)?, host: text(host)?, port: None })
}

fn entry(line: &[u8]) -> Result<(&[u8], Option<i64>, How), &'static str> {
    let mut words = line.split(|octet| matches!(octet, b' ' | b'\t'));
    let how = match words.next() {
        Some(b"k") => How::Retrieved,
        Some(b"d") => How::Removing,
        Some(b"b" | b"f") => How::HeaderOnly,
        _ => return Err("the flag is none of k, d, b and f"),
    };
    let uid = words.next().filter(|uid| !uid.is_empty()).ok_or("no unique-id after the flag")?;
    // A time of 0 means that it was not known.
    let time =
        words.next().filter(|time| !time.is_empty()).map(|time| number(time).ok_or("the time is no number"));
    Ok((uid, time.transpose()?, how))
}

/// Up to the first blank. Since 2021 octets above 127 are taken for Latin-1 and written as UTF-8; before, they were
/// written as they came.
pub(crate) fn written(uid: &[u8]) -> Vec<Vec<u8>> {
    let word = split_once(uid, b' ').map_or(uid, |(word, _)| word).trim_ascii();
    let recoded: String = word.iter().map(|octet| char::from(*octet)).collect();
    let mut forms = vec![word.to_vec()];
    if recoded.as_bytes() != word {
        forms.push(recoded.into_bytes());
    }
    forms
}
