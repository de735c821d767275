//! getmail's `oldmail-SERVER-PORT-USER`: on each line a unique-id, a NUL and the seconds since 1970 (6.18.11).
//!
//! Owns that format and its file's name. Must not read the IMAP files of the same name and form.

use crate::lines::{CUT, Reading, lines, number, split_once};
use crate::{How, Mailbox};

/// What getmail puts in place of each run of these in a file's name.
const STRIPPED: &[char] = &['/', '\\', ':', ';', '<', '>', '|'];

pub(crate) fn read(octets: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for line in lines(octets) {
        let content = line.octets.trim_ascii();
        if content.is_empty() {
            continue;
        }
        match split_once(content, 0) {
            _ if !line.ended => reading.bad(line.number, CUT),
            None => reading.bad(line.number, "no NUL between the unique-id and the time"),
            Some(([], _)) => reading.bad(line.number, "no unique-id before the NUL"),
            // getmail never leaves a slash in a unique-id of POP3.
            Some((uid, _)) if uid.contains(&b'/') => reading.bad(line.number, "an id of IMAP, not of POP3"),
            Some((uid, time)) => match number(time) {
                Some(time) => reading.good(None, uid, Some(time), How::Retrieved),
                None => reading.bad(line.number, "the time after the NUL is no number"),
            },
        }
    }
    reading
}

/// getmail tells IMAP's ids by their slashes, so it writes `-` for each of POP3's.
pub(crate) fn written(uid: &[u8]) -> Vec<u8> {
    let uid = uid.trim_ascii();
    uid.iter().map(|octet| if *octet == b'/' { b'-' } else { *octet }).collect()
}

/// The name getmail gives the file of a mailbox; `None` without a port, which getmail always knows. Exact, where
/// [`mailbox`] has to guess.
#[must_use]
pub fn file_name(mailbox: &Mailbox) -> Option<String> {
    let plain = format!("oldmail-{}-{}-{}", mailbox.host, mailbox.port?, mailbox.user);
    let mut name = String::with_capacity(plain.len());
    let mut inside = false;
    for letter in plain.chars() {
        let stripped = STRIPPED.contains(&letter);
        if !stripped {
            name.push(letter);
        } else if !inside {
            name.push('-');
        }
        inside = stripped;
    }
    Some(name)
}

/// The mailbox a file's name tells: a guess if the host or the user has hyphens around a number. The usual ports are
/// preferred, then the first number that can be a port.
#[must_use]
pub fn mailbox(file_name: &str) -> Option<Mailbox> {
    let rest = file_name.strip_prefix("oldmail-")?;
    let candidates = || {
        rest.match_indices('-').filter_map(|(at, _)| {
            let (port, user) = rest[at + 1..].split_once('-')?;
            let digits = port.bytes().all(|octet| octet.is_ascii_digit());
            let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0)?;
            let whole = at > 0 && !user.is_empty();
            whole.then(|| Mailbox { user: user.to_owned(), host: rest[..at].to_owned(), port: Some(port) })
        })
    };
    let usual = candidates().find(|mailbox| matches!(mailbox.port, Some(110 | 995)));
    usual.or_else(|| candidates().next())
}
